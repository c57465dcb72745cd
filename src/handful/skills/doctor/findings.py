"""What an examination of a support set found, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_RARE = 3.0  # times fewer images than the median class


@dataclass(frozen=True)
class Finding:
    """One support image.

    Args:
        row: its place in the support set.
        name: of the file; its digest's start where it has no name.
        id: its digest.
        label: the label it was given.
        wrong: probability that the label is wrong.
        looks_like: the class it looks most like, by a fit without it.
        given: probability of the given label by that fit.
        evidence: `leave-one-out`, or `text alone` where its class has no other image.
        right: does the skill's own method give its label without having seen it? None where its
            class has no other image.
        influence: nats a sample by which the others are predicted better without it; positive
            hurts. None where it was not computed.
        distance: robust deviations from its class; None for classes of fewer than 3 images.
        size: width and height in pixels; None where the picture is not at hand.
        problems: of `label`, `hurts`, `far` and `small`, those that it has.
        near: those whose number lies so near its threshold, above or below, that features of
            another precision may say the opposite; what is said of them has to hold in both.
    """

    row: int
    name: str
    id: str
    label: str
    wrong: float
    looks_like: str
    given: float
    evidence: str
    right: bool | None
    influence: float | None
    distance: float | None
    size: tuple[int, int] | None
    problems: tuple[str, ...]
    near: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """What there is to say of it: problems, and what may be one."""
        return tuple(dict.fromkeys((*self.problems, *self.near)))


@dataclass(frozen=True)
class Duplicate:
    """Two pictures that are the same, or nearly.

    Args:
        first: row of one.
        second: row of the other.
        cosine: of their features.
        exact: byte for byte the same.
        across: whether they have different labels.
        near: nearly as much alike as copies have to be, a little more or a little less.
    """

    first: int
    second: int
    cosine: float
    exact: bool
    across: bool
    near: bool = False


@dataclass(frozen=True)
class Examination:
    """What was found.

    Args:
        images: N findings, the most suspicious first.
        duplicates: pairs, those across classes first: one of the two labels is wrong.
        counts: images of each class.
        rate: share of labels expected to be wrong; None where nothing could be left out.
        notes: what could not be looked at and why, and what was used instead.
    """

    images: tuple[Finding, ...]
    duplicates: tuple[Duplicate, ...]
    counts: Mapping[str, int]
    rate: float | None
    notes: tuple[str, ...]

    def having(self, problem: str) -> tuple[Finding, ...]:
        """Images with a problem: `label`, `hurts`, `far`, `small`."""
        return tuple(f for f in self.images if problem in f.problems)

    def clearly(self, problem: str) -> tuple[Finding, ...]:
        """Those of them that have it in any precision."""
        return tuple(f for f in self.having(problem) if problem not in f.near)

    def perhaps(self, problem: str) -> tuple[Finding, ...]:
        """Images that have it in one precision, and may not in another."""
        return tuple(f for f in self.images if problem in f.near)

    @property
    def suspects(self) -> tuple[Finding, ...]:
        """Images whose label is more likely wrong than right; candidates for removal."""
        return self.having("label")

    @property
    def rare_classes(self) -> tuple[str, ...]:
        """Classes with less than a third of the images of the median class."""
        # the median, as one large class must not make all others rare
        usual = float(np.median(list(self.counts.values())))
        return tuple(name for name, n in self.counts.items() if n * _RARE < usual)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        by_row = self.by_row()
        return {
            "images": [
                {
                    "name": f.name,
                    "digest": f.id,
                    "label": f.label,
                    "problems": list(f.problems),
                    "near": list(f.near),
                    "wrong": _rounded(f.wrong),
                    "looks_like": f.looks_like,
                    "given": _rounded(f.given),
                    "evidence": f.evidence,
                    "right_unseen": f.right,
                    "influence": _rounded(f.influence, 6),
                    "distance": _rounded(f.distance),
                    "size": list(f.size) if f.size else None,
                }
                for f in self.images
            ],
            "duplicates": [
                {
                    "names": [by_row[d.first].name, by_row[d.second].name],
                    "labels": [by_row[d.first].label, by_row[d.second].label],
                    "cosine": _rounded(d.cosine),
                    "exact": d.exact,
                    "across_classes": d.across,
                    "near": d.near,
                }
                for d in self.duplicates
            ],
            "counts": dict(self.counts),
            "thin_classes": list(self.rare_classes),
            "expected_wrong_rate": _rounded(self.rate),
            "notes": list(self.notes),
        }

    def by_row(self) -> dict[int, Finding]:
        """Row of the support set to its finding."""
        return {f.row: f for f in self.images}


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
