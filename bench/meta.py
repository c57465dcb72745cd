"""Meta-Adapter on tasks it never saw, against Tip-Adapter, GDA, zero-shot and `auto`.

Usage: python bench/meta.py

The shipped weights were learned with `tiny` on playground tasks that share no class with these
(scripts/train_meta.py). For features of another encoder: `handful bench FEATURES --methods meta`.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from handful import encoders, metrics, plugins
from handful.contracts import Array, ClassText, Encoder
from handful.data import playground
from handful.protocols.demo import draw

METHODS = ("zero_shot", "tip", "gda", "text_gda", "auto", "meta")
SHOTS = (1, 2, 4, 8, 16)
SEEDS = range(5)
Drawn = tuple[Array, np.ndarray, ClassText, np.ndarray]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    encoder = encoders.load("tiny", precision="float32")
    print(
        "`tiny`, the playground's 14 hard tasks, 5 draws each, 20 test images a class; mean "
        "accuracy in percent over the 70 draws with its 95 % interval.\n"
    )
    told(tasks(encoder))
    print(f"\nA fit of 100 classes x 16 shots x 512 takes {_milliseconds():.0f} ms.")


def tasks(encoder: Encoder) -> Iterator[tuple[int, dict[str, float]]]:
    """Accuracy of each method, draw by draw."""
    for name in playground.tasks():
        for seed in SEEDS:
            drawn = draw(encoder, name, max(SHOTS), seed)
            yield from compared((drawn.values, drawn.labels, drawn.text, drawn.pool))


def compared(drawn: Drawn) -> Iterator[tuple[int, dict[str, float]]]:
    """At each number of shots, the first ones of each class."""
    values, labels, text, pool = drawn
    for shots in SHOTS:
        rows = np.concatenate(
            [np.flatnonzero(pool & (labels == c))[:shots] for c in range(len(text.classes))]
        )
        names = np.array(text.classes)
        result = {}
        for method in METHODS:
            adapter = plugins.get("adapters", method)()
            adapter.fit(values[rows], names[labels[rows]], text)
            said = adapter.logits(values[~pool]).argmax(axis=1)
            result[method] = 100 * float((said == labels[~pool]).mean())
        yield shots, result


def told(found: Iterator[tuple[int, dict[str, float]]]) -> None:
    cells: dict[tuple[str, int], list[float]] = defaultdict(list)
    for shots, row in found:
        for method, value in row.items():
            cells[method, shots].append(value)
    print("| method | " + " | ".join(f"{k} shots" for k in SHOTS) + " |")
    print("|---|" + "---:|" * len(SHOTS))
    for method in METHODS:
        row = [_interval(cells[method, k]) for k in SHOTS]
        print(f"| `{method}` | " + " | ".join(row) + " |")
    for other in ("zero_shot", "tip", "auto"):
        row = [
            _interval(list(np.subtract(cells["meta", k], cells[other, k])), sign="+") for k in SHOTS
        ]
        print(f"| `meta` less `{other}` | " + " | ".join(row) + " |")


def _interval(values: list[float], sign: str = "") -> str:
    mean, half = metrics.mean_interval(values)
    return f"{mean:{sign}.1f} ± {half:.1f}"


def _milliseconds() -> float:
    rng = np.random.default_rng(0)
    text = ClassText(rng.normal(size=(100, 1, 512)), tuple(f"c{i}" for i in range(100)), 100.0)
    labels = np.repeat(np.array(text.classes), 16)
    rows = np.repeat(text.weights, 16, axis=0) + 0.1 * rng.normal(size=(1600, 512))
    adapter = plugins.get("adapters", "meta")()
    spent = []
    for _ in range(7):
        began = time.perf_counter()
        adapter.fit(rows, labels, text)
        spent.append(time.perf_counter() - began)
    return 1000 * float(np.median(spent))


if __name__ == "__main__":
    main()
