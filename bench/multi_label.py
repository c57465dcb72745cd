"""Several labels an image: learned thresholds against a fixed one and against zero-shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handful import encoders
from handful.contracts import Array, ClassText
from handful.data import playground
from handful.encoders import prompts
from handful.tasks.multi_label import MultiLabel
from samples import encoded
from tables import head, interval, row, table

SHOTS = (4, 8, 16, 32)
QUESTIONS = {
    "shape": (playground.SHAPES, "a photo of a {}."),
    "colour": (tuple(playground.COLOURS), "a photo of a {} shape."),
    "four colours, or none": (("red", "yellow", "green", "blue"), "a photo of a {} shape."),
    "texture": (playground.TEXTURES, "a photo of a {} shape."),
}
TRAINING = 600  # scenes to draw from; 32 images of each of 14 shapes are found in about 250
FIRST = 1 << 40  # seeds far above those of the scenes that `tiny` was trained on

Results = dict[tuple[str, int, str], list[tuple[float, float]]]  # question, shots, way


@table("multilabel", title="Several labels an image", seconds=300, seeds=1, test=50)
def multi_label(seeds: int = 5, test: int = 400) -> Iterator[str]:
    """Scenes of the playground with two to four objects; which shapes, colours, textures they show.

    Where only four colours are asked for, a third of the scenes show none. K images a class: scenes
    drawn by lot until each class is on at least K, as many as that takes. Test scenes are drawn
    apart, the same for every K. "fixed 0.5" is the same fit with every threshold at one half.
    Zero-shot: for each class the softmax over classes, or the cosine alone, from the threshold on
    that is best for all classes together on the very same training images.
    """
    encoder = encoders.load("tiny")
    results: Results = {}
    sizes: dict[tuple[str, int], list[int]] = {}
    for seed in range(seeds):
        start = FIRST + 10_000 * seed
        X, scenes = drawn(encoder, start, TRAINING)
        Q, asked = drawn(encoder, start + TRAINING, test)
        for what, (names, template) in QUESTIONS.items():
            text = prompts.embed(encoder, names, (template,))
            labels, wanted = truth(scenes, what, names), truth(asked, what, names)
            for shots in SHOTS:
                rows = slice(enough(labels, shots))
                sizes.setdefault((what, shots), []).append(rows.stop)
                for way, found in answers(X[rows], labels[rows], Q, text).items():
                    results.setdefault((what, shots, way), []).append(f1(found, wanted))
    yield "| question | images a class (in all) | answers | micro-F1, % | macro-F1, % |"
    yield "|---|---:|---|---:|---:|"
    for (what, shots, way), values in results.items():
        micro, macro = zip(*values, strict=True)
        size = f"{shots} ({np.mean(sizes[what, shots]):.0f})"
        question = f"{what}, {len(QUESTIONS[what][0])} classes"
        yield row(question, size, way, interval(micro), interval(macro))
    yield "\n" + head(
        "question", "learned less fixed: micro-F1", "macro-F1", "draws above, %", left=1
    )
    for what in QUESTIONS:
        lead = gaps(results, what)
        above = 100 * (lead > 0).mean(0)
        means = (f"{mean:+.2f}" for mean in lead.mean(0))
        yield row(what, *means, f"{above[0]:.0f}, {above[1]:.0f}")
    yield (
        f"\n`tiny`, {seeds} seeds, {test} test scenes each, mean and 95 % "
        "interval over seeds. The second table is over all sizes and seeds; draws above are those "
        "in which learned thresholds beat the fixed one, in micro- and in macro-F1."
    )


def drawn(encoder: Any, start: int, count: int) -> tuple[Array, list[playground.Scene]]:
    """`[N, D]` features and the scenes from seed `start` on, of two to four objects."""
    scenes = [playground.scene(start + i, objects=2 + i % 3) for i in range(count)]
    return encoded(encoder, [playground.render(scene) for scene in scenes]), scenes


def truth(scenes: Sequence[playground.Scene], what: str, names: Sequence[str]) -> np.ndarray:
    """`[N, C]`: whether any object has the property."""
    what = next(kind for kind in ("shape", "colour", "texture") if kind in what)
    shown = [{getattr(thing, what) for thing in scene.objects} for scene in scenes]
    return np.array([[name in one for name in names] for one in shown])


def enough(labels: np.ndarray, shots: int) -> int:
    """How many images there are until each class is on `shots` of them."""
    short = (labels.cumsum(0) < shots).any(1)
    if short[-1]:
        raise SystemExit(f"too few scenes: {labels.sum(0).min()} of {shots} images of a class")
    return int(short.sum()) + 1


def answers(X: Array, Y: np.ndarray, Q: Array, text: ClassText) -> dict[str, np.ndarray]:
    """`[M, C]` of every way."""
    fitted = MultiLabel().fit(X, Y, text)
    return {
        "learned": fitted.predict(Q),
        "fixed 0.5": fitted.predict_proba(Q) >= 0.5,
        "zero-shot, softmax": zero_shot(X, Y, Q, text, softmax=True),
        "zero-shot, cosine": zero_shot(X, Y, Q, text, softmax=False),
    }


def zero_shot(X: Array, Y: np.ndarray, Q: Array, text: ClassText, *, softmax: bool) -> np.ndarray:
    """Answers above the one cut that is best on the training images."""

    def scores(rows: Array) -> np.ndarray:
        logits = text.scale * rows @ text.weights.T
        return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True) if softmax else logits

    known = scores(X)
    order = np.argsort(-known, axis=None)
    hits = Y.ravel()[order].cumsum()
    # F1 of every cut at once: hits over the mean of the answers given and the labels there are
    best = (2 * hits / (np.arange(1, Y.size + 1) + Y.sum())).argmax()
    return scores(Q) >= known.ravel()[order[best]]


def f1(answers: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Micro- and macro-F1, in percent."""
    hit = (answers & labels).sum(0)
    wrong = (answers ^ labels).sum(0)
    each = 2 * hit / np.maximum(2 * hit + wrong, 1)
    return 200 * hit.sum() / (2 * hit.sum() + wrong.sum()), 100 * each.mean()


def gaps(results: Results, question: str) -> np.ndarray:
    """`[draws, 2]`: micro- and macro-F1 by learned less those by fixed thresholds."""
    pairs = (
        (results[question, shots, "learned"], results[question, shots, "fixed 0.5"])
        for shots in SHOTS
    )
    return np.concatenate([np.subtract(*pair) for pair in pairs])
