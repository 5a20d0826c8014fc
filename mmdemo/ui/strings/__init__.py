"""Every word on the page, English and Simplified Chinese side by side; another language is one more column.

Fixed words (labels, headings) are translated in the browser through ``gr.I18n``. Words that are put together on the
server (answers, notices) follow the request's ``accept-language`` header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmdemo.ui.strings import compare, corrections, hub, jobs, metrics, runs, teach

Language = Literal["en", "zh"]

TEXTS: Mapping[str, tuple[str, str]] = {
    **jobs.TEXTS,
    **hub.TEXTS,
    **corrections.TEXTS,
    **teach.TEXTS,
    **runs.TEXTS,
    **compare.TEXTS,
    **metrics.TEXTS,
}
"""Key to the words in each language; a key starts with the name of its tab."""


def text(key: str, language: Language, **values: object) -> str:
    """The words for ``key``, with ``{names}`` filled in."""
    words = TEXTS[key][0 if language == "en" else 1]
    return words.format(**values) if values else words


def metric_text(name: str, language: Language) -> str:
    """A figure as people read it; one that has no words by its own name."""
    return text(f"metric_{name}", language) if f"metric_{name}" in TEXTS else name


def label_text(label: str, language: Language) -> str:
    """A label as people read it: the models' own words are translated, everybody else's are left alone."""
    return text(label, language) if label in TEXTS else label


def language_of(accept_language: str | None) -> Language:
    """Language for an ``accept-language`` header: Chinese when it comes before English, else English."""
    for entry in (accept_language or "").split(","):
        tag = entry.split(";")[0].strip().lower()
        if tag == "zh" or tag.startswith(("zh-cn", "zh-hans", "zh-sg")):
            return "zh"
        if tag == "en" or tag.startswith("en-"):
            return "en"
    return "en"


def translations(*, public: bool = False, **values: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """What ``gr.I18n`` takes: locale to key to words.

    Args:
        public: Leave out the words of what a shared page does not have.
        values: Key to what its ``{names}`` stand for, for the few fixed words that have some.
    """
    texts = jobs.TEXTS if public else TEXTS
    english = {key: _for_browser(words[0], values.get(key)) for key, words in texts.items()}
    chinese = {key: _for_browser(words[1], values.get(key)) for key, words in texts.items()}
    return {"en": english, "zh-CN": chinese, "zh": chinese}


def _for_browser(words: str, values: Mapping[str, object] | None) -> str:
    # the browser reads ICU messages, where braces that are meant as braces stand between apostrophes
    return (words.format(**values) if values else words).replace("{}", "'{}'")
