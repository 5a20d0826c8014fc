"""The list of public models: what it says of each, what it refuses, and the script that asks a hub about it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS
from mmdemo.models.families.classes import FAMILIES
from mmdemo.models.hub import catalog
from tests.hub_server import HubServer, captioner, reachable

ROOT = Path(__file__).parents[4]
TEXT = catalog.FILE.read_text(encoding="utf-8")


def test_every_task_and_kind_has_one() -> None:
    assert {task for one in catalog.catalog_entries() for task in one.tasks} == set(TASKS)
    assert catalog.read(TEXT) == catalog.catalog_entries()  # which leaves out what a list is held against
    families = {one.family for one in catalog.catalog_entries() if not one.role}
    assert families == {one.family for one in FAMILIES} - {
        "zero_shot"
    }  # every CLIP of the list comes in open_clip's layout
    assert {one.role for one in catalog.catalog_entries()} == {"", "transcriber"}


def test_what_was_asked_for_is_there() -> None:
    wanted = {
        "classify": {
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "timm/MobileCLIP2-S0-OpenCLIP",
            "timm/MobileCLIP2-S2-OpenCLIP",
            "timm/ViT-B-16-SigLIP2-256",
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        },
        "caption": {
            "Salesforce/blip-image-captioning-base",
            "Salesforce/blip-image-captioning-large",
            "laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
            "florence-community/Florence-2-base-ft",
        },
        "ask": {
            "Salesforce/blip-vqa-base",
            "dandelin/vilt-b32-finetuned-vqa",
            "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
            "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
            "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
            "Qwen/Qwen3-VL-2B-Instruct",
        },
        "sentiment": {"superb/wav2vec2-base-superb-er", "superb/hubert-large-superb-er"},
    }
    for task, ids in wanted.items():
        assert ids <= {one.id for one in catalog.catalog_entries(task)}
    assert {one.id for one in catalog.transcribers()} == {
        "openai/whisper-tiny.en",
        "openai/whisper-tiny",
        "openai/whisper-base",
    }
    assert not [one for one in catalog.catalog_entries("sentiment") if one.role]


def test_ids_of_open_clip_are_those_that_it_knows_itself() -> None:
    from open_clip.pretrained import get_pretrained_cfg

    checked = 0
    for one in catalog.catalog_entries():
        if one.library == "open_clip":
            architecture, _, weights = one.alias.partition("/")
            assert get_pretrained_cfg(architecture, weights)["hf_hub"].strip("/") == one.id
            checked += 1
    assert checked == 6


def test_sizes_and_memory_are_of_the_same_weights() -> None:
    for one in catalog.catalog_entries():
        assert one.memory("fp32") == 2 * one.memory("bf16") == 4 * one.memory("int8") == 4 * one.parameters
        if one.size:  # on the hub they lie in 32 or 16 bits, with a tokenizer of some megabytes
            weights = min((one.memory("fp32"), one.memory("bf16")), key=lambda size: abs(one.size - size))
            assert 0 <= one.size - weights <= 0.01 * weights + 40_000_000, one.id


def test_revisions_are_commits_or_conversions_by_the_hub() -> None:
    for one in catalog.catalog_entries():
        assert one.pinned or one.revision == "" or one.revision.startswith("refs/pr/"), one.id
    assert sum(one.pinned for one in catalog.catalog_entries()) >= 18


def test_found_by_id_and_alias() -> None:
    one = catalog.find("laion/clip-vit-b-32-laion2b-s34b-b79k")
    assert one is not None
    assert one is catalog.find("ViT-B-32/laion2b_s34b_b79k")
    assert catalog.find("someone/else") is None
    assert catalog.find("") is None


GOOD = """
[[model]]
id = "someone/model"
tasks = ["ask", "caption"]
library = "transformers"
family = "chat"
parameters = 10
licence = "mit"
languages = ["en"]
good_at = "Something."
"""


def test_a_short_entry_is_enough() -> None:
    (one,) = catalog.read(GOOD)
    assert (one.revision, one.size, one.role, one.checked, one.calibrated) == ("", 0, "", False, False)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"someone/model"', '"model"', "its id is not owner/name"),
        ('"chat"', '"chatty"', "its family 'chatty' is none of open_clip, "),
        ('"transformers"', '"open_clip"', "its library"),
        ('["ask", "caption"]', '["classify"]', "its family serves ask and caption"),
        ('["ask", "caption"]', "[]", "its family serves ask and caption"),
        ("parameters = 10", "parameters = 0", "its parameters or its size"),
        ('"mit"', '""', "its licence or its languages are missing"),
        ('"Something."', '"Something"', "what it is good at is no sentence"),
        ('"Something."', '"Something."\nfigure = "1 %"', "its figure has no source"),
        ('"Something."', '"Something."\nspeed = 3', "unexpected keyword argument 'speed'"),
        ('licence = "mit"', "", "missing 1 required keyword-only argument: 'licence'"),
        ('"Something."', f'"Something."\n{GOOD}', "the id stands there twice"),
    ],
)
def test_a_wrong_entry_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(MmdemoError, match="is listed wrongly") as told:
        catalog.read(GOOD.replace(old, new, 1))
    assert words in str(told.value)


def test_a_damaged_list() -> None:
    with pytest.raises(MmdemoError, match="The list of public models cannot be read"):
        catalog.read("[[model]")


def test_neither_list_nor_download_needs_a_framework() -> None:
    code = (
        "import sys; from mmdemo.models.hub import catalog, download; catalog.catalog_entries(); "
        "download.on_disk('someone/model'); print([m for m in ('torch', 'transformers', 'huggingface_hub') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- scripts/pin_models.py


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin_models", ROOT / "scripts" / "pin_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with reachable(tmp_path / "home", monkeypatch) as server:
        yield server


LIST = """# a comment that stays

