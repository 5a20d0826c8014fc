"""The sentences that labels are put into before a contrastive model reads them.

Such a model was trained on captions, not on single words, and the mean over many sentences is steadier than one
(Radford et al. 2021, section 3.1.4, https://arxiv.org/abs/2103.00020).
"""

from __future__ import annotations

from dataclasses import dataclass

LONG, SHORT = 2e11, 2e12
"""Multiplications that reading a list of labels may take with all 80 sentences for each, and with the short set.

Labels are read once; then their vectors are known. One core does 1.5e10 in a second, so that nobody waits longer than
15 s for 80 sentences, or than about two minutes for any list that has an ensemble at all. That is 5 and 630 labels
with ViT-B-32, none and 53 with SigLIP 2 of the same size, which reads 64 places where CLIP reads a dozen. The bounds
do not depend on the machine, so that scores do not either.
"""

PLACES = 12
"""What a label in its sentence takes, where the network need not read to the end of its places."""

PLAIN = "a photo of a {}."
NEUTRAL = ("a photo.", "a picture.", "an image.", "a photo of something.", "a picture of something.")
"""What can be said of any picture: "none of these"."""

ANYTHING = ("something", "an object", "a thing")
"""What stands for "none of these" in a sentence of somebody's own."""

CHINESE = ("{}的照片。", "一张{}的照片。", "一张{}的图片。", "照片里有{}。", "{}。")
CHINESE_PLAIN = "一张{}的照片。"
CHINESE_NEUTRAL = ("一张照片。", "一张图片。", "图片。", "某个东西的照片。")
CHINESE_ANYTHING = ("某个东西", "一个物体")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Sentences that a model's labels are put into.

    Attributes:
        ensembles: Sets of templates that hold ``{}``, each with the most labels that it is read for, in rising order.
        plain: The one template that is used for more.
        neutral: Sentences that fit any picture.
        anything: Words for anything at all, to be put into a template of somebody's own.
    """

    ensembles: tuple[tuple[int, tuple[str, ...]], ...]
    plain: str
    neutral: tuple[str, ...]
    anything: tuple[str, ...]

    def chosen(self, labels: int) -> tuple[str, ...]:
        """The templates for so many labels."""
        return next((templates for most, templates in self.ensembles if labels <= most), (self.plain,))

    def neutral_of(self, template: str | None) -> tuple[str, ...]:
        """What "none of these" says, so that a template ("a satellite photo of {}") favours no label by itself."""
        return tuple(template.replace("{}", word) for word in self.anything) if template else self.neutral


def english(work: float) -> Prompts:
    """The sets that were published for CLIP.

    Args:
        work: Multiplications that a sentence takes.
    """
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    full, short = (
        tuple(template("{}") for template in templates)
        for templates in (OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES)
    )
    ensembles = ((int(LONG / work / len(full)), full), (int(SHORT / work / len(short)), short))
    return Prompts(ensembles=ensembles, plain=PLAIN, neutral=NEUTRAL, anything=ANYTHING)


def chinese(work: float) -> Prompts:
    """For models that read Chinese only; ``work`` as of :func:`english`."""
    ensembles = ((int(SHORT / work / len(CHINESE)), CHINESE),)
    return Prompts(ensembles=ensembles, plain=CHINESE_PLAIN, neutral=CHINESE_NEUTRAL, anything=CHINESE_ANYTHING)
