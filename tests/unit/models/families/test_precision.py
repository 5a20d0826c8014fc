"""Number formats and memory: what is rounded, what stays, what it takes, and what is said where it does not fit."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.models.families import precision
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.precision import (
    check_fit,
    default_precision,
    eight_bits,
    four_bits,
    free_memory,
    lower,
    needs,
)
from mmdemo.models.hub.catalog import catalog_entries
from mmdemo.models.ready import blocks_of

GB = 10**9
WIDTH, WORDS, CLASSES = 128, 300, 8


class Net(nn.Module):
    """Words in, words and classes out; the output layer over words is the embedding once more."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.tied = nn.Linear(WIDTH, WORDS, bias=False)
        self.tied.weight = self.words.weight
        self.classes = nn.Linear(WIDTH, CLASSES)
        self.register_buffer("shift", torch.ones(WIDTH))
        self.register_buffer("steps", torch.arange(4))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids) + self.shift
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = self.norm(x + self.down(torch.relu(self.up(x))))
        return self.tied(x), self.classes(x)


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval().requires_grad_(False)


def ids(rows: int = 3) -> Tensor:
    return torch.arange(rows * 7).reshape(rows, 7) % WORDS


def held(one: nn.Module) -> int:
    return sum(dict(block for tensor in one.state_dict().values() for block in blocks_of(tensor)).values())


def off(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other).norm() / other.norm())


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("read", [torch.float32, torch.bfloat16, torch.float16])
def test_eight_bits_round_linear_layers_and_nothing_else(read: torch.dtype) -> None:
    exact, rounded = net(), lower(net().to(read), RuntimeConfig(precision="int8"))
    assert isinstance(rounded, Net)

    for name, parameter in rounded.named_parameters():
        whole = type(parameter) is nn.Parameter
        assert whole == (name not in {"up.weight", "down.weight"}), name
        assert parameter.dtype == torch.float32, name
    assert rounded.shift.dtype == torch.float32
    assert rounded.steps.dtype == torch.int64
    assert rounded.tied.weight is rounded.words.weight
    with torch.inference_mode():
        for one, other in zip(rounded(ids()), exact(ids()), strict=True):
            assert 0 < off(one, other) < 0.02


def test_eight_bits_answer_a_batch_as_one_by_one() -> None:
    rounded = eight_bits(net())

    with torch.inference_mode():
        together = rounded(ids(5))[0]
        alone = torch.cat([rounded(ids(5)[i : i + 1])[0] for i in range(5)])
    assert (together - alone).abs().max() < 1e-4


def test_memory_of_rounded_tensors_is_counted() -> None:
    both = sum(layer.weight.numel() for layer in (net().up, net().down))
    before = held(net())

    eight, four = held(eight_bits(net())), held(four_bits(net(), "cpu"))

    scales = (4 + 1) * (4 * WIDTH + WIDTH)  # a scale and a zero for each row
    assert before - eight == both * 4 - both - scales
    assert four < before / 2 - both / 2
    assert before == sum(p.numel() * 4 for p in net().parameters()) + WIDTH * 4 + 4 * 8  # parameters() tells ties


def test_four_bits_round_the_weights_and_multiply_in_bf16() -> None:
    exact, rounded = net(), four_bits(net(), "cpu")

    with torch.inference_mode():
        found, expected = rounded(ids())[1], exact(ids())[1]
    assert found.dtype == torch.bfloat16
    assert 0.005 < off(found, expected) < 0.2
    assert type(rounded.up.weight) is not nn.Parameter
    assert type(rounded.classes.weight) is nn.Parameter
    assert rounded.tied.weight is rounded.words.weight


def test_four_bits_leave_layers_that_make_no_whole_blocks() -> None:
    odd = nn.Sequential(nn.Linear(33, 65), nn.Linear(65, 64))

    four_bits(odd, "cpu")

    assert type(odd[0].weight) is nn.Parameter
    assert type(odd[1].weight) is not nn.Parameter


def test_other_numbers_stay_as_they_were_read() -> None:
    for numbers in (torch.float32, torch.bfloat16):
        one = lower(net().to(numbers), RuntimeConfig(precision="bf16" if numbers == torch.bfloat16 else "fp32"))
        assert {p.dtype for p in one.parameters()} == {numbers}


