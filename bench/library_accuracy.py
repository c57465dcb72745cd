"""How often a library of skills is right: tasks learned one after another, and sparse routing.

Two tables, hence long.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from handful import Library, data, encoders, fit
from handful.contracts import Encoder, ImageRef
from handful.data import Dataset, playground
from handful.data.playground import STYLES
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.library.open_set import OpenSetDetector
from handful.library.task_support import TaskSupport
from handful.protocols import continual
from handful.protocols.bench import Request
from handful.protocols.continual_result import COLUMNS, LABELS, ContinualResult
from handful.tuners.training.tune import Tuning
from samples import encoded, part, tiny
from tables import head, interval, row, table

# ---- tasks one after another

SHOTS = (1, 4, 16)
RATES = (0.05, 0.1, 0.2)


@table("continual", title="Tasks one after another", seconds=2400, seeds=1, shots=(4,), worlds=6)
def one_after_another(
    features: str | None = None,
    photos: tuple[str, ...] = (),
    seeds: int = 3,
    shots: tuple[int, ...] = SHOTS,
    worlds: int = 10,
) -> Iterator[str]:
    """Tasks learned with names and without, and images of no known task.

    The protocol is that of `handful bench --protocol continual`: ten worlds of the playground,
    which differ as data sets do; its fourteen hard tasks, which share one world, so that one image
    may truly be of several; with folders of photos, these after the worlds. A data set of real
    features is cut into tasks by dealing out its classes: those are of one kind, the hardest case.
    """
    torch.set_num_threads(1)
    hard, summaries = "Fourteen hard tasks of one world", []
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "store")
        sequences = [
            ("Ten worlds", ["playground"], shots, seeds),
            (hard, ["playground-hard"], shots[-1:], seeds),
        ]
        if photos:
            names = ", ".join(Path(p).name for p in photos)
            # two seeds: encoding and asking photos takes long
            paths = ["playground", *photos]
            sequences.append((f"The worlds, then {names}", paths, shots[-1:], min(2, seeds)))
        if features:
            parts = cut(Path(features), Path(folder))
            title = f"{Path(features).name} in {len(parts)} parts, real features"
            sequences.append((title, parts, shots[1:] or shots, seeds))
        for title, paths, each, draws in sequences:
            yield f"\n### {title}\n"
            columns = [*COLUMNS, "task found, %", "unknown accepted, %", "kB a task"]
            yield head("", "shots", *columns, left=1)
            for k in each:
                request = Request(protocol="continual", shots=[k], seeds=draws)
                done = continual.prepare(paths, request, store=store).run()
                yield from sequence_rows(done, k)
                summaries.append((title, k, *summary(done)))
    yield "\n" + head(
        "", "shots", "Last: names less none", "earlier skills changed",
        "Transfer less zero-shot's: names", "none, unknown refused", left=1,
    )  # fmt: skip
    for title, k, gap, changed, named, free in summaries:
        yield row(title, k, f"{gap:.2f}", f"{changed:.0f}", f"{named:+.2f}", f"{free:+.2f}")
    yield from unknown_tasks(seeds, shots, worlds)


def sequence_rows(done: ContinualResult, shots: int) -> Iterator[str]:
    """Numbers of one sequence; what is not of a way of asking stands beside the way it is of."""
    found, unknown, _, _, size = done.numbers().values()
    beside: dict[str, tuple[object, ...]] = {
        LABELS["named"]: ("", "", f"{size.accuracy:.0f}"),
        LABELS["routed"]: (found, "", ""),
        LABELS["open"]: ("", unknown, ""),
    }
    for found_row in done.grid.rows:
        extra = beside.get(found_row.label, ("", "", ""))
        yield row(found_row.label, shots, *found_row.cells, *extra)


def summary(done: ContinualResult) -> tuple[float, ...]:
    """Accuracy that names bring, skills changed, Transfer less that of zero-shot in two ways."""
    named, routed = (
        np.array([s.matrices[way][-1].mean() for s in done.sequences])
        for way in ("named", "routed")
    )
    changed = list(done.numbers().values())[3].accuracy
    transfer = COLUMNS["Transfer"]
    harm = [
        np.mean(
            [
                transfer(s.matrices[way]) - transfer(np.tile(getattr(s, zero), (len(s.order), 1)))
                for s in done.sequences
            ]
        )
        for way, zero in (("named", "zero_shot"), ("open", "union"))
    ]
    return float((named - routed).mean()), changed, *map(float, harm)


def cut(features: Path, folder: Path, tasks: int = 6) -> list[str]:
    """A feature file of one data set as several tasks, its classes dealt out by lot."""
    whole = data.load_features(features)
    dealt = np.array_split(np.random.default_rng(0).permutation(len(whole.text.classes)), tasks)
    found = []
    for n, classes in enumerate(dealt):
        one = part(whole, f"part {n + 1}", classes)
        found.append(str(data.save_features(folder / one.name / "features.safetensors", one)))
    return found


def unknown_tasks(seeds: int, shots: tuple[int, ...], worlds: int) -> Iterator[str]:
    """Images of two worlds that the library has not learned, for all pairs of worlds."""
    encoder = encoders.load("tiny")
    found: dict[tuple[int, float], list[tuple[float, float]]] = defaultdict(list)
    names = playground.worlds()[:worlds]
    for seed in range(seeds):
        drawn = [EncodedTask.of(encoder, playground.world(n, max(SHOTS), seed, 20)) for n in names]
        for k in shots:
            supports = [task.first(k) for task in drawn]
            for pair in combinations(range(len(names)), 2):
                known = [i for i in range(len(names)) if i not in pair]
                detector = OpenSetDetector.fit({f"{i:03d}": supports[i] for i in known})
                theirs, own = (
                    detector.rates(np.concatenate([drawn[i].test for i in group]))
                    for group in (pair, known)
                )
                for rate in RATES:
                    share = float((theirs <= rate).mean()), float((own <= rate).mean())
                    found[k, rate].append(share)
    yield "\n### Images of no known task\n"
    heads = (f"{100 * r:g} %: {what}" for r in RATES for what in ("accepted", "known kept"))
    yield head("shots", *heads, left=0)
    for k in shots:
        yield row(k, *(f"{100 * v:.1f}" for r in RATES for v in np.mean(found[k, r], axis=0)))
    yield (
        "\nShare of the images of two unknown worlds that are taken for known at each stated "
        "rate, and of images of the eight known ones that are; percent, mean over all pairs "
        f"of worlds and {seeds} draws."
    )


@dataclass(frozen=True, eq=False)
class EncodedTask:
    """Support `[N, D]` with columns `[N]`, test `[M, D]`."""

    support: np.ndarray
    y: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, encoder: Encoder, task: playground.Task) -> EncodedTask:
        """All of it in one batch."""
        values = encoded(encoder, (*task.support, *task.test))
        y = np.array([task.classes.index(label) for label in task.support_labels])
        return cls(values[: len(y)], y, values[len(y) :])

    def first(self, shots: int) -> TaskSupport:
        """The first images of each class."""
        columns = range(self.y.max() + 1)
        kept = np.concatenate([np.flatnonzero(self.y == c)[:shots] for c in columns])
        return TaskSupport(self.support[kept], self.y[kept])


# ---- sparse routing among skills that change the encoder

TUNED_SHOTS, QUERIES = 8, 4
RECIPE = {"views": 2, "towers": "vision", "weight": 1.0, "kl": 0.3}


@table("sparse", title="Sparse routing among tuned skills", seconds=1200, sizes=(2,), epochs=1)
def sparse(sizes: tuple[int, ...] = (4, 8, 16, 32), epochs: int = 5) -> Iterator[str]:
    """Of n skills that change the encoder, only the k likeliest run for an image.

    Each skill is a `block` adapter in the image tower with `auto` on top, and a pass of its own.
    The gate is the library's router: closed form, on features of the untouched encoder, image by
    image.
    """
    drawn = tasks()
    order = np.random.default_rng(0).permutation(list(drawn)).tolist()
    yield (
        f"`tiny`, {TUNED_SHOTS} shots; {QUERIES} test images a class. Right: task and class. All "
        "runs every skill that may be meant (a share of 0.001 or more); oracle is told the task. "
        "Adapters run: share of all n, an image.\n"
    )
    yield head(
        "n", "top-1", "top-2", "top-4", "all", "oracle", "task found", "adapters run, top-2",
        "adapters run, all", "top-2 less all", left=0,
    )  # fmt: skip
    tuning = Tuning(("block",), {**RECIPE, "epochs": epochs})
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "store")
        library = Library.init(Path(folder) / "library", tiny(), store)
        for count in sizes:
            for name in order[len(library.names) : count]:
                task = drawn[name]
                images = Dataset(tuple(map(ImageRef.of, task.support)), task.support_labels)
                library.add(fit(images, encoder=tiny(), store=store, tuning=tuning).pack, name)
                print(f"{name} taught", file=sys.stderr)
            yield sparse_row(library, {n: drawn[n] for n in order[:count]})


def tasks() -> dict[str, playground.Task]:
    """32 tasks: ten worlds, the 14 hard tasks, and eight of them in another style."""
    shots = TUNED_SHOTS
    found = {f"world-{n}": playground.world(n, shots, 0, QUERIES) for n in playground.worlds()}
    found |= {n: playground.task(n, shots, 0, QUERIES) for n in playground.tasks()}
    for name in ("novel-objects", "novel-materials", "novel-forms", "style-sketch") * 2:
        style = "faint" if f"faint-{name}" not in found else "poster"
        found[f"{style}-{name}"] = restyled(playground.task(name, shots, 1, QUERIES), style)
    return found


def restyled(task: playground.Task, style: str) -> playground.Task:
    """The same pictures with another finish."""
    rng = np.random.default_rng(0)
    support, test = (
        tuple(STYLES[style](p.astype(np.float32), rng) for p in pictures)
        for pictures in (task.support, task.test)
    )
    return replace(task, support=support, test=test)


def sparse_row(library: Library, drawn: dict[str, playground.Task]) -> str:
    every = len(drawn)
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test]
    names, labels = zip(
        *((n, x) for n, task in drawn.items() for x in task.test_labels), strict=True
    )
    right, runs, found = {}, {}, []
    for most in (1, 2, 4, every):
        asked = Library(library.folder.path, library.encoder, library.store, most)
        answers = asked.predict(pictures)
        runs[most] = adapters_run(asked, pictures)
        right_task = np.equal([a.task for a in answers], names)
        given = [a.scores[0]["label"].rpartition("/")[2] for a in answers]
        right[most] = right_task & np.equal(given, labels)
        if most == 2:
            found = right_task
    oracle = []
    for name, task in drawn.items():
        answers = library.predict([ImageRef.of(p) for p in task.test], task=name)
        oracle += [
            a.scores[0]["label"] == w for a, w in zip(answers, task.test_labels, strict=True)
        ]
    shares = (*(right[k] for k in (1, 2, 4, every)), oracle, found)
    return row(
        every,
        *(f"{100 * np.mean(share):.1f}" for share in shares),
        *(f"{100 * runs[k]:.1f} %" for k in (2, every)),
        interval(100.0 * np.subtract(right[2], right[every], dtype=float), "+.1f"),
    )


def adapters_run(library: Library, pictures: list[ImageRef]) -> float:
    """Share of all adapters that run for an image, on average."""
    features = extract_features(library.encoder, pictures, library.store).features
    shares = library.ensemble.router.probabilities(features.values)
    each = [library.ensemble.runs_for(shares, i).mean() for i in range(len(library.names))]
    return float(np.mean(each))
