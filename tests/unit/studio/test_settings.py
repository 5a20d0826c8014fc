"""Settings that were chosen in the page say the same on the command line and in TOML."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.data.check import PartReport
from mmdemo.studio import settings
from mmdemo.studio.estimate import END, START, estimate
from mmdemo.studio.preview import Preview
from mmdemo.studio.settings import Choice
from mmdemo.train.settings import read_config

TASKS = ("ask", "classify", "caption", "sentiment")


def preview_of(task: str, train: int, validation: int, labels: int = 0) -> Preview:
    counts = {f"label {i}": train // labels for i in range(labels)} if labels else {}
    parts = {
        name: PartReport(examples=n, files=n, groups=0, labels=counts)
        for name, n in (("train", train), ("validation", validation), ("test", validation))
    }
    return Preview(
        task=task, data=(), parts=parts, labels=counts, samples={}, shown={}, examples=train + 2 * validation
    )


def chosen(**more: object) -> Choice:
    given: dict[str, object] = {"task": "classify", "data": (Path("my pets"),), "out": "pets"}
    return Choice(**{**given, **more})  # type: ignore[arg-type]


def test_the_command_says_all_that_was_chosen_and_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    choice = chosen(
        base="my base",
        overrides={"train.epochs": 20.0, "train.tune": "last:2", "train.keep_best": False, "train.metric": "top1"},
        allow_leaks=True,
        device="cpu",
    )

    words = shlex.split(settings.command(choice))

    assert words[:5] == ["python", "-m", "mmdemo", "train", "classify"]
    assert words[words.index("--out") + 1] == "pets"
    assert words[words.index("--base") + 1] == "my base"
    assert words[words.index("--data") + 1] == "my pets"
    assert {"--allow-leaks", "--device"} <= set(words)
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    read = read_config(ROOT / "configs" / "classify.toml", overrides).train
    assert (read.epochs, read.tune, read.keep_best, read.metric) == (20, "last:2", False, "top1")


def test_the_arguments_of_the_process_are_the_same_with_absolute_paths() -> None:
    choice = chosen(overrides={"train.epochs": 3.0})

    shown, given = shlex.split(settings.command(choice))[4:], settings.request_of(choice).to_argv()

    assert [word for word in shown if "my pets" not in word] == [word for word in given if "my pets" not in word]
    assert str(Path("my pets").resolve()) in given


def test_what_is_as_the_task_has_it_is_not_said() -> None:
    own = settings.settings_of("classify").train

    words = settings.request_of(chosen(base="classify-base", overrides={"train.epochs": own.epochs})).to_argv()

    assert "--set" not in words
    assert "--base" not in words


@pytest.mark.parametrize("task", TASKS)
def test_toml_is_what_config_takes_and_reads_back_to_the_same(task: str, tmp_path: Path) -> None:
    overrides: dict[str, settings.Value] = {"train.epochs": 3.5, "train.seed": 7, "train.tune": "lora"}
    choice = chosen(task=task, overrides=overrides)

    text = settings.to_toml(choice)
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")

    assert read_config(file).train.epochs == 3.5
    assert settings.from_toml(task, text) == (overrides, f"{task}-base")  # as on the command line


def test_toml_that_names_little_means_what_it_means_on_the_command_line() -> None:
    found, _ = settings.from_toml("classify", "[train]\nepochs = 2\n")

    assert found["train.epochs"] == 2.0
    assert found["train.batch_size"] == 64  # of the trainer; the task's own configuration has another


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train = 3", "section"),
        ("[train]\nepoch = 3", "Did you mean train.epochs"),
        ("[train]\nepochs = 'many'", "train.epochs"),
        ("no toml at all", "not valid TOML"),
    ],
)
def test_toml_that_cannot_be_used_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(MmdemoError) as caught:
        settings.from_toml("ask", text)

    assert says in str(caught.value)
    assert "/tmp" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        (" train.tune = last:2 ", ("train.tune", "last:2")),
        ("train.keep_best=false", ("train.keep_best", False)),
    ],
)
def test_a_line_is_read_as_set_reads_it(line: str, found: tuple[str, object]) -> None:
    assert settings.parse_line(line) == found


@pytest.mark.parametrize("line", ["epochs=3", "train.epochs", "=3", "."])
def test_a_line_of_another_kind_is_refused(line: str) -> None:
    with pytest.raises(MmdemoError, match=r"section\.key=value"):
        settings.parse_line(line)


def test_few_rows_get_more_epochs_and_smaller_batches() -> None:
    few = settings.suggest("classify", preview_of("classify", 160, 20, labels=10))
    many = settings.suggest("classify", preview_of("classify", 20_000, 2_000))

    own = settings.settings_of("classify").train
    assert int(str(few["train.epochs"])) > own.epochs
    assert int(str(few["train.batch_size"])) < own.batch_size
    assert few["train.metric"] == "top1"
    assert "train.epochs" not in many
    assert "train.metric" not in many


def test_every_answer_of_little_data_counts_and_chance_does_not_choose() -> None:
    found = settings.suggest("ask", preview_of("ask", 80, 10))

    assert found["data.least"] == 1
    assert found["train.keep_best"] is False
    assert settings.suggest("ask", preview_of("ask", 50_000, 5_000)) == {}


def test_captions_are_taught_gently() -> None:
    found = settings.suggest("caption", preview_of("caption", 40, 10))

    assert found["train.learning_rate"] == pytest.approx(settings.settings_of("caption").train.learning_rate / 3)
    assert found["train.epochs"] == 20


def test_sentiment_is_fitted_exactly_and_needs_nothing() -> None:
    assert settings.suggest("sentiment", preview_of("sentiment", 90, 10, labels=3)) == {}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("train", "validation"), [(3, 0), (40, 5), (400, 50), (100_000, 10_000)])
def test_whatever_is_suggested_can_be_trained(task: str, train: int, validation: int) -> None:
    found = settings.suggest(task, preview_of(task, train, validation, labels=2))

    assert settings.settings_of(task, found).train.epochs >= 0


# ---------------------------------------------------------------- how long it takes


def seconds(task: str, rows: int, **overrides: str | float) -> float:
    changed: dict[str, settings.Value] = {f"train.{name}": value for name, value in overrides.items()}
    choice = Choice(task=task, data=(), out="x", overrides=changed)
    return estimate(choice, preview_of(task, rows, rows // 8)).seconds


@pytest.mark.parametrize("task", ["ask", "classify", "caption"])
def test_more_of_anything_takes_longer(task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    few = seconds(task, 100, epochs=2.0)

    assert few < seconds(task, 10_000, epochs=2.0)
    assert few < seconds(task, 100, epochs=200.0)
    assert few < seconds(task, 100, epochs=2.0, tune="last:2") < seconds(task, 100, epochs=2.0, tune="all")


def test_the_range_holds_the_estimate_and_says_what_it_rests_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))

    found = estimate(Choice(task="ask", data=(), out="x"), preview_of("ask", 100, 10))

    assert found.low < found.seconds < found.high
    assert "two cores" in found.how
    assert found.seconds > 0.01 * (START + END)
