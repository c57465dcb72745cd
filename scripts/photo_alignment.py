"""Text features to the image space of `photo`: the formulas and how they are measured.

An alignment is fitted on the class vectors of the image tower's own classifier and texts of those
classes; no photo takes part. It is measured on classes never seen: the query is a class's centred
classifier row, the candidates are one text vector of each of the 200 classes of a fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.stats import norm, t

Fit = Callable[[np.ndarray, np.ndarray, float], Callable[[np.ndarray], np.ndarray]]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def folds(count: int, seed: int = 0, parts: int = 5) -> list[np.ndarray]:
    """Indices of the held-out classes of each fold."""
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(order[i::parts]) for i in range(parts)]


def targets(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Classifier rows `[C, D]` without the mean of the seen ones, of length one."""
    return unit(rows - rows[seen].mean(axis=0))


def gram(a: np.ndarray, b: np.ndarray, width: float = 4.0) -> np.ndarray:
    """The kernel exp(4 (cos - 1)) of unit rows."""
    return np.exp(width * (a @ b.T - 1))


def kernel_ridge(
    texts: np.ndarray, values: np.ndarray, penalty: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel ridge regression of `values` `[N, D]` on unit rows `[N, E]`."""
    weights = np.linalg.solve(gram(texts, texts) + penalty * np.eye(len(texts)), values)
    return lambda query: gram(query, texts) @ weights


def ridge_weights(texts: np.ndarray, values: np.ndarray, penalty: float) -> np.ndarray:
    """`[E, D]` of the ridge regression without intercept."""
    return np.linalg.solve(texts.T @ texts + penalty * np.eye(texts.shape[1]), texts.T @ values)


def ridge(
    texts: np.ndarray, values: np.ndarray, penalty: float
) -> Callable[[np.ndarray], np.ndarray]:
    """The same as a function of texts."""
    weights = ridge_weights(texts, values, penalty)
    return lambda query: query @ weights


def hits(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Percent of C queries `[C, D]` whose own vector `[C, D]` is the first, and among five."""
    scores = unit(queries) @ unit(vectors).T
    rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return 100 * np.array([(rank < 1).mean(), (rank < 5).mean()])


def interval(values: Sequence[np.ndarray]) -> str:
    """Mean over folds and half the width of its 95 % interval (Student's t), top-1 and top-5."""
    rows = np.array(values)
    half = t.ppf(0.975, len(rows) - 1) * rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return " | ".join(f"{m:.1f} ± {h:.1f}" for m, h in zip(rows.mean(axis=0), half, strict=True))


def splits(count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Seen and held-out classes of each fold."""
    for unseen in folds(count, seed):
        yield np.setdiff1d(np.arange(count), unseen), unseen


def usual_direction(gain: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The direction `[D]` of the mean image feature, without an image.

    The last layer before pooling is min(max(BN, 0), 6), and BN's output has, over ImageNet, the
    mean `shift` and the deviation `gain` that its parameters state; taken as Gaussian.
    """
    quantiles = norm.ppf((np.arange(2001) + 0.5) / 2001)
    values = np.clip(shift[:, None] + np.abs(gain)[:, None] * quantiles, 0, 6)
    return unit(values.mean(axis=1))


def without(weights: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """`[E, D]` weights whose outputs are orthogonal to a unit direction `[D]`.

    What all images share would otherwise favour the same classes whatever the image.
    """
    return weights - np.outer(weights @ direction, direction)


def logit_scale(
    vectors: np.ndarray, values: np.ndarray, row_norm: float, image_norm: float
) -> tuple[float, float, float]:
    """What the cosines of images with text vectors are multiplied by; with slope and deviation.

    The image tower's own logit of an image x is `r |x| cos(x, w)`: w the classifier row of the
    class without the mean row, r its norm. For a class that is known by its text alone, cos(x, w)
    is estimated from the text vector f by least squares, `a cos(x, f)`, with an error of deviation
    e. The logit is then `r |x| a cos(x, f)`, flattened for the error as in MacKay's approximation
    of a softmax under Gaussian logits. The rows of the other held-out classes stand in for x.

    Args:
        vectors: `[C, D]` text vectors of held-out classes.
        values: `[C, D]` unit, centred classifier rows of the same classes.
        row_norm: r, of the centred rows.
        image_norm: |x|, of image features.
    """
    others = ~np.eye(len(values), dtype=bool)
    wanted, given = (values @ values.T)[others], (values @ unit(vectors).T)[others]
    slope = float((wanted * given).sum() / (given**2).sum())
    error = float((wanted - slope * given).std())
    gain = row_norm * image_norm
    return gain * slope / float(np.sqrt(1 + np.pi / 8 * (gain * error) ** 2)), slope, error
