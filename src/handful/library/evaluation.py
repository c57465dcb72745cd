"""How good a library is on labelled images: with their task named, and finding it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array
from handful.data import Dataset
from handful.errors import InputError
from handful.features import Extraction, Failure, Progress, extract_features
from handful.library.ensemble import EnsemblePrediction, SkillEnsemble, TunedFeatures
from handful.library.library import Library
from handful.skills.support import unreadable

Source = Any  # as for `handful.evaluate`


@dataclass(frozen=True)
class TaskEvaluation:
    """Shares, 0 to 1, over the test images of one task; the fields are JSON keys.

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
class LibraryEvaluation:
    """The measurements of a library.

    Args:
        tasks: name to shares.
        unknown_images: how many images of no task were classified.
        false_accept: share of them taken for one of a task at the stated rate, if any.
        failures: images that could not be read; they count in no number.
    """

    tasks: Mapping[str, TaskEvaluation]
    unknown_images: int
    false_accept: float | None
    failures: tuple[Failure, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What was measured of every task: `accepted` only where a rate was given."""
        rated = all(one.accepted is not None for one in self.tasks.values())
        return ("named", "unnamed", "found") + ("accepted",) * rated

    def mean(self, metric: str) -> float:
        """Mean over the tasks of one of `metrics`."""
        return float(np.mean([getattr(one, metric) for one in self.tasks.values()]))

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "tasks": {name: asdict(one) for name, one in self.tasks.items()},
            "mean": {metric: self.mean(metric) for metric in self.metrics},
            "strangers": self.unknown_images,
            "false_accept": self.false_accept,
            "failed": len(self.failures),
        }


def evaluate(
    library: Library,
    sources: Mapping[str, Source],
    *,
    unknown: float | None = None,
    unknown_sources: Sequence[Source] = (),
    progress: Progress | None = None,
) -> LibraryEvaluation:
    """Measure a library on labelled images of its tasks, with their names and without.

    Args:
        library: with the skills.
        sources: task to its images, as for `handful.evaluate`: where splits are stated, only `test`
            is used; support images of the task are left out.
        unknown: a false-accept rate to measure at.
        unknown_sources: images of no task of the library, whatever their labels.
        progress: called with (images done, images in all), anew for every source.

    Raises:
        InputError: no such task, a label that is none of its classes, nothing left to measure on,
            unknown images without a rate.
    """
    if not sources:
        raise InputError("no tasks given; name test images of at least one")
    if unknown_sources and unknown is None:
        raise InputError("images of no task need a false-accept rate to be judged at (--unknown)")
    # before any image is encoded, which takes long
    ensemble = library.ensemble
    ensemble.check(unknown)
    classes = {name: ensemble.skills[ensemble.index(name)].classes for name in sources}
    failures: list[Failure] = []
    encode = partial(_encode, library, failures, progress)
    tasks = {}
    for name, source in sources.items():
        dataset = data.split_or_all(data.load(source), "test")
        wrong = sorted({*dataset.labels} - {*classes[name]})
        if wrong:
            raise InputError(f"labels {wrong[:5]} are not among the classes of the skill {name!r}")
        found = encode(dataset)
        # an image that the skill was fitted on is no test of it
        support = frozenset(library.folder.load(name).support_ids)
        kept = [i for i, id_ in enumerate(found.features.ids) if id_ not in support]
        if not kept:
            raise InputError(f"{name}: no readable image that its skill has not seen")
        places = [found.kept[i] for i in kept]  # in the data set, where unreadable ones stand too
        targets = np.array([classes[name].index(dataset.labels[i]) for i in places])
        tuned = library.tuned_features([dataset.images[i] for i in places])
        rows, leaks = found.features.values[kept], len(found.kept) - len(kept)
        tasks[name] = _evaluate_task(library.ensemble, name, rows, tuned, targets, leaks, unknown)
    accepted: list[bool] = []
    for source in unknown_sources:
        dataset = data.split_or_all(data.load(source), "test")
        found = encode(dataset)
        tuned = library.tuned_features([dataset.images[i] for i in found.kept])
        answers = library.ensemble.predict(found.features.values, unknown, tuned)
        accepted += list(_accepted(answers, unknown))
    rate = float(np.mean(accepted)) if accepted else None
    return LibraryEvaluation(tasks, len(accepted), rate, tuple(failures))


def _encode(
    library: Library, failures: list[Failure], progress: Progress | None, dataset: Dataset
) -> Extraction:
    """Features by the frozen encoder; what cannot be read is added to `failures`."""
    found = extract_features(library.encoder, dataset.images, library.store, progress=progress)
    failures += (*found.failures, *unreadable(dataset))
    return found


def _evaluate_task(
    ensemble: SkillEnsemble,
    name: str,
    rows: Array,
    tuned_features: TunedFeatures,
    targets: NDArray[np.int64],
    leaks: int,
    unknown: float | None,
) -> TaskEvaluation:
    """On `[M, D]` features and `[M]` class indices of test images of one task."""
    task = ensemble.index(name)
    named = ensemble.predict_task(rows, name, tuned_features).argmax(1) == targets
    answers = ensemble.predict(rows, unknown, tuned_features)
    # over the union a class stands at its task's first column plus its own index
    unnamed = answers.probabilities.argmax(1) == ensemble.columns[task].start + targets
    accepted = _accepted(answers, unknown)
    return TaskEvaluation(
        len(rows),
        float(named.mean()),
        float(unnamed.mean()),
        float((answers.tasks == task).mean()),
        float(accepted.mean()) if len(accepted) else None,
        leaks,
    )


def _accepted(answers: EnsemblePrediction, unknown: float | None) -> NDArray[np.bool_]:
    """`[M]` which images are taken for known; empty where no rate was given."""
    if answers.false_accept_rates is None or unknown is None:
        return np.zeros(0, dtype=bool)
    return np.asarray(answers.false_accept_rates <= unknown)
