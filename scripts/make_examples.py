"""Make the page's example pictures and clips, and the list of their sources, in mmdemo/ui/examples.

    python scripts/make_examples.py

Pictures come from the sample data inside the scikit-image and scikit-learn packages. Clips are spoken by eSpeak NG
(https://github.com/espeak-ng/espeak-ng, a system package), which has to be installed; nothing is downloaded.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from PIL import Image

OUT = Path(__file__).resolve().parents[1] / "mmdemo" / "ui" / "examples"
SIDE = 640
"""Pixels of the longer side at most; nothing is enlarged."""
RATE = 16_000
MAX_BYTES = 1_200_000


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One picture of an installed package and the words of its documentation about where it comes from."""

    file: str
    package: str
    distribution: str
    path: str
    shows: str
    author: str
    licence: str
    stated: str


@dataclass(frozen=True, kw_only=True)
class Speech:
    """One clip: sentences with their prosody in SSML terms, an eSpeak voice and a level."""

    file: str
    voice: str
    parts: tuple[tuple[str, str], ...]
    dbfs: tuple[float, ...]
    manner: str


PHOTOS = (
    Photo(
        file="coffee.jpg",
        package="skimage",
        distribution="scikit-image",
        path="data/coffee.png",
        shows="a cup of espresso and a spoon on a red saucer, on a wooden table",
        author="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        licence="CC0 1.0",
        stated="`skimage/data/_fetchers.py`, `coffee()`: “No copyright restrictions. CC0 by the photographer "
        "(Rachel Michetti).”",
    ),
    Photo(
        file="cat.jpg",
        package="skimage",
        distribution="scikit-image",
        path="data/chelsea.png",
        shows="Chelsea, a tabby cat, from near",
        author="Stefan van der Walt",
        licence="CC0 1.0",
        stated="`skimage/data/_fetchers.py`, `chelsea()`: “No copyright restrictions. CC0 by the photographer "
        "(Stefan van der Walt).”",
    ),
    Photo(
        file="astronaut.jpg",
        package="skimage",
        distribution="scikit-image",
        path="data/astronaut.png",
        shows="the astronaut Eileen Collins in an orange suit before a flag and a model of a space shuttle",
        author="NASA",
        licence="public domain",
        stated="`skimage/data/_fetchers.py`, `astronaut()`: “downloaded from the NASA Great Images database "
        "<https://flic.kr/p/r9qvLn>. No known copyright restrictions, released into the public domain.” "
        "NASA asks that its pictures do not suggest that it, or the person, endorses anything.",
    ),
    Photo(
        file="rocket.jpg",
        package="skimage",
        distribution="scikit-image",
        path="data/rocket.jpg",
        shows="a Falcon 9 on its launch pad at dusk",
        author="SpaceX",
        licence="public domain",
        stated="`skimage/data/_fetchers.py`, `rocket()`: “The image was captured by SpaceX and released in the public "
        "domain.” <https://www.flickr.com/photos/spacexphotos/16511594820/>",
    ),
    Photo(
        file="temple.jpg",
        package="sklearn",
        distribution="scikit-learn",
        path="datasets/images/china.jpg",
        shows="a Chinese pavilion of several storeys above a lake, with trees",
        author="danielbuechele",
        licence="CC BY 2.0",
        stated="`sklearn/datasets/images/README.txt`: “Released under a creative commons license "
        "<https://creativecommons.org/licenses/by/2.0/>. Attribution: Some rights reserved by danielbuechele.” "
        "<https://www.flickr.com/photos/danielbuechele/6061409035/>",
    ),
)

CLIPS = (
    Speech(
        file="angry.flac",
        voice="en-us+m3",
        parts=(('rate="135%" pitch="+35%" range="+90%"', "Why did you leave the door open again? I told you twice!"),),
        dbfs=(-16.0,),
        manner="meant to sound angry: fast, high, a wide range of pitch, loud",
    ),
    Speech(
        file="sad.flac",
        voice="en-us+f3",
        parts=(('rate="70%" pitch="-30%" range="-60%"', "I really miss the old house. It is so quiet now."),),
        dbfs=(-30.0,),
        manner="meant to sound sad: slow, low, a narrow range of pitch, quiet",
    ),
    Speech(
        file="happy.flac",
        voice="en-us+f2",
        parts=(('rate="115%" pitch="+45%" range="+90%"', "Guess what, we won! Can you believe it? We won!"),),
        dbfs=(-20.0,),
        manner="meant to sound happy: quick, high, a wide range of pitch",
    ),
    Speech(
        file="calm_then_angry.flac",
        voice="en-us+m3",
        parts=(
            ('rate="85%" pitch="-15%" range="-40%"', "The train to the coast leaves at ten past nine."),
            ('rate="140%" pitch="+40%" range="+90%"', "No! Not again! It is late, it is always late!"),
        ),
        dbfs=(-27.0, -15.0),
        manner="meant to change from calm to angry after some four seconds",
    ),
)