def test_an_output_layer_over_words_stays_even_where_it_is_no_embedding() -> None:
    class Speaker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WORDS)

        def get_output_embeddings(self) -> nn.Module:
            return self.head

    one = eight_bits(Speaker())

    assert type(one.head.weight) is nn.Parameter
    assert type(one.body.weight) is not nn.Parameter


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            RuntimeConfig(device="cuda", precision="int8"),
            "int8 cannot be used here: it is for CPUs. On a GPU use bf16 or int4.",
        ),
        (RuntimeConfig(precision="int4"), "int4 cannot be used here: it needs an NVIDIA GPU. On a CPU use int8."),
        (RuntimeConfig(device="mps", precision="int4"), "int4 cannot be used here"),
    ],
)
def test_numbers_of_another_device_are_refused(how: RuntimeConfig, said: str) -> None:
    with pytest.raises(MmdemoError) as caught:
        lower(net(), how)

    assert said in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_need_a_gpu_that_is_there() -> None:
    with pytest.raises(MmdemoError, match="it needs an NVIDIA GPU"):
        lower(net(), RuntimeConfig(device="cuda", precision="int4"))


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", gone)

    with pytest.raises(MmdemoError, match="torchao cannot be loaded") as caught:
        eight_bits(net())
    assert caught.value.try_this == "pip install torchao"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_four_bits_on_a_gpu() -> None:
    exact, rounded = net(), lower(net(), RuntimeConfig(device="cuda", precision="int4"))

    with torch.inference_mode():
        found = rounded(ids().cuda())[1]
        expected = exact(ids())[1]
    assert found.is_cuda
    assert off(found.cpu(), expected) < 0.2
    assert held(rounded) < held(exact) / 2


# ---------------------------------------------------------------- memory


def test_fewer_bits_need_less_and_twice_the_parameters_more() -> None:
    sizes = [needs(10**9, numbers) for numbers in ("fp32", "bf16", "int4")]

    assert sizes == sorted(sizes, reverse=True)
    assert needs(10**9, "fp32") > 4 * GB
    assert needs(2 * 10**9, "int8") > needs(10**9, "int8") >= needs(10**9, "int4")


def test_there_is_some_free_memory() -> None:
    assert 10**7 < free_memory("cpu") < 10**14


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_CGROUP", tmp_path)
    whole = free_memory("cpu")
    (tmp_path / "memory.max").write_text("2000000\n")
    (tmp_path / "memory.current").write_text("1500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\nfile 2\ninactive_file 300000\n")

    assert free_memory("cpu") == 800_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory("cpu") > 800_000
    assert whole > 800_000


def test_what_a_network_computes_in_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_precision("cpu", 10**9, free=16 * GB) == "fp32"
    assert default_precision("cpu", 10**9, free=3 * GB) == "int8"
    assert default_precision("mps", 10**9, free=GB) == "fp32"
    for there, numbers in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there)
        assert default_precision("cuda", 10**9, free=GB) == numbers


def test_what_fits_is_not_spoken_of() -> None:
    check_fit("m", 10**9, RuntimeConfig(), free=5 * GB)
    check_fit("m", 0, RuntimeConfig(), free=GB)


def test_what_does_not_fit_says_by_how_much_and_in_what_numbers_it_would() -> None:
    with pytest.raises(MmdemoError) as caught:
        check_fit("big/model", 10**9, RuntimeConfig(), free=3 * GB)

    assert str(caught.value) == (
        "big/model does not fit into the memory of the computer: in fp32 it takes 4.7 GB, and 3.0 GB are free: "
        "1.7 GB too little. In int8 it would: that takes 2.5 GB."
    )


def test_on_a_gpu_four_bits_are_the_way_out() -> None:
    with pytest.raises(MmdemoError, match=r"memory of the GPU: in bf16 .* In int4 it would: that takes 3\.6 GB"):
        check_fit("big/model", 3 * 10**9, RuntimeConfig(device="cuda", precision="bf16"), free=4 * GB)
    with pytest.raises(MmdemoError, match="Free some memory, or choose a smaller model"):
        check_fit("big/model", 3 * 10**9, RuntimeConfig(device="mps"), free=4 * GB)


def test_a_model_that_would_fit_is_named() -> None:
    others = [("small", 10**7), ("better", 10**8), ("best", 5 * 10**9), ("big/model", 10)]
    how = RuntimeConfig(precision="int8")

    with pytest.raises(MmdemoError, match=r"too little\. better would: it takes 0\.5 GB"):
        check_fit("big/model", 4 * 10**9, how, alternatives=others, free=GB)
    with pytest.raises(MmdemoError, match="Free some memory"):
        check_fit("big/model", 4 * 10**9, how, alternatives=others, free=1)


def test_by_default_the_best_of_the_list_that_fits_is_named() -> None:
    with pytest.raises(MmdemoError) as caught:
        check_fit("big/model", 10**11, RuntimeConfig(precision="int8"), task="caption", free=4 * GB)

    named = next(one for one in catalog_entries("caption") if caught.value.try_this.startswith(one.id))
    assert needs(named.parameters, "int8") <= 4 * GB
    assert named.tasks[0] == "caption"
