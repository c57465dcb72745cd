"""Inside the encoder or after it: every tuner with its default recipe, on the playground's tasks.

Usage: python bench/tuners.py [--out runs/tuners.jsonl] [--jobs 2] [--seeds 5] [--tasks NAME ...]
                              [--tuners NAME ...] [--tables]

16 shots a class, 20 test images a class. Every trial goes to the journal `--out` as soon as it is
done and the same command goes on after a stop; `--tables` prints what the journal has. Each
process has one thread.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from handful.protocols.journal import Journal

SHOTS = 16
FROZEN = "frozen"
TUNERS = (
    "block",
    "lora",
    "norm",
    "projection",
    "soft_prompt",
    "block+soft_prompt",
    "full",
)
TASKS = (
    "style-sketch",
    "style-inverted",
    "style-rolled",
    "style-mosaic",
    "style-dusk",
    "novel-objects",
    "novel-duos",
    "fine-points",
    "fine-ovals",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/tuners.jsonl"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="`all` for all 14")
    parser.add_argument("--tuners", nargs="+", default=list(TUNERS))
    parser.add_argument("--tables", action="store_true", help="measure nothing, print the journal")
    options = parser.parse_args()
    journal = Journal(options.out)
    methods = [FROZEN, *options.tuners]
    asked = [
        (method, task, seed)
        for seed in range(options.seeds)
        for method in methods
        for task in tasks(options.tasks)
    ]
    if not options.tables:
        for each in [_Alone(asked, options.jobs), _Together(asked, options.jobs)]:
            each.run(journal)
    import tuners_tables

    found = {key: journal.get(_key(*key)) for key in asked}
    print(tuners_tables.page({k: v for k, v in found.items() if v is not None}, methods))


def tasks(named: list[str]) -> list[str]:
    from handful.data import playground

    return list(playground.tasks()) if named == ["all"] else named


class _Together:
    """What is left, several processes at once."""

    def __init__(self, asked: list[tuple[str, str, int]], jobs: int) -> None:
        self.asked, self.jobs = asked, jobs
        self.reborn: int | None = None

    def run(self, journal: Journal) -> None:
        left = [each for each in self.asked if journal.get(_key(*each)) is None]
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        with ProcessPoolExecutor(
            self.jobs, get_context("spawn"), max_tasks_per_child=self.reborn
        ) as pool:
            running = {pool.submit(_measured, *each): each for each in left}
            for done in as_completed(running):
                measured = {**done.result(), "alone": self.reborn == 1}
                journal.add(_key(*running[done]), measured)


class _Alone(_Together):
    """One training of each tuner in a fresh process, whose memory nobody else has grown."""

    def __init__(self, asked: list[tuple[str, str, int]], jobs: int) -> None:
        seen: dict[str, tuple[str, str, int]] = {}
        for each in asked:
            seen.setdefault(each[0], each)
        super().__init__(list(seen.values()), jobs)
        self.reborn = 1


def _key(method: str, task: str, seed: int) -> str:
    return json.dumps([method, task, SHOTS, seed])


def _measured(method: str, task: str, seed: int) -> dict[str, Any]:
    import tuners_trial

    return tuners_trial.measured(method, task, SHOTS, seed)


if __name__ == "__main__":
    main()
