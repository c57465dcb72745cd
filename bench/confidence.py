"""How honest probabilities and sets of answers are, before and after what a skill learns of itself.

Usage: python bench/confidence.py [--features FOLDER] [--seeds 3]

For each draw the skill is taught with 2, 4, 8 or 16 images a class and asked about all test images.
The calibration error (ECE) is taken over the answers of all draws together: of the few test images
of one draw even perfect probabilities would have one of several percent.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful import data, encoders, metrics
from handful.adapters import create_adapter
from handful.data import playground
from handful.packs import confidence
from handful.packs.support import Support
from handful.protocols.demo import draw

METHODS = ("auto", "tip", "gda", "text_gda", "proker", "zs_lp", "linear")
SHOTS = (2, 4, 8, 16)
FIRST = 300  # seed of the playground's draws; those that anything was chosen on begin at 5000


def worlds(features: Path | None, seed: int) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Name, values with labels and text, and where support images may come from."""
    if features is not None:
        found = data.load_features(features)
        yield features.name, found, np.ones(len(found.labels), bool)
    encoder = encoders.load("tiny")
    for name in playground.tasks():
        one = draw(encoder, name, max(SHOTS), FIRST + seed)
        yield "playground", one, one.pool


def measure(world: Any, pool: np.ndarray, method: str, shots: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = [
        rng.permutation(np.flatnonzero(pool & (world.labels == c)))[:shots]
        for c in range(len(world.text.classes))
    ]
    taught = np.concatenate(rows)
    asked = np.ones(len(pool), bool) if pool.all() else ~pool
    asked[taught] = False
    ids = tuple(map(str, taught))
    targets = np.asarray(world.labels)[taught].astype(np.int64)
    support = Support(world.values[taught], targets, world.text, ids, ids)
    adapter = create_adapter(method, seed).fit(support.features, targets, support.text)
    entry, tensors = confidence.fit(adapter, support)
    logits, truth = adapter.logits(world.values[asked]), np.asarray(world.labels)[asked]
    manifest = {"confidence": entry}
    row: dict[str, Any] = {"truth": truth}
    for key, factor in (("before", 1.0), ("after", confidence.factor(manifest))):
        row[key] = confidence.probabilities(logits, factor)
    for error in confidence.ERRORS:
        if error >= entry["smallest"]:
            among = confidence.sets(manifest, tensors, logits, error, "")
            row[error] = (among[np.arange(len(truth)), truth].mean(), among.sum(1).mean())
    return row


def pooled(rows: list[dict[str, Any]], key: str) -> float:
    """ECE over all draws, in percent; only the best answer matters, so two columns suffice."""
    best = np.concatenate([row[key].max(1) for row in rows])
    right = np.concatenate([row[key].argmax(1) == row["truth"] for row in rows])
    # the best answer stays the largest column below one half too
    others = np.minimum(1 - best, best * (1 - 1e-9))
    return 100 * metrics.calibration_error(np.stack([best, others], 1), (~right).astype(int))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[tuple[str, int], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(arguments.seeds):
        for name, world, pool in worlds(arguments.features, seed):
            for method, shots in itertools.product(METHODS, SHOTS):
                found[name][method, shots].append(measure(world, pool, method, shots, seed))
    for name, cells in found.items():
        tell(name, cells)
    print(
        f"\nAll in percent over {arguments.seeds} seeds (and all tasks); ECE with 15 bins over all "
        "answers together, before and after the factor. Sets: coverage at the coverage asked for, "
        "and in brackets the mean number of classes in a set; a dash where the support sets were "
        "too small to promise it."
    )


def tell(name: str, cells: dict[tuple[str, int], list[Any]]) -> None:
    wanted = [f"{100 * (1 - error):g} %" for error in confidence.ERRORS]
    print(f"\n### {name}\n")
    print(f"| method | shots | ECE before | ECE after | {' | '.join(wanted)} |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for (method, shots), rows in cells.items():
        sets = []
        for error in confidence.ERRORS:
            there = [row[error] for row in rows if error in row]
            share, size = np.mean(there, axis=0) if there else (0, 0)
            sets.append(f"{100 * share:.1f} ({size:.2f})" if there else "-")
        before, after = pooled(rows, "before"), pooled(rows, "after")
        print(f"| {method} | {shots} | {before:.1f} | {after:.1f} | {' | '.join(sets)} |")


if __name__ == "__main__":
    main()
