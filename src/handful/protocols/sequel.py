"""One sequence of tasks, learned one after another, and what is asked after each.

After each task every task is asked. With its name a task that was learned is answered by its own
skill, another by zero-shot among its own classes. Without names the answer is one of all classes of
all tasks, and each image is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.adapters import create_adapter
from handful.contracts import Array, ClassText
from handful.library.ensemble import SkillEnsemble
from handful.library.skill import Skill
from handful.library.zero_shot import known_class_discount
from handful.packs import confidence
from handful.packs.restore import tensors_of
from handful.packs.support import Support
from handful.protocols.task import Task

WAYS = ("named", "routed", "open")  # names given; none; none, and images of no task refused

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sequel:
    """One seed's sequence of T tasks.

    Args:
        seed: of draws and order.
        order: names of the tasks as they were learned.
        matrices: way to `[T, T]` percent: row t after t + 1 tasks, column i about task i.
        zero_shot: `[T]` percent among each task's own classes.
        union: `[T]` percent of zero-shot among all classes.
        router: `[T]` percent of images of learned tasks that found theirs, after each step.
        accepted: `[T, T]` share of images of task i taken for one of the t + 1 learned tasks; NaN
            while there are too few tasks to tell.
        changed: learned tasks of which any named answer changed a bit later on.
        bytes: `[T]` of the tensors of each skill.
    """

    seed: int
    order: tuple[str, ...]
    matrices: Mapping[str, Matrix]
    zero_shot: Matrix
    union: Matrix
    router: Matrix
    accepted: Matrix
    changed: int
    bytes: tuple[int, ...]


def sequel(
    tasks: Sequence[Task],
    method: str,
    shots: int,
    seed: int,
    rate: float,
    *,
    allow_fewer: bool = False,
    step: Callable[[int], None] = lambda t: None,
) -> Sequel:
    """Learn the tasks in their order, one skill each, and ask about all of them after each.

    Args:
        tasks: T of them, of one encoder.
        method: of every skill.
        shots: images a class.
        seed: of the draws.
        rate: see `prepare`.
        allow_fewer: take all images of a class that has fewer.
        step: called with the number of tasks learned.
    """
    learned = [_learn(task, method, shots, seed, allow_fewer=allow_fewer) for task in tasks]
    count = len(tasks)
    asked = _Asked(tasks, learned)
    empty = np.full((count, count), np.nan)
    matrices = {way: empty.copy() for way in WAYS}
    accepted, router = empty.copy(), np.zeros(count)
    first: dict[int, Array] = {}
    changed: set[int] = set()
    for t in range(count):
        known = SkillEnsemble(one.skill for one in learned[: t + 1])
        found = 0.0
        for i, one in enumerate(learned):
            routed = known.predict(one.queries)
            names = np.array(known.names)[routed.tasks]
            right = asked.right(i, known, routed.probabilities)
            matrices["routed"][t, i] = _percent(right)
            told = known.open_set
            if told is None:
                matrices["open"][t, i] = _percent(asked.union[i])
            else:
                rates = told.rates(one.queries)
                accepted[t, i] = (rates <= rate).mean()
                refused = asked.refused(i, t + 1, known_class_discount(rates, rate))
                matrices["open"][t, i] = _percent(np.where(rates <= rate, right, refused))
            if i > t:
                matrices["named"][t, i] = _percent(asked.alone[i])
                continue
            found += _percent(names == one.skill.name)
            said = known.predict_task(one.queries, one.skill.name)
            matrices["named"][t, i] = _percent(said.argmax(1) == one.targets)
            if not np.array_equal(first.setdefault(i, said), said):
                changed.add(i)
        router[t] = found / (t + 1)
        step(t + 1)
    return Sequel(
        seed,
        tuple(task.name for task in tasks),
        matrices,
        np.array([_percent(a) for a in asked.alone]),
        np.array([_percent(a) for a in asked.union]),
        router,
        accepted,
        len(changed),
        tuple(one.bytes for one in learned),
    )


def transfer(a: Matrix) -> float:
    """Mean over tasks, but the first, of their accuracy while they were still to come.

    >>> transfer(np.array([[9.0, 2.0, 4.0], [9.0, 9.0, 6.0], [9.0, 9.0, 9.0]]))
    3.5
    """
    return float(np.mean([a[:i, i].mean() for i in range(1, len(a))]))


def average(a: Matrix) -> float:
    """Mean over tasks and steps."""
    return float(a.mean())


def last(a: Matrix) -> float:
    """Mean over tasks after the last step."""
    return float(a[-1].mean())


def forgetting(a: Matrix) -> float:
    """Mean over tasks, but the last, of their best accuracy since they were learned less the last.

    >>> forgetting(np.array([[9.0, 2.0], [7.0, 9.0]]))
    2.0
    """
    return float(np.mean([a[i:, i].max() - a[-1, i] for i in range(len(a) - 1)]))


@dataclass(frozen=True, eq=False)
class _Learned:
    """A skill, and `[M, D]` images of its task with their columns."""

    skill: Skill
    text: ClassText
    queries: Array
    targets: NDArray[np.int64]
    bytes: int


class _Asked:
    """What zero-shot gets right, and whether an answer over all classes is right."""

    def __init__(self, tasks: Sequence[Task], learned: Sequence[_Learned]) -> None:
        self.learned = learned
        every = np.concatenate([one.text.weights for one in learned])
        self.words = [one.queries @ every.T * learned[0].text.scale for one in learned]
        sizes = [len(one.text.classes) for one in learned]
        starts = np.cumsum([0, *sizes])
        self.alone = [
            (one.queries @ one.text.weights.T).argmax(1) == one.targets for one in learned
        ]
        self.starts = starts
        self.union = [
            self.words[i].argmax(1) == one.targets + starts[i] for i, one in enumerate(learned)
        ]

    def refused(self, i: int, known: int, less: Matrix) -> NDArray[np.bool_]:
        """`[M]` whether zero-shot among all classes is right, those of known tasks at a discount.

        Args:
            i: the task asked about.
            known: how many tasks have been learned.
            less: `[M]` factor on the probabilities of their classes.
        """
        logits = self.words[i].copy()
        logits[:, : self.starts[known]] += np.log(less)[:, None]
        return np.asarray(logits.argmax(1) == self.starts[i] + self.learned[i].targets)

    def right(self, i: int, known: SkillEnsemble, probabilities: Array) -> NDArray[np.bool_]:
        """`[M]` whether task and class are those of task i."""
        one = self.learned[i]
        if one.skill.name not in known.names:
            return np.zeros(len(one.targets), dtype=bool)
        start = known.columns[known.index(one.skill.name)].start
        return np.asarray(probabilities.argmax(1) == start + one.targets)


def _learn(task: Task, method: str, shots: int, seed: int, *, allow_fewer: bool) -> _Learned:
    drawn, rest = task.draw(shots, seed, allow_fewer=allow_fewer)
    adapter = create_adapter(method, seed)
    rows, labels = task.rows(drawn, support=True), task.labels[drawn]
    adapter.fit(rows, np.array([task.text.classes[c] for c in labels]), task.text)
    ids = tuple(map(str, drawn))
    support = Support(rows, labels, task.text, ids, ids)
    stated, tensors = confidence.fit(adapter, support)
    factor = float(stated.get("factor", 1.0))
    skill = Skill.from_adapter(
        task.name, adapter, task.text.classes, support, factor, float(task.text.scale)
    )
    size = sum(v.nbytes for v in (tensors_of(adapter) | support.tensors() | tensors).values())
    asked = np.flatnonzero(rest)
    return _Learned(skill, task.text, task.rows(asked), task.labels[asked], size)


def _percent(right: NDArray[np.bool_]) -> float:
    return 100 * float(np.mean(right))
