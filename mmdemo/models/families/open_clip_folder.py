"""What a folder of open_clip's layout holds: configuration, weights, processor, words.

The networks are the library's; they are built and filled here, because its own way to load a folder may take a pickle
that lies there, stretches weights that do not fit, and hands settings of the folder on to transformers and timm, "run
the code that comes with it" among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_object
from mmdemo.models.families.base import RuntimeConfig, as_image
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG, weights_in
from mmdemo.models.families.patch_maps import Framing
from mmdemo.models.weights import read_tensors
from mmdemo.tasks.hub.base import LibraryNet, Look

Settings = dict[str, Any]
"""A section of open_clip's configuration."""

TOKENIZER_SETTINGS = frozenset({"clean", "strip_sep_token"})
"""Settings of a folder's tokenizer that are passed on; others could name files or code."""

TIMM_NAME = re.compile(r"[\w.]+")
"""A network of timm's own; with a colon or a slash it would name a repository."""

SCALES = ("logit_scale", "logit_bias")

FRAMINGS: Mapping[str, Framing] = {
    "shortest": Framing(mode="crop"),
    "squash": Framing(mode="squash"),
    "longest": Framing(mode="fit"),
}
"""The library's ``resize_mode`` → what of the picture is seen."""


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Whatever the libraries raise at files that are missing, damaged or of another kind, as one sentence.

    Raises:
        MmdemoError: In the place of any other exception.
    """
    try:
        yield
    except MmdemoError as error:
        raise MmdemoError(f"{name} cannot be loaded", error.why or error.what, error.try_this) from None
    except Exception as error:  # tokenizers raises no narrower one
        raise MmdemoError(f"{name} cannot be loaded", f"its files are not right ({_line(error)})") from None


def unfit(why: str) -> MmdemoError:
    """A reason for :func:`refusing` to put behind the model's name."""
    return MmdemoError("It cannot be loaded", why)


def read_config(folder: Path) -> tuple[Settings, Settings]:
    """How to build the network (``model_cfg``, as open_clip's classes take it) and how pictures come to it.

    Raises:
        MmdemoError: It asks for something that does not lie in the folder.
    """
    try:
        found = read_object(folder / OPEN_CLIP_CONFIG)
    except Unreadable as error:
        raise unfit(f"its {OPEN_CLIP_CONFIG} {error.trouble}") from None
    shape, looks = found.get("model_cfg"), found.get("preprocess_cfg") or {}
    if not isinstance(shape, dict) or not all(isinstance(shape.get(k), dict) for k in ("vision_cfg", "text_cfg")):
        raise unfit(f"its {OPEN_CLIP_CONFIG} does not describe a picture and a text tower")
    vision, text = shape["vision_cfg"], shape["text_cfg"]
    if text.get("hf_model_name"):
        raise unfit(f"its text tower is a {text['hf_model_name']}, whose configuration does not lie with it")
    trunk = vision.get("timm_model_name")
    if trunk:
        if not TIMM_NAME.fullmatch(str(trunk)):
            raise unfit(f"its picture tower {trunk!r} would have to be fetched from elsewhere")
        vision["timm_model_pretrained"] = False
    return shape, looks


