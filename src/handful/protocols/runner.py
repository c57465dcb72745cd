"""Lessons times methods: each fitted once, asked, and written into the journal."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handful import metrics, plugins
from handful._version import __version__
from handful.adapters import create_adapter
from handful.errors import HandfulError, InputError
from handful.features import Progress
from handful.protocols.journal import Journal
from handful.protocols.task import Lesson, digest
from handful.protocols.trials import semantics, shuffled

_NAMED = re.compile(r"handful\.adapters\.(\w+)|\"(\w+)\"")


@dataclass(frozen=True)
class Arm:
    """One line of the table: a method with its arguments, on its lessons.

    Args:
        label: what the table calls it.
        method: the adapter's name.
        lessons: what it is taught and asked.
        params: arguments other than the defaults.
    """

    label: str
    method: str
    lessons: Sequence[Lesson]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """One method after one lesson, on one exam: accuracy in percent."""

    label: str
    method: str
    task: str
    exam: str
    shots: int
    seed: int
    accuracy: float
    seconds: float
    images: int


def run(arms: Sequence[Arm], journal: Journal, progress: Progress | None = None) -> list[Score]:
    """Every arm on every of its lessons; what the journal knows is not fitted again.

    Raises:
        HandfulError: a method refuses; says which, on what.
    """
    for arm in arms:
        create_adapter(arm.method, 0, arm.params)  # a wrong name or argument: before the work
    digests: dict[int, str] = {}  # lessons are shared by arms, and large ones take a while
    trials = [(a, n) for a, arm in enumerate(arms) for n in range(len(arm.lessons))]
    found: dict[tuple[int, int], list[Score]] = {}
    # the most shots first: what does not fit into memory is told at once, not after an hour
    for a, n in sorted(trials, key=lambda at: -arms[at[0]].lessons[at[1]].shots):
        lesson = arms[a].lessons[n]
        if id(lesson) not in digests:
            digests[id(lesson)] = lesson.digest
        key = trial_key(digests[id(lesson)], lesson.seed, arms[a])
        measured = journal.get(key)
        if measured is None or measured["accuracy"].keys() != {e.name for e in lesson.exams}:
            measured = _measure(arms[a], lesson)
            journal.add(key, measured)
        found[a, n] = _scores(arms[a], lesson, measured)
        if progress:
            progress(len(found), len(trials))
    return [score for at in trials for score in found[at]]


def _scores(arm: Arm, lesson: Lesson, measured: Mapping[str, Any]) -> list[Score]:
    return [
        Score(
            arm.label,
            arm.method,
            lesson.task.name,
            exam.name,
            lesson.shots,
            lesson.seed,
            measured["accuracy"][exam.name],
            measured["seconds"],
            len(exam.images),
        )
        for exam in lesson.exams
    ]


def trial_key(lesson: str, seed: int, arm: Arm) -> str:
    """A digest of all that decides a trial: data, draw, method, arguments, seed and code."""
    params = create_adapter(arm.method, seed, arm.params).get_params()
    return digest([__version__, lesson, arm.method, sorted(params.items()), code(arm.method)])


@functools.cache
def code(method: str) -> str:
    """Digest of a method's source and of all that it is made of: an edited method is new."""
    shared = Path(inspect.getfile(plugins)).parent
    files = [*(shared / "adapters").glob("_*.py"), *(shared / "selection").glob("*.py")]
    files += [Path(inspect.getfile(plugins.get("adapters", name))) for name in made_of(method)]
    contents = [hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)]
    return digest(contents)


def made_of(method: str) -> list[str]:
    """The method and all others that its source imports or names, as a blend names its members."""
    found = [method]
    for name in found:  # grows on the way
        file = Path(inspect.getfile(plugins.get("adapters", name)))
        said = set().union(*_NAMED.findall(file.read_text(encoding="utf-8")))
        found += [n for n in plugins.names("adapters") if n in said and n not in found]
    return found


def _measure(arm: Arm, lesson: Lesson) -> dict[str, Any]:
    adapter = create_adapter(arm.method, lesson.seed, arm.params)
    accuracy = {}
    try:
        began = time.perf_counter()
        adapter.fit(lesson.task.rows(lesson.images, support=True), lesson.labels, lesson.text)
        seconds = time.perf_counter() - began
        for exam in lesson.exams:
            images, targets = exam.images, exam.targets
            if semantics(arm.method) != "inductive":  # sources are sorted by class, a stream is not
                turn = shuffled(np.ones(len(images), dtype=bool), lesson.seed)
                images, targets = images[turn], targets[turn]
            logits = adapter.logits(exam.task.rows(images))
            among = logits if exam.columns is None else logits[:, exam.columns]
            accuracy[exam.name] = 100 * metrics.accuracy(among, targets)
    except HandfulError as error:
        raise InputError(
            f"{arm.label} on {lesson.task.name}, {lesson.shots} shot{'s' * (lesson.shots > 1)}, "
            f"seed {lesson.seed}: {error}"
        ) from error
    return {
        "task": lesson.task.name,
        "method": arm.method,
        "params": {name: str(value) for name, value in arm.params.items()},
        "shots": lesson.shots,
        "seed": lesson.seed,
        "accuracy": accuracy,
        "seconds": seconds,
    }


def arms_of(methods: Sequence[str], lessons: Sequence[Lesson]) -> list[Arm]:
    """Methods on their defaults, zero-shot first: without its line no other says anything."""
    names = list(dict.fromkeys(["zero_shot", *methods]))
    return [Arm(str(plugins.get("adapters", n).title), n, lessons) for n in names]
