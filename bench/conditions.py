"""Which method wins when: all of them where the text is useless, where it is right, and between.

Usage: python bench/conditions.py [--features FOLDER] [--photos FOLDER ...] [--seeds 10] [--json F]

FOLDER of features is WHU-RS19's; without it, and without photos, only the playground is measured.
The playground's known names and the photos get half the seeds, its 14 hard tasks a third.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

import condition_draws as draws
from adapters import task as made
from condition_tables import Score, told
from handful import metrics, plugins
from handful.adapters import Adapter, create_adapter
from handful.protocols import trials

PROCESSES = 3
COST = """
### What fitting costs

100 classes x 16 images x 512, features drawn at random, one core. "8 fits" is leave-one-out over
as many folds. What answers by the batch or the stream does its work when it answers.
"""


def measure(job: tuple[str, str, int]) -> list[Score]:
    """Every method on every case of one condition, source and seed."""
    torch.set_num_threads(1)
    kind, source, seed = job
    found = []
    for case in getattr(draws, kind)(source, seed):
        for method in trials.inductive():
            adapter = create_adapter(method, case.seed)
            adapter.fit(case.values, case.labels, case.text)
            for name, (rows, targets) in case.exams.items():
                hit = 100 * metrics.accuracy(adapter.logits(rows), targets)
                where = case.table, case.task, case.column + name
                found.append(Score(*where, case.seed, method, hit))
    return found


def jobs(features: str | None, photos: Sequence[str], seeds: int) -> list[tuple[str, str, int]]:
    """Every condition, source and seed; what takes longest first within a condition."""
    playground, few = range(max(2, (seeds + 1) // 2)), range(max(2, seeds // 3))
    found = [("known", kind, s) for s in playground for kind in reversed(draws.KINDS)]
    if features:
        for kind in ("whole", "third", "damaged", "absent"):
            found += [(kind, features, s) for s in range(seeds)]
    found += [("hard", task, s) for s in few for task in draws.playground.tasks()]
    return found + [("photos", folder, s) for folder in photos for s in playground]


def seconds(work: Callable[[], object], rounds: int) -> float:
    """The best of some rounds; one where a round is long."""
    found: list[float] = []
    while len(found) < rounds and sum(found) < 1:
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def speed(classes: int = 100, shots: int = 16, rounds: int = 3) -> Iterator[str]:
    """What fitting costs, and leave-one-out where it is more than refitting, on one core."""
    torch.set_num_threads(1)
    X, y, _, text = made(classes, shots, 1)
    yield "| method | name | an answer is | fit, s | leave-one-out, s |\n|---|---|---|---|---|"
    for name in plugins.names("adapters"):
        adapter = create_adapter(name, 0)
        adapter.fit(X[::shots], y[::shots], text)  # libraries load once
        fitted = seconds(lambda a=adapter: a.fit(X, y, text), rounds)
        cost = f"{getattr(adapter, 'folds', 8)} fits"
        if type(adapter)._left_out is not Adapter._left_out:
            cost = f"{seconds(lambda a=adapter: a.leave_one_out(X, y, text), rounds):.3f}"
        yield f"| {adapter.title} | `{name}` | {adapter.semantics} | {fitted:.3f} | {cost} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", help="folder of WHU-RS19's features")
    parser.add_argument("--photos", nargs="+", default=[], help="folders with train/ and test/")
    parser.add_argument("--seeds", type=int, default=10, help="draws of features")
    parser.add_argument("--json", type=Path, help="write every accuracy here too")
    arguments = parser.parse_args()
    began = time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes whose threads wait for each other
    todo = jobs(arguments.features, arguments.photos, arguments.seeds)
    cost = list(speed())  # before the others keep the cores busy
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        scores = [score for part in pool.map(measure, todo) for score in part]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(scores))
    told(scores, print)
    print(COST)
    print("\n".join(cost) + "\n")
    print(f"All of it took {time.perf_counter() - began:.0f} s in {PROCESSES} processes.")


if __name__ == "__main__":
    main()
