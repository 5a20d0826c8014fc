"""Pictures: from a file, bytes, array or PIL image to upright 8-bit RGB on white.

Shapes: ``H`` height, ``W`` width, ``C`` channels.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (  # each plugin that is imported registers its format; Image.init() would register all of them
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Picture
from mmdemo.media.files import base_name, describe, read_limited
from mmdemo.media.limits import MAX_PIXELS, TINY_SIDE, WORKING_SIDE

FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
        AvifImagePlugin.AvifImageFile,
    )
    if plugin.format
)
"""What Pillow may open: photos (MPO comes with JPEG). No PostScript, no PDF, no icons, no video."""

PictureSource = Path | str | bytes | NDArray[np.generic] | Image.Image

# A picture that Pillow suspects to be a decompression bomb becomes an exception that load_picture translates, not a
# line on stderr. Said once for the process: warnings.catch_warnings is not thread-safe.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# Broken EXIF data beside a sound picture are nobody's concern; what matters of it is checked here.
warnings.filterwarnings("ignore", message="Corrupt EXIF data|Truncated File Read", category=UserWarning)

_READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"


def load_picture(source: PictureSource | None, *, name: str | None = None) -> Picture:
    """Decode a picture for the networks.

    Args:
        source: Path, the file's bytes, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4):
            uint8, uint16 (65535 is white), bool, or float in [0, 1].
        name: Base name for results; default the path's.

    Returns:
        uint8 RGB, upright by EXIF, transparent parts on white, the first frame of an animation, 16 bit scaled to 8,
        the longer side at most :data:`~mmdemo.media.limits.WORKING_SIDE`; ``notes`` says what was done.

    Raises:
        MmdemoError: Nothing given, unreadable, truncated, a wrong type, too big.
    """
    notes: list[str] = []
    if source is None:
        raise MmdemoError("There is no picture", "", "Choose, paste or take one first")
    if isinstance(source, Image.Image):
        image = _decoded(source, notes)
    elif isinstance(source, np.ndarray):
        image = _from_array(source, notes)
    elif isinstance(source, Path | str | bytes):
        content = read_limited(source, "picture")
        image = _decoded(_opened(content), notes)
    else:
        raise MmdemoError("This is not a picture", f"it is a {type(source).__name__}", "Give a file or an array")
    pixels = np.ascontiguousarray(_reduced(image), dtype=np.uint8)  # (H, W, 3)
    height, width = pixels.shape[:2]
    if min(height, width) < TINY_SIDE:
        notes.append(f"very small ({width} x {height} pixels), so there is little to see")
    pixels.setflags(write=False)
    return Picture(pixels=pixels, key=picture_key(pixels), name=base_name(source, name), notes=tuple(notes))


def picture_key(pixels: NDArray[np.uint8]) -> str:
    """Hex SHA-1 of shape and pixels (H, W, 3)."""
    digest = hashlib.sha1(repr(pixels.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _opened(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:  # hostile headers raise whatever they like: SyntaxError, struct.error, ZeroDivisionError, ...
        found = describe(content)
        if found.endswith("picture"):
            raise _damaged() from None
        if found:
            why = f"the file is {found}, not one of the picture formats that can be read"
        else:
            why = "the file is damaged or not a picture"
        raise MmdemoError("This picture cannot be opened", why, f"Save it as {_READABLE}") from None


def _decoded(image: Image.Image, notes: list[str]) -> Image.Image:
    """First frame, upright, as RGB."""
    _check_size(*image.size)
    try:
        if getattr(image, "is_animated", False):
            if image.format == "TIFF":
                notes.append("first page of several")
            elif image.format != "MPO":  # an MPO's further frames are other views of the same photo
                notes.append("first frame of an animation")
        if image.format in ("JPEG", "MPO"):
            image.draft(None, _working_size(*image.size))  # decodes big photos at a half, quarter or eighth
        image.load()
        image = _upright(image, notes)
        return _to_rgb(image, notes)
    except MmdemoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:  # as in _opened: a decoder on hostile bytes
        raise _damaged() from None


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise MmdemoError("This picture is empty", f"it has {width} x {height} pixels", "Choose another one")
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(f"it has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels")


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    try:
        turned = ImageOps.exif_transpose(image)
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF data beside a sound picture
        return image
    if orientation in range(2, 9):
        notes.append("turned upright as its EXIF data says")
    return turned


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if mode == "CMYK":
        notes.append("converted from CMYK")
        return image.convert("RGB")
    if mode == "LAB":
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, ImageCms.createProfile("LAB"), srgb, outputMode="RGB")
        if converted is None:
            raise _damaged()
        return converted
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image.convert("RGBA"), notes)
    return image.convert("RGB")


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    if lowest == 255:
        return image.convert("RGB")
    notes.append("wholly transparent, so only white is seen" if highest == 0 else "transparent parts shown on white")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=alpha)
    return paper


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale any numeric picture to 8 bit: bool, 16 bit by its range, floats in [0, 1]; other ranges min to max."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # of either byte order
        return np.round(values.astype(np.float32) / 257.0).astype(np.uint8)
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise MmdemoError("This picture cannot be used", "some of its values are not numbers", "Save it as 8 bit")
    low, high = float(numbers.min()), float(numbers.max())
    if values.dtype.kind == "f" and low >= 0.0 and high <= 1.0:
        numbers = numbers * 255.0
    elif low >= 0.0 and high <= 255.0:
        pass
    elif low >= 0.0 and high <= 65_535.0 and values.dtype.kind in "iu":
        numbers = numbers / 257.0
    else:  # no convention: the darkest value is black, the brightest white
        numbers = (numbers - low) * (255.0 / max(high - low, 1e-12))
    return np.round(numbers).astype(np.uint8)


def _from_array(values: NDArray[np.generic], notes: list[str]) -> Image.Image:
    shape = values.shape
    if values.dtype.kind not in "buif":
        raise MmdemoError("This is not a picture", f"the array holds {values.dtype}", "Give numbers")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise MmdemoError(
            "This is not a picture",
            f"the array has shape {shape}",
            "Give height x width, or height x width x 1, 3 or 4 channels",
        )
    _check_size(shape[1], shape[0])
    eight = _eight_bits(values)
    if len(shape) == 3 and shape[2] == 1:
        eight = eight[:, :, 0]  # (H, W)
    image = Image.fromarray(np.ascontiguousarray(eight))
    return _on_white(image, notes) if image.mode == "RGBA" else image.convert("RGB")


def _working_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, WORKING_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _reduced(image: Image.Image) -> Image.Image:
    size = _working_size(*image.size)
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _too_many_pixels(why: str = "") -> MmdemoError:
    limit = f"the limit is {MAX_PIXELS // 1_000_000} megapixels"
    return MmdemoError("This picture is too big", f"{why}, and {limit}" if why else limit, "Save a smaller copy of it")


def _damaged() -> MmdemoError:
    return MmdemoError(
        "This picture cannot be opened", "the file is damaged or cut off", "Download, copy or save it again"
    )
