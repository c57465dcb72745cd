"""Which task an image belongs to: closed form from the support sets, image by image.

A task is one Gaussian of the features of its support set, all tasks share one shrunk covariance,
and the nearest task in that metric is the image's. Nothing is trained, no image is judged by the
images beside it, and the order of the tasks changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.packs.stranger import FEWEST, Part, Stranger, Values, some
from handful.selection.confidence import softmax, temperature
from handful.selection.discriminant import gaussian_left_out

# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.02
_ENOUGH = 4096  # support images that left-out answers are taken of
_FLOOR = 1e-10  # squared distances of unit rows below this are float32's rounding


@dataclass(frozen=True, eq=False)
class Router:
    """Tells the tasks of a library apart. Make one with `Router.of`.

    `d_t(x) = x P m_t - 1/2 m_t P m_t`, m_t the task's mean and P the inverse of
    `(1 - rho) S + rho tr(S) / D I`, S the covariance around the tasks' means.

    Args:
        names: T tasks, sorted.
        weights: `[T, D]` `m_t P`, less their mean over the tasks.
        bias: `[T]`, likewise.
        factor: what discriminants are multiplied by before the softmax, so that it is as sure as
            left-out images allow.
        right: share of support images that find their task by a fit without them.
        parts: T support sets.
    """

    names: tuple[str, ...]
    weights: Values
    bias: Values
    factor: float
    right: float
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, tasks: Mapping[str, Part]) -> Router:
        """A router from the support set of each task.

        Raises:
            InputError: no task.

        >>> rows = np.eye(4, dtype=np.float32)
        >>> where = np.zeros(2, dtype=np.int64)
        >>> made = Router.of({"a": Part(rows[:2], where), "b": Part(rows[2:], where)})
        >>> made.shares(rows).argmax(axis=1).tolist()
        [0, 0, 1, 1]
        """
        if not tasks:
            raise InputError("a router needs at least one task with a support set")
        names = tuple(sorted(tasks))
        parts = tuple(tasks[name] for name in names)
        means = np.stack([p.features.mean(0, dtype=np.float64) for p in parts])
        if len(names) == 1:
            return cls(names, np.zeros_like(means), np.zeros(1), 1.0, 1.0, parts)
        count = sum(len(p.features) for p in parts)
        covariance = np.sum([_scatter(p.features) for p in parts], axis=0) / (count - 1)
        variance = float(np.trace(covariance)) / len(covariance)
        shrunk = (1 - _SHRINKAGE) * covariance
        shrunk[np.diag_indices(len(shrunk))] += _SHRINKAGE * variance
        if variance * len(covariance) <= _FLOOR:  # no task has two different images
            shrunk = np.eye(len(covariance))
        weights = np.linalg.solve(shrunk, means.T).T
        bias = -0.5 * (weights * means).sum(1)
        factor, right = _sureness([p.features for p in parts])
        return cls(names, weights - weights.mean(0), bias - bias.mean(), factor, right, parts)

    def shares(self, X: Array) -> Values:
        """`[M, D]` features to `[M, T]`: how likely each task is, were the image of one of them."""
        return softmax(X.astype(np.float64) @ self.weights.T + self.bias, self.factor)

    def stranger(self) -> Stranger | None:
        """What tells images of none of the tasks; None of fewer than three tasks."""
        return Stranger.of(self.parts) if len(self.parts) >= FEWEST else None


def _scatter(rows: Array) -> Values:
    """`[D, D]` about the mean; a product of float32 is twice as fast and exact enough."""
    rest = rows - rows.mean(0)
    return np.asarray(rest.T @ rest, dtype=np.float64)


def _sureness(parts: Sequence[Array]) -> tuple[float, float]:
    """The factor and the share of right tasks, each image by a fit without it."""
    kept = [some(p, max(2, _ENOUGH // len(parts))) for p in parts]
    truth: NDArray[np.int64] = np.repeat(np.arange(len(kept)), [len(p) for p in kept])
    rows, targets = torch.from_numpy(np.concatenate(kept)), torch.from_numpy(truth)
    # stands where a discriminant wants text, of which it makes nothing where all have images
    means = torch.from_numpy(np.stack([p.mean(0) for p in kept]))
    left_out = gaussian_left_out(rows, targets, means, shrinkage=_SHRINKAGE).numpy()
    return temperature(left_out, truth), float((left_out.argmax(1) == truth).mean())
