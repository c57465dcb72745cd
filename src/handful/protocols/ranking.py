"""Methods in the order of their means, and which of them the draws cannot tell from the best.

Every method is fitted on the same draws and asked the same images, so the differences to the best
one, draw by draw and image by image, are tested (paired Student's t), not two intervals laid side
by side: what a draw or an image makes hard for all methods cancels. The variance of a difference is
that over draws and over test images (`handful.metrics.crossed`), images of one group counted once.
The means are over the shot counts (and data sets) of a draw. That one of many is called worse by
chance is held to 5 % in all by Holm's correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from handful.metrics import CrossedVariance
from handful.protocols.methods import SEMANTICS, semantics
from handful.protocols.runner import Score
from handful.protocols.tables import Cell, averages, mean_cell
from handful.protocols.uncertainty import variance, weighted

LEVEL = 0.05
_USUAL, _FEW = 10, 3  # draws that tell most methods apart; methods that one may try in turn
_NO_SPREAD = 1e-18  # squared points
_ENOUGH = 200  # draws; what so many would not tell apart is not worth telling


@dataclass(frozen=True)
class Ranked:
    """One method among those whose numbers may be compared.

    Args:
        method: the name that `--method` takes.
        mean: percent over all shot counts and data sets.
        cells: one a shot count.
        difference: points below the best.
        p: that a difference as large comes about by the draws and test images alone, corrected for
            the number of methods; None for the best, and where the draws have no spread to judge
            by.
        place: `best`, `alike` (the draws cannot tell it from the best) or `worse`.
    """

    method: str
    mean: Cell
    cells: tuple[Cell, ...]
    difference: float
    p: float | None
    place: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Ranking:
    """Methods of one kind, the best first.

    Args:
        note: what their answers depend on besides the image; "" for inductive ones.
        rows: one a method.
        shots: shot counts of the cells.
        draws: how many there are.
        needed: draws that would tell the second from the best, if they go on to differ as they do;
            None where nothing is to be told, or more than 200 would be needed.
        few_images: whether the test images are too few for any number of draws to tell them apart.
        least: the smallest difference, in points, that these draws could have told for every
            method that is alike; None where nothing is alike or nothing has spread.
    """

    note: str
    rows: tuple[Ranked, ...]
    shots: tuple[int, ...]
    draws: int
    needed: int | None
    least: float | None = None
    few_images: bool = False

    def alike(self) -> tuple[Ranked, ...]:
        """Those that cannot be told from the best."""
        return tuple(row for row in self.rows if row.place == "alike")


def rank(scores: Sequence[Score]) -> list[Ranking]:
    """A ranking for each kind of method that there is, inductive ones first."""
    kinds = {name: semantics(name) for name in dict.fromkeys(s.method for s in scores)}
    return [
        _ranking(note, [s for s in scores if kinds[s.method] == kind])
        for kind, note in SEMANTICS.items()
        if kind in kinds.values()
    ]


def _ranking(note: str, scores: Sequence[Score]) -> Ranking:
    shots = tuple(sorted({s.shots for s in scores}))
    own = {m: [s for s in scores if s.method == m] for m in dict.fromkeys(s.method for s in scores)}
    means = {method: mean_cell(values) for method, values in own.items()}
    order = sorted(means, key=lambda method: -means[method].accuracy)
    best = order[0]
    gaps = {m: Difference.of(own[best], own[m]) for m in order[1:]}
    adjusted = holm([gap.p for gap in gaps.values()])
    chances = dict(zip(gaps, adjusted, strict=True))
    rows = []
    for method in order:
        p = chances.get(method)
        told = p is not None and p <= LEVEL
        place = "best" if method == best else "worse" if told else "alike"
        cells = tuple(mean_cell([s for s in own[method] if s.shots == k]) for k in shots)
        below = means[best].accuracy - means[method].accuracy
        rows.append(Ranked(method, means[method], cells, below, p, place))
    alike = [row.method for row in rows if row.place == "alike"]
    needed = gaps[alike[0]].needed(len(gaps)) if alike else None
    least = [gaps[m].least(len(alike)) for m in alike if chances[m] is not None]
    return Ranking(
        note,
        tuple(rows),
        shots,
        len({s.seed for s in own[best]}),
        needed,
        max(least, default=None),
        bool(alike) and needed is None and gaps[alike[0]].few_images(len(gaps)),
    )


@dataclass(frozen=True)
class Difference:
    """How far one method is below another: the mean over draws, in points, and its variance."""

    mean: float
    variance: CrossedVariance

    @classmethod
    def of(cls, best: Sequence[Score], other: Sequence[Score]) -> Difference:
        """On the draws that both have."""
        seeds = {s.seed for s in best} & {s.seed for s in other}
        one, two = ([s for s in scores if s.seed in seeds] for scores in (best, other))
        above, below = averages(one), averages(two)
        gaps = {seed: above[seed] - below[seed] for seed in seeds}
        found = variance(gaps, [*weighted(one), *weighted(two, -1.0)])
        return cls(sum(gaps.values()) / len(gaps), found)

    @property
    def p(self) -> float | None:
        """Two-sided p; None where the draws (one, all the same) or one test group tell nothing."""
        if not self.variance.draws > _NO_SPREAD or math.isnan(self.variance.total):
            return None
        return self.variance.p_value(self.mean)

    def needed(self, methods: int) -> int | None:
        """Draws at which it would be told among so many methods; None if over 200."""
        if self.variance.count < 2 or self.mean <= 0:
            return None
        draws = range(self.variance.count + 1, _ENOUGH + 1)
        return next((n for n in draws if self._at(n).least(methods) <= self.mean), None)

    def few_images(self, methods: int) -> bool:
        """Whether 200 draws would tell it if all possible images were tested."""
        if self.variance.count < 2 or self.mean <= 0 or self.variance.units is None:
            return False
        draws = CrossedVariance(self.variance.count, self.variance.draws, None, 0.0, 0.0)
        return Difference(self.mean, draws)._at(_ENOUGH).least(methods) <= self.mean

    def least(self, methods: int) -> float:
        """Points at which it would be told among so many methods, by its own variance.

        Not one variance pooled over the methods: where their spreads differ, a pooled one would
        call noisy methods worse by chance. The level is that of Holm's step at which nothing was
        told.
        """
        return self.variance.half_width(1 - LEVEL / methods)

    def _at(self, draws: int) -> Difference:
        return Difference(self.mean, self.variance.with_draws(draws))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """P values corrected for how many there are (Holm, 1979); None stays None.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    result: list[float | None] = [None] * len(values)
    least = 0.0
    for place, (p, i) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - place)))
        result[i] = least
    return result


