"""Which task an image belongs to: closed form from the support sets, image by image.

Two views of the tasks are blended: each task one Gaussian of the features of its support set, and
each class one, of which a task has several; in either all share one shrunk covariance. Tasks with
a look of their own are told best by the first, tasks that are any classes thrown together by the
second; left-out support images say how much of each. Nothing is trained, no image is judged by the
images beside it, and the order of the tasks changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.library._gaussians import Gaussians, Rows, Values
from handful.library.open_set import FEWEST, Part, Stranger, means_of, scatter_of, some
from handful.selection.calibration import inverse_temperature, softmax

# chosen on playground draws that no reported number uses (seeds from 5000 on); see docs/library.md
_SHRINKAGE = 0.02
_BLENDS = np.linspace(0, 1, 11)
_ENOUGH = 2048  # support images that left-out answers are taken of
_FEW = 512  # of them that the factor of a view is taken of
_LEAST = 1e-30  # a share; its logarithm has to be finite


@dataclass(frozen=True, eq=False)
class _View:
    """Tasks as one group each, or as their classes.

    Args:
        weights: `[G, D]` of the discriminants.
        bias: `[G]`.
        owners: `[G]` the task of each group, ascending.
        factor: what discriminants are multiplied by before the softmax.
    """

    weights: Array
    bias: Array
    owners: Rows
    factor: float

    def told(self, X: Array) -> Values:
        """`[M, D]` to `[M, T]` log shares."""
        return _shares(X @ self.weights.T + self.bias, self.owners, self.factor)


@dataclass(frozen=True, eq=False)
class Router:
    """Tells the tasks of a library apart. Make one with `Router.of`.

    `p(t | x)` is the softmax of `f ((1 - a) log p_1(t | x) + a log p_2(t | x))`, p_1 of the tasks
    as Gaussians, p_2 the sum over the classes of a task; a and f are likeliest for left-out images.

    Args:
        names: T tasks, sorted.
        views: of tasks, of classes; those of a share above zero.
        blend: the share of each view.
        factor: f.
        right: share of support images that find their task by a fit without them.
        parts: T support sets.
    """

    names: tuple[str, ...]
    views: tuple[_View, ...]
    blend: tuple[float, ...]
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
        if len(names) == 1:
            return cls(names, (), (), 1.0, 1.0, parts)
        kept = [some(len(p.features), max(2, _ENOUGH // len(parts))) for p in parts]
        rows = np.concatenate([p.features[at] for p, at in zip(parts, kept, strict=True)])
        truth: Rows = np.repeat(np.arange(len(parts)), [len(at) for at in kept])
        views, told = [], []
        for groups, columns, owners in _levels(parts, kept):
            left_out = groups.left_out(rows, columns)
            factor = _factor(left_out, columns)
            views.append(_View(*groups.linear(), owners, factor))
            told.append(_shares(left_out, owners, factor))
        found = [_fit(told, a, truth) for a in _BLENDS]
        best = int(np.argmax([likelihood for likelihood, _, _ in found]))  # the first of equals
        _, scale, right = found[best]
        blend = (1 - float(_BLENDS[best]), float(_BLENDS[best]))
        used = [i for i in (0, 1) if blend[i] > 0]
        chosen = tuple(views[i] for i in used)
        return cls(names, chosen, tuple(blend[i] for i in used), scale, right, parts)

    def shares(self, X: Array) -> Values:
        """`[M, D]` features to `[M, T]`: how likely each task is, were the image of one of them."""
        if len(self.names) == 1:
            return np.ones((len(X), 1))
        pairs = zip(self.blend, self.views, strict=True)
        blended: Values = np.sum([share * view.told(X) for share, view in pairs], axis=0)
        return softmax(blended, self.factor)

    def stranger(self) -> Stranger | None:
        """What tells images of none of the tasks; None of fewer than three tasks."""
        return Stranger.of(self.parts) if len(self.parts) >= FEWEST else None


def _levels(
    parts: tuple[Part, ...], kept: list[NDArray[np.int64]]
) -> list[tuple[Gaussians, Rows, Rows]]:
    """Of tasks and of classes: the groups, the `[n]` groups of the kept images, their owners."""
    found = [means_of(part) for part in parts]
    means, counts = (np.concatenate([one[i] for one in found]) for i in (0, 1))
    sizes = [len(one[1]) for one in found]
    owners: Rows = np.repeat(np.arange(len(parts)), sizes)
    tasks = np.stack([(n[:, None] * m).sum(0) / n.sum() for m, n in found])
    images = np.array([n.sum() for _, n in found])
    inside = np.zeros((means.shape[1], means.shape[1]))
    for part in parts:
        inside += scatter_of(part)
    away = np.sqrt(counts)[:, None] * (means - tasks[owners])
    starts = np.cumsum([0, *sizes[:-1]])
    columns = [
        start + np.searchsorted(np.unique(part.targets), part.targets[at])
        for start, part, at in zip(starts, parts, kept, strict=True)
    ]
    truth: Rows = np.repeat(np.arange(len(parts)), [len(at) for at in kept])
    return [
        (
            Gaussians.of(tasks, images, inside + away.T @ away, _SHRINKAGE),
            truth,
            np.arange(len(parts)),
        ),
        (Gaussians.of(means, counts, inside, _SHRINKAGE), np.concatenate(columns), owners),
    ]


def _factor(left_out: Values, columns: Rows) -> float:
    """The likeliest factor; images whose group was left out with them say nothing of it."""
    there = np.flatnonzero(np.isfinite(left_out[np.arange(len(columns)), columns]))
    there = there[some(len(there), _FEW)] if len(there) else there  # of thousands of classes
    return inverse_temperature(left_out[there], columns[there]) if len(there) else 1.0


def _shares(logits: NDArray[np.floating], owners: Rows, factor: float) -> Values:
    """`[M, T]` logarithms of the shares of the tasks, each the sum over its groups."""
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    return np.log(np.maximum(np.add.reduceat(softmax(logits, factor), starts, axis=1), _LEAST))


def _fit(told: list[Values], share: float, truth: Rows) -> tuple[float, float, float]:
    """Mean log-likelihood of left-out images, the factor, and the share that is right."""
    blended = (1 - share) * told[0] + share * told[1]
    factor = inverse_temperature(blended, truth)
    chances = softmax(blended, factor)[np.arange(len(truth)), truth]
    right = float((blended.argmax(1) == truth).mean())
    return float(np.log(np.maximum(chances, _LEAST)).mean()), factor, right
