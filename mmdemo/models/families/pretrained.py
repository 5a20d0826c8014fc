"""Networks and processors of transformers out of a folder: safetensors alone, strictly, and none of a folder's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mmdemo.core.errors import MmdemoError
from mmdemo.models.families.base import Processor, RuntimeConfig
from mmdemo.models.weights import refuse_odd
from mmdemo.tasks.hub.base import LibraryNet

T = TypeVar("T")


def pretrained(kind: Any, folder: Path, **options: object) -> Any:
    """What a class of transformers reads out of a folder; nothing is fetched, and none of the folder's code is run.

    Args:
        kind: A class with ``from_pretrained``.
        options: More keyword arguments of that.

    Raises:
        Exception: Of any kind, where files are missing or damaged.
    """
    # trust_remote_code=None would ask at the terminal
    return kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)


def read_net(kind: type, folder: Path, *, how: RuntimeConfig, name: str) -> LibraryNet:
    """A network with every tensor from the folder, in ``how.stored``, still on the CPU.

    Attention is computed by PyTorch's ``scaled_dot_product_attention`` where the architecture can (the library's own
    choice where none is asked for), else by plain products.

    Args:
        kind: A class with ``from_pretrained``, one architecture's or an ``AutoModelFor...``.
        name: What the model is called in errors.

    Raises:
        MmdemoError: A file is missing or damaged, or the tensors are not those of the configuration. Left out of this
            are those that the architecture declares to be tied, or of no use any more (buffers of old versions).
    """
    net: LibraryNet
    net, info = _translated(
        lambda: pretrained(
            kind,
            folder,
            use_safetensors=True,
            dtype=how.stored,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, by name
        ),
        name,
    )
    for tensor, theirs, ours in sorted(info["mismatched_keys"]):
        raise _refused(name, f"{tensor} has the shape {tuple(theirs)}, its config.json says {tuple(ours)}")
    for trouble, why in (("missing_keys", "its weights lack"), ("unexpected_keys", "its weights hold unknown")):
        if info[trouble]:
            first, *more = sorted(info[trouble])
            raise _refused(name, f"{why} {first}" + (f" and {len(more)} more tensors" if more else ""))
    refuse_odd(dict(net.named_parameters()), name=name)  # of buffers some are infinite: what a mask adds
    return net


def read_processor(folder: Path, *, name: str) -> Processor:
    """What turns pictures and words into a network's inputs.

    Raises:
        MmdemoError: Files of it are missing or damaged, or it is one for pictures or for words alone.
    """
    from transformers import AutoProcessor

    processor: Processor = _translated(lambda: pretrained(AutoProcessor, folder), name)
    for part in ("image_processor", "tokenizer"):
        if getattr(processor, part, None) is None:
            raise _refused(name, f"its files hold no {part.replace('_', ' ')}")
    words = processor.tokenizer.vocab_files_names.values()
    if not any((folder / file).is_file() for file in words):  # the library would make one up that knows no words
        raise _refused(name, f"its tokenizer is missing ({' or '.join(words)})")
    return processor


def quantize_net(net: LibraryNet, how: RuntimeConfig) -> LibraryNet:
    """The network on its device, its linear layers rounded where ``how`` says so."""
    from mmdemo.models.families.precision import lower

    return lower(net, how)


def _translated(load: Callable[[], T], name: str) -> T:
    """What a library raises over somebody's files is of any kind; all of it means that they cannot be used."""
    try:
        with no_bars():
            return load()
    except ImportError as error:
        raise MmdemoError(
            f"{name} cannot be loaded", f"a library that it needs is missing ({_line(error)})", "Install it with pip"
        ) from error
    except Exception as error:
        raise _refused(name, _line(error)) from error


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the progress bars that the library draws over tensors that it reads and writes."""
    from transformers.utils import logging

    def hidden(factory: Callable[..., object], given: tuple[object, ...], options: dict[str, object]) -> object:
        return factory(*given, **{**options, "disable": True})

    before = logging.set_tqdm_hook(hidden)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _refused(name: str, why: str) -> MmdemoError:
    return MmdemoError(f"{name} cannot be loaded", why)


def _line(error: Exception) -> str:
    """The first line of what was raised that says something, without a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0][:200] if lines else type(error).__name__).rstrip(".")
