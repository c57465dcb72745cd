"""Images without labels from a new domain: does the consistency loss help there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful import metrics
from handful.adapters import create_adapter
from handful.contracts import ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.protocols.journal import Journal
from handful.tuners.training import tune
from samples import encoded, own_store, tiny
from tables import head, interval, row, table

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
SCENE = 9_000_000_000  # beyond the scenes of every other script
COUNT = {"train": 16, "unlabelled": 16, "test": 30}


@table(
    "consistency", title="Images without labels", seconds=1800, seeds=1, domains=1, epochs=1, out=""
)
def consistency(
    seeds: int = 5,
    weight: float = 1.0,
    domains: int = len(DOMAINS),
    epochs: int = 10,
    out: str = "runs/consistency.jsonl",
) -> Iterator[str]:
    """`block` learns from 16 labelled photos a class.

    The unlabelled images and the test images show the same classes in a style that neither the
    encoder nor the labels have. Domains, weight and recipe were chosen on other draws. What is
    done is in the journal `out`, so that a stopped run goes on where it was.
    """
    torch.set_num_threads(1)
    journal = Journal(Path(out) if out else None)
    found: dict[tuple[str, str], list[list[float]]] = {domain: [] for domain in DOMAINS[:domains]}
    for seed in range(seeds):
        for domain in found:
            accuracies = []
            for way in WAYS:
                key = f"{domain} {way} {seed} {weight}"
                if journal.get(key) is None:
                    right = measured(*domain, seed, way, weight, epochs)
                    journal.add(key, {"accuracy": {"zero_shot": right}, "seconds": 0.0})
                known: Any = journal.get(key)
                accuracies.append(known["accuracy"]["zero_shot"])
            found[domain].append(accuracies)
    yield (
        "`block` on 16 labelled photos a class (10 epochs, 4 views); tested on 30 images a class "
        f"in another style, by the text alone. `with`: 16 unlabelled images a class of that style, "
        f"consistency={weight:g}. Accuracy in percent, mean over the draws with its 95 % interval; "
        "the last columns are paired differences in points.\n"
    )
    yield head(
        "classes", "style", "zero-shot", "tuned without", "tuned with", "with - without",
        "with - zero-shot", left=2,
    )  # fmt: skip
    everything = [each for accuracies in found.values() for each in accuracies]
    for where, accuracies in [*found.items(), (("all", ""), everything)]:
        zero_shot, without, with_ = np.array(accuracies).T
        gains = (with_ - without, with_ - zero_shot)
        means = (interval(values) for values in (zero_shot, without, with_))
        yield row(*where, *means, *(interval(gain, "+.1f") for gain in gains))


def measured(kind: str, style: str, seed: int, way: str, weight: float, epochs: int) -> float:
    """Accuracy in percent on images of the style; zero-shot leaves the encoder as it is."""
    names = tuple(CLASSES[kind])
    text = prompts.class_prompts(names, ("a photo of a {}.",))
    encoder = tiny()
    if way != "zero-shot":
        images, labels = drawn(kind, "photo", "train", seed)
        free = drawn(kind, style, "unlabelled", seed)[0] if way == "with" else []
        recipe = {**RECIPE, "epochs": epochs, "consistency": weight if way == "with" else 0.0}
        asked = tune.Tuning(("block",), recipe, unlabelled=[ImageRef.of(p) for p in free])
        with own_store():
            given = [ImageRef.of(p) for p in images]
            encoder = tune.tune(asked, encoder, given, labels, text, seed=seed).encoder
    tests, truth = drawn(kind, style, "test", seed)
    rows, read = encoded(encoder, tests), prompts.encode_prompts(encoder, text)
    logits = create_adapter("zero_shot", seed).fit(rows, np.array(truth), read).logits(rows)
    return 100 * metrics.accuracy(logits, np.array([names.index(label) for label in truth]))


def drawn(kind: str, style: str, part: str, seed: int) -> tuple[list[Any], list[str]]:
    """Pictures and their class names."""
    made, labels = [], []
    for column, (label, fixed) in enumerate(CLASSES[kind].items()):
        for i in range(COUNT[part]):
            place = 100_000 * list(COUNT).index(part) + 1000 * column + i
            scene = playground.scene(
                SCENE + 1_000_000 * seed + place,
                objects=1,
                compositions="any",
                fixed=[fixed],
                style=style,
            )
            made.append(playground.render(scene))
            labels.append(label)
    return made, labels