def read_net(kind: type, shape: Settings, folder: Path, *, how: RuntimeConfig) -> LibraryNet:
    """The network with the folder's weights, every one of them and no other, in ``how.stored``, still on the CPU.

    The scale and bias of scores stay in fp32 (in bf16 the scale of CLIP would be off by a percent), and so do batch
    norms, as under autocast.

    Args:
        kind: One of open_clip's classes.

    Raises:
        MmdemoError: Weights are missing, damaged, or another network's.
    """
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    files = weights_in(folder, "open_clip")
    if not files:
        raise unfit("it holds no open_clip_model.safetensors")
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state.update(read_tensors(file, name=folder.name))
        except MmdemoError as error:
            raise unfit(error.why) from None
    net = _built(kind, shape)
    state = convert_state_dict(net, state)  # of MobileCLIP as its makers named things
    if "positional_embedding" in state and not hasattr(net, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    wanted = net.state_dict()
    for name in SCALES:
        if name in state and name in wanted and state[name].numel() == 1:
            state[name] = state[name].reshape(wanted[name].shape)
    _check_tensors(state, wanted)
    full = {*SCALES, *_of_batch_norms(net)}
    net.load_state_dict(
        {
            name: tensor.to(torch.float32 if name in full else how.stored, copy=True)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in state.items()
        },
        strict=True,
        assign=True,
    )
    return net


def _built(kind: type, shape: Settings) -> LibraryNet:
    """The network without weights, which takes neither memory nor the time to draw them at random.

    What is no weight has to be there: the library's causal masks are made here; where there is more of that, as in
    some of timm's networks, it is built in the plain way.
    """
    from open_clip import CLIP
    from open_clip.transformer import MultimodalTransformer, TextTransformer

    try:
        with torch.device("meta"):
            net: LibraryNet = kind(**shape)
    except Exception:  # whatever is wrong with the shape, the plain way says it better
        return _built_plainly(kind, shape)
    for module in net.modules():
        mask = getattr(module, "attn_mask", None)
        if isinstance(module, CLIP | TextTransformer | MultimodalTransformer) and mask is not None:
            module.attn_mask = torch.full(mask.shape, -torch.inf).triu_(1)
    kept = net.state_dict().keys()
    loose = [b for name, b in net.named_buffers() if name not in kept]
    loose += [value for module in net.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return _built_plainly(kind, shape) if any(tensor.is_meta for tensor in loose) else net


def _built_plainly(kind: type, shape: Settings) -> LibraryNet:
    try:
        net: LibraryNet = kind(**shape)
        return net
    except Exception as error:  # of any kind, as settings are
        raise unfit(f"open_clip cannot build what its {OPEN_CLIP_CONFIG} describes ({_line(error)})") from None


def _of_batch_norms(net: nn.Module) -> list[str]:
    """Names of the tensors of batch norms."""
    return [
        f"{place}.{name}"
        for place, module in net.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for name in module.state_dict()
    ]


def _check_tensors(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not the network's.

    Raises:
        MmdemoError: Naming the first tensor that is missing, unknown or of another shape.
    """
    for names, problem in ((wanted.keys() - state.keys(), "lack"), (state.keys() - wanted.keys(), "hold unknown")):
        if names:
            more = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
            raise unfit(f"its weights {problem} {min(names)}{more}")
    for name in sorted(wanted):
        have, want = tuple(state[name].shape), tuple(wanted[name].shape)
        if have != want:
            raise unfit(f"{name} has the shape {have}, its {OPEN_CLIP_CONFIG} says {want}")


def picture_processor(net: LibraryNet, looks: Settings) -> Look:
    """Pictures → {"image": (B, 3, H, W)}, as the library's ``create_model_and_transforms`` sets it up.

    The settings are left on the network, where the library's users look for them.
    """
    from dataclasses import asdict

    from open_clip.model import set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

    settings = merge_preprocess_dict(asdict(PreprocessCfg()), dict(looks))
    settings["size"] = net.visual.image_size
    set_model_preprocess_cfg(net, settings)
    transform = image_transform_v2(PreprocessCfg(**settings), is_train=False)
    return lambda pictures: {"image": torch.stack([transform(as_image(picture)) for picture in pictures])}


def framing_of(looks: Settings) -> Framing:
    """What part of a picture the network sees.

    Raises:
        MmdemoError: No way that is known.
    """
    mode = looks.get("resize_mode") or "shortest"
    if mode not in FRAMINGS:
        raise unfit(f"it brings pictures to size in an unknown way ({mode!r})")
    return FRAMINGS[mode]


def tokenizer(folder: Path, text: Settings) -> Callable[[list[str]], Tensor]:
    """Sentences → int (N, T): CLIP's own words, or those of the tokenizer that lies in the folder.

    Args:
        text: The configuration's ``text_cfg``.
    """
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    settings = {k: v for k, v in (text.get("tokenizer_kwargs") or {}).items() if k in TOKENIZER_SETTINGS}
    length = text.get("context_length") or DEFAULT_CONTEXT_LENGTH
    if not text.get("hf_tokenizer_name"):
        clip: Callable[[list[str]], Tensor] = SimpleTokenizer(context_length=length, **settings)
        return clip
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        raise unfit("its tokenizer.json is missing")
    try:
        hub: Callable[[list[str]], Tensor] = HFTokenizer(
            str(folder),
            context_length=length,
            tokenizer_mode=text.get("tokenizer_mode"),
            local_files_only=True,
            trust_remote_code=False,
            **settings,
        )
    except Exception as error:  # tokenizers raises no narrower one
        raise unfit(f"its tokenizer cannot be read ({_line(error)})") from None
    return hub


def _line(error: Exception) -> str:
    """What was raised, on one line and without a full stop."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(" .")
