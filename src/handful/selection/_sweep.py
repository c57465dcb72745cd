"""Intervals of alpha, one a sample, and the alpha that most of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from handful.errors import InputError

Doubles = NDArray[np.float64]
_RESOLUTION = 1e-6  # relative; heads keep alpha in float32


@dataclass(frozen=True)
class Best:
    """A weight and what it achieves.

    Args:
        alpha: finite, inside the interval.
        right: samples that it answers correctly; no other weight answers more.
        interval: open ends between which exactly these samples are right; may reach infinity.
    """

    alpha: float
    right: int
    interval: tuple[float, float]


def intervals(lead: Doubles, pull: Doubles, fixed: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """`[n]` open ends between which the true class wins; empty where the first is not smaller."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        crossing = -lead / pull
    start = np.where(pull > 0, crossing, -inf).max(axis=0)
    end = np.where(pull < 0, crossing, inf).min(axis=0)
    end[((pull == 0) & fixed).any(axis=0)] = -inf
    return start, end


def balance_of(strength: Doubles) -> float:
    """The alpha at which both sources are equally strong; 1 where one of them is zero."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = float(strength[0] / strength[1])
    return ratio if 1e-30 < ratio < 1e30 else 1.0


def sweep(
    starts: Doubles, ends: Doubles, low: float, high: float, balance: float, default: float | None
) -> tuple[Best, float]:
    """The best alpha and how wide its interval is (0 to 2)."""
    # +1 at each start and -1 at each end: the count between two neighbouring points is constant
    wins = np.maximum(starts, low) < np.minimum(ends, high)
    starts = np.sort(np.clip(starts[wins], low, high))
    ends = np.sort(np.clip(ends[wins], low, high))
    zero = (
        [0.0] if low < 0 < high else []
    )  # the measure has a kink there, and the sign of alpha matters
    points = np.unique(np.concatenate([starts, ends, [low, high], zero]))
    left, right = points[:-1], points[1:]
    counts = np.searchsorted(starts, left, "right") - np.searchsorted(ends, left, "right")
    middle, width = _measured(left, right, balance)
    reachable = (right - left > _RESOLUTION * np.abs(middle)) & (left < middle) & (middle < right)
    if reachable.any():
        left, right, counts, middle, width = (
            values[reachable] for values in (left, right, counts, middle, width)
        )
    most = np.flatnonzero(counts == counts.max())
    chosen = int(most[width[most].argmax()])
    alpha = float(middle[chosen])
    if default is not None:
        holds = most[(left[most] < default) & (default < right[most])]
        if len(holds):
            chosen, alpha = int(holds[0]), float(default)
    interval = (float(left[chosen]), float(right[chosen]))
    return Best(alpha, int(counts[chosen]), interval), float(width[chosen])


def _measured(left: Doubles, right: Doubles, balance: float) -> tuple[Doubles, Doubles]:
    """Middles and widths of intervals in `alpha / (|alpha| + balance)`, also of unbounded ones."""
    flip = right <= 0
    near, far = np.where(flip, -right, left), np.where(flip, -left, right)
    endless = np.isinf(far)
    far = np.where(endless, 1.0, far)
    middle = np.where(
        endless,
        balance + 2 * near,
        (balance * (near + far) + 2 * near * far) / (2 * balance + near + far),
    )
    width = np.where(
        endless,
        balance / (balance + near),
        (far - near) * balance / ((balance + near) * (balance + far)),
    )
    return np.where(flip, -middle, middle), width


def checked_betas(betas: Sequence[float]) -> list[float]:
    """Sharpnesses as numbers, or an `InputError`."""
    sharpness = [float(beta) for beta in betas]
    if not sharpness or not all(isfinite(b) and b >= 0 for b in sharpness):
        raise InputError(f"expected betas that are finite and not negative, got {list(betas)!r}")
    return sharpness
