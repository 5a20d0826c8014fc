"""Every kind of picture that people bring: it works as they expect, or gives one sentence."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.media.image import load_picture
from mmdemo.media.limits import MAX_PIXELS, WORKING_SIDE


def scene(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A gradient with a red corner at the top left, so that turning and mirroring show. (H, W, 3)"""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 1] = np.linspace(0, 200, width, dtype=np.uint8)
    pixels[..., 2] = np.linspace(0, 200, height, dtype=np.uint8)[:, None]
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    return pixels


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
    ("JPEG", {"quality": 95}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("GIF", {}),
    ("AVIF", {"quality": 95}),
]


@pytest.mark.parametrize(("format_", "options"), FORMATS)
def test_common_formats_are_read(tmp_path: Path, format_: str, options: dict[str, Any]) -> None:
    file = tmp_path / "picture.dat"  # the name does not matter
    file.write_bytes(encoded(Image.fromarray(scene()), format_, **options))
    picture = load_picture(file)
    assert picture.pixels.shape == (48, 64, 3)
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 6
    assert picture.name == "picture.dat"
    assert picture.notes == ()


@pytest.mark.parametrize(("format_", "options"), FORMATS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")  # as in the running program
def test_truncated_files_give_the_whole_picture_or_a_sentence(format_: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    whole = encoded(image.quantize(64) if format_ == "GIF" else image, format_, **options)
    expected = load_picture(whole).pixels
    for length in {1, 4, 12, 30, len(whole) // 4, len(whole) // 2, int(len(whole) * 0.9), len(whole) - 20}:
        try:
            got = load_picture(whole[:length])
        except MmdemoError:
            continue
        assert np.array_equal(got.pixels, expected), length


def test_random_damage_never_escapes_as_another_exception() -> None:
    chance = random.Random(0)
    for format_, options in FORMATS:
        whole = bytearray(encoded(Image.fromarray(scene()), format_, **options))
        for _ in range(25):
            broken = bytearray(whole)
            for _ in range(chance.choice((1, 4, 30))):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            with contextlib.suppress(MmdemoError):
                load_picture(bytes(broken))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"hello there", "a text file"),
        (b"%PDF-1.4 ...", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "a PostScript document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>', "an SVG drawing"),
        (b"<html><body>cat</body></html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photo"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"fLaC\0\0\0\x22", "a FLAC sound"),
        (b"PK\x03\x04....", "a zip archive"),
        (bytes(range(200)), "damaged or not a picture"),
        (b"\xff\xd8\xff\xe0", "damaged or cut off"),
    ],
)
def test_other_files_are_named_and_refused(content: bytes, why: str) -> None:
    with pytest.raises(MmdemoError, match=why) as caught:
        load_picture(content)
    assert str(caught.value).count("\n") == 0


def test_formats_with_programs_behind_them_are_not_opened() -> None:
    for format_ in ("EPS", "ICO", "PCX", "TGA", "PPM", "PDF"):
        try:
            content = encoded(Image.fromarray(scene()), format_)
        except (KeyError, OSError):
            continue
        with pytest.raises(MmdemoError):
            load_picture(content)


class TestSize:
    @pytest.mark.parametrize("side", [7_100, 9_600, 20_000, 200_000])
    def test_too_many_pixels_are_refused_from_the_header(self, side: int) -> None:
        with pytest.raises(MmdemoError, match="limit is 50 megapixels"):
            load_picture(png_header(side, side))

    def test_as_many_as_allowed_pass_the_check(self) -> None:
        side = int(MAX_PIXELS**0.5)
        with pytest.raises(MmdemoError, match="damaged or cut off"):  # it holds no pixels, but its size is fine
            load_picture(png_header(side, side))

    def test_arrays_and_images_have_the_same_limit(self) -> None:
        flat = np.broadcast_to(np.uint8(0), (8_000, 8_000, 3))
        with pytest.raises(MmdemoError, match="64 megapixels"):
            load_picture(flat)
        with pytest.raises(MmdemoError, match="64 megapixels"):
            load_picture(Image.new("1", (8_000, 8_000)))

    @pytest.mark.parametrize(("format_", "size"), [("PNG", (3_300, 100)), ("JPEG", (2_000, 4_000))])
    def test_large_ones_are_reduced_in_proportion(self, format_: str, size: tuple[int, int]) -> None:
        pixels = load_picture(encoded(Image.new("RGB", size, "orange"), format_)).pixels
        assert max(pixels.shape) == WORKING_SIDE
        assert pixels.shape[1] / pixels.shape[0] == pytest.approx(size[0] / size[1], rel=0.02)
        assert np.abs(pixels.astype(int) - (255, 165, 0)).max() < 4

    def test_one_pixel(self) -> None:
        picture = load_picture(encoded(Image.new("RGB", (1, 1), (10, 20, 30)), "PNG"))
        assert picture.pixels.tolist() == [[[10, 20, 30]]]
        assert "very small (1 x 1 pixels)" in picture.notes[0]

    def test_no_pixel(self) -> None:
        with pytest.raises(MmdemoError, match="empty"):
            load_picture(np.zeros((0, 4, 3), dtype=np.uint8))


class TestAnimation:
    def frames(self) -> list[Image.Image]:
        return [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]

    @pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
    def test_first_frame_with_a_note(self, format_: str) -> None:
        first, *rest = self.frames()
        options = {"lossless": True} if format_ == "WEBP" else {}
        picture = load_picture(encoded(first, format_, save_all=True, append_images=rest, duration=50, **options))
        assert picture.pixels[10, 10].tolist() == [255, 0, 0]
        assert picture.notes == ("first frame of an animation",)

    def test_first_page(self) -> None:
        first, *rest = self.frames()
        picture = load_picture(encoded(first, "TIFF", save_all=True, append_images=rest))
        assert picture.pixels[10, 10].tolist() == [255, 0, 0]
        assert picture.notes == ("first page of several",)

    def test_further_views_in_a_photo_are_no_animation(self) -> None:
        first, *rest = self.frames()
        picture = load_picture(encoded(first, "MPO", save_all=True, append_images=rest))
        assert picture.pixels[10, 10].tolist() == pytest.approx([255, 0, 0], abs=4)
        assert picture.notes == ()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format_: str, orientation: int) -> None:
    upright = Image.fromarray(scene())
    stored = {  # how the camera stores an upright scene under each orientation
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turned = upright.transpose(stored[orientation]) if orientation in stored else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format_, {})
    picture = load_picture(encoded(turned, format_, exif=exif, **options))
    assert picture.pixels.shape == (48, 64, 3)
    assert np.abs(picture.pixels.astype(int) - scene()).mean() < 6
    assert ("turned upright as its EXIF data says" in picture.notes) == (orientation != 1) or format_ == "TIFF"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # pytest drops the filter that the module sets
