"""The README keeps its word: every command is executed, every option explained, every link leads somewhere."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import typer

from mmdemo.cli import app, main
from mmdemo.core.settings import checkpoints_root, data_root
from tests.sounds import RATE, speech_like

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRAINING = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
HTTP = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
APP_FLAGS = (
    "--host",
    "--port",
    "--device",
    "--share",
    "--auth",
    "--public",
    "--mcp",
    "--max-models",
    "--model-memory",
    "--proxy",
)
ADDRESS = "http://127.0.0.1:7860"


def blocks(language: str) -> list[str]:
    """The code blocks in one language, of the README and then of what it leads to."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$",
        README + HTTP + RESULTS + TRAINING + TEACHING + MODELS,
        flags=re.MULTILINE | re.DOTALL,
    )


COMMANDS = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]

FROM_A_HUB = "tests/integration/test_hub_models.py::test_from_the_hub_to_an_answer"
ELSEWHERE = {
    "make test": ".ci/run",
    "make demo": "tests/integration/test_cli_make.py::test_make_demo_serves_the_page",
    "python app.py": "tests/promises/test_docs.py::server",
    "python app.py --help": "tests/promises/test_docs.py::test_app_explains_every_flag",
    "python app.py --public": "tests/promises/test_docs.py::test_page_with_flags_is_served",
    "python app.py --mcp": "tests/promises/test_docs.py::test_page_with_flags_is_served",
    "python -m mmdemo download Salesforce/blip-vqa-base": FROM_A_HUB,
    'python -m mmdemo ask mmdemo/ui/examples/cat.jpg "What animal is this?" --model Salesforce/blip-vqa-base': (
        FROM_A_HUB
    ),
    'python -m mmdemo ask photo.jpg "What is on the table?" --model Salesforce/blip-vqa-base': FROM_A_HUB,
    "python -m mmdemo train ask --base Salesforce/blip-vqa-base --data my-pictures --out my-ask": (
        "tests/integration/test_hub_models.py::test_what_a_hub_gave_is_tuned"
    ),
    "python -m pip install -r requirements.txt": "tests/promises/test_docs.py::test_nothing_is_left_to_install",
}
"""Commands that are not run by ``test_command_runs``, and what runs them instead."""

SHORTER = {
    "train": ["--set", "train.epochs=1"],
    "benchmark": ["--n", "1"],
    "evaluate": ["--limit", "20"],
    "quantize": ["--limit", "20"],
}
"""What a test adds to a command so that it takes seconds; the rest is run as it is written."""

OURS = [command for command in COMMANDS if command not in ELSEWHERE]


def test_every_command_is_executed_somewhere() -> None:
    assert [command for command in OURS if not command.startswith("python -m mmdemo ")] == []
    assert set(ELSEWHERE) <= set(COMMANDS), "a command that left the README leaves this list too"


