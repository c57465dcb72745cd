"""Methods in the order of their means, and which of them the draws cannot tell from the best.

Every method is fitted on the same draws, so the differences to the best one, draw by draw, are
tested (paired Student's t), not two intervals laid side by side: what a draw makes hard for all
methods cancels. The means are over the shot counts (and data sets) of a draw. That one of many is
called worse by chance is held to 5 % in all by Holm's correction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from handful.protocols.methods import SEMANTICS, semantics
from handful.protocols.runner import Score
from handful.protocols.tables import Cell, averages, cell

LEVEL = 0.05
_USUAL, _FEW = 10, 3  # draws that tell most methods apart; methods that one may try in turn
_ENOUGH = 200  # draws; what so many would not tell apart is not worth telling


@dataclass(frozen=True)
class Ranked:
    """One method among those whose numbers may be compared.

    Args:
        method: the name that `--method` takes.
        mean: percent over all shot counts and data sets, its interval over the draws.
        cells: one a shot count.
        difference: points below the best.
        p: that a difference as large comes about by the draws alone, corrected for the number of
            methods; None for the best, and where the draws have no spread to judge by.
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
        least: the smallest difference, in points, that these draws could have told for every
            method that is alike; None where nothing is alike or nothing has spread.
    """

    note: str
    rows: tuple[Ranked, ...]
    shots: tuple[int, ...]
    draws: int
    needed: int | None
    least: float | None = None

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
    by_draw = {method: averages(some) for method, some in own.items()}
    means = {method: cell(values) for method, values in by_draw.items()}
    order = sorted(means, key=lambda method: -means[method].accuracy)
    best = order[0]
    gaps = {m: _differences(by_draw[best], by_draw[m]) for m in order[1:]}
    adjusted = holm([_p(gap) for gap in gaps.values()])
    chances = dict(zip(gaps, adjusted, strict=True))
    rows = []
    for method in order:
        p = chances.get(method)
        told = p is not None and p <= LEVEL
        place = "best" if method == best else "worse" if told else "alike"
        cells = tuple(cell(averages([s for s in own[method] if s.shots == k])) for k in shots)
        below = means[best].accuracy - means[method].accuracy
        rows.append(Ranked(method, means[method], cells, below, p, place))
    alike = [row.method for row in rows if row.place == "alike"]
    needed = _needed(gaps[alike[0]], len(gaps)) if alike else None
    least = _least([gaps[m] for m in alike if chances[m] is not None])
    return Ranking(note, tuple(rows), shots, len(by_draw[best]), needed, least)


def _differences(best: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    return [best[seed] - other[seed] for seed in sorted(best.keys() & other.keys())]


def _p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a mean difference; None where the draws have no spread."""
    from scipy.special import stdtr  # slow to import

    count, values = len(differences), np.asarray(differences)
    spread = float(values.std(ddof=1)) if count > 1 else 0.0
    if spread < 1e-9:  # one draw, or draws that are all the same
        return None
    t = float(values.mean()) / (spread / math.sqrt(count))
    return float(2 * stdtr(count - 1, -abs(t)))


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


def _needed(differences: Sequence[float], methods: int) -> int | None:
    """Draws at which a difference of this mean and spread would be told."""
    from scipy.special import stdtrit

    values = np.asarray(differences)
    if len(values) < 2 or values.mean() <= 0:
        return None
    ratio = float(values.std(ddof=1) / values.mean())
    for n in range(len(values) + 1, _ENOUGH + 1):
        if float(stdtrit(n - 1, 1 - LEVEL / (2 * methods))) * ratio <= math.sqrt(n):
            return n
    return None


def _least(alike: Sequence[Sequence[float]]) -> float | None:
    """Points at which the draws would have told each of these from the best, by their spreads.

    Not one variance pooled over the methods: where their spreads differ, a pooled one would
    call noisy methods worse by chance. The level is that of Holm's step at which nothing was told.
    """
    from scipy.special import stdtrit

    if not alike:
        return None
    return max(
        float(stdtrit(len(gap) - 1, 1 - LEVEL / (2 * len(alike))) * np.std(gap, ddof=1))
        / math.sqrt(len(gap))
        for gap in alike
    )


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
            "best: the highest mean. One draw says nothing of chance, so no method can be told "
            "from it: add --seeds 10."
        )
        return lines
    lines.append(
        f"best: the highest mean; =: cannot be told from it by these {draws} draws (paired t-test "
        "over the same draws, 5 % in all by Holm's correction)."
    )
    alike = ranking.alike()
    if alike:
        second = alike[0]
        gap = f"{second.method} is {second.difference:.1f} points below {best.method}"
        if ranking.needed is None:
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
            "known of chance there: more labelled images would tell."
        )
    return lines
