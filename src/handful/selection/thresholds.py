"""Several labels an image: ridge regression a class, and F1-optimal thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.groups import Units, unit_weights
from handful.selection.ridge import linear_ridge_path

MIN_POSITIVES = (
    2  # positives (and one negative) from which left-out answers are evidence for a class
)
_CONSTANT = 10.0  # the constant beside the features; so large that the bias is hardly drawn to zero
_MAX_CUTS = 2000  # cuts of the pool that are tried for every class


def ridge_path_with_offset(
    features: Tensor,
    labels: Tensor,
    offset: Tensor,
    penalties: Sequence[float],
    units: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ridge regression of 0/1 labels with a fixed offset, and its exact leave-one-out.

    `min |Y - g Z - X Wᵀ - b|² + lambda |W|²`, the samples of a unit counting as one. The gain g,
    one for all classes, is the slope of the labels against Z, each class about its mean; below zero
    it counts as zero. A unit left out leaves the regression, its means and the gain.

    Args:
        features: X, `[N, D]` unit rows, N at least 2.
        labels: Y, `[N, C]`, 0 or 1.
        offset: Z, `[N, C]`, scores by the text alone, the same whatever is left out.
        penalties: L values of lambda, all positive.
        units: `[N]` units from 0; None: each sample alone. A single one, left out, leaves nothing,
            and its predictions are zero.

    Returns:
        `[L, C, D]` W, `[L, C]` b, `[]` g and `[L, N, C]` left-out predictions, in float64.
    """
    rows, truth, z = features.double(), labels.double(), offset.double()
    gain, gains = _gain(z, truth, units)
    wide = torch.cat([rows, rows.new_full((len(rows), 1), _CONSTANT)], dim=1)
    # samples that count for w: their rows and residuals, each times the root of w
    size = wide.new_ones(len(rows), 1)
    if units is not None:
        size = torch.from_numpy(unit_weights(units.numpy())).sqrt()[:, None]
    both = size * torch.cat([truth, z], dim=1)
    solved, out = linear_ridge_path(size * wide, both, penalties, units)
    out = out / size
    c = truth.shape[1]
    weights = solved[:, :c] - gain * solved[:, c:]
    left_out = out[:, :, :c] + gains[:, None] * (z - out[:, :, c:])
    return weights[..., :-1], _CONSTANT * weights[..., -1], gain, left_out


def _gain(offset: Tensor, labels: Tensor, units: Tensor | None) -> tuple[Tensor, Tensor]:
    """`[]` slope of the labels against the offset, and `[N]` the same without each unit."""
    each = torch.arange(len(offset)) if units is None else units
    counted, n = torch.from_numpy(unit_weights(each.numpy())), int(each.max()) + 1
    z, y = (v - counted @ v / n for v in (offset, labels))

    def summed(v: Tensor) -> Tensor:
        """`[U, ...]` over the samples of each unit, which count as one."""
        return v.new_zeros(n, v.shape[1]).index_add_(0, each, counted[:, None] * v)

    def without(a: Tensor, b: Tensor) -> Tensor:
        """`[U]` centred sum of `a b` without each unit, whose share of the means leaves too."""
        own = summed(a * b).sum(1)
        return own.sum() - own - (summed(a) * summed(b)).sum(1) / max(n - 1, 1)

    both, own = summed(z * y).sum(), summed(z * z).sum()
    both_without, own_without = without(z, y), without(z, z)
    nothing = 1e-12 * n
    gains = torch.where(own_without > nothing, both_without / own_without.clamp(min=nothing), 0.0)
    gain = both / own if own > nothing else torch.zeros_like(own)
    return gain.clamp(min=0), gains.clamp(min=0)[each]


@dataclass(frozen=True, eq=False)
class Thresholds:
    """From which probability on the answer is yes.

    Args:
        values: `[C]`.
        shared: of the classes that have too few images for one of their own.
        own: `[C]`, whether the threshold was learned from the class's own images too.
    """

    values: NDArray[np.float64]
    shared: float
    own: NDArray[np.bool_]


