"""Platt scaling: scores to logits by logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEWTON_STEPS = 100  # Newton's method is done in about ten


def platt_scaling(
    scores: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None
) -> tuple[float, float] | None:
    """Slope and offset that make scores of any shape logits: Platt's logistic regression.

    The targets are his `(n₊ + 1) / (n₊ + 2)` and `1 / (n₋ + 2)`, so scores that separate the
    labels do not become certain. None where higher scores do not go with label 1.

    Args:
        scores: any shape; of samples that the fit has not seen.
        labels: 0 or 1, of the same shape.
        weights: how much each counts, of the same shape; all 1 if None.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    x, y = np.ravel(scores).astype(np.float64), np.ravel(labels) > 0
    w = np.ones_like(x) if weights is None else np.ravel(weights).astype(np.float64)
    positive, negative = float(w[y].sum()), float(w[~y].sum())
    if not (positive and negative) or np.ptp(x) == 0:
        return None
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    middle, size = x.mean(), x.std()
    # standardised, or Newton's method meets a badly scaled Hessian
    design = np.stack([(x - middle) / size, np.ones_like(x)], axis=1)
    share = (positive + 1) / (positive + negative + 2)
    found = np.array([0.0, np.log(share / (1 - share))])
    loss = _loss(design @ found, target, w)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -500, 500)))
        curve = (design * (w * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, design.T @ (w * (target - p)))
        while np.abs(step).max() > 1e-10 and _loss(design @ (found + step), target, w) > loss:
            step /= 2  # Newton's step can overshoot where the curve is flat
        found = found + step
        loss = _loss(design @ found, target, w)
        if np.abs(step).max() <= 1e-10:
            break
    slope = float(found[0] / size)
    return (slope, float(found[1] - slope * middle)) if slope > 0 else None


def _loss(
    logits: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    return float((weights * (np.logaddexp(0, logits) - target * logits)).sum())
