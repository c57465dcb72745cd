"""How often 95 % intervals hold the true number where photos belong to groups, by simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from handful import metrics
from tables import head, row, table

CORRELATIONS = (0.0, 1 / 3, 0.8, 1.0)
GROUPS = (2, 3, 5, 10, 20, 60)
SIZES = {"3": (3,), "10": (10,), "1 to 12": (1, 1, 2, 4, 12)}


@table("group_intervals", title="Intervals of photos in groups", seconds=150, draws=20)
def group_intervals(draws: int = 1000, shares: Sequence[float] = (0.7, 0.95)) -> Iterator[str]:
    yield head(
        "groups", "photos in each", "true share", *(f"rho {c:.2g}" for c in CORRELATIONS), left=0
    )
    every, grouped, naive = len(CORRELATIONS), [], []
    for groups in GROUPS:
        for name, sizes in SIZES.items():
            for share in shares:
                found = [_share(groups, sizes, share, c, draws) for c in CORRELATIONS]
                grouped += [a for a, _ in found]
                naive += [b for _, b in found]
                cells = [f"{100 * a:.0f} ({100 * b:.0f})" for a, b in found]
                yield row(groups, name, share, *cells)
    yield (
        f"\nIn %, of {draws} simulations: how often the interval of a share holds the true one, in "
        "brackets that of the photos as if independent. Each group has a chance of its own of "
        "being right, drawn from a beta distribution, so that two of its photos have the "
        f"correlation rho. The lowest coverage is {100 * min(grouped):.0f} % (in brackets "
        f"{100 * min(naive):.0f} %), {_least(grouped, every, 5):.0f} % from 5 groups on, "
        f"{_least(grouped, every, 20):.0f} % from 20 on.\n"
    )
    yield head("groups a side", "photos in each", "rho", "AUROC", "paired difference", left=0)
    few = max(draws // 5, 4)
    for groups in (3, 5, 10, 20):
        for correlation in (0.0, 0.8):
            area = _area(groups, 3, correlation, few)
            pair = _pair(groups, 3, correlation, few)
            yield row(groups, 3, correlation, f"{100 * area:.0f}", f"{100 * pair:.0f}")
    yield (
        f"\nIn %, of {few} simulations: coverage of the interval of an AUROC of 0.95, scores being "
        "normal with the correlation rho within groups, and of that of a difference of 10 points "
        "between two skills that are right on 85 % and 75 % independently, in twice as many groups."
    )


def _least(found: Sequence[float], every: int, groups: int) -> float:
    start = GROUPS.index(groups) * every * (len(found) // every // len(GROUPS))
    return 100 * min(found[start:])


def _right(
    rng: np.random.Generator, units: np.ndarray, share: float, correlation: float
) -> np.ndarray:
    """`[M]`, whether each photo is right; photos of one group with the correlation."""
    groups = int(units.max()) + 1
    if correlation == 0:
        chance = np.full(groups, share)
    elif correlation == 1:
        chance = (rng.random(groups) < share).astype(float)
    else:
        scale = (1 - correlation) / correlation
        chance = rng.beta(share * scale, (1 - share) * scale, groups)
    return rng.random(len(units)) < chance[units]


def _share(
    groups: int, sizes: Sequence[int], share: float, correlation: float, draws: int
) -> tuple[float, float]:
    rng, held = np.random.default_rng(0), np.zeros(2)
    units = np.arange(groups).repeat(np.resize(sizes, groups))
    for _ in range(draws):
        right = _right(rng, units, share, correlation)
        for i, by in enumerate((units, None)):
            low, high = metrics.share_interval(right, by) or (0.0, 1.0)
            held[i] += low <= share <= high
    return float(held[0] / draws), float(held[1] / draws)


def _area(groups: int, size: int, correlation: float, draws: int) -> float:
    rng, held = np.random.default_rng(0), 0
    units = np.arange(2 * groups).repeat(size)
    shown = units < groups
    apart = 1.6449 * np.sqrt(2)  # an area of 0.95
    for _ in range(draws):
        shared, own = rng.normal(size=2 * groups)[units], rng.normal(size=len(units))
        scores = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own + apart * shown
        found = metrics.areas(scores[:, None], shown[:, None], ("a",), units)
        low, high = found["per_class"]["a"]["intervals"]["auroc"]
        held += low <= 0.95 <= high
    return held / draws


def _pair(groups: int, size: int, correlation: float, draws: int) -> float:
    rng, held = np.random.default_rng(0), 0
    units = np.arange(2 * groups).repeat(size)
    for _ in range(draws):
        first, second = (_right(rng, units, share, correlation) for share in (0.75, 0.85))
        low, high = metrics.paired_difference(first, second, units).interval or (-1.0, 1.0)
        held += low <= 0.1 <= high
    return held / draws
