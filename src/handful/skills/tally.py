"""What came out of a run: photos by answer, and failures by kind."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from handful.skills.answer_table import Row

MOST_ERRORS = 20  # that are named; more would hide the rest
_SIZES = re.compile(r"\d+(?= x |\s+(?:pixels|bytes|B\b|[kMG]i?B))|(?<= x )\d+|(?<=than the )\d+")
_DETAIL = re.compile(r"[(;,]")  # where the words of a reason end and those of one photo begin
NO_LABEL = "none of the classes"


@dataclass
class Tally:
    """Counts of rows; of the errors the first few.

    Args:
        several: photos have several labels, or none.
        rows: photos.
        labels: photos by their best class; of several labels, by each of them.
        unknown: photos of none of the classes, which count under no class.
        no_class: photos for which `may_be` holds no class, refused ones too.
        failures: photos without an answer, by the words of the reason.
        errors: the first `MOST_ERRORS` reasons, with the names of their photos.
    """

    several: bool = False
    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    no_class: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Photos without an answer."""
        return sum(self.failures.values())

    def add(self, row: Row) -> None:
        """Count one row, in the form of `Schema.row`; of answers `label` is enough."""
        self.rows += 1
        if row["error"]:
            self.failures[kind_of(row["error"], row["file"])] += 1
            if len(self.errors) < MOST_ERRORS:
                # rows of earlier versions name the photo in `error` as well
                reason = row["error"].removeprefix(f"{row['file']}: ")
                self.errors.append(f"{row['file']}: {reason}")
            return
        self.no_class += row.get("may_be") == []
        if row.get("unknown") is True:
            self.unknown += 1
            return
        labels = [answer["label"] for answer in row["predictions"]]
        self.labels.update((labels if self.several else labels[:1]) or [NO_LABEL])


def kind_of(error: str, name: str) -> str:
    """The words of a reason that other photos share: `is empty`.

    >>> kind_of("a/1.jpg: has 3 x 900 pixels, more than 200 times as long as wide", "a/1.jpg")
    'has N x N pixels'
    >>> kind_of("is a JPEG 2000 picture, which is not read", "a/1.jpg")
    'is a JPEG 2000 picture'
    """
    words = _SIZES.sub("N", error.removeprefix(f"{name}: "))
    return _DETAIL.split(words, maxsplit=1)[0].strip() or words
