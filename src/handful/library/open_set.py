"""Images that belong to no task of a library, at a rate learned by leaving each task out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from handful.contracts import Array

FEWEST = 3  # tasks; of fewer, none can be left out and the rest still be several
# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.5
_ROUNDS = 32  # tasks are left out one by one up to here, then several together
_ENOUGH = 4096  # support images whose left-out scores are taken
_FLOOR = 1e-9

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """One task: `[N, D]` unit rows of its support set and their `[N]` classes."""

    features: Array
    targets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Far:
    """How far images are from the classes of all tasks: `[M, 2]`, larger is more familiar.

    `-min_c |x - m_c|` and `-log(min_c |x - m_c|² / |x - g|²)`, |v| in the metric of the shrunk
    covariance within classes, g the mean of all images: near to a class, and nearer to it than to
    all together.
    """

    turn: Array  # [D, D], distances are those of (x - centre) @ turn
    means: Array  # [C, D], about the centre and turned
    centre: Values  # [1, D]

    @classmethod
    def of(cls, means: Values, counts: Values, scatter: Values) -> _Far:
        """From `[C, D]` class means, `[C]` counts and the `[D, D]` scatter around the means."""
        width, trace = len(scatter), float(np.trace(scatter))
        shrunk = np.eye(width)
        if trace > _FLOOR * float(counts.sum()):
            shrunk = (1 - _SHRINKAGE) * width / trace * scatter
            shrunk[np.diag_indices(width)] += _SHRINKAGE
        turn = np.linalg.inv(np.linalg.cholesky(shrunk)).T
        centre = (counts[:, None] * means).sum(0, keepdims=True) / counts.sum()
        turned = ((means - centre) @ turn).astype(np.float32)
        return cls(turn.astype(np.float32), turned, centre)

    def __call__(self, rows: Array) -> Values:
        x = (rows - self.centre).astype(np.float32) @ self.turn
        own, theirs = (np.einsum("nd,nd->n", v, v, dtype=np.float64) for v in (x, self.means))
        squares = own[:, None] + theirs - 2 * (x @ self.means.T)
        near, centre = np.maximum(squares.min(1), _FLOOR), np.maximum(own, _FLOOR)
        return np.stack([-np.sqrt(near), -np.log(near / centre)], axis=1)


@dataclass(frozen=True, eq=False)
class Stranger:
    """Tells images of no known task.

    Args:
        far: what the tasks make of an image.
        middle: `[2]` mean of the signals over images whose task was left out.
        spread: `[2]` their spread.
        left_out: T arrays, the scores of the support images of each task by the others.
    """

    far: _Far
    middle: Values
    spread: Values
    left_out: tuple[Values, ...]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Stranger:
        """From the support sets of T >= 3 tasks; each in turn is unknown to the others."""
        rounds = min(len(parts), _ROUNDS)
        groups = [range(turn, len(parts), rounds) for turn in range(rounds)]
        found = [means_of(part) for part in parts]
        means, counts = (np.concatenate([one[i] for one in found]) for i in (0, 1))
        owner = np.repeat(np.arange(len(parts)), [len(one[1]) for one in found])
        scatters = [np.sum([_spread(parts[t]) for t in group], axis=0) for group in groups]
        whole = np.sum(scatters, axis=0)
        signals: dict[int, Values] = {}
        for group, scatter in zip(groups, scatters, strict=True):
            kept = ~np.isin(owner, list(group))
            far = _Far.of(means[kept], counts[kept], whole - scatter)
            share = max(2, _ENOUGH // len(parts))
            for t in group:
                signals[t] = far(parts[t].features[some(len(parts[t].features), share)])
        every = np.concatenate([signals[t] for t in range(len(parts))])
        middle, spread = every.mean(0), np.maximum(every.std(0), _FLOOR)
        scores = (((signals[t] - middle) / spread).mean(1) for t in range(len(parts)))
        return cls(_Far.of(means, counts, whole), middle, spread, tuple(scores))

    def rates(self, X: Array) -> Values:
        """`[M, D]` features to `[M]` shares of images of unknown tasks that look as familiar.

        To accept what has a rate of at most r is to accept at most the share r of the images of a
        task that the library does not have, on average over tasks like those that it has. With T
        tasks, mean m and variances v_b between and v_w within the tasks of the left-out scores,

            rate(s) = T / (T - 1) max(P[t_(T-1) >= (s - m) / sqrt(v_b (1 + 1/T) + v_w)],
                                      (1 + #{left out >= s}) / (U + 1))

        since images come in tasks, of which there are few; and each was left out where T - 1 could
        take it for theirs, while an unknown one meets T.
        """
        scores = ((self.far(X) - self.middle) / self.spread).mean(1)
        every = np.sort(np.concatenate(self.left_out))
        above = len(every) - np.searchsorted(every, scores, side="left")
        tasks, means = len(self.left_out), np.array([s.mean() for s in self.left_out])
        within = float(np.mean([s.var(ddof=1) if len(s) > 1 else 0.0 for s in self.left_out]))
        size = len(every) / tasks
        between = max(float(means.var(ddof=1)) - within / size, 0.0)
        wide = np.sqrt(max(between * (1 + 1 / tasks) + within, _FLOOR))
        tail = student.sf((scores - means.mean()) / wide, tasks - 1)
        rates = np.maximum(tail, (1 + above) / (len(every) + 1))
        return np.asarray(np.minimum(tasks / (tasks - 1) * rates, 1.0))


def some(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of `count` positions, spread evenly."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def means_of(part: Part) -> tuple[Values, Values]:
    """`[C, D]` means and `[C]` counts of the classes that have images."""
    classes, place = np.unique(part.targets, return_inverse=True)
    counts = np.bincount(place).astype(np.float64)
    sums = np.zeros((len(classes), part.features.shape[1]))
    np.add.at(sums, place, part.features.astype(np.float64))
    return sums / counts[:, None], counts


def scatter_of(part: Part) -> Values:
    """`[D, D]` about the class means; a product of float32 is twice as fast and exact enough."""
    place = np.unique(part.targets, return_inverse=True)[1]
    rest = part.features - means_of(part)[0].astype(np.float32)[place]
    return np.asarray(rest.T @ rest, dtype=np.float64)


def _spread(part: Part) -> Values:
    """The same; of a task with one image a class about the mean of all, or it would be nothing."""
    if len(np.unique(part.targets)) < len(part.targets):
        return scatter_of(part)
    rest = part.features - part.features.mean(0)
    return np.asarray(rest.T @ rest, dtype=np.float64)
