"""Tasks one after another, in the manner of MTIL: what is learned, kept, and not harmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handful.adapters import create_adapter
from handful.contracts import ImageRef
from handful.data import Dataset, playground
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.protocols import sources
from handful.protocols.encode import Eye, Need, Source
from handful.protocols.request import Request, distinct, named, once
from handful.protocols.sequel import Sequel, sequel
from handful.protocols.task import Task, same_encoder
from handful.protocols.trials import semantics

METHOD, SHOTS, RATE = "auto", 16, 0.05
PLAYGROUND = {"playground": "worlds", "playground-hard": "hard tasks of one world"}
_TRAIN, _QUERIES = 32, 20


@dataclass(frozen=True, eq=False)
class Continual:
    """What the protocol has measured, and what a reader must know to believe it.

    Args:
        sequels: one a seed.
        facts: how they came about.
        tasks: name to the facts of each data set.
        failures: images that could not be read; they count in no number.
    """

    sequels: tuple[Sequel, ...]
    facts: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Ready:
    """Everything encoded; `run` learns and asks."""

    request: Request
    tasks: tuple[Task, ...]
    shots: int
    rate: float
    failures: tuple[Failure, ...]

    def run(self, progress: Progress | None = None) -> Continual:
        """Every seed's sequence.

        Args:
            progress: called with (tasks learned, tasks in all).
        """
        method = (self.request.methods or [METHOD])[0]
        found, total = [], self.request.seeds * len(self.tasks)
        for seed in range(self.request.seeds):
            order = _order(len(self.tasks), seed)
            tasks = [self.tasks[i] for i in order]
            done = seed * len(self.tasks)

            def step(t: int, done: int = done) -> None:
                if progress is not None:
                    progress(done + t, total)

            fewer = self.request.allow_fewer
            found.append(
                sequel(tasks, method, self.shots, seed, self.rate, allow_fewer=fewer, step=step)
            )
        facts = {
            "method": method,
            "shots": self.shots,
            "seeds": self.request.seeds,
            "rate": self.rate,
            "encoder": self.tasks[0].encoder,
            "order": "as given for the first seed, by lot for the others",
            "hyper-parameters": "the method's defaults, or its own choice from the support set; no "
            "validation set, and no test image takes part in any choice",
        }
        told = {task.name: task.facts for task in self.tasks}
        return Continual(tuple(found), facts, told, self.failures)


def prepare(
    paths: Sequence[str | Path],
    request: Request,
    *,
    rate: float = RATE,
    store: FeatureStore | None = None,
    encoding: Progress | None = None,
) -> Ready:
    """Read, check and encode.

    Args:
        paths: sources as for every protocol, in the order in which they are to be learned; or
            `playground` for its ten worlds, `playground-hard` for its fourteen hard tasks.
        request: one method and one shot count.
        rate: share of images of unknown tasks that may be taken for known ones.
        store: where features of images are kept.
        encoding: called with (images done, images in all), anew for every data set.

    Raises:
        InputError: fewer than two tasks, several methods or shot counts, too few images, a method
            whose answers depend on other images.
        MismatchError: data sets of different encoders.
    """
    if len(request.methods or [METHOD]) != 1 or len(request.shots or [SHOTS]) != 1:
        raise InputError("the protocol continual takes one method and one shot count")
    if not 0 < rate < 1:
        raise InputError(f"expected a false-accept rate between 0 and 1, got {rate}")
    method = (request.methods or [METHOD])[0]
    create_adapter(method, 0)
    if semantics(method) != "inductive":
        raise InputError(
            f"answers of {method!r} depend on other images, and a library judges each image by "
            "itself; choose another method"
        )
    eye = Eye(once(request.encoder or "tiny"), request.templates, store, named(request.encoder))
    opened: list[Source | Task] = []
    for path in paths:
        if str(path) in PLAYGROUND and not Path(path).exists():
            opened += _playground(str(path))
        else:
            opened.append(sources.open_source(Path(path), request.words, eye))
    if len(opened) < 2:
        raise InputError(
            "the protocol continual needs two tasks or more, in the order in which they are "
            f"learned, got {len(opened)}; name them all, or 'playground'"
        )
    distinct([source.name for source in opened])
    most = min(sources.most_shots(s) for s in opened)
    shots = (request.shots or [max(1, min(SHOTS, most))])[0]
    for source in opened:
        sources.check_shots(source, (shots,), allow_fewer=request.allow_fewer)
    draws = [(shots, seed) for seed in range(request.seeds)]
    need = Need(draws, 1, request.allow_fewer)
    loaded = [sources.load(source, eye, need, encoding) for source in opened]
    tasks = tuple(one.task for one in loaded)
    same_encoder(tasks)
    failures = tuple(f for one in loaded for f in one.failures)
    return Ready(request, tasks, shots, rate, failures)


def _order(count: int, seed: int) -> list[int]:
    if seed == 0:
        return list(range(count))
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order


def _playground(name: str) -> list[Source]:
    """The worlds, or the hard tasks, as data sets that state their splits."""
    draw, wanted = playground.world, playground.worlds()
    if PLAYGROUND[name] != "worlds":
        draw, wanted = playground.task, playground.tasks()
    return [_source(draw(one, _TRAIN, 0, _QUERIES)) for one in wanted]


def _source(task: playground.Task) -> Source:
    pictures = [*task.support, *task.test]
    labels = (*task.support_labels, *task.test_labels)
    splits = ("train",) * len(task.support) + ("test",) * len(task.test)
    images = tuple(ImageRef.of(p, f"{task.name}/{i}") for i, p in enumerate(pictures))
    dataset = Dataset(images, labels, splits, classes=task.classes)
    words = {c: c for c in task.classes}
    return Source(task.name, dataset, words, prompts.expand_templates(task.templates))
