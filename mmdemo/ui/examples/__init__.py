"""The clickable examples of each tab. Where the files come from: SOURCES.md; made by scripts/make_examples.py."""

from __future__ import annotations

from pathlib import Path

EXAMPLES_DIR = Path(__file__).resolve().parent
"""Where the files named below lie."""

ASK: tuple[tuple[str, str], ...] = (
    ("cat.jpg", "What animal is this?"),
    ("coffee.jpg", "What is in the cup?"),
    ("astronaut.jpg", "Is there a flag?"),
    ("astronaut.jpg", "What color is her suit?"),
    ("temple.jpg", "Is it a sunny day?"),
)
"""Picture and question."""

CLASSIFY: tuple[tuple[str, str], ...] = (
    ("cat.jpg", "cat, dog, fox, rabbit"),
    ("coffee.jpg", "cup of espresso, glass of beer, bowl of soup, plate of pasta"),
    ("temple.jpg", "temple, church, castle, skyscraper"),
    ("rocket.jpg", "banana, bicycle, sofa"),
)
"""Picture and labels; nothing fits the last one, which is the point of it."""

CAPTION: tuple[str, ...] = ("astronaut.jpg", "cat.jpg", "temple.jpg", "coffee.jpg", "rocket.jpg")
"""Pictures."""

SENTIMENT: tuple[str, ...] = ("calm_then_angry.flac", "happy.flac", "sad.flac", "angry.flac")
"""Clips of synthetic speech."""