[[model]]
id = "someone/first"   # and so does this
tasks = ["caption"]
library = "transformers"
family = "blip_caption"
revision = "refs/pr/9"
size = 0
parameters = 10
licence = "mit"
languages = ["en"]
good_at = "Something."

[[model]]
id = "someone/second"
tasks = ["caption"]
library = "transformers"
family = "blip_caption"
revision = "{second}"
size = 12
parameters = 10
licence = "mit"
languages = ["en"]
good_at = "Something."
"""


def test_a_hub_fills_in_commits_and_sizes(
    hub: HubServer, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = captioner(tmp_path / "one")
    first = hub.add("someone/first", folder, revision="refs/pr/9")
    second = hub.add("someone/second", captioner(tmp_path / "two", seed=1))
    size = sum((folder / name).stat().st_size for name in (
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"
    ))  # fmt: skip
    file = tmp_path / "catalog.toml"
    file.write_text(LIST.format(second=second))
    assert script.main(["--check"], file=file) == 1
    assert file.read_text() == LIST.format(second=second)
    assert script.main([], file=file) == 0
    wanted = LIST.format(second=second).replace('"refs/pr/9"', f'"{first}"')
    wanted = wanted.replace("size = 0", f"size = {size:_}").replace("size = 12", f"size = {size:_}")
    assert file.read_text() == wanted
    assert script.main(["--check"], file=file) == 0
    assert "someone/first: as listed" in capsys.readouterr().out
    assert not hub.asked_for("/store/")
    assert not (tmp_path / "home").exists()  # nothing was fetched or pinned here


def test_newest_takes_main_where_it_will_do(
    hub: HubServer, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = hub.add("someone/first", captioner(tmp_path / "converted"), revision="refs/pr/9")
    pickles = captioner(tmp_path / "pickles")
    (pickles / "model.safetensors").unlink()
    hub.add("someone/first", pickles)
    old = hub.add("someone/second", captioner(tmp_path / "old"))
    new = hub.add("someone/second", captioner(tmp_path / "new", seed=1))
    file = tmp_path / "catalog.toml"
    file.write_text(LIST.format(second=old))
    assert script.main(["--newest"], file=file) == 0
    assert {one.revision for one in catalog.read(file.read_text())} == {converted, new}
    assert "its main branch will not do" in capsys.readouterr().out


def test_a_model_that_is_gone_or_of_another_kind_is_told(
    hub: HubServer, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"architectures": ["ViltForQuestionAnswering"], "model_type": "vilt"}
    hub.add("someone/first", captioner(tmp_path / "vilt", config=config), revision="refs/pr/9")
    file = tmp_path / "catalog.toml"
    file.write_text(LIST.format(second="main"))
    assert script.main([], file=file) == 2
    told = capsys.readouterr().out
    assert "someone/first is listed wrongly: it is vilt, not blip_caption." in told
    assert "someone/second cannot be fetched: 127.0.0.1 knows no model of this name." in told
    assert file.read_text() == LIST.format(second="main")


def test_the_list_itself_can_be_rewritten(script: ModuleType) -> None:
    text = TEXT
    for one in catalog.catalog_entries():
        text = script.changed(text, one.id, revision="0" * 40, size=7)
    found = catalog.read(text)
    assert [one.id for one in found] == [one.id for one in catalog.catalog_entries()]
    assert {(one.revision, one.size) for one in found} == {("0" * 40, 7)}
    assert len(text.splitlines()) == len(TEXT.splitlines())