@pytest.mark.parametrize(("command", "where"), ELSEWHERE.items())
def test_what_executes_a_command_exists(command: str, where: str) -> None:
    file, _, name = where.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert f"\n{command}\n" in text if file == ".ci/run" else f"\ndef {name}(" in text


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the README's paths exist: the package, photos with captions and voices of one's own."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "mmdemo").symlink_to(ROOT / "mmdemo")
    (folder / "checkpoints").mkdir()
    for shipped in checkpoints_root().glob("*-base"):
        (folder / "checkpoints" / shipped.name).symlink_to(shipped)
    _photos(folder / "my-photos")
    (folder / "my-questions").mkdir()
    _questions(folder / "my-questions")
    _voices(folder / "my-voices", seed=0)
    _voices(folder / "other-voices", seed=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMDEMO_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("MMDEMO_CACHE", str(folder / "cache"))
        yield folder


def _photos(folder: Path) -> None:
    folder.mkdir()
    rows = []
    for number, picture in enumerate(sorted((ROOT / "mmdemo" / "ui" / "examples").glob("*.jpg"))):
        shutil.copy(picture, folder / picture.name)
        texts = ("a brown dog sits on the grass", "two people ride a bicycle", "a red car on a street")
        captions = ", ".join(f'"{text}"' for text in (texts[number % 3], f"{texts[number % 3]} in the sun"))
        rows.append(f'{{"file_name": "{picture.name}", "captions": [{captions}]}}\n')
    (folder / "captions.jsonl").write_text("".join(rows), encoding="utf-8")


def _questions(folder: Path) -> None:
    rows = ["file_name,question,answer\n"]
    for number, picture in enumerate(sorted((ROOT / "mmdemo" / "ui" / "examples").glob("*.jpg"))):
        shutil.copy(picture, folder / picture.name)
        rows.append(f"{picture.name},What is this?,{('a cat', 'a rocket')[number % 2]}\n")
    (folder / "questions.csv").write_text("".join(rows), encoding="utf-8")


def _voices(folder: Path, *, seed: int) -> None:
    """Four speakers, two emotions, twelve clips of each and speaker: enough to see that training runs to its end."""
    folder.mkdir()
    rows = ["file_name,label,speaker\n"]
    for number in range(48):
        label, speaker = ("sad", "happy")[number % 2], f"speaker{number % 4}"
        samples = speech_like(1.5 if label == "sad" else 1.0, seed=seed + number)
        soundfile.write(folder / f"{number:02}.wav", samples * (0.3 if label == "sad" else 1.0), RATE)
        rows.append(f"{number:02}.wav,{label},{speaker}\n")
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("command", OURS)
def test_command_runs(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """In the order of the README, since some use what an earlier one made."""
    arguments = shlex.split(command.replace("$MMDEMO_DATA", str(data_root())))[3:]
    shorter = SHORTER.get(arguments[0], [])
    if "$MMDEMO_DATA" in command and not data_root().is_dir():
        pytest.skip("the public data sets are not beside this checkout")
    code = main([*arguments, *([] if "--check" in arguments or arguments[1:2] == ["train"] else shorter)])
    captured = capfd.readouterr()
    assert code == 0, captured.err
    assert "Traceback" not in captured.err


def test_nothing_is_left_to_install() -> None:
    """The line for systems without make; everything is there, so that no registry is asked."""
    command = [sys.executable, "-m", "pip", "install", "--no-index", "-r", "requirements.txt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Successfully installed" not in done.stdout


# ---------------------------------------------------------------- page and programs


@contextlib.contextmanager
def _served(*flags: str) -> Iterator[tuple[str, str]]:
    """The page in a process of its own: its address and what it said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--device", "cpu", *flags]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said = ""
            while f"mmdemo answers at http://127.0.0.1:{port}" not in said:
                line = process.stdout.readline() if process.stdout else ""
                assert line, f"the page ended after {said!r}"
                said += line
            yield f"http://127.0.0.1:{port}", said
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with _served() as (address, _):
        yield address


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.strip().splitlines()[-1][:40])
def test_python_block_runs(block: str, server: str) -> None:
    code = block.replace(ADDRESS, server)
    assert code != block or ADDRESS not in block
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("flag", ["--public", "--mcp"])
def test_page_with_flags_is_served(flag: str) -> None:
    with _served(flag) as (address, said):
        assert ("MCP" in said) == (flag == "--mcp")
        assert address in said


def test_app_explains_every_flag() -> None:
    command = [sys.executable, "app.py", "--help"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [flag for flag in APP_FLAGS if flag not in text or flag not in README] == []
    explained = re.findall(r"^  (?:-h, )?(--[a-z-]+)(?: \S+)?\s+\S", text.replace("\n" + " " * 20, " "), re.MULTILINE)
    assert {*explained} >= set(APP_FLAGS)


def test_every_option_of_the_command_line_is_explained() -> None:
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert f"mmdemo {name}" in README or f"`{name}`" in README, f"the README does not name {name}"
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_every_variable_of_the_environment_is_explained() -> None:
    settings = (ROOT / "mmdemo" / "core" / "settings.py").read_text(encoding="utf-8")
    assert [name for name in set(re.findall(r"MMDEMO_[A-Z]+", settings)) if f"`{name}`" not in README] == []


# ---------------------------------------------------------------- figures and links


@pytest.mark.parametrize(
    ("flags", "page", "name"), [([], RESULTS, "results"), (["--headline"], README, "headline")], ids=["all", "headline"]
)
def test_results_table_is_the_checkpoints_own(flags: list[str], page: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/results_table.py", *flags], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = re.search(rf"<!-- {name}:[^\n]*-->\n(.*?)<!-- /{name} -->", page, flags=re.DOTALL)
    assert found
    assert found[1].strip() == done.stdout.strip(), "run: python scripts/results_table.py --write"


def test_table_of_public_models_is_the_list_itself() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/models_table.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- models:[^\n]*-->\n(.*?)<!-- /models -->", page, flags=re.DOTALL)
    assert found
    assert found[1].strip() == done.stdout.strip(), "run: python scripts/models_table.py --write"


def links() -> list[tuple[str, str]]:
    """Folder of a page below the checkout, and what it links to."""
    pages = (("", README), ("docs", HTTP + RESULTS + TRAINING + TEACHING + MODELS))
    return [(folder, target) for folder, text in pages for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)]


@pytest.mark.parametrize(("folder", "target"), links())
def test_link_leads_somewhere(folder: str, target: str) -> None:
    assert not target.startswith(("http:", "https:")), "nothing to check offline, so nothing to link to"
    assert (ROOT / folder / target).exists()


def test_every_package_and_named_file_of_the_architecture_exists() -> None:
    named = re.findall(
        r"`((?:core|media|nets|tasks|models|serving|data|evaluate|train|studio|ui|cli)[./][\w./]*)`", ARCHITECTURE
    )
    paths = [name.rstrip("/") if "/" in name else name.replace(".", "/") for name in named if "<" not in name]
    missing = [
        path for path in paths if not ((ROOT / "mmdemo" / path).exists() or (ROOT / "mmdemo" / f"{path}.py").exists())
    ]
    assert missing == []
    packages = {place.name for place in (ROOT / "mmdemo").iterdir() if (place / "__init__.py").exists()}
    assert [name for name in sorted(packages) if f"`{name}`" not in ARCHITECTURE] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_first_things_come_first() -> None:
    assert README.startswith("![")
    assert COMMANDS[:2] == ["make demo", "make test"]
