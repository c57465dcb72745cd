"""Images without labels from a new domain: does the consistency loss help there?

Usage: python bench/consistency.py [--out runs/consistency.jsonl] [--seeds 5] [--weight 1.0]

`block` learns from 16 labelled photos a class; the unlabelled images and the test images show the
same classes in a style that neither the encoder nor the labels have. Domains, weight and recipe
were chosen on other draws. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from handful import metrics
from handful.adapters import create_adapter
from handful.contracts import ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.protocols.journal import Journal
from handful.tuners.training import tune
from tuners_trial import pictures, store_of_its_own, tiny

COLOURS = ("red", "green", "blue", "yellow")
PAIRS = [("striped", c) for c in COLOURS] + [("dotted", c) for c in COLOURS]
CLASSES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "textures": {t: {"texture": t} for t in playground.TEXTURES},
    "textures and colours": {f"{t} {c}": {"texture": t, "colour": c} for t, c in PAIRS},
    "colours and shapes": {
        f"{c} {s}": {"colour": c, "shape": s} for c in COLOURS for s in ("circle", "star")
    },
}
DOMAINS = (
    ("textures", "poster"),
    ("textures and colours", "blurred"),
    ("colours and shapes", "noisy"),
)
RECIPE = {"epochs": 10, "views": 4}  # half of the default, for it reads twice as many images
WAYS = ("zero-shot", "without", "with")
_SCENE = 9_000_000_000  # beyond the scenes of every other script
_COUNT = {"train": 16, "unlabelled": 16, "test": 30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/consistency.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--weight", type=float, default=1.0)
    options = parser.parse_args()
    journal = Journal(options.out)
    found: dict[tuple[str, str], list[list[float]]] = {domain: [] for domain in DOMAINS}
    for seed in range(options.seeds):
        for domain in DOMAINS:
            row = []
            for way in WAYS:
                key = f"{domain} {way} {seed} {options.weight}"
                if journal.get(key) is None:
                    weight = options.weight if way == "with" else 0.0
                    right = measured(*domain, seed, None if way == "zero-shot" else weight)
                    journal.add(key, {"accuracy": {"zero_shot": right}, "seconds": 0.0})
                known: Any = journal.get(key)
                row.append(known["accuracy"]["zero_shot"])
            found[domain].append(row)
    print(page(found, options.weight))


def measured(kind: str, style: str, seed: int, weight: float | None) -> float:
    """Accuracy in percent on images of the style; None leaves the encoder as it is."""
    names = tuple(CLASSES[kind])
    text = prompts.write(names, ("a photo of a {}.",))
    encoder = tiny()
    if weight is not None:
        images, labels = drawn(kind, "photo", "train", seed)
        free = drawn(kind, style, "unlabelled", seed)[0] if weight else []
        asked = tune.Tuning(
            ("block",), {**RECIPE, "consistency": weight}, unlabelled=[ImageRef.of(p) for p in free]
        )
        with store_of_its_own():
            given = [ImageRef.of(p) for p in images]
            encoder = tune.tune(asked, encoder, given, labels, text, seed=seed).encoder
    tests, truth = drawn(kind, style, "test", seed)
    rows, read = pictures(encoder, tests), prompts.read(encoder, text)
    logits = create_adapter("zero_shot", seed).fit(rows, np.array(truth), read).logits(rows)
    return 100 * metrics.accuracy(logits, np.array([names.index(label) for label in truth]))


def drawn(kind: str, style: str, part: str, seed: int) -> tuple[list[Any], list[str]]:
    """Pictures and their class names."""
    made, labels = [], []
    for column, (label, fixed) in enumerate(CLASSES[kind].items()):
        for i in range(_COUNT[part]):
            place = 100_000 * list(_COUNT).index(part) + 1000 * column + i
            scene = playground.scene(
                _SCENE + 1_000_000 * seed + place,
                objects=1,
                compositions="any",
                fixed=[fixed],
                style=style,
            )
            made.append(playground.render(scene))
            labels.append(label)
    return made, labels


def page(found: Mapping[tuple[str, str], Sequence[Sequence[float]]], weight: float) -> str:
    """Markdown."""
    lines = [
        "`block` on 16 labelled photos a class (10 epochs, 4 views); tested on 30 images a class "
        f"in another style, by the text alone. `with`: 16 unlabelled images a class of that style, "
        f"consistency={weight:g}. Accuracy in percent, mean over the draws with its 95 % interval; "
        "the last columns are paired differences in points.",
        "",
        "| classes | style | zero-shot | tuned without | tuned with | with - without | with - "
        "zero-shot |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    everything = [row for rows in found.values() for row in rows]
    for told, rows in [*((" | ".join(d), r) for d, r in found.items()), ("all | ", everything)]:
        values = np.array(rows)
        columns = [values[:, 0], values[:, 1], values[:, 2]]
        gains = [values[:, 2] - values[:, 1], values[:, 2] - values[:, 0]]
        cells = [_mean(c, ".1f") for c in columns] + [_mean(g, "+.1f") for g in gains]
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mean(values: Any, form: str) -> str:
    middle, half = metrics.mean_interval([float(v) for v in values])
    return f"{middle:{form}} ± {half:.1f}"


if __name__ == "__main__":
    main()
