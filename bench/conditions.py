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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

import condition_draws as draws
from condition_tables import Score, told
from handful import metrics, trials

PROCESSES = 3


def measure(job: tuple[str, str, int]) -> list[Score]:
    """Every method on every case of one condition, source and seed."""
    torch.set_num_threads(1)
    kind, source, seed = job
    found = []
    for case in getattr(draws, kind)(source, seed):
        for method in trials.inductive():
            adapter = trials.adapter_of(method, case.seed)
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
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        scores = [score for part in pool.map(measure, todo) for score in part]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(scores))
    told(scores, print)
    print(f"All of it took {time.perf_counter() - began:.0f} s in {PROCESSES} processes.")


if __name__ == "__main__":
    main()
