"""Images that belong to no task of a library: a false-accept rate, learned by leaving tasks out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handful.contracts import Array
from handful.library.task_support import TaskSupport, Values
from handful.selection.groups import unit_weights

MIN_TASKS = 3  # of fewer, none can be left out while the rest are still several
# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.5
_MAX_ROUNDS = 32  # tasks are left out one by one up to here, then several together
_MAX_LEFT_OUT = 4096  # units of support images whose left-out scores are taken
_FLOOR = 1e-9


@dataclass(frozen=True, eq=False)
class _FamiliaritySignals:
    """How near images are to the classes of all tasks: `[M, 2]`, larger is more familiar.

    `-min_c |x - m_c|` and `-log(min_c |x - m_c|² / |x - g|²)`, |v| in the metric of the shrunk
    covariance within classes, g the mean of all images: near to a class, and nearer to it than to
    all together.

    Args:
        whitening: `[D, D]`; distances are those of `(x - centre) @ whitening`.
        means: `[C, D]` class means, whitened.
        centre: `[1, D]` the mean of all images.
    """

    whitening: Array
    means: Array
    centre: Values

    @classmethod
    def fit(cls, means: Values, counts: Values, scatter: Values) -> _FamiliaritySignals:
        """From `[C, D]` class means, `[C]` counts and the `[D, D]` scatter around the means."""
        width, trace = len(scatter), float(np.trace(scatter))
        shrunk = np.eye(width)
        if trace > _FLOOR * float(counts.sum()):  # else no two images of a class differ
            shrunk = (1 - _SHRINKAGE) * width / trace * scatter
            shrunk[np.diag_indices(width)] += _SHRINKAGE
        whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
        centre = (counts[:, None] * means).sum(0, keepdims=True) / counts.sum()
        whitened = ((means - centre) @ whitening).astype(np.float32)
        return cls(whitening.astype(np.float32), whitened, centre)

    def __call__(self, rows: Array) -> Values:
        x = (rows - self.centre).astype(np.float32) @ self.whitening
        # |x - m|² = |x|² + |m|² - 2 x m, the lengths in float64: the difference may be tiny
        to_centre, lengths = (
            np.einsum("nd,nd->n", v, v, dtype=np.float64) for v in (x, self.means)
        )
        squares = to_centre[:, None] + lengths - 2 * (x @ self.means.T)
        nearest, centre = np.maximum(squares.min(1), _FLOOR), np.maximum(to_centre, _FLOOR)
        return np.stack([-np.sqrt(nearest), -np.log(nearest / centre)], axis=1)


@dataclass(frozen=True, eq=False)
class OpenSetDetector:
    """Detects images of no known task. Make one with `OpenSetDetector.fit`.

    Args:
        signals: of images against the classes of all tasks.
        mean: `[2]` mean of the signals over images whose task was left out.
        std: `[2]` their standard deviation.
        left_out: T arrays, the scores of the support images of each task by the others.
        weights: T arrays, one over the size of each image's unit: a unit counts as one image.
    """

    signals: _FamiliaritySignals
    mean: Values
    std: Values
    left_out: tuple[Values, ...]
    weights: tuple[Values, ...]

    @classmethod
    def fit(cls, tasks: Mapping[str, TaskSupport]) -> OpenSetDetector | None:
        """From the support sets of T tasks, each unknown to the others in turn; None of T < 3."""
        if len(tasks) < MIN_TASKS:
            return None
        supports = [tasks[name] for name in sorted(tasks)]
        statistics = [support.class_means() for support in supports]
        means, counts = (np.concatenate([one[i] for one in statistics]) for i in (0, 1))
        owners = np.repeat(np.arange(len(supports)), [len(one[1]) for one in statistics])
        # task t is left out in round t % rounds, so one scatter matrix a round has to be held
        rounds = min(len(supports), _MAX_ROUNDS)
        scatters = np.zeros((rounds, means.shape[1], means.shape[1]))
        for t, support in enumerate(supports):
            # with one image a class the scatter within classes would be nothing
            single = len(statistics[t][1]) == len(support.targets)
            scatters[t % rounds] += support.total_scatter() if single else support.scatter()
        whole = scatters.sum(axis=0)
        signals: list[Values] = [np.zeros(0)] * len(supports)
        weights: list[Values] = [np.zeros(0)] * len(supports)
        for turn, scatter in enumerate(scatters):
            kept = owners % rounds != turn
            others = _FamiliaritySignals.fit(means[kept], counts[kept], whole - scatter)
            for t in range(turn, len(supports), rounds):
                most = max(2, _MAX_LEFT_OUT // len(supports))
                some, units = supports[t].evenly_spaced_units(most)
                signals[t] = others(supports[t].features[some])
                weights[t] = unit_weights(np.unique(units, return_inverse=True)[1])
        every, share = np.concatenate(signals), np.concatenate(weights)
        mean = np.average(every, axis=0, weights=share)
        variance = np.average((every - mean) ** 2, axis=0, weights=share)
        std = np.maximum(np.sqrt(variance), _FLOOR)
        scores = tuple(((found - mean) / std).mean(1) for found in signals)
        own = _FamiliaritySignals.fit(means, counts, whole)
        return cls(own, mean, std, scores, tuple(weights))

    def rates(self, X: Array) -> Values:
        """`[M, D]` features to `[M]` shares of images of unknown tasks that look as familiar.

        To accept what has a rate of at most r is to accept at most the share r of the images of a
        task that the library does not have, on average over tasks like those that it has. With T
        tasks, mean m and variances v_b between and v_w within the tasks of the left-out scores,

            rate(s) = T / (T - 1) max(P[t_(T-1) >= (s - m) / sqrt(v_b (1 + 1/T) + v_w)],
                                      (1 + #{left out >= s}) / (U + 1))

        U the units, since images come in tasks, of which there are few; and each was left out where
        T - 1 could take it for theirs, while an unknown one meets T.
        """
        from scipy.special import stdtr  # a part of what scipy.stats would import

        scores = ((self.signals(X) - self.mean) / self.std).mean(1)
        every, share = np.concatenate(self.left_out), np.concatenate(self.weights)
        order = np.argsort(every, kind="stable")
        below = np.concatenate([[0.0], np.cumsum(share[order])])  # units with a smaller score
        units = float(below[-1])
        as_familiar = units - below[np.searchsorted(every[order], scores, side="left")]
        parts = [*zip(self.left_out, self.weights, strict=True)]
        tasks, means = len(parts), np.array([np.average(s, weights=w) for s, w in parts])
        within = float(np.mean([_variance(s, w) for s, w in parts]))
        # the means of tasks vary also because each is over few units: that part is not v_b
        between = max(float(means.var(ddof=1)) - within / (units / tasks), 0.0)
        spread = np.sqrt(max(between * (1 + 1 / tasks) + within, _FLOOR))
        tail = stdtr(tasks - 1, -(scores - means.mean()) / spread)
        rates = np.maximum(tail, (1 + as_familiar) / (units + 1))
        return np.asarray(np.minimum(tasks / (tasks - 1) * rates, 1.0))


def _variance(scores: Values, weights: Values) -> float:
    """Of a task's scores, each unit one observation."""
    units, mean = float(weights.sum()), np.average(scores, weights=weights)
    return float(weights @ (scores - mean) ** 2) / (units - 1) if units > 1.5 else 0.0
