"""The best weight of a blend of two logit sources, exactly and for all weights at once.

With `logits = base + alpha * other`, class c stays behind the true class t where
`(base_t - base_c) + alpha * (other_t - other_c) > 0`: half a line of alpha. What is left of the
line for all c is one open interval a sample. Sort the ends of all intervals, sweep, and the number
of right answers is known for every alpha there is. No grid, and no step to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.selection._sweep import Best, Doubles, balance_of, checked_betas, intervals, sweep

_CELLS = 1 << 19  # numbers held at once in each temporary: a few MB, which caches hold


@dataclass(frozen=True)
class BestCache(Best):
    """The same for a cache model, with the sharpness that it belongs to."""

    beta: float


def best_alpha(
    base: ArrayLike,
    other: ArrayLike,
    targets: ArrayLike,
    low: float = 0.0,
    high: float = inf,
    default: float | None = None,
) -> Best:
    """The alpha for which `argmax(base + alpha * other)` is right most often, found exactly.

    A tie between two classes counts as wrong, save where it holds for every alpha (equal columns):
    there the first column wins, as in `argmax`. Among intervals that are equally good, the one
    that holds `default` is taken, and `default` with it; else the widest, measured in
    `alpha / (|alpha| + balance)`, at its middle by this measure. `balance` is the alpha at which
    both sources are equally strong (their mean leads of the true class are equally large). So an
    unbounded interval has a finite middle, and scaling a source scales the answer. Intervals
    narrower than a millionth of alpha, which float32 cannot hit, are left out.

    Args:
        base: `[N, C]` logits.
        other: `[N, C]` logits that alpha multiplies.
        targets: `[N]` columns of the true classes.
        low: smallest alpha allowed; `-inf` for none.
        high: largest alpha allowed.
        default: an alpha to stay at when none is better.

    Raises:
        InputError: shapes that disagree, NaN or infinity, targets outside the columns, `low` not
            below `high`.

    >>> best_alpha([[1.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]], [1, 0])
    Best(alpha=2.0, right=2, interval=(0.5, inf))
    """
    first, second = matrix("base", base), matrix("other", other)
    if first.shape != second.shape:
        raise InputError(
            f"expected two sources of one shape, got {list(first.shape)} and {list(second.shape)}"
        )
    columns = checked_columns("targets", targets, first.shape)
    _check_range(low, high)
    width = first.shape[1]
    return _best_of_each(
        first, columns, width, 1, lambda rows: [second[rows].T], (low, high), default
    )[0][0]


def best_alpha_beta(
    text_logits: ArrayLike,
    similarities: ArrayLike,
    labels: ArrayLike,
    targets: ArrayLike,
    betas: Sequence[float],
    low: float = 0.0,
    high: float = inf,
    *,
    leave_one_out: bool = False,
    units: ArrayLike | None = None,
) -> BestCache:
    """Beta of a list and the exact alpha of `text_logits + alpha * exp(-beta * (1 - S)) Y`.

    Of equally good pairs, that of the widest interval (see `best_alpha`), then of the first beta.

    Args:
        text_logits: `[N, C]`, scaled.
        similarities: S, `[N, M]` cosines between the samples and the M keys of the cache.
        labels: `[M]` classes of the keys; Y is one-hot of them.
        targets: `[N]` columns of the true classes.
        betas: sharpnesses to try, not negative.
        low: smallest alpha allowed.
        high: largest alpha allowed.
        leave_one_out: the samples are the keys (N = M): key n does not vote on sample n.
        units: `[N]`; when leaving out, no key votes on a sample of its own unit.

    Raises:
        InputError: as `best_alpha`; no beta, or a negative one; N other than M when leaving out.

    >>> best_alpha_beta([[1.0, 0.0]], [[0.0, 1.0]], [0, 1], [1], [50.0])
    BestCache(alpha=3.0, right=1, interval=(1.0, inf), beta=50.0)
    """
    first, closeness = matrix("text_logits", text_logits), matrix("similarities", similarities)
    classes = first.shape[1]
    if len(closeness) != len(first):
        raise InputError(f"expected {len(first)} rows of similarities, got {len(closeness)}")
    if leave_one_out and closeness.shape[0] != closeness.shape[1]:
        raise InputError(
            f"leaving one out expects similarities [N, N], got {list(closeness.shape)}"
        )
    each = _checked_units(units, len(first))
    columns = checked_columns("targets", targets, first.shape)
    keys = checked_columns("labels", labels, (closeness.shape[1], classes))
    sharpness = checked_betas(betas)
    _check_range(low, high)
    order = np.argsort(keys, kind="stable")

    def votes(rows: slice) -> Iterator[NDArray[np.float32]]:
        apart = (closeness[rows].T - 1)[order].astype(np.float32)
        if leave_one_out:  # exp(-inf): the keys of the sample's own unit do not vote
            apart[each[order][:, None] == each[rows]] = -inf
        return (_votes(apart, beta, keys[order], classes) for beta in sharpness)

    width = max(classes, len(keys))
    found = _best_of_each(first, columns, width, len(sharpness), votes, (low, high), None)
    b = max(range(len(found)), key=lambda i: (found[i][0].right, found[i][1], -i))
    best = found[b][0]
    return BestCache(best.alpha, best.right, best.interval, sharpness[b])


def _best_of_each(
    base: NDArray[np.floating],
    columns: NDArray[np.int64],
    width: int,
    count: int,
    others: Callable[[slice], Iterable[NDArray[np.floating]]],
    span: tuple[float, float],
    default: float | None,
) -> list[tuple[Best, float]]:
    """The best alpha, and how wide its interval is, for each of several sources beside `base`.

    Args:
        base: `[N, C]` logits.
        columns: `[N]` true classes.
        width: numbers a sample in the largest temporary.
        count: how many sources.
        others: for a slice of n samples, `[C, n]` logits of each source.
        span: smallest and largest alpha.
        default: an alpha to stay at when none is better.
    """
    starts, ends = np.empty((count, len(base))), np.empty((count, len(base)))
    strength = np.zeros((count, 2))
    step = max(1, _CELLS // width)
    for rows in (slice(i, i + step) for i in range(0, len(base), step)):
        lead, fixed = _leads(base[rows].T, columns[rows])
        lead_strength = np.abs(lead).sum()
        for k, other in enumerate(others(rows)):
            pull = _pull(other, columns[rows])
            starts[k, rows], ends[k, rows] = intervals(lead, pull, fixed)
            strength[k] += lead_strength, np.abs(pull).sum()
    return [
        sweep(starts[k], ends[k], *span, balance_of(strength[k]), default) for k in range(count)
    ]


def matrix(name: str, values: ArrayLike) -> NDArray[np.floating]:
    """`[N, C]` finite numbers, as wide as they came but at least float32."""
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating) or array.dtype.itemsize < 4:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"expected numbers in {name}, got {array.dtype}") from error
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"expected {name} of rows and columns, got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise InputError(f"{name} contain NaN or infinity; compute them again")
    return array


def checked_columns(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """`[N]` columns for rows of `[N, C]`."""
    array = np.asarray(values)
    if array.shape != shape[:1] or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"expected {shape[0]} whole numbers in {name}, got {list(array.shape)} {array.dtype}"
        )
    if array.min() < 0 or array.max() >= shape[1]:
        raise InputError(
            f"expected {name} from 0 to {shape[1] - 1}, got {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)


def _checked_units(units: ArrayLike | None, count: int) -> NDArray[Any]:
    each = np.arange(count) if units is None else np.asarray(units)
    if each.shape != (count,):
        raise InputError(f"expected {count} units, got {list(each.shape)}")
    return each


def _check_range(low: float, high: float) -> None:
    if isnan(low) or isnan(high) or not low < high or low == inf:
        raise InputError(f"expected low below high, got {low} and {high}")


def _pull(source: NDArray[np.floating], columns: NDArray[np.int64]) -> Doubles:
    """`[C, n]`: how far the true class leads each class in a source given as `[C, n]`."""
    wide = np.ascontiguousarray(source, dtype=np.float64)
    return np.asarray(wide[columns, np.arange(len(columns))] - wide)


def _leads(
    source: NDArray[np.floating], columns: NDArray[np.int64]
) -> tuple[Doubles, NDArray[np.bool_]]:
    """The same, and where that alone loses when alpha changes nothing (`argmax` on ties)."""
    lead = _pull(source, columns)
    before = np.arange(len(lead))[:, None] < columns
    return lead, (lead < 0) | ((lead == 0) & before)


def _votes(
    apart: NDArray[np.float32], beta: float, keys: NDArray[np.int64], classes: int
) -> NDArray[np.float32]:
    """`[C, n]` votes of keys `[M, n]` sorted by class; a sum a class, never a one-hot product."""
    affinity = np.zeros_like(apart)
    if beta:
        np.multiply(apart, np.float32(beta), out=affinity)
    else:
        affinity[np.isneginf(apart)] = -inf
    np.exp(affinity, out=affinity)
    present, firsts = np.unique(keys, return_index=True)
    sums = np.add.reduceat(affinity, firsts, axis=0)
    if len(present) == classes:
        return np.asarray(sums)
    votes = np.zeros((classes, apart.shape[1]), dtype=np.float32)
    votes[present] = sums
    return votes
