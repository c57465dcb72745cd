"""Scores to tables: which columns a protocol has, and means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from handful.protocols.methods import SEMANTICS, semantics
from handful.protocols.runner import Score
from handful.protocols.uncertainty import Weighted, half_width, variance, weighted


@dataclass(frozen=True)
class Cell:
    """Percent, and half the width of its 95 % interval; None where nothing is known of it."""

    accuracy: float
    interval: float | None

    def __str__(self) -> str:
        spread = "" if self.interval is None else f" ± {self.interval:.1f}"
        return f"{self.accuracy:.1f}{spread}"


@dataclass(frozen=True)
class Row:
    """One method (or one setting of it) in a table."""

    label: str
    method: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """One table.

    Args:
        title: what it is about.
        columns: shot counts, or query sets.
        rows: one a line, in the order asked for.
        tasks: names of the data sets.
        shots: the shot count where the columns are query sets; None where they are shot counts.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    tasks: tuple[str, ...]
    shots: int | None = None

    def blocks(self) -> list[tuple[str, str, tuple[Row, ...]]]:
        """(semantics, note, rows): apart where the numbers must not be compared."""
        kinds = [semantics(row.method) for row in self.rows]
        parts = [
            (kind, note, tuple(r for r, k in zip(self.rows, kinds, strict=True) if k == kind))
            for kind, note in SEMANTICS.items()
        ]
        return [part for part in parts if part[2]]


def grids(protocol: str, scores: Sequence[Score]) -> list[Grid]:
    """The tables of a protocol, the one over all data sets first."""
    make: Mapping[str, Callable[[Sequence[Score]], list[Grid]]] = {
        "base-to-new": _base_and_new,
        "cross": _targets,
        "domain": _targets,
    }
    return make.get(protocol, _each_by_shots)(scores)


def harmonic(one: float, other: float) -> float:
    """`2ab / (a + b)`, 0 where both are 0.

    >>> round(harmonic(80.0, 60.0), 2)
    68.57
    """
    return 2 * one * other / (one + other) if one + other else 0.0


def cell(
    by_seed: Mapping[int, float], parts: Sequence[Weighted] = (), *, share: bool = False
) -> Cell:
    """Mean over seeds and its interval by Student's t.

    Args:
        by_seed: the value of each seed; over data sets the mean, for of one seed they are no
            independent draws.
        parts: the scores it is made of, for the part of the test images; without them the
            interval is over the seeds alone.
        share: whether it is a mean of shares.
    """
    mean = float(np.mean([by_seed[s] for s in sorted(by_seed)]))
    return Cell(mean, half_width(variance(by_seed, parts, share=share)))


def mean_cell(scores: Sequence[Score]) -> Cell:
    """The mean over data sets and seeds."""
    return cell(averages(scores), weighted(scores), share=True)


def averages(scores: Sequence[Score]) -> dict[int, float]:
    """Seed to the mean over data sets."""
    seeds = sorted({s.seed for s in scores})
    # each data set counts the same, however many test images it has
    return {n: float(np.mean([s.accuracy for s in scores if s.seed == n])) for n in seeds}


def by_shots(title: str, scores: Sequence[Score]) -> Grid:
    """One table: a column a shot count, means over whatever data sets there are."""
    shots = sorted({s.shots for s in scores})
    rows = []
    for label, own in _rows(scores):
        cells = tuple(mean_cell([s for s in own if s.shots == k]) for k in shots)
        rows.append(Row(label, own[0].method, cells))
    return Grid(title, tuple(_shots(k) for k in shots), tuple(rows), _tasks(scores))


def _each_by_shots(scores: Sequence[Score]) -> list[Grid]:
    return _with_mean(scores, by_shots)


def _base_and_new(scores: Sequence[Score]) -> list[Grid]:
    result = []
    for k in sorted({s.shots for s in scores}):
        of_k = [s for s in scores if s.shots == k]

        def grid(title: str, part: Sequence[Score], k: int = k) -> Grid:
            rows = [Row(label, own[0].method, _base_new_cells(own)) for label, own in _rows(part)]
            names = ("base", "new", "harmonic mean", "that of the means")
            return Grid(f"{title}, {_shots(k)}", names, tuple(rows), _tasks(part), k)

        result += _with_mean(of_k, grid)
    return result


def _base_new_cells(scores: Sequence[Score]) -> tuple[Cell, ...]:
    """Base, new, the mean of harmonic means, and the harmonic mean of the means."""
    found = {(s.task, s.seed, s.query_set): s.accuracy for s in scores}
    seeds = sorted({s.seed for s in scores})
    tasks = list(dict.fromkeys(s.task for s in scores))
    # two conventions: the mean of harmonic means (per data set and seed), and the harmonic mean of
    # the mean accuracies, which papers print; the latter is no mean over seeds, so has no interval
    means = {
        n: float(np.mean([harmonic(found[t, n, "base"], found[t, n, "new"]) for t in tasks]))
        for n in seeds
    }
    base, new = (mean_cell([s for s in scores if s.query_set == q]) for q in ("base", "new"))
    slopes = [(_slope(found, s) / len(tasks), s) for s in scores]
    return base, new, cell(means, slopes), Cell(harmonic(base.accuracy, new.accuracy), None)


def _slope(found: Mapping[tuple[str, int, str], float], score: Score) -> float:
    """What a point of one half adds to the harmonic mean of both."""
    other = found[score.task, score.seed, "new" if score.query_set == "base" else "base"]
    both = score.accuracy + other
    return 2 * (other / both) ** 2 if both else 0.0


def _targets(scores: Sequence[Score]) -> list[Grid]:
    result = []
    names = list(dict.fromkeys(s.query_set for s in scores))
    # the first query set is the taught data set itself
    source, targets = names[0], names[1:]
    for k in sorted({s.shots for s in scores}):
        rows = []
        for label, own in _rows([s for s in scores if s.shots == k]):
            cells = [mean_cell([s for s in own if s.query_set == q]) for q in names]
            if len(targets) > 1:
                cells.append(mean_cell([s for s in own if s.query_set in targets]))
            rows.append(Row(label, own[0].method, tuple(cells)))
        mean = ("mean of the others",) * (len(targets) > 1)
        columns = (f"{source} (taught)", *targets, *mean)
        result.append(Grid(f"taught on {source}, {_shots(k)}", columns, tuple(rows), (source,), k))
    return result


def _with_mean(scores: Sequence[Score], grid: Callable[[str, Sequence[Score]], Grid]) -> list[Grid]:
    """A table a data set, and before them one over all where there are several."""
    tasks = list(dict.fromkeys(s.task for s in scores))
    each = [grid(t, [s for s in scores if s.task == t]) for t in tasks]
    return each if len(each) == 1 else [grid(f"mean over {len(tasks)} data sets", scores), *each]


def _rows(scores: Sequence[Score]) -> list[tuple[str, list[Score]]]:
    labels = dict.fromkeys(s.label for s in scores)
    return [(label, [s for s in scores if s.label == label]) for label in labels]


def _tasks(scores: Sequence[Score]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(s.task for s in scores))


def _shots(k: int) -> str:
    return f"{k} shot{'s' * (k > 1)}"
