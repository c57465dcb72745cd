"""Which task an image belongs to, and whether to any: closed form, image by image.

Each skill brings the features of its support set. A task is one Gaussian of them, all tasks share
one shrunk covariance, and the nearest task in that metric is the image's. Nothing is trained, no
image is judged by the images beside it, and the order of the tasks changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.selection.confidence import softmax, temperature
from handful.selection.discriminant import gaussian_left_out
from handful.selection.unknown import Unknown

# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.02  # of the covariance that tells tasks apart
_LOOSE = 0.5  # of the one that tells how far away an image is
_FEWEST = 3  # tasks; of fewer, none can be left out
_ROUNDS = 32  # tasks are left out one by one up to here, then several together
_ENOUGH = 4096  # support images that left-out answers are taken of
_FLOOR = 1e-9

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Tasks:
    """What is known of T tasks: `[T, D]` sums, `[T]` counts, the `[D, D]` scatter within them."""

    sums: Values
    counts: Values
    scatter: Values

    @property
    def means(self) -> Values:
        return np.asarray(self.sums / self.counts[:, None])

    @property
    def variance(self) -> float:
        """Mean over the directions, within tasks; 1 where no task has two different images."""
        found = float(np.trace(self.scatter)) / len(self.scatter) / (self.counts.sum() - 1)
        return found if found > _FLOOR / len(self.scatter) else 1.0

    def shrunk(self, rho: float) -> Values:
        """`[D, D]` `(1 - rho) S D / tr(S) + rho I`: a covariance of mean variance 1."""
        width, trace = len(self.scatter), float(np.trace(self.scatter))
        if trace <= _FLOOR * float(self.counts.sum()):
            return np.eye(width)
        result: Values = (1 - rho) * width / trace * self.scatter
        result[np.diag_indices(width)] += rho
        return result

    def without(self, group: Sequence[int], scatter: Values) -> _Tasks:
        """The others, `scatter` being that of the group."""
        kept = np.setdiff1d(np.arange(len(self.counts)), group)
        return _Tasks(self.sums[kept], self.counts[kept], self.scatter - scatter)


@dataclass(frozen=True, eq=False)
class _Far:
    """How far images are from the tasks: `[M, 2]` signals, larger is more familiar.

    `-min_t |x - m_t|` and `-log(min_t |x - m_t|² / |x - g|²)`, |v| in the metric of the covariance
    within tasks, g the mean of all images: near to a task, and nearer to it than to all together.
    """

    turn: Values  # [D, D], distances are those of x @ turn
    means: Values  # [T, D], turned
    centre: Values  # [1, D], turned

    @classmethod
    def of(cls, tasks: _Tasks) -> _Far:
        turn = np.linalg.inv(np.linalg.cholesky(tasks.shrunk(_LOOSE))).T
        centre = tasks.sums.sum(0, keepdims=True) / tasks.counts.sum()
        return cls(turn, tasks.means @ turn, centre @ turn)

    def __call__(self, rows: Array) -> Values:
        x = rows.astype(np.float64) @ self.turn
        near = _distances(x, self.means).min(1)
        centre = _distances(x, self.centre)[:, 0]
        return np.stack([-np.sqrt(near), -np.log(near / centre)], axis=1)


@dataclass(frozen=True, eq=False)
class Router:
    """Tells tasks apart, and images of none of them. Make one with `Router.of`.

    Args:
        names: T tasks, sorted.
        weights: `[T, D]` of the discriminant.
        bias: `[T]`.
        factor: what discriminants are multiplied by before the softmax, so that it is as sure as
            left-out images allow.
        right: share of support images that find their task by a fit without them.
        parts: T arrays `[N_t, D]`, the support images.
    """

    names: tuple[str, ...]
    weights: Values
    bias: Values
    factor: float
    right: float
    parts: tuple[Array, ...]

    @classmethod
    def of(cls, features: Mapping[str, Array]) -> Router:
        """A router from `[N_t, D]` unit rows of each task.

        Raises:
            InputError: no task.
        """
        if not features:
            raise InputError("a router needs at least one task with a support set")
        names = tuple(sorted(features))
        parts = tuple(features[name] for name in names)
        tasks = _tasks(parts, sum((_scatter(p) for p in parts), np.zeros((1, 1))))
        if len(names) == 1:
            return cls(names, np.zeros_like(tasks.means), np.zeros(1), 1.0, 1.0, parts)
        weights = np.linalg.solve(tasks.variance * tasks.shrunk(_SHRINKAGE), tasks.means.T).T
        bias = -0.5 * (weights * tasks.means).sum(1)
        some = _some(parts, _ENOUGH)
        truth = np.repeat(np.arange(len(some)), [len(p) for p in some])
        factor, right = _sureness(some, truth)
        return cls(names, weights - weights.mean(0), bias - bias.mean(), factor, right, parts)

    def shares(self, X: Array) -> Values:
        """`[M, D]` features to `[M, T]`: how likely each task is, were the image of one of them."""
        return softmax(X.astype(np.float64) @ self.weights.T + self.bias, self.factor)

    def stranger(self) -> Stranger | None:
        """What tells images of none of the tasks; None of fewer than three tasks."""
        return Stranger.of(self.parts) if len(self.parts) >= _FEWEST else None


@dataclass(frozen=True, eq=False)
class Stranger:
    """Tells images of no known task, at a rate learned by leaving each task out.

    Args:
        far: what the tasks make of an image.
        learned: scores of images whose task was left out (`handful.selection.unknown.Unknown`).
    """

    far: _Far
    learned: Unknown

    @classmethod
    def of(cls, parts: Sequence[Array]) -> Stranger:
        """From `[N_t, D]` support images of T >= 3 tasks."""
        rounds = min(len(parts), _ROUNDS)
        groups = [range(turn, len(parts), rounds) for turn in range(rounds)]
        scatters = [np.sum([_scatter(parts[t]) for t in group], axis=0) for group in groups]
        tasks = _tasks(parts, np.sum(scatters, axis=0))
        some = _some(parts, _ENOUGH)
        found, owner = [], []
        for group, scatter in zip(groups, scatters, strict=True):
            far = _Far.of(tasks.without(group, scatter))
            for t in group:
                found.append(far(some[t]))
                owner.append(np.full(len(some[t]), t))
        signals, owners = np.concatenate(found), np.concatenate(owner)
        middle, spread = signals.mean(0), np.maximum(signals.std(0), _FLOOR)
        none, half = np.zeros(0), np.full(2, 0.5)
        made = Unknown(middle, spread, half, none, owners, none, none)
        learned = Unknown(middle, spread, half, made.scores(signals), owners, none, none)
        return cls(_Far.of(tasks), learned)

    def rates(self, X: Array) -> Values:
        """`[M]` share of images of unknown tasks that look as familiar as each, or more so.

        To accept what has a rate of at most r is to accept at most the share r of the images of a
        task that is not in the library, on average over tasks like those that are.
        """
        return self.learned.rates(self.learned.scores(self.far(X)))


def _distances(rows: Values, means: Values) -> Values:
    """`[M, T]` squared, none below a floor."""
    squares = (rows * rows).sum(1)[:, None] + (means * means).sum(1) - 2 * rows @ means.T
    return np.asarray(np.maximum(squares, _FLOOR))


def _scatter(part: Array) -> Values:
    """`[D, D]` about the mean; the product in float32, which is twice as fast and exact enough."""
    rest = part - part.mean(0)
    return np.asarray(rest.T @ rest, dtype=np.float64)


def _some(parts: Sequence[Array], most: int) -> list[Array]:
    """At most `most` images of all tasks, as many of each, spread evenly over its support set."""
    share = max(2, most // len(parts))
    return [p[np.linspace(0, len(p) - 1, min(len(p), share)).astype(int)] for p in parts]


def _tasks(parts: Sequence[Array], scatter: Values) -> _Tasks:
    sums = np.stack([p.sum(0, dtype=np.float64) for p in parts])
    return _Tasks(sums, np.array([len(p) for p in parts], dtype=np.float64), scatter)


def _sureness(parts: Sequence[Array], truth: NDArray[np.int64]) -> tuple[float, float]:
    """The factor and the share of right tasks, each image by a fit without it."""
    rows, targets = torch.from_numpy(np.concatenate(parts)), torch.from_numpy(truth)
    # stands where a discriminant wants text, of which it makes nothing where all have images
    means = torch.from_numpy(np.stack([p.mean(0) for p in parts]))
    left_out = gaussian_left_out(rows, targets, means, shrinkage=_SHRINKAGE).numpy()
    return temperature(left_out, truth), float((left_out.argmax(1) == truth).mean())
