"""Variance of a mean over draws of which all are tested on one set of images.

Draws and images (or groups of them, units) are crossed: a result is `mean + draw + unit + rest`.
The spread over draws says what other draws would change while the test images stay the same; the
spread over units, what other test images would. The variance of the mean over S draws is the sum of
both, less the rest, which is in either (Cameron, Gelbach and Miller, JBES 29, 2011; Owen, Annals of
Applied Statistics 1, 2007). The part of the units is what a bootstrap of them tends to, without its
resamples: it is computed for every cell of every table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError

_NAN = math.nan


@dataclass(frozen=True)
class CrossedVariance:
    """Variance of the mean of S draws on common units, in parts.

    Args:
        count: S draws.
        draws: by the spread over draws, test images held fixed; NaN for one draw.
        units: by the spread over units, draws held fixed; NaN where there is a single one, of
            whose like nothing is known; None where results are not known image by image.
        rest: what is in both.
        units_dof: degrees of freedom of `units`.
    """

    count: int
    draws: float
    units: float | None
    rest: float
    units_dof: float

    @property
    def total(self) -> float:
        """Of draws and units; of the one that is known where the other is not, else NaN."""
        if self.units is None or math.isnan(self.units):
            return self.draws if self.units is None else math.nan
        if math.isnan(self.draws):
            return self.units
        # by noise the sum could be less than one of its parts
        return max(self.draws + self.units - self.rest, self.draws, self.units)

    @property
    def dof(self) -> float:
        """Degrees of freedom of the total (Satterthwaite, Biometrics Bulletin 2, 1946)."""
        parts = ((self.draws, self.count - 1), (self.units or 0.0, self.units_dof))
        below = sum(v * v / n for v, n in parts if n > 0)
        if below > 0:
            return self.total**2 / below
        return self.count - 1 if self.count > 1 else self.units_dof

    def half_width(self, level: float = 0.95) -> float:
        """Half of the interval by Student's t; NaN where nothing is known of it.

        Never less than that of the draws or the units alone: few draws that happen to agree
        make the degrees of freedom of the sum too many.
        """
        from scipy.special import stdtrit  # slow to import

        at = (1 + level) / 2
        return max((float(stdtrit(n, at)) * math.sqrt(v) for v, n in self._parts()), default=_NAN)

    def p_value(self, mean: float) -> float:
        """Two-sided, of a mean so far from 0; 0.05 where the 95 % interval ends at 0."""
        from scipy.special import stdtr  # slow to import

        return max(
            (
                2 * float(stdtr(n, -abs(mean) / math.sqrt(v))) if v > 0 else float(mean == 0)
                for v, n in self._parts()
            ),
            default=_NAN,
        )

    def _parts(self) -> list[tuple[float, float]]:
        """Variances with their degrees of freedom: of all, of the draws, of the units."""
        total = self.total
        if math.isnan(total):
            return []
        parts = [(self.draws, self.count - 1.0), (self.units or 0.0, self.units_dof)]
        return [(total, self.dof), *((v, n) for v, n in parts if n > 0)]

    def with_draws(self, count: int) -> CrossedVariance:
        """What it would be with more draws that spread as these do, on the same test images."""
        shrink = self.count / count
        units = self.units
        if units is not None and not math.isnan(units):
            units = max(units - self.rest, 0.0) + self.rest * shrink
        return CrossedVariance(
            count, self.draws * shrink, units, self.rest * shrink, self.units_dof
        )


def crossed_variance(
    values: ArrayLike,
    influences: Sequence[ArrayLike] | None = None,
    least: Sequence[float] | None = None,
) -> CrossedVariance:
    """The parts of the variance of the mean of `values`.

    Args:
        values: `[S]`, one a draw.
        influences: for each of several independent test sets `[S, U]`, what unit u adds to the
            value of draw s, less what a mean unit would: `sum over its images of (x - mean) / M`
            for a mean over M images; 0 where the draw has no test image of the unit. None where
            only the values are known.
        least: for each test set the least variance by units, such as that of a share of exactly
            1, in which nothing varies.

    Raises:
        InputError: no values, shapes that disagree.

    >>> found = crossed_variance([1.0], [[[0.5, -0.5]]])
    >>> found.units, found.units_dof
    (1.0, 1.0)
    """
    mean = np.asarray(values, dtype=np.float64)
    parts = [np.asarray(part, dtype=np.float64) for part in influences or ()]
    if mean.ndim != 1 or not len(mean) or any(p.ndim != 2 or len(p) != len(mean) for p in parts):
        raise InputError(
            f"expected values [S], S at least 1, and influences [S, U], got {[*mean.shape]} and "
            f"{[[*p.shape] for p in parts]}"
        )
    count = len(mean)
    draws = float(mean.var(ddof=1)) / count if count > 1 else math.nan
    if not parts:
        return CrossedVariance(count, draws, None, 0.0, 0.0)
    found = [_by_units(p, low) for p, low in zip(parts, least or [0.0] * len(parts), strict=True)]
    units = sum(part for part, _, _ in found)
    below = sum(part**2 / dof for part, _, dof in found if dof > 0)
    dof = units**2 / below if below > 0 else float(sum(dof for _, _, dof in found))
    return CrossedVariance(count, draws, units, sum(rest for _, rest, _ in found), dof)


def _by_units(influence: NDArray[np.float64], least: float) -> tuple[float, float, int]:
    """Variance by units, what of it is in the spread of the draws too, degrees of freedom."""
    count, units = influence.shape
    if units < 2:
        return math.nan, 0.0, 0
    correction = units / (units - 1)
    each = influence.mean(axis=0)
    rest = 0.0
    if count > 1:
        rest = correction * float(((influence - each) ** 2).sum()) / (count * (count - 1))
    return max(correction * float((each**2).sum()), least), rest, units - 1
