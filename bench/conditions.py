"""Which method wins when: all of them where the text is useless, where it is right, and between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch

import condition_cases as cases
from condition_report import Score, report
from handful import metrics, plugins
from handful.adapters import Adapter, create_adapter
from handful.protocols.methods import inductive_methods
from samples import clustered
from tables import head, in_processes, row, table, timed

COST = """
### What fitting costs

100 classes x 16 images x 512, features drawn at random, one core. "8 fits" is leave-one-out over
as many folds. What answers by the batch or the stream does its work when it answers.
"""


@table(
    "conditions", title="Which method wins when", seconds=480,
    seeds=1, methods=("zero_shot", "tip", "auto"), tasks=1, kinds=("13 shapes",), classes=10,
    processes=1,
)  # fmt: skip
def conditions(
    features: str | None = None,
    photos: tuple[str, ...] = (),
    seeds: int = 10,
    processes: int = 3,
    methods: tuple[str, ...] = (),
    tasks: int = 14,
    kinds: tuple[str, ...] = cases.KINDS,
    classes: int = 100,
) -> Iterator[str]:
    """Every method that sees one image at a time, on the same draws.

    `features` is the folder of WHU-RS19; without it, and without photos, only the playground is
    measured. Known names of the playground and the photos get half the seeds, hard tasks a third.
    """
    began = time.perf_counter()
    methods = methods or tuple(inductive_methods())
    todo = jobs(features, photos, seeds, tasks, kinds)
    cost = list(speed(classes))  # before the others keep the cores busy
    parts = in_processes(partial(measure, methods), todo, processes)
    yield from report([score for part in parts for score in part])
    yield COST
    yield from cost
    yield f"\nAll of it took {time.perf_counter() - began:.0f} s in {processes} processes."


def jobs(
    features: str | None, photos: Sequence[str], seeds: int, tasks: int, kinds: Sequence[str]
) -> list[tuple[str, str, int]]:
    """Every condition, source and seed; what takes longest first within a condition."""
    half, third = range(max(2, (seeds + 1) // 2)), range(max(2, seeds // 3))
    found = [("known", kind, s) for s in half for kind in reversed(kinds)]
    if features:
        for kind in ("whole", "third", "damaged", "absent"):
            found += [(kind, features, s) for s in range(seeds)]
    found += [("hard", task, s) for s in third for task in cases.playground.tasks()[:tasks]]
    return found + [("photos", folder, s) for folder in photos for s in half]


def measure(methods: Sequence[str], job: tuple[str, str, int]) -> list[Score]:
    """Methods on every case of one condition, source and seed."""
    torch.set_num_threads(1)
    kind, source, seed = job
    found = []
    for case in getattr(cases, kind)(source, seed):
        for method in methods:
            adapter = create_adapter(method, case.seed)
            adapter.fit(case.values, case.labels, case.text)
            for name, (rows, targets) in case.exams.items():
                hit = 100 * metrics.accuracy(adapter.logits(rows), targets)
                where = case.table, case.task, case.column + name
                found.append(Score(*where, case.seed, method, hit))
    return found


def speed(classes: int, shots: int = 16) -> Iterator[str]:
    """What fitting costs, and leave-one-out where it is more than refitting, on one core."""
    torch.set_num_threads(1)
    task = clustered(classes, shots, 1)
    data = task.X, task.y, task.text
    yield head("method", "name", "an answer is", "fit, s", "leave-one-out, s")
    for name in plugins.names("adapters"):
        adapter = create_adapter(name, 0)
        adapter.fit(task.X[::shots], task.y[::shots], task.text)  # libraries load once
        fitted = best(partial(adapter.fit, *data))
        cost = f"{getattr(adapter, 'folds', 8)} fits"
        if type(adapter)._leave_units_out is not Adapter._leave_units_out:
            cost = f"{best(partial(adapter.leave_one_out, *data)):.3f}"
        yield row(adapter.title, f"`{name}`", adapter.semantics, f"{fitted:.3f}", cost)


def best(work: partial[object], rounds: int = 3) -> float:
    """Seconds of the best of some rounds; one where a round is long."""
    found: list[float] = []
    while len(found) < rounds and sum(found) < 1:
        found.append(timed(work)[0])
    return min(found)
