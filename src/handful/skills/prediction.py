"""What a skill answers of one image: `Prediction`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict


class Score(TypedDict):
    """One answer, shaped as in Hugging Face's image-classification pipeline."""

    label: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """The answer of a skill to one image.

    Args:
        name: the image's name: its path where it has one.
        scores: answers, the best first; their scores add up to one over all classes. Of a skill of
            several labels an image, the classes that it shows, perhaps none, with a probability
            each.
        error: why there is no answer, naming the image; None where there is one.
        unknown: true where the image shows none of the classes; None where it was not asked for.
        familiar: share of unknown images that look as familiar as this one, or more so; None where
            it was not asked for. What has at most the false-accept rate is taken for known.
        may_be: the classes that it may be, at the error that was asked for; else None.
    """

    name: str
    scores: list[Score]
    error: str | None = None
    unknown: bool | None = None
    familiar: float | None = None
    may_be: tuple[str, ...] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """More of the answer for a table of answers; a library adds the skill that answered."""
        return {}

    def is_near(self, rate: float) -> bool:
        """Whether `familiar` is so near a false-accept rate that `unknown` may tip.

        Features in bfloat16 instead of float32 moved `familiar` by a factor of 1.07 at most
        (`tiny`, 998 photos of clothes and of the earth from above).
        """
        return self.familiar is not None and rate / _NEAR <= self.familiar <= rate * _NEAR


_NEAR = 1.1
