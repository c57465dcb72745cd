"""Tasks one after another, in the manner of MTIL: what is learned, kept, and not harmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.adapters import create_adapter
from handful.contracts import ImageRef, at_home
from handful.data import Dataset, playground
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.protocols import sources
from handful.protocols.bench import Request
from handful.protocols.continual_result import ContinualResult
from handful.protocols.encoding import Encoding, ImageSource, SupportDraws
from handful.protocols.methods import semantics
from handful.protocols.task import Task, check_same_encoder
from handful.protocols.task_sequence import learn_sequence

METHOD, SHOTS, RATE = "auto", 16, 0.05
PLAYGROUND = ("playground", "playground-hard")  # ten worlds; fourteen hard tasks of one world
_TRAIN, _QUERIES = 32, 20


@dataclass(frozen=True, eq=False)
class PreparedContinual:
    """Everything encoded; `run` learns and tests.

    Args:
        request: what was asked for.
        tasks: the data sets, in the first seed's order.
        method: of every skill.
        shots: images a class.
        rate: share of images of unknown tasks that may be taken for known ones.
    """

    request: Request
    tasks: Sequence[Task]
    method: str
    shots: int
    rate: float

    def run(self, progress: Progress | None = None) -> ContinualResult:
        """Every seed's sequence.

        Args:
            progress: called with (tasks learned, tasks in all).
        """
        tasks, seeds = self.tasks, self.request.seeds
        sequences = []
        for seed in range(seeds):

            def step(t: int, done: int = seed * len(tasks)) -> None:
                if progress is not None:
                    progress(done + t, seeds * len(tasks))

            order = [tasks[i] for i in _order(len(tasks), seed)]
            fewer = self.request.allow_fewer
            sequences.append(
                learn_sequence(
                    order, self.method, self.shots, seed, self.rate, allow_fewer=fewer, step=step
                )
            )
        facts = {
            "method": self.method,
            "shots": self.shots,
            "seeds": seeds,
            "rate": self.rate,
            "encoder": tasks[0].encoder,
            "order": "as given for the first seed, by lot for the others",
            "hyper-parameters": "the method's defaults, or its own choice from the support set; no "
            "validation set, and no test image takes part in any choice",
        }
        return ContinualResult(
            tuple(sequences),
            facts,
            {task.name: task.facts for task in tasks},
            tuple(f for task in tasks for f in task.failures),
            sum((Counter(task.ignored) for task in tasks), Counter()),
        )


def prepare(
    paths: Sequence[str | Path],
    request: Request,
    *,
    rate: float = RATE,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> PreparedContinual:
    """Read, check and encode.

    Args:
        paths: sources as for every protocol, in the order in which they are to be learned; or
            `playground` for its ten worlds, `playground-hard` for its fourteen hard tasks.
        request: one method and one shot count.
        rate: share of images of unknown tasks that may be taken for known ones.
        store: where features of images are kept.
        progress: called with (images done, images in all), anew for every data set.

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
    # a wrong name is refused before anything is encoded
    create_adapter(method, 0)
    if semantics(method) != "inductive":
        raise InputError(
            f"answers of {method!r} depend on other images, and a library judges each image by "
            "itself; choose another method"
        )
    where = {"precision": request.precision, "device": request.device}
    encoding = Encoding(request.encoder, request.templates, store, progress, **where)
    opened: list[ImageSource | Task] = []
    for path in paths:
        if str(path) in PLAYGROUND and not at_home(path).exists():
            opened += _playground(str(path))
        else:
            opened.append(sources.open_source(at_home(path), request.words, encoding))
    if len(opened) < 2:
        raise InputError(
            "the protocol continual needs two tasks or more, in the order in which they are "
            f"learned, got {len(opened)}; name them all, or 'playground'"
        )
    sources.check_names([source.name for source in opened])
    # 16 shots as in the field, fewer where a class of any task has fewer
    most = min(sources.most_shots(s) for s in opened)
    shots = (request.shots or [max(1, min(SHOTS, most))])[0]
    for source in opened:
        sources.check_shots(source, (shots,), allow_fewer=request.allow_fewer)
    draws = [(shots, seed) for seed in range(request.seeds)]
    needed = SupportDraws(draws, 1, request.allow_fewer)
    tasks = [sources.load(source, encoding, needed) for source in opened]
    check_same_encoder(tasks)
    return PreparedContinual(request, tasks, method, shots, rate)


def _order(count: int, seed: int) -> list[int]:
    if seed == 0:
        return list(range(count))
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order


def _playground(name: str) -> list[ImageSource]:
    """The worlds, or the hard tasks, as data sets that state their splits."""
    draw, wanted = playground.world, playground.worlds()
    if name == "playground-hard":
        draw, wanted = playground.task, playground.tasks()
    return [_image_source(draw(one, _TRAIN, 0, _QUERIES)) for one in wanted]


def _image_source(task: playground.Task) -> ImageSource:
    pictures = [*task.support, *task.test]
    labels = (*task.support_labels, *task.test_labels)
    splits = ("train",) * len(task.support) + ("test",) * len(task.test)
    images = tuple(ImageRef.of(p, f"{task.name}/{i}") for i, p in enumerate(pictures))
    dataset = Dataset(images, labels, splits, classes=task.classes)
    words = {c: c for c in task.classes}
    return ImageSource(task.name, dataset, words, prompts.expand_templates(task.templates))
