"""What a skill answers of images: `Prediction`, and `Predictions`, a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

if TYPE_CHECKING:
    from pandas import DataFrame


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
        among: the classes that it may be, at the error that was asked for; else None.
    """

    name: str
    scores: list[Score]
    error: str | None = None
    unknown: bool | None = None
    familiar: float | None = None
    among: tuple[str, ...] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """More of the answer for a file of answers; a library adds the skill that answered."""
        return {}

    def is_near(self, rate: float) -> bool:
        """Whether `familiar` is so near a false-accept rate that `unknown` may tip.

        Features in bfloat16 instead of float32 moved `familiar` by a factor of 1.07 at most
        (`tiny`, 998 photos of clothes and of the earth from above).
        """
        return self.familiar is not None and rate / _NEAR <= self.familiar <= rate * _NEAR

    @property
    def answers(self) -> list[tuple[str, float | None]]:
        """The classes with their scores, or `unknown` with the share of such images.

        None for an image that could not be read; `("", None)` alone for an image that shows none
        of the classes of a skill of several labels.
        """
        if self.error:
            return []
        if self.unknown:
            return [("unknown", self.familiar or 0.0)]
        return [(s["label"], s["score"]) for s in self.scores] or [("", None)]


_NEAR = 1.1
PredictionT = TypeVar("PredictionT", bound=Prediction)


class Predictions(list[PredictionT]):
    """Answers in the order of the images; a list with `to_frame`."""

    def to_frame(self) -> DataFrame:
        """A row an answer, with the columns of the csv output: `file_name,classification,score`.

        Images that could not be read have no row (their `error` says why). Where it was asked for,
        `may be` holds the classes that the image may be of, each in a line of its own; of a
        library, `task` the skill that answered.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from handful.report import to_frame

        columns, rows = answer_table(self)
        return to_frame(columns, rows)


def answer_table(predictions: Sequence[Prediction]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of a table of answers, a row an answer."""
    sets = any(p.among is not None for p in predictions)
    tasks = any("task" in p.facts for p in predictions)
    rows = [
        [p.name, label, score]
        + ["\n".join(p.among or ())] * sets
        + [p.facts.get("task") or ""] * tasks
        for p in predictions
        for label, score in p.answers
    ]
    return ["file_name", "classification", "score"] + ["may be"] * sets + ["task"] * tasks, rows