def enough_examples(labels: NDArray[Any], units: Units | None = None) -> NDArray[np.bool_]:
    """`[C]`, whether left-out answers measure a class: two positives and a negative, or more.

    Args:
        labels: `[N, C]`, 0 or 1.
        units: `[N]` units, of which the positives are counted; None: each image alone.
    """
    truth = np.asarray(labels) > 0
    shown = truth
    if units is not None:
        shown = np.zeros((int(units.max()) + 1, truth.shape[1]), dtype=np.bool_)
        np.logical_or.at(shown, units, truth)
    return np.asarray((shown.sum(0) >= MIN_POSITIVES) & ~truth.all(0), dtype=np.bool_)


def f1_thresholds(
    logits: NDArray[Any], labels: NDArray[Any], pool: float, units: Units | None = None
) -> Thresholds:
    """The probability of each class from which on saying yes raises its F1: half of its best F1.

    `F1 = 2 TP / (2 TP + FP + FN)`. Of calibrated probabilities the threshold that maximises F1 is
    half of that maximum, whatever the class; it lies at one half only where the answers are
    perfect. The best F1 is looked up on left-out answers, over all cuts between them. A maximum
    is known much better than the place where it lies, so few images suffice. To the class's counts
    are added those that the probabilities predict for all classes together (TP is the sum of the
    probabilities above the cut), scaled to `pool` positives: with few images of its own, a class
    has nearly the shared threshold.

    A class with less than two positives or without a negative (its only positive, left out, is
    known by text alone) takes the shared threshold, half of the best F1 promised for
    all others together. Where no class has enough it is one half.

    Args:
        logits: `[N, C]`, calibrated, each row by a fit without it.
        labels: `[N, C]`, 0 or 1.
        pool: positives that all classes together count for in each.
        units: `[N]` units, the images of which count as one; None: each image alone.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1
    measure", ECML 2014, for one half of the maximum; the shrinkage is ours.

    >>> left_out = np.array([[2.0], [1.0], [0.0], [-1.0]])
    >>> float(f1_thresholds(left_out, np.array([[1], [0], [1], [0]]), 0).values[0])  # of F1 = 4 / 5
    0.4
    """
    truth, scores = np.asarray(labels) > 0, np.asarray(logits, dtype=np.float64)
    own, weights = enough_examples(truth, units), np.ones(len(truth))
    if units is not None:
        weights = unit_weights(units)
    if not own.any():
        return Thresholds(np.full(len(own), 0.5), 0.5, own)
    everything = _Ranked.of(scores[:, own], np.repeat(weights[:, None], own.sum(), axis=1))
    cuts = np.unique(everything.scores)
    if len(cuts) > _MAX_CUTS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, _MAX_CUTS).round().astype(int)]
    shared = float(_f1(_expected(cuts, everything)).max() / 2)
    values = np.full(len(own), shared)
    for c in np.flatnonzero(own):
        here = np.union1d(scores[:, c], cuts)
        counts = _counts(here, scores[:, c], truth[:, c], weights)
        values[c] = _f1(counts + pool * _expected(here, everything)).max() / 2
    return Thresholds(values, shared, own)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Scores, ascending, with what each counts for."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], weights: NDArray[np.float64]) -> _Ranked:
        order = np.argsort(scores, axis=None, kind="stable")
        return cls(scores.ravel()[order], weights.ravel()[order])

    def below(self, at: NDArray[np.float64], worth: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[K]` sum of what scores below each of K cuts are worth."""
        sums = np.concatenate([[0.0], np.cumsum(worth)])
        return np.asarray(sums[np.searchsorted(self.scores, at, side="left")])


def _counts(
    at: NDArray[np.float64],
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`[3, K]` true positives, false positives and false negatives with yes from each of K cuts."""
    yes, no = (_Ranked.of(scores[is_], weights[is_]) for is_ in (truth, ~truth))
    missed = yes.below(at, yes.weights)
    false = no.weights.sum() - no.below(at, no.weights)
    return np.stack([yes.weights.sum() - missed, false, missed])


def _expected(at: NDArray[np.float64], given: _Ranked) -> NDArray[np.float64]:
    """The same in expectation by the probabilities, for one positive in all."""
    chances = given.weights / (1 + np.exp(-np.clip(given.scores, -500, 500)))
    missed, named = given.below(at, chances), given.weights.sum() - given.below(at, given.weights)
    hits = chances.sum() - missed
    return np.asarray(np.stack([hits, named - hits, missed]) / chances.sum(), dtype=np.float64)


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, false, missed = counts
    result: NDArray[np.float64] = 2 * hits / (2 * hits + false + missed)
    return result
