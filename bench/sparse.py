"""Sparse routing: of n skills that change the encoder, only the k likeliest run for an image.

Usage: python bench/sparse.py

Each skill is a `block` adapter in the image tower with `auto` on top, and a pass of its own. The
gate is the library's router: closed form, on features of the untouched encoder, image by image.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from handful import Library, encoders, fit, metrics
from handful.contracts import ImageRef
from handful.data import Dataset, playground
from handful.data.playground import STYLES
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.tuners.training.tune import Tuning

SIZES = (4, 8, 16, 32)
SHOTS, QUERIES = 8, 4
QUICK = {"epochs": 5, "views": 2, "towers": "vision", "weight": 1.0, "kl": 0.3}


def tasks() -> dict[str, playground.Task]:
    """32 tasks: ten worlds, the 14 hard tasks, and eight of them in another style."""
    found = {f"world-{n}": playground.world(n, SHOTS, 0, QUERIES) for n in playground.worlds()}
    found |= {n: playground.task(n, SHOTS, 0, QUERIES) for n in playground.tasks()}
    for name in ("novel-objects", "novel-materials", "novel-forms", "style-sketch") * 2:
        style = "faint" if f"faint-{name}" not in found else "poster"
        found[f"{style}-{name}"] = restyled(playground.task(name, SHOTS, 1, QUERIES), style)
    return found


def restyled(task: playground.Task, style: str) -> playground.Task:
    """The same pictures with another finish."""
    rng = np.random.default_rng(0)
    finish = STYLES[style]
    change = [
        tuple(finish(p.astype(np.float32), rng) for p in part) for part in (task.support, task.test)
    ]
    return replace(task, support=change[0], test=change[1])


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    encoder = encoders.load("tiny", precision="float32")
    drawn = tasks()
    order = np.random.default_rng(0).permutation(list(drawn)).tolist()
    print(
        f"`tiny`, {SHOTS} shots; {QUERIES} test images a class. Right: task and class. All runs "
        "every skill that may be meant (a share of 0.001 or more); oracle is told the task. "
        "Adapters run: share of all n, an image.\n"
    )
    print(
        "| n | top-1 | top-2 | top-4 | all | oracle | task found | adapters run, top-2 "
        "| adapters run, all | top-2 less all |"
    )
    print("|---:|" + "---:|" * 9)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        store = FeatureStore(top / "store")
        library = Library.init(top / "library", encoder, store)
        for count in SIZES:
            for name in order[len(library.names) : count]:
                teach(library, name, drawn[name])
            print(row(library, {n: drawn[n] for n in order[:count]}), flush=True)


def teach(library: Library, name: str, task: playground.Task) -> None:
    """One more skill; the others stay as they are."""
    images = tuple(ImageRef.of(p) for p in task.support)
    taught = fit(
        Dataset(images, task.support_labels), encoder=library.encoder, store=library.store,
        tuning=Tuning(("block",), QUICK),
    )  # fmt: skip
    library.add(taught.pack, name)
    print(f"{name} taught", file=sys.stderr)


def row(library: Library, drawn: dict[str, playground.Task]) -> str:
    """One line of the table."""
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test]
    wanted = [(n, label) for n, task in drawn.items() for label in task.test_labels]
    right, runs = {}, {}
    for most in (1, 2, 4, len(drawn)):
        asked = Library(library.folder.path, library.encoder, library.store, most)
        answers = asked.predict(pictures)
        runs[most] = passes(asked, pictures)
        right[most] = [
            (a.task, a.scores[0]["label"].rpartition("/")[2]) == w
            for a, w in zip(answers, wanted, strict=True)
        ]
        if most == 2:
            found = [a.task == w[0] for a, w in zip(answers, wanted, strict=True)]
    told = []
    for name, task in drawn.items():
        answers = library.predict([ImageRef.of(p) for p in task.test], task=name)
        told += [a.scores[0]["label"] == w for a, w in zip(answers, task.test_labels, strict=True)]
    every = len(drawn)
    gap, half = metrics.mean_interval(
        [100.0 * (a - b) for a, b in zip(map(int, right[2]), map(int, right[every]), strict=True)]
    )
    cells = [100 * np.mean(right[k]) for k in (1, 2, 4, every)] + [100 * np.mean(told)]
    return (
        f"| {every} | "
        + " | ".join(f"{c:.1f}" for c in cells)
        + f" | {100 * np.mean(found):.1f} | {100 * runs[2]:.1f} % | {100 * runs[every]:.1f} % "
        f"| {gap:+.1f} ± {half:.1f} |"
    )


def passes(library: Library, pictures: list[ImageRef]) -> float:
    """Share of all adapters that run for an image, on average."""
    seen = extract_features(library.encoder, pictures, library.store)
    shares = library.ensemble.router.probabilities(seen.features.values)
    each = [library.ensemble.runs_for(shares, i).mean() for i in range(len(library.names))]
    return float(np.mean(each))


if __name__ == "__main__":
    main()
