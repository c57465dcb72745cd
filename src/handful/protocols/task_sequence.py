"""One sequence of tasks, learned one after another, all of them tested after each.

A task that was learned is answered by its own skill if its name is given, another by zero-shot
among its own classes. Without names the answer is one of all classes of all tasks, and each image
is judged by itself.
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
from handful.packs.head import tensors_of
from handful.packs.support import Support
from handful.protocols.task import Indices, Mask, Task
from handful.skills.statements import confidence

WAYS = ("named", "routed", "open")  # names given; none; none, and images of no task refused

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TaskSequence:
    """What was measured along one seed's sequence of T tasks.

    Args:
        seed: of draws and order.
        order: names of the tasks as they were learned.
        matrices: way to `[T, T]` percent: row t after t + 1 tasks, column i on task i.
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


def learn_sequence(
    tasks: Sequence[Task],
    method: str,
    shots: int,
    seed: int,
    rate: float,
    *,
    allow_fewer: bool = False,
    step: Callable[[int], None] = lambda t: None,
) -> TaskSequence:
    """Learn the tasks in their order, one skill each, and test all of them after each.

    Args:
        tasks: T of them, of one encoder.
        method: of every skill.
        shots: images a class.
        seed: of the draws.
        rate: share of images of unknown tasks that may be taken for known ones.
        allow_fewer: take all images of a class that has fewer.
        step: called with the number of tasks learned.
    """
    learned = [_learn(task, method, shots, seed, allow_fewer=allow_fewer) for task in tasks]
    zero_shot = _ZeroShot(learned)
    empty = np.full((len(tasks), len(tasks)), np.nan)
    matrices = {way: empty.copy() for way in WAYS}
    accepted, router = empty.copy(), np.zeros(len(tasks))
    first: dict[int, Array] = {}  # named answers just after their task was learned
    changed: set[int] = set()
    for t in range(len(tasks)):
        known = SkillEnsemble(one.skill for one in learned[: t + 1])
        found = 0.0
        for i, one in enumerate(learned):
            answers = known.predict(one.queries)
            right = _found_class(one, known, answers.probabilities)
            matrices["routed"][t, i] = _percent(right)
            detector = known.open_set
            if detector is None:  # too few tasks to learn a rate from
                matrices["open"][t, i] = _percent(zero_shot.union[i])
            else:
                rates = detector.rates(one.queries)
                accepted[t, i] = (rates <= rate).mean()
                refused = zero_shot.discounted(i, t + 1, known_class_discount(rates, rate))
                matrices["open"][t, i] = _percent(np.where(rates <= rate, right, refused))
            if i > t:
                matrices["named"][t, i] = _percent(zero_shot.own[i])
                continue
            found += _percent(np.array(known.names)[answers.tasks] == one.skill.name)
            probabilities = known.predict_task(one.queries, one.skill.name)
            matrices["named"][t, i] = _percent(probabilities.argmax(1) == one.targets)
            if not np.array_equal(first.setdefault(i, probabilities), probabilities):
                changed.add(i)
        router[t] = found / (t + 1)
        step(t + 1)
    order, sizes = tuple(task.name for task in tasks), tuple(one.bytes for one in learned)
    own, union = (np.array(list(map(_percent, r))) for r in (zero_shot.own, zero_shot.union))
    return TaskSequence(seed, order, matrices, own, union, router, accepted, len(changed), sizes)


@dataclass(frozen=True, eq=False)
class _Learned:
    """A skill, and `[M, D]` test images of its task with their `[M]` columns."""

    skill: Skill
    text: ClassText
    queries: Array
    targets: Indices
    bytes: int


class _ZeroShot:
    """What zero-shot gets right of each task's test images: `[M]` masks.

    Attributes:
        own: among the task's own classes.
        union: among all classes of all tasks.
    """

    def __init__(self, learned: Sequence[_Learned]) -> None:
        self._learned = learned
        weights = np.concatenate([one.text.weights for one in learned])
        self._logits = [one.queries @ weights.T * learned[0].text.scale for one in learned]
        self._starts = np.cumsum([0, *(len(one.text.classes) for one in learned)])
        self.own = [(one.queries @ one.text.weights.T).argmax(1) == one.targets for one in learned]
        self.union = [self._right(i, logits) for i, logits in enumerate(self._logits)]

    def discounted(self, i: int, known: int, discount: Matrix) -> Mask:
        """The same among all classes, where classes of known tasks are discounted.

        Args:
            i: the task of the test images.
            known: how many tasks have been learned.
            discount: `[M]` factors on the probabilities of their classes.
        """
        logits = self._logits[i].copy()
        # a factor on a probability is a summand on its logit
        logits[:, : self._starts[known]] += np.log(discount)[:, None]
        return self._right(i, logits)

    def _right(self, i: int, logits: Array) -> Mask:
        return np.asarray(logits.argmax(1) == self._learned[i].targets + self._starts[i])


def _found_class(one: _Learned, known: SkillEnsemble, probabilities: Array) -> Mask:
    """`[M]` whether the answer over all classes is of the right task and class."""
    if one.skill.name not in known.names:
        return np.zeros(len(one.targets), dtype=bool)
    start = known.columns[known.index(one.skill.name)].start
    return np.asarray(probabilities.argmax(1) == start + one.targets)


def _learn(task: Task, method: str, shots: int, seed: int, *, allow_fewer: bool) -> _Learned:
    drawn, rest = task.draw(shots, seed, allow_fewer=allow_fewer)
    adapter = create_adapter(method, seed)
    features, labels = task.features(drawn, support=True), task.labels[drawn]
    adapter.fit(features, np.array([task.classes[c] for c in labels]), task.text)
    ids = tuple(map(str, drawn))
    support = Support(features, labels, task.text, ids, ids)
    stated, tensors = confidence(adapter, support)
    factor = float(stated.get("factor", 1.0))
    skill = Skill.from_adapter(task.name, adapter, support, factor)
    size = sum(v.nbytes for v in (tensors_of(adapter) | support.tensors() | tensors).values())
    queries = np.flatnonzero(rest)
    return _Learned(skill, task.text, task.features(queries), task.labels[queries], size)


def _percent(right: Mask) -> float:
    return 100 * float(np.mean(right))
