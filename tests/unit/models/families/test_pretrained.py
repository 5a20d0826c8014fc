"""Folders of transformers that are damaged, do not fit, or bring code: refused in one sentence, or read anyway."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BlipForConditionalGeneration

from mmdemo.core.errors import MmdemoError
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.pretrained import read_net, read_processor
from tests.tiny_models.blip import make_blip_caption

WEIGHTS = "model.safetensors"
SOME = "text_decoder.bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture(scope="session")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip_caption(tmp_path_factory.mktemp("tiny") / "blip")


@pytest.fixture
def folder(blip: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(blip, tmp_path / "blip"))


def read(folder: Path) -> Any:
    return read_net(BlipForConditionalGeneration, folder, how=RuntimeConfig(), name="some/blip")


def changed(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def set_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def test_reads_every_tensor_and_draws_nothing(blip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = read(blip)
    stored = load_file(blip / WEIGHTS)
    state = net.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in stored.items())
    assert capfd.readouterr().err == ""


def test_a_missing_tensor_is_named(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.pop(SOME))
    with pytest.raises(MmdemoError, match=rf"some/blip cannot be loaded: its weights lack {SOME}\.$"):
        read(folder)


def test_an_unknown_tensor_is_named(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update(a=torch.zeros(1), b=torch.zeros(1), c=torch.zeros(1)))
    with pytest.raises(MmdemoError, match=r"its weights hold unknown a and 2 more tensors\.$"):
        read(folder)


def test_a_tensor_that_holds_no_numbers_is_named(folder: Path) -> None:
    changed(folder, lambda tensors: tensors[SOME].view(-1)[3:4].fill_(float("nan")))
    with pytest.raises(
        MmdemoError, match=f"some/blip cannot be loaded: tensor {SOME} holds values that are no numbers"
    ):
        read(folder)


def test_another_shape_is_named(folder: Path) -> None:
    changed(folder, lambda tensors: tensors.update({SOME: torch.zeros(16, 32)}))
    with pytest.raises(MmdemoError, match=rf"{SOME} has the shape \(16, 32\), its config\.json says \(32, 32\)"):
        read(folder)


def test_buffers_of_old_versions_and_tied_tensors_are_no_trouble(blip: Path, folder: Path) -> None:
    """Repositories of 2022 hold the one, those saved today lack the other."""
    tied = "text_decoder.cls.predictions.decoder.weight"
    changed(folder, lambda tensors: tensors.pop(tied, None))
    old = {"text_decoder.bert.embeddings.position_ids": torch.arange(48)[None]}
    changed(folder, lambda tensors: tensors.update(old))
    state, expected = read(folder).state_dict(), read(blip).state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_a_cut_off_file_is_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for length in (len(whole) - 1000, 4, 0):
        (folder / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(MmdemoError, match="some/blip cannot be loaded: "):
            read(folder)


def test_pickles_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    with pytest.raises(MmdemoError, match=r"some/blip cannot be loaded: .*model\.safetensors"):
        read(folder)


def test_a_broken_configuration_is_refused(folder: Path) -> None:
    set_config(folder, vision_config={"hidden_size": "wide"})
    with pytest.raises(MmdemoError, match="some/blip cannot be loaded: "):
        read(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(MmdemoError, match="some/blip cannot be loaded: "):
        read(folder)
    (folder / "config.json").unlink()
    with pytest.raises(MmdemoError, match="some/blip cannot be loaded: "):
        read(folder)


def test_a_processor_needs_both_parts(folder: Path) -> None:
    assert read_processor(folder, name="some/blip").tokenizer is not None
    words = {name: (folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
    for name in words:
        (folder / name).unlink()
    with pytest.raises(MmdemoError, match=r"its tokenizer is missing \(vocab\.txt or tokenizer\.json\)"):
        read_processor(folder, name="some/blip")
    for name, content in words.items():
        (folder / name).write_bytes(content)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MmdemoError, match="some/blip cannot be loaded: "):
        read_processor(folder, name="some/blip")


def test_code_of_a_folder_is_never_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
    trace = tmp_path / "it ran"
    code = f"open({str(trace)!r}, 'w').close()\nclass Own: pass\n"
    (folder / "own.py").write_text(code)
    set_config(folder, auto_map={"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own"})
    pictures = json.loads((folder / "preprocessor_config.json").read_text())
    pictures["auto_map"] = {"AutoProcessor": "own.Own", "AutoImageProcessor": "own.Own"}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    read(folder)
    read_processor(folder, name="some/blip")

    set_config(folder, model_type="own", architectures=["Own"])
    from transformers import AutoModelForImageTextToText

    with pytest.raises(MmdemoError, match="custom code"):
        read_net(AutoModelForImageTextToText, folder, how=RuntimeConfig(), name="some/blip")
    assert not trace.exists()


def test_a_library_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise ImportError("Package `num2words` is required")

    monkeypatch.setattr(BlipForConditionalGeneration, "from_pretrained", lacking)
    with pytest.raises(MmdemoError, match=r"a library that it needs is missing \(Package `num2words` is required\)"):
        read(folder)