def main() -> int:
    """Write all files; 1 when something is missing."""
    program = shutil.which("espeak-ng")
    if program is None:
        print("espeak-ng is not installed (apt install espeak-ng, brew install espeak-ng)", file=sys.stderr)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    for photo in PHOTOS:
        write_photo(photo)
    for clip in CLIPS:
        write_clip(program, clip)
    speaker = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    (OUT / "SOURCES.md").write_text(sources(speaker.split("Data at")[0].split(":")[-1].strip()), encoding="utf-8")
    total = sum(path.stat().st_size for path in OUT.iterdir() if path.is_file())
    print(f"{len(PHOTOS)} pictures and {len(CLIPS)} clips, {total / 1000:.0f} kB in {OUT}")
    return 0 if total <= MAX_BYTES else 1


def write_photo(photo: Photo) -> None:
    """Copy a picture as JPEG, reduced to :data:`SIDE`."""
    spec = find_spec(photo.package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{photo.distribution} is not installed")
    source = Path(spec.submodule_search_locations[0]) / photo.path
    with Image.open(source) as image:
        picture = image.convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.save(OUT / photo.file, "JPEG", quality=88, optimize=True)


def write_clip(program: str, clip: Speech) -> None:
    """Let eSpeak NG say a clip's parts, each at its level, as mono FLAC of 16 bit and 16 kHz."""
    pause = np.zeros(RATE // 4, dtype=np.float32)
    pieces: list[NDArray[np.float32]] = [pause]
    for (prosody, words), dbfs in zip(clip.parts, clip.dbfs, strict=True):
        text = f"<speak><prosody {prosody}>{words}</prosody></speak>"
        arguments = [program, "-v", clip.voice, "-m", "-z", "--stdout", text]
        wave = subprocess.run(arguments, capture_output=True, check=True).stdout
        samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")  # (S,)
        samples = soxr.resample(samples, rate, RATE)
        gain = 10.0 ** (dbfs / 20.0) / float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
        pieces += [np.clip(samples * gain, -1.0, 1.0).astype(np.float32), pause]
    soundfile.write(OUT / clip.file, np.concatenate(pieces), RATE, subtype="PCM_16")


def sources(speaker: str) -> str:
    """The text of SOURCES.md."""
    lines = [
        "# Sources of the example media",
        "",
        "Written by `scripts/make_examples.py`. These files have licences of their own,",
        "beside the project's Apache-2.0. None of them was used for training.",
        "",
        "## Pictures",
        "",
        f"Sample data inside the packages scikit-image {version('scikit-image')} and scikit-learn "
        f"{version('scikit-learn')};",
        f"reduced to at most {SIDE} pixels where they were larger, and saved as JPEG.",
        "",
        "| file | shows | author | licence | from | stated in |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {p.file} | {p.shows} | {p.author} | {p.licence} | {p.distribution}: `{p.package}/{p.path}` | {p.stated} |"
        for p in PHOTOS
    ]
    lines += [
        "",
        "## Clips",
        "",
        f"**Synthetic speech**, not people: said by eSpeak NG {speaker} with the voice and the prosody below, from",
        "sentences of ours. eSpeak NG is GPL-3.0-or-later; that covers the program, not what it says. Our clips are",
        "under CC0 1.0. A formant synthesiser has no feelings and acts them poorly: the clips show how the tab works,",
        "not how well the model hears people. Record yourself for that.",
        "",
        "| file | voice | words | prosody (SSML) | manner |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.file} | {c.voice} | {' / '.join(words for _, words in c.parts)} | "
        f"{' / '.join(prosody for prosody, _ in c.parts)} | {c.manner} |"
        for c in CLIPS
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
