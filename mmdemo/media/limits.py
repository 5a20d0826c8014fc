"""Every limit on what people may bring, with its unit."""

from __future__ import annotations

MAX_FILE_BYTES = 50_000_000
"""Bytes of one picture or sound file."""

# ---------------------------------------------------------------- pictures

MAX_PIXELS = 50_000_000
"""Width times height of a picture; checked from the header, before anything is decoded."""

WORKING_SIDE = 1_600
"""Pixels of the longer side that a :class:`~mmdemo.core.types.Picture` keeps; larger ones are reduced.

Networks see a few hundred pixels; without it one 50-megapixel photo would hold 150 MB while it waits for its turn.
"""

TINY_SIDE = 16
"""Pixels; a picture with a shorter side gets a note that there is little to see."""

# ---------------------------------------------------------------- sound

MAX_AUDIO_SECONDS = 600.0
"""Seconds of one clip; checked from the header where the format has one."""

MIN_AUDIO_SECONDS = 0.1
"""Seconds; less than that holds no syllable."""

MIN_SAMPLE_RATE = 8_000
"""Samples per second (telephone)."""

MAX_SAMPLE_RATE = 192_000
"""Samples per second (studio)."""

MAX_CHANNELS = 8
"""Channels, averaged to one."""

SILENCE_DBFS = -65.0
"""dB below full scale; a clip whose loudest tenth of a second is quieter holds nothing to hear."""

# ---------------------------------------------------------------- text

MAX_QUESTION_CHARS = 300
"""Characters of one question."""

MAX_LABELS = 5_000
"""Labels of one request."""

MAX_LABELS_PUBLIC = 200
"""Labels of one request of a stranger: the text encoder reads four prompts for each that it has not seen before."""

MAX_LABEL_CHARS = 200
"""Characters of one label."""

MAX_TEMPLATE_CHARS = 200
"""Characters of a prompt template."""

# ---------------------------------------------------------------- answers

MAX_CAPTIONS = 10
"""Captions of one picture."""

MAX_CAPTION_WORDS = 40
"""Words of one caption."""

MIN_CAPTION_WORDS = 3
"""Words; the least that can be asked for as a caption's limit."""
