"""Are the trained methods' defaults sensible on data that no reported number is measured on?

Usage: python bench/defaults.py [--seeds 2]

Draws of the playground's hard tasks with seeds from 1000 on, which no other table uses. Each
candidate runs on the same draws; the first of each method is its default.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any

import numpy as np

from handful import encoders, metrics, plugins
from handful.data import playground
from handful.protocols.demo import draw

SHOTS = (1, 4, 16)
FIRST_SEED = 1000
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "clip_adapter": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 3e-4}, {"learning_rate": 1e-3},
        {"learning_rate": 1e-2},
    ],
    "linear": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 1e-4}, {"learning_rate": 1e-3},
        {"init": "random"}, {"init": "random", "penalty": 0.001},
        {"init": "random", "penalty": 0.1},
    ],
    "tip_f": [{}, {"epochs": 5}, {"epochs": 100}],
    "ape": [
        {}, {"alpha": 1.0}, {"beta": 5.5}, {"gamma": 0.5}, {"share": 0.5}, {"share": 0.9},
        {"balance": 0.7},
    ],
    "ape_t": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 3e-4}, {"learning_rate": 3e-3},
        {"beta": 5.5}, {"share": 0.5}, {"share": 1.0},
    ],
    "transclip": [{}, {"labelled": 0.1}, {"labelled": 2.0}, {"labelled": 10.0}],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    encoder = encoders.load("tiny")
    found: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    for task in playground.tasks():
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            drawn = draw(encoder, task, max(SHOTS), seed)
            place = np.concatenate([np.arange(max(SHOTS))] * len(drawn.text.classes))
            for k in SHOTS:
                support = np.flatnonzero(drawn.pool)[place < k]
                for method, variants in CANDIDATES.items():
                    for i, params in enumerate(variants):
                        adapter = plugins.get("adapters", method)(**params)
                        adapter.fit(drawn.values[support], drawn.labels[support], drawn.text)
                        logits = adapter.logits(drawn.values[~drawn.pool])
                        hit = metrics.accuracy(logits, drawn.labels[~drawn.pool])
                        found[method, i, k].append(100 * hit)
    print("| method | arguments | " + " | ".join(f"{k} shots" for k in SHOTS) + " |")
    print("|---" * (2 + len(SHOTS)) + "|")
    for method, variants in CANDIDATES.items():
        for i, params in enumerate(variants):
            told = ", ".join(f"{n}={v}" for n, v in params.items()) or "defaults"
            row = " | ".join(f"{np.mean(found[method, i, k]):.1f}" for k in SHOTS)
            print(f"| {method} | {told} | {row} |")
    print(f"\nMean accuracy, %, over {len(playground.tasks())} tasks and {arguments.seeds} seeds.")


if __name__ == "__main__":
    main()
