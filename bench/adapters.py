"""How fast adapters answer and fit, on features drawn at random: speed does not see it.

Usage: python bench/adapters.py [--rounds 3] [--json FILE]

Tip-Adapter against the textbook formula `softmax input = s x Tᵀ + alpha exp(-beta (1 - x Fᵀ)) Y`
with Y as a dense one-hot matrix, both in float32 in one process, rounds taken in turn. Ours is the
whole `Adapter.logits`, with its checks and its scaling of rows; the textbook gets unit rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from handful import plugins
from handful.contracts import Array, ClassText, unit

FITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("zero_shot", {}),
    ("tip", {}),
    ("tip_f", {}),
    ("clip_adapter", {}),
    ("clip_adapter", {"branch": "both"}),
    ("linear", {}),
    ("linear", {"init": "random"}),
)


def task(
    classes: int, shots: int, queries: int, width: int = 512
) -> tuple[Array, np.ndarray, Array, ClassText]:
    """Unit rows around class means, all near one direction, as CLIP's are."""
    rng = np.random.default_rng(0)
    common = 2 * rng.standard_normal((1, width))
    means = common + rng.standard_normal((classes, width))
    columns = np.repeat(np.arange(classes), shots)
    X = unit(means[columns] + rng.standard_normal((len(columns), width)))
    Q = unit(means[rng.integers(0, classes, queries)] + rng.standard_normal((queries, width)))
    text = unit(means + rng.standard_normal((classes, width)))[:, None]
    return X, columns, Q, ClassText(text, tuple(f"class {i}" for i in range(classes)), 100.0)


def textbook(keys: Tensor, labels: Tensor, weights: Tensor, scale: float) -> Callable[..., Tensor]:
    values = one_hot(labels, len(weights)).float()

    def logits(queries: Tensor, chunk: int) -> Tensor:
        parts = []
        for x in queries.split(chunk):
            affinity = x @ keys.T
            parts.append(scale * x @ weights.T + ((-1) * (5.5 - 5.5 * affinity)).exp() @ values)
        return torch.cat(parts)

    return logits


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock, seconds of all cores, and what came out."""
    wall, cores = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cores, result


@torch.inference_mode()
def tip(rounds: int) -> list[dict[str, Any]]:
    """1000 classes x 16 keys of 512, 10 000 queries; and the same with unequal counts."""
    X, y, Q, text = task(1000, 16, 10_000)
    queries = torch.from_numpy(Q)
    rows = []
    for counts, drop in (("16 each", 0), ("16, one class 15", 1)):
        adapter = plugins.get("adapters", "tip")().fit(X[drop:], y[drop:], text)
        keys, labels = torch.from_numpy(X[drop:]), torch.from_numpy(y[drop:])
        dense = textbook(keys, labels, torch.from_numpy(text.weights), text.scale)
        ways: dict[str, Callable[[], Any]] = {
            "handful": lambda adapter=adapter: adapter.logits(Q),
            "textbook, 256 a time": lambda dense=dense: dense(queries, 256),
            "textbook, 4096 a time": lambda dense=dense: dense(queries, 4096),
        }
        taken = {way: [] for way in ways}
        for _ in range(rounds):
            for way, work in ways.items():
                wall, cores, result = timed(work)
                taken[way].append((wall, cores, np.asarray(result)))
        ours = min(taken["handful"])[:2]
        truth = taken["textbook, 256 a time"][0][2]
        error = float(np.max(np.abs(taken["handful"][0][2] - truth) / np.abs(truth)))
        for way, results in taken.items():
            wall, cores = min(r[0] for r in results), min(r[1] for r in results)
            ratio = wall / ours[0], cores / min(r[1] for r in taken["handful"])
            rows.append(
                {"keys a class": counts, "way": way, "seconds": wall, "core_seconds": cores,
                 "ratio": ratio[0], "core_ratio": ratio[1], "largest_difference": error}
            )  # fmt: skip
    return rows


def fits(rounds: int) -> list[dict[str, Any]]:
    """100 classes x 16 shots x 512."""
    X, y, _, text = task(100, 16, 1)
    plugins.get("adapters", "linear")(steps=2).fit(X, y, text)  # the libraries load once
    rows = []
    for name, arguments in FITS:
        adapter = plugins.get("adapters", name)(**arguments)
        runs = [timed(lambda a=adapter: a.fit(X, y, text))[:2] for _ in range(rounds)]
        told = ", ".join([name, *(f"{k}={v}" for k, v in arguments.items())])
        wall, cores = min(r[0] for r in runs), min(r[1] for r in runs)
        rows.append({"method": told, "seconds": wall, "core_seconds": cores})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    arguments = parser.parse_args()
    facts = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load at start": round(os.getloadavg()[0], 1),
        "rounds": arguments.rounds,
    }
    answers, fitted = tip(arguments.rounds), fits(arguments.rounds)
    print("Tip-Adapter, 16 000 keys x 512, 1000 classes, 10 000 queries, best round:\n")
    print("| keys a class | way | seconds | core seconds | ratio | ratio of core seconds |")
    print("|---|---|---|---|---|---|")
    for r in answers:
        print(
            f"| {r['keys a class']} | {r['way']} | {r['seconds']:.2f} | {r['core_seconds']:.2f} "
            f"| {r['ratio']:.2f} | {r['core_ratio']:.2f} |"
        )
    worst = max(r["largest_difference"] for r in answers)
    print(f"\nLargest relative difference of any logit: {worst:.1e}.\n")
    print("Fitting 100 classes x 16 shots x 512, best round:\n")
    print("| method | seconds | core seconds |\n|---|---|---|")
    for r in fitted:
        print(f"| {r['method']} | {r['seconds']:.3f} | {r['core_seconds']:.3f} |")
    print("\n" + ", ".join(f"{k}: {v}" for k, v in facts.items()) + ".")
    if arguments.json:
        report = {"facts": facts, "tip": answers, "fits": fitted}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
