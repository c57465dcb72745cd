"""Which task an image belongs to: closed form from the support sets, image by image.

Two views of the tasks are blended: each task as one Gaussian of the features of its support set,
and each class as one, of which a task has several; in either all share one shrunk covariance. Tasks
that differ as domains do are told apart best by the first, tasks that are any classes thrown
together by the second; left-out support images decide how much of each. Nothing is trained, no
image is judged by the images beside it, and the order of the tasks changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.library._gaussians import Gaussians
from handful.library.task_support import Indices, TaskSupport, Values, evenly_spaced
from handful.selection.calibration import inverse_temperature, softmax
from handful.selection.groups import unit_weights

# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.02
_BLENDS = np.linspace(0, 1, 11)  # the class view's part
_MAX_LEFT_OUT = 2048  # units of support images that left-out values are taken of
_MAX_CALIBRATION = 512  # of them that the factor of a view is fitted on
_MIN_PROBABILITY = 1e-30  # its logarithm has to be finite


@dataclass(frozen=True, eq=False)
class _View:
    """Tasks as groups of images: one group each, or one a class.

    Args:
        weights: `[G, D]` of the discriminants.
        bias: `[G]`.
        owners: `[G]` the task of each group, ascending.
        factor: inverse temperature of the discriminants.
    """

    weights: Array
    bias: Array
    owners: Indices
    factor: float

    def log_probabilities(self, X: Array) -> Values:
        """`[M, D]` features to `[M, T]`."""
        return _task_log_probabilities(X @ self.weights.T + self.bias, self.owners, self.factor)


@dataclass(frozen=True, eq=False)
class Router:
    """Predicts which task of a library an image belongs to. Make one with `Router.fit`.

    `p(t | x)` is the softmax of `f ((1 - a) log p_1(t | x) + a log p_2(t | x))`, p_1 of the tasks
    as Gaussians, p_2 the sum over the classes of a task; a and f are likeliest for left-out images.

    Args:
        names: T tasks, sorted.
        views: of tasks, of classes; those whose part in the blend is above zero.
        blend: the part of each view.
        factor: f.
        left_out_accuracy: share of support images that find their task by a fit without their unit;
            each unit counts as one.
    """

    names: tuple[str, ...]
    views: tuple[_View, ...]
    blend: tuple[float, ...]
    factor: float
    left_out_accuracy: float

    @classmethod
    def fit(cls, tasks: Mapping[str, TaskSupport]) -> Router:
        """A router from the support set of each task.

        Raises:
            InputError: no task.

        >>> rows, targets = np.eye(4, dtype=np.float32), np.zeros(2, dtype=np.int64)
        >>> tasks = {"a": TaskSupport(rows[:2], targets), "b": TaskSupport(rows[2:], targets)}
        >>> Router.fit(tasks).probabilities(rows).argmax(axis=1).tolist()
        [0, 0, 1, 1]
        """
        if not tasks:
            raise InputError("a router needs at least one task with a support set")
        names = tuple(sorted(tasks))
        if len(names) == 1:
            return cls(names, (), (), 1.0, 1.0)
        supports = [tasks[name] for name in names]
        most = max(2, _MAX_LEFT_OUT // len(names))
        kept, units = _kept_units(supports, most)
        weights = unit_weights(units)
        rows = np.concatenate([s.features[at] for s, at in zip(supports, kept, strict=True)])
        truth: Indices = np.repeat(np.arange(len(names)), [len(at) for at in kept])
        views, left_out = [], []
        for gaussians, groups, owners in _groupings(supports, kept, truth):
            values = gaussians.leave_one_out(rows, groups, units)
            factor = _factor(values, groups, weights)
            views.append(_View(*gaussians.linear(), owners, factor))
            left_out.append(_task_log_probabilities(values, owners, factor))
        fits = [_fit_blend(left_out, part, truth, weights) for part in _BLENDS]
        best = int(np.argmax([likelihood for likelihood, _, _ in fits]))  # the first of equals
        _, factor, accuracy = fits[best]
        blend = (1 - float(_BLENDS[best]), float(_BLENDS[best]))
        used = [i for i in (0, 1) if blend[i] > 0]
        chosen = tuple(views[i] for i in used)
        return cls(names, chosen, tuple(blend[i] for i in used), factor, accuracy)

    def probabilities(self, X: Array) -> Values:
        """`[M, D]` features to `[M, T]`: how likely each task is, were the image of one of them."""
        if len(self.names) == 1:
            return np.ones((len(X), 1))
        pairs = zip(self.blend, self.views, strict=True)
        blended: Values = np.sum([part * view.log_probabilities(X) for part, view in pairs], axis=0)
        return softmax(blended, self.factor)


def _kept_units(supports: list[TaskSupport], most: int) -> tuple[list[Indices], Indices]:
    """Of each task the rows of at most `most` units, and `[n]` numbers of the units of all."""
    kept, numbers, start = [], [], 0
    for support in supports:
        rows, own = support.evenly_spaced_units(most)
        kept.append(rows)
        numbers.append(np.unique(own, return_inverse=True)[1] + start)
        start = int(numbers[-1].max()) + 1
    return kept, np.concatenate(numbers)


def _groupings(
    supports: list[TaskSupport], kept: list[Indices], truth: Indices
) -> list[tuple[Gaussians, Indices, Indices]]:
    """Of tasks, and of classes: the groups, the `[n]` groups of the kept images, their `[G]` tasks.

    Args:
        supports: T support sets.
        kept: T arrays of the images of each that are left out in turn, n in all.
        truth: `[n]` their tasks.
    """
    found = [support.class_means() for support in supports]
    means, counts = (np.concatenate([one[i] for one in found]) for i in (0, 1))
    sizes = [len(class_counts) for _, class_counts, _ in found]
    owners: Indices = np.repeat(np.arange(len(supports)), sizes)
    task_means = np.stack([(n[:, None] * m).sum(0) / n.sum() for m, n, _ in found])
    images = np.array([n.sum() for _, n, _ in found])
    within = np.zeros((means.shape[1], means.shape[1]))
    for support in supports:
        within += support.scatter()
    # the scatter about task means is that about class means, and that of the class means
    offsets = np.sqrt(counts)[:, None] * (means - task_means[owners])
    starts = np.cumsum([0, *sizes[:-1]])
    classes = [s + rows[at] for s, (_, _, rows), at in zip(starts, found, kept, strict=True)]
    by_task = Gaussians.fit(task_means, images, within + offsets.T @ offsets, _SHRINKAGE)
    by_class = Gaussians.fit(means, counts, within, _SHRINKAGE)
    return [
        (by_task, truth, np.arange(len(supports))),
        (by_class, np.concatenate(classes), owners),
    ]


def _factor(left_out: Values, groups: Indices, weights: Values) -> float:
    """The likeliest factor; an image whose group vanished with it is no evidence."""
    finite = np.flatnonzero(np.isfinite(left_out[np.arange(len(groups)), groups]))
    if not len(finite):
        return 1.0
    some = finite[evenly_spaced(len(finite), _MAX_CALIBRATION)]  # there may be 1000s of groups
    return inverse_temperature(left_out[some], groups[some], weights[some])


def _task_log_probabilities(
    discriminants: NDArray[np.floating], owners: Indices, factor: float
) -> Values:
    """`[M, G]` to `[M, T]`: the logarithm of the sum over a task's groups."""
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    summed = np.add.reduceat(softmax(discriminants, factor), starts, axis=1)
    return np.log(np.maximum(summed, _MIN_PROBABILITY))


def _fit_blend(
    left_out: list[Values], part: float, truth: Indices, weights: Values
) -> tuple[float, float, float]:
    """Mean log-likelihood of left-out images, the factor, the accuracy; each unit counts once."""
    blended = (1 - part) * left_out[0] + part * left_out[1]
    factor = inverse_temperature(blended, truth, weights)
    likelihood = softmax(blended, factor)[np.arange(len(truth)), truth]
    accuracy = float(np.average(blended.argmax(1) == truth, weights=weights))
    logs = np.log(np.maximum(likelihood, _MIN_PROBABILITY))
    return float(np.average(logs, weights=weights)), factor, accuracy
