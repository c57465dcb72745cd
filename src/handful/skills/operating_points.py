"""Thresholds on the probability of one class, chosen on the support set alone (`--at`).

The class is said to be there where its probability reaches the threshold. It is chosen by the
probabilities of support images that were left out of the fit (of whole groups, where they are
stated), so that a new image of the class reaches it at the rate that was asked for: of n left-out
images it is the `ceil(rate (n + 1))`-th largest score, which the next image of the class reaches
with at least this chance (the split-conformal quantile: Vovk, Gammerman and Shafer, 2005). The
images of a group count as one image together. No test image takes part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful import metrics
from handful.data.text import suggestion
from handful.errors import InputError
from handful.packs import Pack
from handful.skills.answers import Answers
from handful.skills.left_out import left_out_probabilities

RATES = ("sensitivity", "specificity")
_AT = re.compile(r"\s*(sensitivity|recall|specificity)\s+([\d.]+)\s*(%?)\s+of\s+(.+?)\s*", re.I)


@dataclass(frozen=True)
class Asked:
    """What a threshold is to reach, as `parse` reads it.

    Args:
        rate: `sensitivity` or `specificity`.
        value: at least this share, between 0 and 1.
        of: the class.
    """

    rate: str
    value: float
    of: str

    def __str__(self) -> str:
        return f"{self.rate} {self.value:g} of {self.of}"


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold from the support set, and what it gives on the test images.

    Args:
        asked: what it was to reach.
        threshold: the class is answered where its probability is at least this.
        support_images: left-out support images that it rests on: of the class for a sensitivity,
            of the other classes for a specificity.
        support_units: groups of them, each image without one being its own.
        measured: `recall` (sensitivity), `specificity`, `precision` (PPV), `npv`, `f1`, `support`
            and `intervals` on the test images.
    """

    asked: Asked
    threshold: float
    support_images: int
    support_units: int
    measured: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        row = {"at": str(self.asked), **asdict(self.asked)} | asdict(self)
        row["measured"] = metrics.per_class_json({"": self.measured})[""]
        return {key: value for key, value in row.items() if key != "asked"}


def parse(text: str, classes: Sequence[str]) -> Asked:
    """Read `sensitivity 0.95 of sick`.

    Raises:
        InputError: something else, a share that is not between 0 and 1, no such class.

    >>> str(parse("specificity 90% of sick", ["sick", "well"]))
    'specificity 0.9 of sick'
    """
    found = _AT.fullmatch(text)
    try:
        value = float(found[2]) / (100 if found[3] else 1) if found else math.nan
    except ValueError:
        value = math.nan
    if found is None or not 0 < value < 1:
        wrong = _wrong(text, found, value)
        raise InputError(
            f"--at {text!r}: {wrong}expected a rate, a share between 0 and 1 and a class, such as "
            '"sensitivity 0.95 of sick" or "specificity 0.9 of sick"'
        )
    if found[4] not in classes:
        raise InputError(
            f"--at {text!r}: {found[4]!r} is not among the skill's {len(classes)} classes; "
            f"{suggestion(found[4], classes)}it knows: "
            f"{', '.join(classes[:10])}"
        )
    rate = "specificity" if found[1].lower() == "specificity" else "sensitivity"
    return Asked(rate, value, found[4])


def _wrong(text: str, found: re.Match[str] | None, value: float) -> str:
    """What is wrong with an operating point, where it can be told; else ""."""
    if re.search(r"\d,\d", text):
        return "a decimal mark is a point here, not a comma; "
    if found is not None and value >= 1 and not found[3]:
        return f"{found[2]} is no share (of percent say {found[2]}%); "
    return ""


def choose(asked: Asked, scores: ArrayLike, shown: ArrayLike, units: ArrayLike) -> OperatingPoint:
    """The threshold by left-out support images; nothing is measured yet.

    Args:
        asked: what it is to reach.
        scores: `[N]` left-out probabilities of the class.
        shown: `[N]`, whether the support image is of it.
        units: `[N]`, equal for images that belong together.

    Raises:
        InputError: so few images (or groups) cannot promise so high a rate; says how many could.

    >>> asked = Asked("sensitivity", 0.5, "sick")
    >>> found = choose(asked, [0.9, 0.8, 0.4, 0.1], [1, 1, 1, 0], [0, 1, 2, 3])
    >>> found.threshold, found.support_images, found.support_units
    (0.8, 3, 3)
    """
    sensitivity = asked.rate == "sensitivity"
    among = (np.asarray(shown) > 0) == sensitivity
    own = np.asarray(scores, dtype=np.float64)[among]
    _, which, sizes = np.unique(np.asarray(units)[among], return_inverse=True, return_counts=True)
    groups, wanted = len(sizes), asked.value * (len(sizes) + 1)
    if wanted > groups + 1e-9:
        fewest = math.ceil(asked.value / (1 - asked.value) - 1e-9)
        raise InputError(
            f"--at {str(asked)!r}: rests on {groups} left-out images (or groups of them) of "
            f"{'' if sensitivity else 'the other classes than '}{asked.of}, and needs at least "
            f"{fewest}; teach the skill with more of them, or ask for at most "
            f"{groups / (groups + 1):.2g}"
        )
    # the images of a group weigh as much as one image
    order = np.argsort(-own if sensitivity else own, kind="stable")
    reached = (1 / sizes[which])[order].cumsum()
    chosen = own[order][int(np.searchsorted(reached, wanted - 1e-9))]
    # of the other classes so many lie at or below the chosen score, which must not be answered
    threshold = chosen if sensitivity else np.nextafter(np.float32(chosen), np.float32(2))
    return OperatingPoint(asked, float(threshold), len(own), groups)


def measure(point: OperatingPoint, answers: Answers, units: NDArray[np.int64]) -> OperatingPoint:
    """The same threshold with its rates on test images."""
    name = point.asked.of
    column = answers.classes.index(name)
    given = answers.probabilities[:, [column]] >= point.threshold
    rates = metrics.class_rates(given, answers.shown[:, [column]], [name], units)
    return replace(point, measured=rates.per_class[name])


def check(pack: Pack, at: Sequence[str], *, pool: bool = False) -> list[Asked]:
    """Read the operating points that are asked of a skill.

    Raises:
        InputError: as `parse`; a skill of several labels an image, or one that is fitted anew.
    """
    if at and pool:
        raise InputError(
            "an operating point is chosen for the skill as it is, and a pool of test photos fits "
            "it anew; leave one of the two out"
        )
    if at and not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers {pack.task.answers}, each from a threshold of its own that was "
            "learned already; an operating point is for skills of one label an image"
        )
    # stated twice it counts once
    return list(dict.fromkeys(parse(text, pack.classes) for text in at))


def of_support(pack: Pack, asked: Sequence[Asked]) -> list[OperatingPoint]:
    """Thresholds by the support set of a skill.

    Raises:
        InputError: as `choose` and `left_out_probabilities`.
    """
    if not asked:
        return []
    left = left_out_probabilities(pack)
    columns = [pack.classes.index(one.of) for one in asked]
    return [
        choose(one, left.probabilities[:, column], left.targets == column, left.units)
        for one, column in zip(asked, columns, strict=True)
    ]