def explained(ranking: Ranking, *, equal: Sequence[int] = ()) -> list[str]:
    """What the marks mean, and what would tell more: a line each.

    Args:
        ranking: of several methods.
        equal: shot counts at which every draw is the same.
    """
    if len(ranking.rows) < 2:
        return []
    best, draws = ranking.rows[0], ranking.draws
    lines = []
    if draws == 1:
        lines.append(
            "best: the highest mean. One draw says nothing of other draws, so no method can be "
            "told from it: add --seeds 10."
        )
        return lines
    lines.append(
        f"best: the highest mean; =: cannot be told from it by these {draws} draws (paired t-test "
        "over the same draws and test images, 5 % in all by Holm's correction)."
    )
    alike = ranking.alike()
    if alike:
        second = alike[0]
        gap = f"{second.method} is {second.difference:.1f} points below {best.method}"
        if ranking.few_images:
            lines.append(f"{gap}; more draws would not tell them apart, more test images might.")
        elif ranking.needed is None:
            lines.append(f"{gap}; not even {_ENOUGH} draws would tell them apart: take either.")
        else:
            lines.append(
                f"{gap}; about {ranking.needed} draws would tell them apart: "
                f"--seeds {ranking.needed}."
            )
    if ranking.least is not None:
        lines.append(
            f"= does not mean equal: among the methods marked so, differences of up to "
            f"{ranking.least:.1f} points go untold by these {draws} draws."
        )
    if draws < _USUAL and len(alike) > _FEW:
        lines.append(
            f"So few draws tell little, and {len(alike)} methods are left: --seeds {_USUAL} would "
            "tell more of them apart."
        )
    if equal:
        lines.append(
            f"At {', '.join(map(str, equal))} shots every draw is the same images, so nothing is "
            "known of other draws there: more labelled images would tell."
        )
    return lines
