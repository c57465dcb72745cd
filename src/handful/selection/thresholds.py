"""Several labels an image: ridge regression a class, Platt scaling and F1-optimal thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.ridge import linear_ridge_path

MIN_POSITIVES = (
    2  # positives (and one negative) from which left-out answers are evidence for a class
)
_CONSTANT = 10.0  # the constant beside the features; so large that the bias is hardly drawn to zero
_MAX_CUTS = 2000  # cuts of the pool that are tried for every class
_NEWTON_STEPS = 100  # Newton's method is done in about ten


def ridge_path_with_offset(
    features: Tensor, labels: Tensor, offset: Tensor, penalties: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ridge regression of 0/1 labels with a fixed offset, and its exact leave-one-out.

    `min |Y - g Z - X Wᵀ - b|² + lambda |W|²`. The gain g, one for all classes, is the slope of the
    labels against Z, each class about its mean; below zero it counts as zero. A sample left out
    leaves the regression, its means and the gain.

    Args:
        features: X, `[N, D]` unit rows, N at least 2.
        labels: Y, `[N, C]`, 0 or 1.
        offset: Z, `[N, C]`, scores by the text alone, the same whatever is left out.
        penalties: L values of lambda, all positive.

    Returns:
        `[L, C, D]` W, `[L, C]` b, `[]` g and `[L, N, C]` left-out predictions, in float64.
    """
    rows, truth, z = features.double(), labels.double(), offset.double()
    gain, gains = _gain(z, truth)
    wide = torch.cat([rows, rows.new_full((len(rows), 1), _CONSTANT)], dim=1)
    solved, out = linear_ridge_path(wide, torch.cat([truth, z], dim=1), penalties)
    c = truth.shape[1]
    weights = solved[:, :c] - gain * solved[:, c:]
    left_out = out[:, :, :c] + gains[:, None] * (z - out[:, :, c:])
    return weights[..., :-1], _CONSTANT * weights[..., -1], gain, left_out


def _gain(offset: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`[]` slope of the labels against the offset, and `[N]` the same without each sample."""
    z, y, n = offset - offset.mean(0), labels - labels.mean(0), len(offset)
    # a sample left out takes n / (n - 1) z_i y_i from the centred sum, its share of the mean too
    less = n / (n - 1)
    both, own = (z * y).sum(), (z * z).sum()
    both_without, own_without = both - less * (z * y).sum(1), own - less * (z * z).sum(1)
    nothing = 1e-12 * n
    gains = torch.where(own_without > nothing, both_without / own_without.clamp(min=nothing), 0.0)
    gain = both / own if own > nothing else torch.zeros_like(own)
    return gain.clamp(min=0), gains.clamp(min=0)


def platt_scaling(scores: NDArray[Any], labels: NDArray[Any]) -> tuple[float, float] | None:
    """Slope and offset that make scores of any shape logits: Platt's logistic regression.

    The targets are his `(n₊ + 1) / (n₊ + 2)` and `1 / (n₋ + 2)`, so scores that separate the
    labels do not become certain. None where higher scores do not go with label 1.

    Args:
        scores: any shape; of samples that the fit has not seen.
        labels: 0 or 1, of the same shape.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    x, y = np.ravel(scores).astype(np.float64), np.ravel(labels) > 0
    positive, negative = int(y.sum()), int((~y).sum())
    if not (positive and negative) or np.ptp(x) == 0:
        return None
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    middle, size = x.mean(), x.std()
    # standardised, or Newton's method meets a badly scaled Hessian
    design = np.stack([(x - middle) / size, np.ones_like(x)], axis=1)
    share = (positive + 1) / (len(x) + 2)
    found = np.array([0.0, np.log(share / (1 - share))])
    loss = _loss(design @ found, target)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        curve = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, design.T @ (target - p))
        while np.abs(step).max() > 1e-10 and _loss(design @ (found + step), target) > loss:
            step /= 2  # Newton's step can overshoot where the curve is flat
        found = found + step
        loss = _loss(design @ found, target)
        if np.abs(step).max() <= 1e-10:
            break
    slope = float(found[0] / size)
    return (slope, float(found[1] - slope * middle)) if slope > 0 else None


def _loss(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, logits) - target * logits).sum())


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


def enough_examples(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """`[C]`, whether left-out answers measure a class: two positives and a negative, or more.

    Args:
        labels: `[N, C]`, 0 or 1.
    """
    positives = (np.asarray(labels) > 0).sum(0)
    return np.asarray((positives >= MIN_POSITIVES) & (positives < len(labels)), dtype=np.bool_)


def f1_thresholds(logits: NDArray[Any], labels: NDArray[Any], pool: float) -> Thresholds:
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

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1
    measure", ECML 2014, for one half of the maximum; the shrinkage is ours.

    >>> left_out = np.array([[2.0], [1.0], [0.0], [-1.0]])
    >>> float(f1_thresholds(left_out, np.array([[1], [0], [1], [0]]), 0).values[0])  # of F1 = 4 / 5
    0.4
    """
    truth, scores = np.asarray(labels) > 0, np.asarray(logits, dtype=np.float64)
    own = enough_examples(truth)
    if not own.any():
        return Thresholds(np.full(len(own), 0.5), 0.5, own)
    everything = np.sort(scores[:, own], axis=None)
    cuts = np.unique(everything)
    if len(cuts) > _MAX_CUTS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, _MAX_CUTS).round().astype(int)]
    shared = float(_f1(_expected(cuts, everything)).max() / 2)
    values = np.full(len(own), shared)
    for c in np.flatnonzero(own):
        here = np.union1d(scores[:, c], cuts)
        counts = _counts(here, scores[:, c], truth[:, c])
        values[c] = _f1(counts + pool * _expected(here, everything)).max() / 2
    return Thresholds(values, shared, own)


def _counts(
    at: NDArray[np.float64], scores: NDArray[np.float64], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`[3, K]` true positives, false positives and false negatives with yes from each of K cuts."""
    yes, no = np.sort(scores[truth]), np.sort(scores[~truth])
    missed = np.searchsorted(yes, at, side="left")
    false = len(no) - np.searchsorted(no, at, side="left")
    return np.stack([len(yes) - missed, false, missed]).astype(np.float64)


def _expected(at: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same in expectation by the probabilities, for one positive in all; scores ascending."""
    below = np.concatenate([[0.0], np.cumsum(1 / (1 + np.exp(-np.clip(scores, -500, 500))))])
    first = np.searchsorted(scores, at, side="left")
    hits = below[-1] - below[first]
    counts = np.stack([hits, len(scores) - first - hits, below[first]])
    return np.asarray(counts / below[-1], dtype=np.float64)


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, false, missed = counts
    result: NDArray[np.float64] = 2 * hits / (2 * hits + false + missed)
    return result
