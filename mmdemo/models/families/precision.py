"""In what numbers a network computes, what memory that takes, and whether there is as much.

"int8" is torchao's dynamic rounding: the weights of linear layers to 8 bits by row once, what flows into them by token
as it comes (W8A8; Dettmers et al. 2022, https://arxiv.org/abs/2208.07339, without the outliers set apart). Measured on
one core of an AMD EPYC (AVX-512 with VNNI) over 12 blocks of width 768, best of 8, against fp32: a quarter of the
memory; 200 tokens in 123 ms instead of 429, 50 in 55 instead of 105, one in 25 instead of 20. Rounding the weights
alone ("weight-only") saved the same memory and no time: 441, 108 and 14 ms, for it multiplies in fp32. What it costs,
on real weights: states of Whisper-tiny's encoder over 4 recordings are off by 3.2 % (weight-only 2.0 %, bf16 1.4 %),
their means point the same way to 0.9998; MiniLM's over 4 sentences by 7.6 % (3.1 %), to 0.997.

"int4" is NormalFloat by blocks of 64 (QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) from torchao as
well: the weights alone, multiplied in bf16.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import trim
from mmdemo.core.settings import precision
from mmdemo.models.families.base import Precision, RuntimeConfig
from mmdemo.models.hub.catalog import catalog_entries

Net = TypeVar("Net", bound=nn.Module)

BYTES: Mapping[str, float] = {"fp32": 4.0, "bf16": 2.0, "int8": 2.0, "int4": 1.0}
"""Memory for each parameter at the highest. What is to be rounded is read in bf16 first. Afterwards int8 takes 1.1
where nearly all is linear layers (wav2vec 2.0 of 316 million: 1.26 GB become 0.36), and up to 2.4 where much is
embeddings and ``nn.MultiheadAttention`` (CLIP's smallest), which stay as they are."""

WORKING = 1.1
"""By how much more than its weights a network needs while it answers, beside :data:`FIXED`."""

FIXED = 256 << 20
"""Bytes of what flows through a network, and of the libraries' own buffers."""

FEWEST_OUTPUTS = 64
"""A linear layer with fewer is the head of a classifier or a gate: nothing to gain there, and answers to lose."""

BLOCK, SCALES = 64, 256
"""Weights that share a 4-bit scale, and scales that share a scale of their own, at the most."""

_NEVER_CALLS = frozenset({"WavLMAttention"})
"""Classes that hand the weights of their layers to torch's attention instead of calling them, as ``nn`` does itself;
found by searching transformers 5.23, open_clip 3.3 and timm for ``multi_head_attention_forward``."""

_HELD_BACK = 32 << 20
"""Weights that are rounded before freed memory is handed back to the system."""

_ROUNDED: Mapping[str, Precision] = {"cpu": "int8", "cuda": "int4"}
"""What takes least on each kind of device."""

_CGROUP = Path("/sys/fs/cgroup")


# ---------------------------------------------------------------- memory


def needs(parameters: int, precision: Precision) -> int:
    """Bytes that a network takes while it is loaded and answers."""
    return int(parameters * BYTES[precision] * WORKING) + FIXED


def free_memory(device: str) -> int:
    """Bytes that a network could take now.

    Args:
        device: "cpu" (what the system and the limit of a container leave), "cuda" or "mps".
    """
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(free) + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    if device == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    import psutil

    left = int(psutil.virtual_memory().available)
    contained = _left_to_container(_CGROUP)
    return left if contained is None else min(left, contained)


def _left_to_container(group: Path) -> int | None:
    """Bytes that a control group may still take; None where it has no limit.

    Its own cache of files that nobody reads counts as free (https://docs.kernel.org/admin-guide/cgroup-v2.html).
    """
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        lines = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = next((int(value) for name, value in lines if name == "inactive_file"), 0)
        return max(int(limit) - int((group / "memory.current").read_text()) + cached, 0)
    except (OSError, ValueError):
        return None


def default_precision(device: str, parameters: int, *, free: int | None = None) -> Precision:
    """What a network of that size computes in: bf16 on GPUs that have it, fp32 elsewhere, int8 on a CPU too small for
    that.

    Args:
        free: Bytes; default what is free now.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device != "cpu":
        return "fp32"
    there = free_memory(device) if free is None else free
    return "fp32" if needs(parameters, "fp32") <= there else "int8"


def runtime_config(device: str, parameters: int) -> RuntimeConfig:
    """What a network of that size computes in there: what ``MMDEMO_PRECISION`` says, else what suits the machine.

    Raises:
        MmdemoError: The variable names nothing that there is.
    """
    match precision():
        case "":
            return RuntimeConfig(device=device, precision=default_precision(device, parameters))
        case "fp32" | "bf16" | "int8" | "int4" as wanted:
            return RuntimeConfig(device=device, precision=wanted)
        case other:
            raise MmdemoError(f"MMDEMO_PRECISION is {other!r}", "it must be fp32, bf16, int8 or int4")


def check_fit(
    name: str,
    parameters: int,
    how: RuntimeConfig,
    *,
    task: str = "",
    alternatives: Sequence[tuple[str, int]] | None = None,
    free: int | None = None,
) -> None:
    """Whether a network fits into the memory that is free.

    Args:
        name: What it is called in errors.
        task: What it is to serve.
        alternatives: Ids and parameters of other models, each better than those before it; default what is listed for
            ``task``.
        free: Bytes; default what is free now.

    Raises:
        MmdemoError: It does not; says by how much, and in what numbers it would, or which of the others does.
    """
    there = free_memory(how.device) if free is None else free
    wanted = needs(parameters, how.precision)
    if wanted <= there:
        return
    others = alternatives if alternatives is not None else _listed(task)
    fitting = [(id_, needs(n, how.precision)) for id_, n in others if id_ != name]
    fitting = [(id_, size) for id_, size in fitting if size <= there]
    rounded = _ROUNDED.get(how.device, how.precision)
    smaller = needs(parameters, rounded)
    if smaller < wanted and smaller <= there:
        advice = f"In {rounded} it would: that takes {_gigabytes(smaller)}"
    elif fitting:
        advice = f"{fitting[-1][0]} would: it takes {_gigabytes(fitting[-1][1])}"
    else:
        advice = "Free some memory, or choose a smaller model"
    raise MmdemoError(
        f"{name} does not fit into the memory of the {_machine(how.device)}",
        f"in {how.precision} it takes {_gigabytes(wanted)}, and {_gigabytes(there)} are free: "
        f"{_gigabytes(wanted - there)} too little",
        advice,
    )


def check_training(name: str, parameters: int, *, device: str, task: str = "", free: int | None = None) -> None:
    """Whether a network fits into the memory that is free in the numbers that it is tuned in: 32 bits.

    Args:
        name: What it is called in errors.
        task: What it is to be tuned for.
        free: Bytes; default what is free now.

    Raises:
        MmdemoError: It does not; says by how much, and which of those listed for ``task`` would.
    """
    there = free_memory(device) if free is None else free
    wanted = needs(parameters, "fp32")
    if wanted <= there:
        return
    fitting = [id_ for id_, n in _listed(task) if id_ != name and needs(n, "fp32") <= there]
    raise MmdemoError(
        f"{name} is too large to be tuned on this {_machine(device)}",
        f"it takes {_gigabytes(wanted)} in fp32, and {_gigabytes(there)} are free: "
        f"{_gigabytes(wanted - there)} too little",
        f"{fitting[-1]} would fit" if fitting else "Free some memory, or choose a smaller model",
    )


def check_steps(name: str, tune: str, trained: int, *, device: str, free: int | None = None) -> None:
    """Whether there is memory for the steps of a training beside the network, which is loaded already.

    Args:
        tune: What is trained (``train.tune``), for the error.
        trained: Parameters that are: each has a gradient and two running means of AdamW in fp32.
        free: Bytes; default what is free now.

    Raises:
        MmdemoError: There is not; says by how much.
    """
    there = free_memory(device) if free is None else free
    wanted = 12 * trained + FIXED
    if wanted <= there:
        return
    raise MmdemoError(
        f"There is too little memory to tune {name} like that",
        f"train.tune={tune} trains {trained / 1e6:.1f} million parameters, whose steps take {_gigabytes(wanted)}, and "
        f"{_gigabytes(there)} of the {_machine(device)}'s memory are free",
        "Free some memory" if tune == "head" else "Use train.tune=lora, or fewer blocks",
    )


def _machine(device: str) -> str:
    return "computer" if device == "cpu" else "GPU"


def _listed(task: str) -> list[tuple[str, int]]:
    """What we recommend for a task; those whose natural task it is come last, for they are better at it."""
    found = sorted(catalog_entries(task), key=lambda one: one.tasks[0] == task) if task else []
    return [(one.id, one.parameters) for one in found]


def _gigabytes(count: int) -> str:
    """Rounded up, so that what is too little never reads as 0."""
    return f"{math.ceil(count / 1e8) / 10:.1f} GB"


# ---------------------------------------------------------------- numbers


def lower(net: Net, how: RuntimeConfig) -> Net:
    """The network on its device and in its numbers, changed in place.

    "fp32" and "bf16" stay as they were read. With "int8" and "int4" the linear layers are rounded; embeddings, output
    layers over words (which may be the embeddings once more), heads of classifiers, convolutions, norms, and torch's
    own ``nn.MultiheadAttention`` stay in fp32 and bf16. Rounded networks have no gradients, and are to be run in
    ``torch.inference_mode``, where a layer's product is one operation.

    Raises:
        MmdemoError: "int8" elsewhere than on a CPU, "int4" elsewhere than on an NVIDIA GPU, or no torchao.
    """
    if how.precision == "int8":
        if how.device != "cpu":
            raise MmdemoError("int8 cannot be used here", "it is for CPUs", "On a GPU use bf16 or int4")
        return eight_bits(net)
    if how.precision == "int4":
        if how.device != "cuda" or not torch.cuda.is_available():
            raise MmdemoError("int4 cannot be used here", "it needs an NVIDIA GPU", "On a CPU use int8")
        return four_bits(net, how.device)
    return net.to(how.device)


def eight_bits(net: Net) -> Net:
    """Linear layers by torchao in int8, all else in fp32, on the CPU."""
    quantization, tools = _torchao("quantization"), _torchao("utils")
    cpu = torch.device("cpu")
    config = quantization.Int8DynamicActivationInt8WeightConfig(
        set_inductor_config=False,  # nothing is compiled, and those are settings of the whole process
        reduce_range=tools.should_reduce_range(cpu),  # without VNNI the sum of two products may not fit 16 bits
    )
    freed = 0
    for layer in _linears(net):
        layer.weight = nn.Parameter(layer.weight.detach().to(cpu, torch.float32), requires_grad=False)
        quantization.quantize_(layer, config, filter_fn=lambda *_: True)
        freed += layer.weight.numel()
        if freed > _HELD_BACK:  # small blocks between large ones: the process would grow to twice the network
            freed = 0
            trim()
    return _move_rest(net, cpu, torch.float32)


def four_bits(net: Net, device: str) -> Net:
    """Weights of linear layers as NormalFloat, all else in bf16."""
    to_nf4: Callable[..., Tensor] = _torchao("quantization").to_nf4
    there = torch.device(device)
    for layer in _linears(net):
        blocks, rest = divmod(layer.weight.numel(), BLOCK)
        if rest == 0:
            weight = layer.weight.detach().to(there, torch.bfloat16).contiguous()
            rounded = to_nf4(weight, BLOCK, math.gcd(blocks, SCALES))
            layer.weight = nn.Parameter(rounded, requires_grad=False)
    return _move_rest(net, there, torch.bfloat16)


def _linears(net: nn.Module) -> Iterator[nn.Linear]:
    """The layers to be rounded, see :func:`lower`."""
    users = Counter(id(p) for module in net.modules() for p in module.parameters(recurse=False))
    read = {id(m) for owner in net.modules() if type(owner).__name__ in _NEVER_CALLS for m in owner.children()}
    words = getattr(net, "get_output_embeddings", lambda: None)
    try:
        output = words()
    except (NotImplementedError, AttributeError):  # an architecture that has none
        output = None
    for module in list(net.modules()):
        # not its subclasses: torch's attention reads the weight of its own and never calls it
        if type(module) is not nn.Linear or module is output or id(module) in read:
            continue
        if module.out_features >= FEWEST_OUTPUTS and users[id(module.weight)] == 1:
            yield module


def _move_rest(net: Net, device: torch.device, dtype: torch.dtype) -> Net:
    """All that was not rounded, to its device and, where it is of a floating kind, to its kind."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)

    for module in net.modules():
        for parameter in module.parameters(recurse=False):
            if type(parameter) is nn.Parameter:
                parameter.data = moved(parameter.data)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, moved(buffer))
    return net


def _torchao(part: str) -> Any:
    """A part of the library.

    Raises:
        MmdemoError: It is not installed.
    """
    try:
        return importlib.import_module(f"torchao.{part}")
    except ImportError as error:
        raise MmdemoError(
            "Numbers of 8 and 4 bits cannot be used", f"torchao cannot be loaded ({error})", "pip install torchao"
        ) from error
