"""Several things on one picture: learned thresholds against a fixed one and against zero-shot.

Usage: python bench/multilabel.py [--seeds 3] [--first 0] [--test 400] [--pool P ...]

Scenes of the playground with two to four objects; the question is which shapes, colours or
textures they show. Where only four colours are asked for, a third of the scenes show none. K images
a class: scenes drawn by lot until each class is on at least K, as many as that takes. Test scenes
are drawn apart, the same for every K. "fixed 0.5" is the same fit with every threshold at
one half. Zero-shot: for each class the softmax over classes, or the cosine alone, from the
threshold on that is best for all classes together on the very same training images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from PIL import Image

from handful import encoders, metrics
from handful.contracts import Array, ClassText
from handful.data import playground
from handful.encoders import prompts
from handful.tasks.multi_label import MultiLabel

SHOTS = (4, 8, 16, 32)
QUESTIONS = {
    "shape": (playground.SHAPES, "a photo of a {}."),
    "colour": (tuple(playground.COLOURS), "a photo of a {} shape."),
    "four colours, or none": (("red", "yellow", "green", "blue"), "a photo of a {} shape."),
    "texture": (playground.TEXTURES, "a photo of a {} shape."),
}
TRAINING = 600  # scenes to draw from; 32 images of each of 14 shapes are found in about 250
FIRST = 1 << 40  # seeds far above those of the scenes that `tiny` was trained on


def drawn(encoder, start: int, count: int) -> tuple[Array, list[playground.Scene]]:
    """`[N, D]` features and the scenes from seed `start` on, of two to four objects."""
    scenes = [playground.scene(start + i, objects=2 + i % 3) for i in range(count)]
    rows = []
    for at in range(0, count, 64):
        pictures = [Image.fromarray(np.asarray(playground.render(s))) for s in scenes[at : at + 64]]
        rows.append(encoder.images([encoder.prepare(p) for p in pictures]))
    return np.concatenate(rows), scenes


def truth(scenes: Sequence[playground.Scene], what: str, names: Sequence[str]) -> np.ndarray:
    """`[N, C]`: whether any object has the property."""
    what = next(kind for kind in ("shape", "colour", "texture") if kind in what)
    shown = [{getattr(thing, what) for thing in scene.things} for scene in scenes]
    return np.array([[name in one for name in names] for one in shown])


def enough(labels: np.ndarray, shots: int) -> int:
    """How many images there are until each class is on `shots` of them."""
    short = (labels.cumsum(0) < shots).any(1)
    if short[-1]:
        raise SystemExit(f"too few scenes: {labels.sum(0).min()} of {shots} images of a class")
    return int(short.sum()) + 1


def f1(answers: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Micro- and macro-F1, in percent."""
    hit = (answers & labels).sum(0)
    wrong = (answers ^ labels).sum(0)
    each = 2 * hit / np.maximum(2 * hit + wrong, 1)
    return 200 * hit.sum() / (2 * hit.sum() + wrong.sum()), 100 * each.mean()


def zero_shot(X, Y, Q, text: ClassText, *, softmax: bool) -> np.ndarray:
    """Answers above the one cut that is best on the training images."""

    def scores(rows: Array) -> np.ndarray:
        logits = text.scale * rows @ text.weights.T
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True) if softmax else logits

    known = scores(X)
    order = np.argsort(-known, axis=None)
    hits = Y.ravel()[order].cumsum()
    best = (2 * hits / (np.arange(1, Y.size + 1) + Y.sum())).argmax()
    return scores(Q) >= known.ravel()[order[best]]


def one(X, Y, Q, text: ClassText, pools: Sequence[float]) -> dict[str, np.ndarray]:
    """Answers `[M, C]` of every way."""
    found = {}
    for pool in pools:
        fitted = MultiLabel(pool=pool).fit(X, Y, text)
        found[f"learned (pool {pool:g})" if len(pools) > 1 else "learned"] = fitted.predict(Q)
    found["fixed 0.5"] = fitted.predict_proba(Q) >= 0.5
    found["zero-shot, softmax"] = zero_shot(X, Y, Q, text, softmax=True)
    found["zero-shot, cosine"] = zero_shot(X, Y, Q, text, softmax=False)
    return found


def told(values: Sequence[float]) -> str:
    mean, half = metrics.mean_interval(values)
    return f"{mean:.1f} ± {half:.1f}" if len(values) > 1 else f"{mean:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--pool", type=float, nargs="+", default=[MultiLabel().pool])
    arguments = parser.parse_args()
    encoder = encoders.load("tiny")
    results: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    sizes: dict[tuple[str, int], list[int]] = {}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        start = FIRST + 10_000 * seed
        X, scenes = drawn(encoder, start, TRAINING)
        Q, asked = drawn(encoder, start + TRAINING, arguments.test)
        for what, (names, template) in QUESTIONS.items():
            text = prompts.embed(encoder, names, (template,))
            labels, wanted = truth(scenes, what, names), truth(asked, what, names)
            for shots in SHOTS:
                rows = slice(enough(labels, shots))
                sizes.setdefault((what, shots), []).append(rows.stop)
                for way, answers in one(X[rows], labels[rows], Q, text, arguments.pool).items():
                    results.setdefault((what, shots, way), []).append(f1(answers, wanted))
    print("| question | images a class (in all) | answers | micro-F1, % | macro-F1, % |")
    print("|---|---:|---|---:|---:|")
    for (what, shots, way), values in results.items():
        micro, macro = zip(*values, strict=True)
        size = f"{shots} ({np.mean(sizes[what, shots]):.0f})"
        classes = len(QUESTIONS[what][0])
        print(f"| {what}, {classes} classes | {size} | {way} | {told(micro)} | {told(macro)} |")
    print("\n| question | learned less fixed: micro-F1 | macro-F1 | draws above, % |")
    print("|---|---:|---:|---:|")
    for what in QUESTIONS:
        pairs = np.array(list(_pairs(results, what)))  # [draws, 2 ways, 2 numbers]
        lead = pairs[:, 0] - pairs[:, 1]
        above = (lead > 0).mean(0)
        print(
            f"| {what} | {lead[:, 0].mean():+.2f} | {lead[:, 1].mean():+.2f} "
            f"| {100 * above[0]:.0f}, {100 * above[1]:.0f} |"
        )
    print(
        f"\n`tiny`, {arguments.seeds} seeds, {arguments.test} test scenes each, mean and 95 % "
        "interval over seeds. The second table is over all sizes and seeds; draws above are those "
        "in which learned thresholds beat the fixed one, in micro- and in macro-F1."
    )


def _pairs(results, what):
    """Each draw's numbers by learned and by fixed thresholds."""
    for (asked, shots, way), values in results.items():
        if asked == what and way.startswith("learned"):
            yield from zip(values, results[what, shots, "fixed 0.5"], strict=True)


if __name__ == "__main__":
    main()
