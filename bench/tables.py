"""What the tables of docs/benchmarks.md share: the registry, Markdown, intervals, clocks, memory.

A table is a function that yields lines of Markdown, registered by `@table`. Its arguments are its
settings: each has a default and becomes an option of `bench/write.py`.
"""

from __future__ import annotations

import inspect
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from handful import metrics


@dataclass(frozen=True)
class Table:
    """One registered table.

    Args:
        name: of its marker in docs/benchmarks.md.
        title: of its section.
        seconds: about how long it takes on four cores.
        lines: the function itself.
        needs: settings without which it cannot run (data that are not in the repository).
        quick: settings of `--quick`, the smallest run that still fills every column.
    """

    name: str
    title: str
    seconds: int
    lines: Callable[..., Iterable[str]]
    needs: tuple[str, ...]
    quick: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """Name to default."""
        return {k: p.default for k, p in inspect.signature(self.lines).parameters.items()}

    @property
    def duration(self) -> str:
        """Roughly, in words."""
        return f"{self.seconds} s" if self.seconds < 120 else f"{round(self.seconds / 60)} min"

    @property
    def listed(self) -> str:
        """Its line of `--list`."""
        options = " ".join(f"--{name}" for name in self.settings)
        return f"{self.name:13}{self.duration:>9}  {self.title}  {options}"


TABLES: dict[str, Table] = {}


def table(
    name: str, *, title: str, seconds: int, needs: Sequence[str] = (), **quick: Any
) -> Callable[[Callable[..., Iterable[str]]], Callable[..., Iterable[str]]]:
    """Register a function under a name; `quick` are its settings for `--quick`."""

    def register(function: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
        TABLES[name] = Table(name, title, seconds, function, tuple(needs), quick)
        return function

    return register


# ---- Markdown


def row(*cells: object) -> str:
    """One row of a table."""
    return "|" + "".join(f" {cell} |" if cell != "" else " |" for cell in cells)


def head(*cells: object, left: int | None = None) -> str:
    """The head and the rule below it; columns from `left` on are aligned to the right."""
    plain = len(cells) if left is None else left
    return row(*cells) + "\n|" + "---|" * plain + "---:|" * (len(cells) - plain)


def interval(values: Iterable[float], form: str = ".1f", half_form: str = ".1f") -> str:
    """Mean and half of its 95 % interval (Student's t); the mean alone for one value."""
    mean, half = metrics.mean_interval([float(v) for v in values])
    return f"{mean:{form}}" + ("" if math.isnan(half) else f" ± {half:{half_form}}")


# ---- clocks


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the clock, seconds of the processor (all cores), and what came out."""
    wall, cores = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cores, result


def seconds(work: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of the clock, round by round."""
    return [timed(work)[0] for _ in range(rounds)]


Times = dict[str, list[float]]  # name of a contestant to its seconds, round by round


def in_turns(runs: Mapping[str, Callable[[], Any]], rounds: int) -> tuple[Times, Times]:
    """Seconds of the clock and of the processor of several contestants.

    Every round runs all of them after each other, each round beginning with another one, so that
    a machine busy with other work is unfair to all alike.
    """
    names, wall, cores = list(runs), {n: [] for n in runs}, {n: [] for n in runs}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            spent = timed(runs[name])
            wall[name].append(spent[0])
            cores[name].append(spent[1])
    return wall, cores


def ratios(times: Times, one: str, other: str) -> list[float]:
    """How many times as fast `one` is as `other`, round by round."""
    return [b / a for a, b in zip(times[one], times[other], strict=True)]


def median_ratio(times: Times, one: str, other: str) -> float:
    """The median over the rounds, which a disturbed round does not move."""
    return statistics.median(ratios(times, one, other))


# ---- processes and memory


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a fresh process, whose memory nothing else has grown."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def in_processes(
    function: Callable[[Any], Any], jobs: Sequence[Any], processes: int
) -> Iterator[Any]:
    """Results in the order of the jobs; one thread a process, or threads wait for each other."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)


def memory(field: str = "VmRSS") -> int:
    """Bytes that this process holds (`VmRSS`) or held at most (`VmHWM`); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(field))