def test_broken_exif_does_not_spoil_the_picture() -> None:
    content = encoded(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01\x00")
    assert load_picture(content).pixels.shape == (48, 64, 3)


class TestModes:
    def test_sixteen_bit_gray_is_scaled_not_clipped(self) -> None:
        values = np.linspace(0, 65_535, 256, dtype=np.uint16).reshape(1, 256).repeat(20, axis=0)
        for format_ in ("PNG", "TIFF"):
            pixels = load_picture(encoded(Image.fromarray(values), format_)).pixels
            assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1, format_

    def test_sixteen_bit_colour_is_scaled_not_clipped(self) -> None:
        row = np.linspace(0, 65_535, 64, dtype=">u2").repeat(3).tobytes()  # (W, 3)
        header = struct.pack(">IIBBBBB", 64, 20, 16, 2, 0, 0, 0)
        data = zlib.compress((b"\0" + row) * 20)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        pixels = load_picture(content).pixels
        assert np.abs(pixels[0, :, 1].astype(int) - np.linspace(0, 255, 64)).max() <= 1

    def test_float_tiff(self) -> None:
        values = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 64).repeat(20, axis=0)
        pixels = load_picture(encoded(Image.fromarray(values), "TIFF")).pixels
        assert pixels[0, -1, 0] == 255
        assert pixels[0, 32, 0] == pytest.approx(130, abs=2)
        values[3, 3] = np.nan
        with pytest.raises(MmdemoError, match="not numbers"):
            load_picture(encoded(Image.fromarray(values), "TIFF"))

    @pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
    def test_cmyk(self, format_: str) -> None:
        picture = load_picture(encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), format_))
        assert picture.pixels[10, 10].tolist() == pytest.approx([255, 0, 0], abs=6)
        assert picture.notes == ("converted from CMYK",)

    def test_lab(self) -> None:
        pixels = load_picture(encoded(Image.new("LAB", (20, 20), (255, 128, 128)), "TIFF")).pixels
        assert pixels.min() > 240

    def test_transparency_lies_on_white(self) -> None:
        image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
        image.paste((255, 0, 0, 255), (0, 0, 10, 20))
        image.paste((0, 0, 255, 128), (10, 10, 20, 20))
        for format_ in ("PNG", "WEBP", "TIFF"):
            options = {"lossless": True} if format_ == "WEBP" else {}
            picture = load_picture(encoded(image, format_, **options))
            assert picture.pixels[5, 5].tolist() == [255, 0, 0]
            assert picture.pixels[5, 15].tolist() == [255, 255, 255]
            assert picture.pixels[15, 15].tolist() == pytest.approx([127, 127, 255], abs=1)
            assert picture.notes == ("transparent parts shown on white",)

    def test_wholly_transparent_says_so(self) -> None:
        picture = load_picture(encoded(Image.new("RGBA", (20, 20), (9, 9, 9, 0)), "PNG"))
        assert picture.pixels.min() == 255
        assert "wholly transparent" in picture.notes[0]

    def test_opaque_alpha_gives_no_note(self) -> None:
        assert load_picture(encoded(Image.new("RGBA", (20, 20), (9, 9, 9, 255)), "PNG")).notes == ()

    @pytest.mark.parametrize("format_", ["GIF", "PNG"])
    def test_palette_with_a_transparent_colour(self, format_: str) -> None:
        image = Image.new("P", (20, 20), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.paste(1, (0, 0, 10, 20))
        pixels = load_picture(encoded(image, format_, transparency=0)).pixels
        assert pixels[5, 5].tolist() == [255, 0, 0]
        assert pixels[5, 15].tolist() == [255, 255, 255]

    def test_gray_with_transparent_value_and_with_alpha(self) -> None:
        assert load_picture(encoded(Image.new("L", (20, 20), 7), "PNG", transparency=7)).pixels.min() == 255
        assert load_picture(encoded(Image.new("LA", (20, 20), (7, 255)), "PNG")).pixels[0, 0].tolist() == [7, 7, 7]

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr"])
    def test_every_other_mode_becomes_rgb(self, mode: str) -> None:
        assert load_picture(Image.fromarray(scene()).convert(mode)).pixels.shape == (48, 64, 3)


class TestArrays:
    def test_kinds_of_numbers(self) -> None:
        gray = np.array([[0, 51], [102, 255]], dtype=np.uint8).repeat(20, 0).repeat(20, 1)
        expected = load_picture(gray).pixels
        for same in (
            gray[:, :, None],
            gray.astype(np.uint16) * 257,
            (gray.astype(np.uint16) * 257).astype(">u2"),
            gray.astype(np.float32) / 255,
            gray.astype(np.int64),
            gray.astype(np.float64),
            gray[:, :, None].repeat(3, axis=2),
        ):
            assert np.array_equal(load_picture(same).pixels, expected), same.dtype
        assert load_picture(gray > 60).pixels.max() == 255

    @pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (2, 2, 5), (1, 2, 2, 3)])
    def test_wrong_shapes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(MmdemoError, match="shape"):
            load_picture(np.zeros(shape, dtype=np.uint8))

    @pytest.mark.parametrize("array", [np.array([["a"]]), np.array([[1j]]), np.array([[None]])])
    def test_no_numbers_are_refused(self, array: NDArray[Any]) -> None:
        with pytest.raises(MmdemoError, match="array holds"):
            load_picture(array)

    @given(
        hnp.arrays(
            st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.bool_]),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
        )
    )
    def test_any_numbers_give_a_picture_or_a_sentence(self, array: NDArray[Any]) -> None:
        try:
            picture = load_picture(array)
        except MmdemoError:
            assert not np.isfinite(array).all()
            return
        assert picture.pixels.shape == (*array.shape[:2], 3)


def test_equal_pictures_have_equal_keys_and_others_not() -> None:
    png, pil = load_picture(encoded(Image.fromarray(scene()), "PNG")), load_picture(Image.fromarray(scene()))
    other = scene()
    other[0, 0, 0] -= 1
    assert png.key == pil.key == load_picture(scene()).key
    assert load_picture(other).key != png.key
    assert load_picture(np.zeros((2, 8), np.uint8)).key != load_picture(np.zeros((4, 4), np.uint8)).key


def test_the_picture_is_a_frozen_copy() -> None:
    array = scene()
    picture = load_picture(array)
    array[:] = 0
    assert picture.pixels.any()
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0, 0] = 1


@pytest.mark.parametrize("nothing", [None, 7, object()])
def test_nothing_and_nonsense_are_refused(nothing: Any) -> None:
    with pytest.raises(MmdemoError):
        load_picture(nothing)
