"""Intervals where images are not independent: whole groups of them are drawn anew.

The images of a patient or a burst are right or wrong together, so an interval that counts images
is too narrow. A resample draws as many groups as there are, with replacement, and keeps each
group's images together (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
section 3.8; Field and Welsh, JRSS B 69, 2007). The interval is the percentile interval with levels
widened for few groups (Hesterberg, The American Statistician 69, 2015, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError

RESAMPLES = 1000
LEVEL = 0.95
_CELLS = 1 << 22  # counts that are drawn at once, 32 MB

Floats = NDArray[np.float64]


def check_units(units: ArrayLike | None, count: int) -> NDArray[np.int64]:
    """`[M]` numbers of groups from 0; every image alone for None.

    Raises:
        InputError: not one number an image.
    """
    if units is None:
        return np.arange(count)
    found = np.asarray(units)
    if found.shape != (count,):
        raise InputError(f"expected one unit an image [{count}], got {[*found.shape]}")
    return np.asarray(np.unique(found, return_inverse=True)[1], dtype=np.int64)


def each_alone(units: NDArray[np.int64]) -> bool:
    """Whether no two images are of one group, by the numbers of `check_units`."""
    return len(units) == 0 or int(units.max()) + 1 == len(units)


def resample_counts(count: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """Parts `[b, G]` of `[resamples, G]`: how often each of G groups is drawn."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(count, 1))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * count)
        yield counts.reshape(size, count).astype(np.float64)


def sums_by_unit(columns: Any, units: NDArray[np.int64]) -> Any:
    """`[M, K]` numbers of images to their sums `[G, K]` over each group, both sparse.

    Args:
        columns: a numpy array or a scipy sparse matrix.
        units: `[M]` from `check_units`.
    """
    from scipy import sparse  # slow to import

    count = len(units)
    members = sparse.csr_matrix((np.ones(count), (units, np.arange(count))))
    return (members @ sparse.csr_matrix(columns, dtype=np.float64)).tocsr()


def resampled_sums(sums: Any, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """`[G, K]` sums of groups (sparse) to `[resamples, K]` sums over what each resample drew."""
    across = sums.T.tocsr()
    parts = [(across @ counts.T).T for counts in resample_counts(sums.shape[0], resamples, seed)]
    return np.concatenate(parts)


def percentile_interval(values: ArrayLike, groups: int, level: float = LEVEL) -> Floats:
    """`[B, ...]` values of resamples to their interval `[..., 2]`.

    Resamples in which a value is not defined (NaN) count for no interval of it. The tails are
    those of Student's t with `groups - 1` degrees of freedom, times `sqrt(G / (G - 1))`: the plain
    percentiles are too narrow for few groups. NaN for a single group, of whose like nothing is
    known.

    Args:
        values: B resamples.
        groups: G, how many were drawn from.
        level: how often the interval holds the true value.
    """
    found = np.asarray(values, dtype=np.float64)
    if groups < 2:
        return np.full((*found.shape[1:], 2), np.nan)
    from scipy.special import stdtrit  # slow to import

    t = float(stdtrit(groups - 1, (1 + level) / 2))
    tail = NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * t)
    defined = ~np.isnan(found)
    # a column without any defined value would warn
    safe = np.where(defined.any(axis=0), found, 0.0)
    ends = np.nanquantile(safe, [tail, 1 - tail], axis=0)
    ends = np.where(defined.any(axis=0), ends, np.nan)
    return np.moveaxis(ends, 0, -1)


def varying_interval(values: ArrayLike, groups: int, level: float = LEVEL) -> Floats:
    """`percentile_interval` of `[B]` values, NaN where all of them are equal.

    No resample changes a number that is at its best or worst in every group. That says nothing of
    how far the true one is from it.
    """
    ends = percentile_interval(values, groups, level)
    return ends if ends[0] < ends[1] else np.full(2, np.nan)
