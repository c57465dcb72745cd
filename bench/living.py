"""What it takes to change a skill of 100 classes, and how far the result is from a refit.

Usage: python bench/living.py [--classes 100] [--shots 16] [--width 512] [METHOD ...]

Features are made: classes around means that the text knows roughly. Nothing is encoded. A skill of
all classes but the last learns it, forgets it, forgets one image, and two halves are merged; each
result is compared with a fit of the same images from nothing: the largest difference of a logit on
queries, over the largest logit. Everything a change does is timed; in brackets the fit of the
adapter alone. "States" is what the commands do besides: finding out anew what the skill states of
itself (`Pack.stated`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from handful import plugins
from handful.contracts import Array, ClassText, unit
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.edit import changes

METHODS = ("tip", "class_mean", "gda", "text_gda", "zero_shot", "ss_text", "linear", "tip_f")


class Tower:
    """Stands in for the encoder when a skill is first made; it looks at golden pictures alone."""

    name, precision, scale, fingerprint = "made", "float32", 100.0, "model:made weights:00"

    def __init__(self, width: int) -> None:
        self.dim = width
        self.matrix = np.random.default_rng(1).standard_normal((16 * 16 * 3, width))

    def prepare(self, image: Any) -> np.ndarray:
        """A picture's pixels."""
        return np.asarray(image.resize((16, 16)), dtype=np.float32).ravel() - 100

    def images(self, batch: Any) -> Array:
        """`[N, D]` unit rows."""
        return unit(np.stack(batch) @ self.matrix)

    def texts(self, batch: Any) -> Array:
        """`[N, D]` unit rows; nothing reads them."""
        return unit(np.ones((len(batch), self.dim)))


def world(classes: int, shots: int, width: int) -> tuple[Support, Array]:
    """A support set and `[M, D]` queries."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((classes, width))
    image_gap, text_gap = rng.standard_normal((2, 1, width))
    words = unit(means[:, None] + 0.8 * rng.standard_normal((classes, 1, width)) + 2 * text_gap)

    def draw(count: int) -> tuple[Array, np.ndarray]:
        y = np.repeat(np.arange(classes), count)
        noise = 1.2 * rng.standard_normal((len(y), width))
        return unit(0.6 * means[y] + 2 * image_gap + noise), y

    X, y = draw(shots)
    ids = tuple(f"{i:064x}" for i in range(len(y)))
    text = ClassText(words, tuple(f"class {c}" for c in range(classes)), 100.0)
    return Support(X, y, text, ids, tuple(f"{i}.jpg" for i in ids)), draw(4)[0]


def part(support: Support, first: int, last: int) -> Support:
    """Classes `first` to `last` alone, with their images."""
    rows = np.flatnonzero((support.targets >= first) & (support.targets < last))
    text = support.text
    named = ClassText(text.embeddings[first:last], text.classes[first:last], text.scale)
    some = support.subset(rows)
    return Support(some.features, some.targets - first, named, some.ids, some.names)


def fit(method: str, support: Support) -> tuple[Pack, float]:
    """A skill from nothing, and how long its adapter alone takes."""
    adapter = plugins.get("adapters", method)()
    labels = np.array(support.labels)
    began = time.perf_counter()
    adapter.fit(support.features, labels, support.text)
    seconds = time.perf_counter() - began
    pack = Pack.of(
        adapter,
        support.text,
        Tower(support.features.shape[1]),
        templates=["{}"],
        support_ids=support.ids,
        support=support,
        training={"counts": support.counts},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return pack, seconds


def timed(change: Callable[[], Pack], repeats: int) -> tuple[Pack, float]:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        pack = change()
        seconds.append(time.perf_counter() - began)
    return pack, float(np.median(seconds))


def row(method: str, support: Support, queries: Array, repeats: int) -> list[str]:
    classes = len(support.text.classes)
    begin, last = part(support, 0, classes - 1), part(support, classes - 1, classes)
    before, _ = fit(method, begin)
    whole, alone = fit(method, support)
    less, _ = fit(method, support.subset(np.arange(1, len(support.ids))))
    half, other = (fit(method, part(support, *ends))[0] for ends in halves(classes))
    cases = (
        (lambda: changes.add(before, last.features, last.labels, last.ids, last.names, last.text),
         whole),
        (lambda: changes.drop(whole, last.text.classes), before),
        (lambda: changes.remove(whole, [0]), less),
        (lambda: changes.merge(half, other), whole),
    )  # fmt: skip
    cells, gaps = [], []
    for change, expected in cases:
        made, seconds = timed(change, repeats)
        cells.append(f"{1000 * seconds:.0f} ms")
        given, told = made.logits(queries), expected.logits(queries)
        gaps.append(float(np.abs(given - told).max() / np.abs(told).max()))
    cells[0] += f" ({1000 * alone:.0f})"
    _, stating = timed(whole.stated, 1)
    return [method, *cells, f"{1000 * stating:.0f} ms", f"{max(gaps):.1g}"]


def halves(classes: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, classes // 2), (classes // 2, classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    support, queries = world(arguments.classes, arguments.shots, arguments.width)
    fit("tip", support)  # the first call of everything is slow
    print(
        "| method | add a class | drop it | remove an image | merge halves | states | difference |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for method in arguments.methods:
        print(f"| {' | '.join(row(method, support, queries, arguments.repeats))} |", flush=True)
    print(
        f"\n{arguments.classes} classes x {arguments.shots} x {arguments.width}, "
        f"{arguments.threads} thread{'s' * (arguments.threads > 1)}, medians of "
        f"{arguments.repeats}; in brackets the fit alone. Difference: the largest of the four "
        "changes' logits from a fit from nothing, relative; 0 is bit for bit. Goal: a class added "
        "in less than 50 ms, and differences up to 1e-5."
    )


if __name__ == "__main__":
    main()
