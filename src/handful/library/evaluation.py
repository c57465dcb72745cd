"""How good a library is on labelled images of its tasks: named, and finding their task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import data
from handful.contracts import Array
from handful.data import Dataset
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.library import Library
from handful.library.ensemble import See


@dataclass(frozen=True)
class OfTask:
    """Shares, 0 to 1, over the test images of one task.

    Args:
        images: how many.
        named: right, the task being named.
        unnamed: task and class right, nothing being named.
        found: task right.
        accepted: taken for an image of some task at the stated rate; None where none was.
        leaks: images of the skill's own support set among them, left out of every number.
    """

    images: int
    named: float
    unnamed: float
    found: float
    accepted: float | None
    leaks: int


@dataclass(frozen=True)
class Measured:
    """What a library was measured to do.

    Args:
        tasks: name to shares.
        strangers: images of no task that were asked.
        false_accept: share of them taken for one of a task at the stated rate, if any.
        failures: images that could not be read; they count in no number.
    """

    tasks: Mapping[str, OfTask]
    strangers: int
    false_accept: float | None
    failures: tuple[Failure, ...]

    def mean(self, name: str) -> float:
        """Mean over the tasks of one of `named`, `unnamed`, `found`, `accepted`."""
        return float(np.mean([getattr(one, name) for one in self.tasks.values()]))

    def told(self) -> tuple[str, ...]:
        """What was measured of every task: `accepted` only where a rate was given."""
        asked = all(one.accepted is not None for one in self.tasks.values())
        return ("named", "unnamed", "found") + ("accepted",) * asked

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "tasks": {name: asdict(one) for name, one in self.tasks.items()},
            "mean": {name: self.mean(name) for name in self.told()},
            "strangers": self.strangers,
            "false_accept": self.false_accept,
            "failed": len(self.failures),
        }


def evaluate(
    library: Library,
    sources: Mapping[str, str | Path | Dataset],
    *,
    unknown: float | None = None,
    strangers: Sequence[str | Path | Dataset] = (),
    progress: Progress | None = None,
) -> Measured:
    """Ask a library about labelled images of its tasks, with their names and without.

    Args:
        library: with the skills.
        sources: task to its images, as for `handful.evaluate`: where splits are stated, only `test`
            is used; support images of the task are left out.
        unknown: a false-accept rate to measure at.
        strangers: images of no task of the library, whatever their labels.
        progress: called with (images done, images in all), anew for every source.

    Raises:
        InputError: no such task, a label that is none of its classes, nothing left to measure on,
            strangers without a rate.
    """
    if not sources:
        raise InputError("no tasks given; name test images of at least one")
    if strangers and unknown is None:
        raise InputError("images of no task need a false-accept rate to be judged at (--unknown)")
    library.skills.check(unknown)
    for name in sources:  # before any image is looked at
        library.skills.position(name)
    failures: list[Failure] = []
    tasks = {}
    for name, source in sources.items():
        skill = library.skills.skills[library.skills.position(name)]
        dataset = data.split_or_all(data.load(source), "test")
        wrong = sorted({*dataset.labels} - {*skill.classes})
        if wrong:
            raise InputError(f"labels {wrong[:5]} are not among the classes of the skill {name!r}")
        found = extract_features(library.encoder, dataset.images, library.store, progress=progress)
        failures += found.failures
        support = frozenset(library.shelf.load(name).support_ids)
        kept = [i for i, id_ in enumerate(found.features.ids) if id_ not in support]
        if not kept:
            raise InputError(f"{name}: no readable image that its skill has not seen")
        labels = [dataset.labels[found.kept[i]] for i in kept]
        leaks = len(found.kept) - len(kept)
        see = library.see([dataset.images[found.kept[i]] for i in kept])
        rows = found.features.values[kept]
        tasks[name] = _asked(library, name, rows, see, labels, leaks, unknown)
    accepted = []
    for source in strangers:
        dataset = data.split_or_all(data.load(source), "test")
        found = extract_features(library.encoder, dataset.images, library.store, progress=progress)
        failures += found.failures
        see = library.see([dataset.images[i] for i in found.kept])
        answers = library.skills.answers(found.features.values, unknown, see)
        accepted += list(_taken(answers.familiar, unknown))
    rate = float(np.mean(accepted)) if accepted else None
    return Measured(tasks, len(accepted), rate, tuple(failures))


def _asked(
    library: Library,
    name: str,
    rows: Array,
    see: See,
    labels: Sequence[str],
    leaks: int,
    unknown: float | None,
) -> OfTask:
    at = library.skills.position(name)
    skill = library.skills.skills[at]
    targets = np.array([skill.classes.index(label) for label in labels])
    named = library.skills.named(rows, name, see).argmax(1) == targets
    answers = library.skills.answers(rows, unknown, see)
    column = library.skills.columns[at].start + targets
    unnamed = answers.probabilities.argmax(1) == column
    taken = _taken(answers.familiar, unknown)
    return OfTask(
        len(rows),
        float(named.mean()),
        float(unnamed.mean()),
        float((answers.tasks == at).mean()),
        float(taken.mean()) if len(taken) else None,
        leaks,
    )


def _taken(familiar: Any, unknown: float | None) -> Any:
    """`[M]` which images are taken for known; empty where nobody asked."""
    return np.zeros(0) if familiar is None else np.asarray(familiar) <= unknown
