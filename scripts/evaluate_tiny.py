"""Measure `tiny`, or any encoder, on the playground; prints the tables of docs/tiny.md.

Usage: python scripts/evaluate_tiny.py [--encoder tiny] [--seeds 3] [--images 1180]

Every scene here is drawn with seeds that training never used. Intervals are 95 %: Wilson's for
shares of one set of images, Student's over the seeds for the tasks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from PIL import Image

from handful import encoders, metrics
from handful.contracts import Array, Encoder, unit
from handful.data import playground
from handful.data.playground.sampling import Compositions

_FIRST = {"held_out": 5_100_000, "train": 6_100_000}  # the training pool starts at 10 000 000
_BATCH = 128
TEMPLATE = "a photo of {}."
Composition = tuple[str, str, str]


def pictures(encoder: Encoder, images: Sequence[playground.Scene | np.ndarray]) -> Array:
    """Scenes or pixels to `[N, D]`."""
    rows = []
    for start in range(0, len(images), _BATCH):
        part = [
            x if isinstance(x, np.ndarray) else playground.render(x)
            for x in images[start : start + _BATCH]
        ]
        rows.append(encoder.images([encoder.prepare(Image.fromarray(x)) for x in part]))
    return np.concatenate(rows)


def texts(encoder: Encoder, sentences: Sequence[str]) -> Array:
    """Sentences to `[N, D]`."""
    parts = range(0, len(sentences), _BATCH)
    return np.concatenate([encoder.texts(sentences[s : s + _BATCH]) for s in parts])


def share(right: np.ndarray) -> str:
    """`[N]` hits as percent with Wilson's interval."""
    low, high = metrics.wilson_interval(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


def compositions(encoder: Encoder, images: int) -> Iterator[str]:
    """Zero-shot over whole compositions: one object, the name says texture, colour and shape."""
    everything = (*playground.HELD_OUT, *playground.SEEN)
    rows = texts(encoder, [TEMPLATE.format("a " + " ".join(c)) for c in everything])
    column = {c: i for i, c in enumerate(everything)}
    some = np.random.default_rng(0).permutation(len(playground.SEEN))[: len(playground.HELD_OUT)]
    groups: tuple[tuple[str, Sequence[Composition]], ...] = (
        ("held-out compositions", playground.HELD_OUT),
        ("as many seen ones", [playground.SEEN[int(i)] for i in some]),
    )
    yield "| images of | names | images | right, % | texture | colour | shape |"
    yield "|---|---|---|---|---|---|---|"
    for what, group in groups:
        which: Compositions = "held_out" if group is playground.HELD_OUT else "train"
        truth = [group[i % len(group)] for i in range(images)]
        scenes = [
            playground.scene(
                _FIRST[which] + i,
                objects=1,
                compositions=which,
                fixed=[dict(zip(("texture", "colour", "shape"), c, strict=True))],
            )
            for i, c in enumerate(truth)
        ]
        cosines = pictures(encoder, scenes) @ rows.T
        for names, label in ((list(group), f"the same {len(group)}"), (everything, "all 1008")):
            found = cosines[:, [column[c] for c in names]].argmax(1)
            hits = np.array([[a == b for a, b in zip(names[f], t, strict=True)]
                             for f, t in zip(found, truth, strict=True)])  # fmt: skip
            parts = " | ".join(f"{100 * p:.1f}" for p in hits.mean(0))
            yield f"| {what} | {label} | {images} | {share(hits.all(1))} | {parts} |"


def sentence(scene: playground.Scene) -> str:
    """All that a caption may say of the objects; for one object also its size and place."""
    named = ["a " + playground.name(t) for t in scene.objects]
    if len(named) == 1:
        thing = scene.objects[0]
        named = [f"a {thing.size} {playground.name(thing)} {playground.place(thing)}"]
    return TEMPLATE.format(" and ".join(named))


def retrieval(encoder: Encoder, pairs: int = 1000) -> Iterator[str]:
    """Image to text among captions that all differ."""
    yield "| scenes | compositions | captions | R@1, % | R@5, % |"
    yield "|---|---|---|---|---|"
    sets: tuple[tuple[int, Compositions], ...] = (
        (1, "held_out"), (1, "train"), (2, "held_out"), (2, "train"),
    )  # fmt: skip
    for objects, which in sets:
        found: dict[str, playground.Scene] = {}
        for i in count(_FIRST[which] + 100_000 * objects):
            made = playground.scene(i, objects=objects, compositions=which)
            found.setdefault(sentence(made), made)
            if len(found) == pairs:
                break
        cosines = pictures(encoder, list(found.values())) @ texts(encoder, list(found)).T
        rank = (cosines > np.diag(cosines)[:, None]).sum(1)
        kind = "one object" if objects == 1 else "two objects"
        words = "held out" if which == "held_out" else "seen"
        yield f"| {kind} | {words} | {pairs} | {share(rank < 1)} | {share(rank < 5)} |"


def few_shot(encoder: Encoder, seeds: int, shots: int = 16) -> Iterator[str]:
    """Zero-shot against the nearest class mean of 16 shots, on every task."""
    yield "| task | classes | chance, % | zero-shot, % | nearest class mean, 16 shots, % |"
    yield "|---|---|---|---|---|"
    means = []
    for name in playground.tasks():
        scores = []
        for seed in range(seeds):
            task = playground.task(name, shots, seed)
            column = {c: i for i, c in enumerate(task.classes)}
            targets = np.array([column[y] for y in task.test_labels])
            known = np.array([column[y] for y in task.support_labels])
            values = pictures(encoder, [*task.support, *task.test])
            support, test = values[: len(known)], values[len(known) :]
            prompts = [t.format(c) for c in task.classes for t in task.templates]
            named = texts(encoder, prompts).reshape(len(task.classes), len(task.templates), -1)
            centres = [support[known == c].mean(0) for c in range(len(task.classes))]
            heads = (unit(named.mean(1)), unit(np.stack(centres)))
            scores.append([100 * metrics.accuracy(test @ head.T, targets) for head in heads])
        found = np.array(scores)
        means.append(found.mean(0))
        cells = " | ".join(_mean(found[:, i]) for i in range(2))
        yield f"| {name} | {len(task.classes)} | {100 / len(task.classes):.0f} | {cells} |"
    zero, near = np.mean(means, axis=0)
    yield f"| mean | | | {zero:.1f} | {near:.1f} |"


def _mean(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values.mean():.1f}"
    mean, half = metrics.mean_interval(values.tolist())
    return f"{mean:.1f} ± {half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1180)
    a = parser.parse_args()
    encoder = encoders.load(a.encoder, precision="float32")
    print(f"Encoder {encoder.name}, {encoder.fingerprint}, {encoder.precision}\n")
    for table in (
        compositions(encoder, a.images), retrieval(encoder), few_shot(encoder, a.seeds),
    ):  # fmt: skip
        for line in table:
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
