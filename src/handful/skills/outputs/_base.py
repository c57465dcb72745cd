"""What a format of answers is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from handful.skills.prediction import Prediction


class Output(ABC):
    """Answers to text; its name is the file's name.

    Class attributes:
        suffixes: endings of file names that mean this format, with the dot.
    """

    plugin: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def write(self, predictions: Sequence[Prediction], *, ascii_only: bool = False) -> str:
        """The whole file.

        Args:
            predictions: answers of one skill or of a library, in the order of the images.
            ascii_only: where the text goes, other letters cannot be written.
        """


def answer_rows(prediction: Prediction, digits: int) -> list[tuple[str, str]]:
    """The classes of an answer with their scores, or `unknown` with the share of such images.

    None for an image that could not be read; one pair of empty texts for an image that shows none
    of the classes of a skill of several labels.
    """
    found = prediction.answers
    return [(name, "" if score is None else f"{score:.{digits}f}") for name, score in found]
