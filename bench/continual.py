"""Tasks learned one after another, with names and without, and images of no known task.

Usage: python bench/continual.py [--seeds 3] [--photos FOLDER ...] [--features FOLDER]

The protocol is that of `handful bench --protocol continual`: ten worlds of the playground, which
differ as data sets do; its fourteen hard tasks, which share one world, so that one image may truly
be of several; with folders of photos, these after the worlds. The rates are those of images of two
worlds that the library has not learned, for all pairs of worlds, eight being known. A data set of
real features is cut into tasks by dealing out its classes: those are of one kind, the hardest case.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from handful import data, encoders
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.data import FeatureSet, playground
from handful.features.store import FeatureStore
from handful.library.open_set import OpenSetDetector
from handful.library.task_support import TaskSupport
from handful.protocols import continual, continual_report
from handful.protocols.request import Request

SHOTS = (1, 4, 16)
RATES = (0.05, 0.1, 0.2)
QUERIES = 20


def sequence(title: str, paths: list[str], shots: tuple[int, ...], seeds: int, store) -> None:
    print(f"\n### {title}\n")
    columns = [*continual_report.COLUMNS, "task found, %", "unknown accepted, %", "kB a task"]
    print("| | shots | " + " | ".join(columns) + " |")
    print("|---|---:" + "|---:" * len(columns) + "|")
    for k in shots:
        request = Request(protocol="continual", shots=[k], seeds=seeds)
        done = continual.prepare(paths, request, store=store).run()
        beside = list(continual_report.numbers(done).values())
        for label, cells in continual_report.rows(done).items():
            extra = ["", "", ""]
            if label == continual_report.LABELS["named"]:
                extra[2] = f"{beside[4].accuracy:.0f}"
                changed = beside[3].accuracy
            if label == continual_report.LABELS["routed"]:
                extra[0] = str(beside[0])
            if label == continual_report.LABELS["open"]:
                extra[1] = str(beside[1])
            print(f"| {label} | {k} | " + " | ".join([*map(str, cells), *extra]) + " |")
        named, routed = (
            np.array([s.matrices[way][-1].mean() for s in done.sequels])
            for way in ("named", "routed")
        )
        gaps.append((title, k, float((named - routed).mean()), changed, tuple(harm(done))))


gaps: list[tuple[str, int, float, float, tuple[float, float]]] = []


def harm(done: continual.Continual) -> list[float]:
    """Transfer less that of zero-shot, with names and without."""
    transfer = continual_report.COLUMNS["Transfer"]
    pairs = (("named", "zero_shot"), ("open", "union"))
    return [
        float(
            np.mean(
                [
                    transfer(s.matrices[way]) - transfer(np.tile(getattr(s, zs), (len(s.order), 1)))
                    for s in done.sequels
                ]
            )
        )
        for way, zs in pairs
    ]


def cut(features: Path, folder: Path, tasks: int = 6) -> list[str]:
    """A feature file of one data set as several tasks, its classes dealt out by lot."""
    whole = data.load_features(features)
    dealt = np.array_split(np.random.default_rng(0).permutation(len(whole.text.classes)), tasks)
    found = []
    for n, classes in enumerate(dealt):
        rows = np.flatnonzero(np.isin(whole.labels, classes))
        names = tuple(whole.text.classes[c] for c in classes)
        part = FeatureSet(
            name=f"part {n + 1}",
            values=whole.values[rows],
            labels=np.array([int(np.flatnonzero(classes == c)[0]) for c in whole.labels[rows]]),
            text=ClassText(whole.text.embeddings[classes], names, whole.text.scale),
            encoder=whole.encoder,
        )
        place = folder / part.name / "features.safetensors"
        found.append(str(data.save_features(place, part)))
    return found


def encoded(encoder: Encoder, task: playground.Task) -> tuple[Array, np.ndarray, Array]:
    refs = [ImageRef.of(p) for p in (*task.support, *task.test)]
    values = encoder.images([encoder.prepare(data.decode(r)) for r in refs])
    column = {name: c for c, name in enumerate(task.classes)}
    y = np.array([column[name] for name in task.support_labels])
    return values[: len(y)], y, values[len(y) :]


def first(rows: Array, y: np.ndarray, shots: int) -> TaskSupport:
    kept = np.concatenate([np.flatnonzero(y == c)[:shots] for c in range(y.max() + 1)])
    return TaskSupport(rows[kept], y[kept])


def strangers(encoder: Encoder, seeds: int) -> None:
    found: dict[tuple[int, float], list[tuple[float, float]]] = defaultdict(list)
    names = playground.worlds()
    for seed in range(seeds):
        drawn = [encoded(encoder, playground.world(n, max(SHOTS), seed, QUERIES)) for n in names]
        for shots in SHOTS:
            parts = [first(rows, y, shots) for rows, y, _ in drawn]
            for pair in combinations(range(len(names)), 2):
                known = [i for i in range(len(names)) if i not in pair]
                told = OpenSetDetector.fit({f"{i:03d}": parts[i] for i in known})
                theirs = told.rates(np.concatenate([drawn[i][2] for i in pair]))
                own = told.rates(np.concatenate([drawn[i][2] for i in known]))
                for rate in RATES:
                    share = float((theirs <= rate).mean()), float((own <= rate).mean())
                    found[shots, rate].append(share)
    print("\n### Images of no known task\n")
    heads = [f"{100 * r:g} %: {what}" for r in RATES for what in ("accepted", "known kept")]
    print("| shots | " + " | ".join(heads) + " |\n|---:" + "|---:" * len(heads) + "|")
    for shots in SHOTS:
        means = [100 * v for r in RATES for v in np.mean(found[shots, r], axis=0)]
        print(f"| {shots} | " + " | ".join(f"{v:.1f}" for v in means) + " |")
    print("\nShare of the images of two unknown worlds that are taken for known at each stated "
          "rate, and of images of the eight known ones that are; percent, mean over all pairs "
          f"of worlds and {seeds} draws.")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", nargs="*", default=[])
    parser.add_argument("--features", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder) / "store")
        sequence("Ten worlds", ["playground"], SHOTS, arguments.seeds, store)
        hard = "Fourteen hard tasks of one world"
        sequence(hard, ["playground-hard"], SHOTS[-1:], arguments.seeds, store)
        if arguments.photos:
            paths = ["playground", *arguments.photos]
            names = ", ".join(Path(p).name for p in arguments.photos)
            # two seeds: encoding and asking photos takes long
            sequence(f"The worlds, then {names}", paths, SHOTS[-1:], min(2, arguments.seeds), store)
        if arguments.features:
            parts = cut(arguments.features, Path(folder))
            title = f"{arguments.features.name} in {len(parts)} parts, real features"
            sequence(title, parts, SHOTS[1:], arguments.seeds, store)
    heads = ["", "shots", "Last: names less none", "earlier skills changed"]
    heads += ["Transfer less zero-shot's: names", "none, unknown refused"]
    print("\n| " + " | ".join(heads) + " |")
    print("|---|---:|---:|---:|---:|---:|")
    for title, k, gap, changed, (named, free) in gaps:
        print(f"| {title} | {k} | {gap:.2f} | {changed:.0f} | {named:+.2f} | {free:+.2f} |")
    strangers(encoders.load("tiny"), arguments.seeds)


if __name__ == "__main__":
    main()
