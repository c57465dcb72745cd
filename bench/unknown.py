"""How well unknown images are told, with a third of the classes held out as unknown.

Usage: python bench/unknown.py [--features FOLDER] [--seeds 5]

For each draw a third of the classes, drawn by lot, is unknown: the skill never sees them. Its other
classes are taught with 4, 8 or 16 images, and all test images are asked about. The unknown classes
are of the same kind as the known ones, which is the hard case. The playground's few tasks of new
things are also put together into one, so that there are classes enough to promise a rate.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from handful import data, encoders
from handful.adapters import create_adapter
from handful.contracts import Array, ClassText
from handful.data import playground
from handful.packs import unknown
from handful.packs.support import Support
from handful.protocols.demo import draw

METHODS = ("auto", "tip", "gda", "clip_adapter", "text_gda")
SHOTS = (4, 8, 16)
RATE = 0.05


@dataclass(frozen=True)
class World:
    """`[N, D]` images of C classes and where support images may come from."""

    name: str
    values: Array
    labels: np.ndarray
    text: ClassText
    pool: np.ndarray | None  # anywhere: the rest is tested on


@dataclass(frozen=True)
class Draw:
    """Support `[N, D]` of the known classes; queries `[M, D]`, the target -1 where unknown."""

    X: Array
    y: np.ndarray
    text: ClassText
    queries: Array
    targets: np.ndarray


def split(world: World, shots: int, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    classes = len(world.text.classes)
    known = np.sort(rng.permutation(classes)[max(1, round(classes / 3)) :])
    column = np.full(classes, -1)
    column[known] = np.arange(len(known))
    pool = np.ones(len(world.labels), bool) if world.pool is None else world.pool
    rows = [rng.permutation(np.flatnonzero(pool & (world.labels == c)))[:shots] for c in known]
    support = np.concatenate(rows)
    rest = np.ones(len(world.labels), bool) if world.pool is None else ~world.pool
    rest[support] = False
    names = tuple(world.text.classes[c] for c in known)
    text = ClassText(world.text.embeddings[known], names, world.text.scale)
    return Draw(
        world.values[support],
        column[world.labels[support]],
        text,
        world.values[rest],
        column[world.labels[rest]],
    )


def worlds(features: Path | None, seed: int) -> Iterator[World]:
    if features is not None:
        found = data.load_features(features)
        yield World(features.name, found.values, found.labels, found.text, None)
    encoder = encoders.load("tiny")
    new = []
    for name in playground.tasks():
        one = draw(encoder, name, max(SHOTS), seed)
        yield World(f"playground, {name.split('-')[0]}", one.values, one.labels, one.text, one.pool)
        if name.startswith("novel"):
            new.append((name, one))
    starts = np.cumsum([0, *(len(one.text.classes) for _, one in new)])
    names = tuple(f"{name} {c}" for name, one in new for c in one.text.classes)
    words = np.concatenate([one.text.weights for _, one in new])[:, None]
    yield World(
        "playground, new things together",
        np.concatenate([one.values for _, one in new]),
        np.concatenate([one.labels + at for at, (_, one) in zip(starts, new, strict=False)]),
        ClassText(words, names, new[0][1].text.scale),
        np.concatenate([one.pool for _, one in new]),
    )


def references(drawn: Draw) -> dict[str, np.ndarray]:
    """Plain Mahalanobis distance (Ledoit-Wolf) and the nearest support image."""
    means = np.stack([drawn.X[drawn.y == c].mean(0) for c in range(len(drawn.text.classes))])
    inverse = LedoitWolf(assume_centered=True).fit(drawn.X - means[drawn.y]).precision_
    away = drawn.queries[:, None] - means
    far = np.einsum("mcd,de,mce->mc", away, inverse, away)
    return {"Mahalanobis": -far.min(1), "nearest": (drawn.queries @ drawn.X.T).max(1)}


def measure(world: World, shots: int, seed: int) -> dict[str, float]:
    drawn = split(world, shots, seed)
    is_known = drawn.targets >= 0
    ids = tuple(map(str, range(len(drawn.X))))
    support = Support(drawn.X, drawn.y, drawn.text, ids, ids)
    detector = unknown.learned_from(support)
    if detector is None:
        raise SystemExit(f"{world.name}: too few classes")
    rates = detector.rates(drawn.queries)
    row = {
        "ours": area(is_known, -rates),
        "false accepts": 100 * float((rates[~is_known] <= RATE).mean()),
        "known accepted": 100 * float((rates[is_known] <= RATE).mean()),
        "promised": 100 * float(detector.smallest <= RATE),
        "false accepts where promised": math.nan,
    }
    if detector.smallest <= RATE:
        row["false accepts where promised"] = row["false accepts"]
    row |= {name: area(is_known, score) for name, score in references(drawn).items()}
    for method in METHODS:
        adapter = create_adapter(method, seed).fit(drawn.X, drawn.y, drawn.text)
        logits = adapter.logits(drawn.queries).astype(np.float64)
        best = logits.max(1)
        # the order of the softmax without its rounding to 1
        row[f"{method} softmax"] = area(is_known, -np.log(np.exp(logits - best[:, None]).sum(1)))
        row[f"{method} logit"] = area(is_known, best)
    return row


def area(known: np.ndarray, score: np.ndarray) -> float:
    return 100 * float(roc_auc_score(known, score))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(arguments.seeds):
        for world in worlds(arguments.features, seed):
            for shots in SHOTS:
                found[world.name][shots].append(measure(world, shots, seed))
    for name, by_shots in found.items():
        tell(name, by_shots)
    print(
        f"\nAUROC of known against unknown images, and what happens at a stated false-accept rate "
        f"of {100 * RATE:g} %; all in percent, mean over {arguments.seeds} seeds (and tasks). "
        "The softmax and the logit are the largest of the method; `ours` is the same for every "
        "method. Promised: how often the support set was large enough to promise the rate; the "
        "measured rates count every draw."
    )


def tell(name: str, by_shots: dict[int, list[dict[str, float]]]) -> None:
    mean = {
        k: {key: mean_of([row[key] for row in rows]) for key in rows[0]}
        for k, rows in by_shots.items()
    }
    shown = [*mean]
    print(f"\n### {name}\n")
    print("| | " + " | ".join(f"{k} shots" for k in shown) + " |")
    print("|---" + "|---:" * len(shown) + "|")
    for key in mean[shown[0]]:
        cells = ["never" if math.isnan(mean[k][key]) else f"{mean[k][key]:.1f}" for k in shown]
        print(f"| {key} | " + " | ".join(cells) + " |")


def mean_of(values: list[float]) -> float:
    there = [v for v in values if not math.isnan(v)]
    return float(np.mean(there)) if there else math.nan


if __name__ == "__main__":
    main()
