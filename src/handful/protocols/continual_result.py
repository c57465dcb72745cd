"""What the protocol of tasks learned one after another has measured, as numbers and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handful.features import Failure
from handful.protocols.tables import Cell, Grid, Row, cell
from handful.protocols.task_sequence import WAYS, Matrix, TaskSequence

LABELS = {
    "named": "library, tasks named",
    "routed": "library, no names",
    "open": "library, no names, unknown refused",
}


def transfer(a: Matrix) -> float:
    """Mean over tasks, but the first, of their accuracy while they were still to come.

    >>> transfer(np.array([[9.0, 2.0, 4.0], [9.0, 9.0, 6.0], [9.0, 9.0, 9.0]]))
    3.5
    """
    # above the diagonal: task i while i, i - 1, ... tasks were still to come
    return float(np.mean([a[:i, i].mean() for i in range(1, len(a))]))


def average(a: Matrix) -> float:
    """Mean over tasks and steps."""
    return float(a.mean())


def last(a: Matrix) -> float:
    """Mean over tasks after the last step."""
    return float(a[-1].mean())


def forgetting(a: Matrix) -> float:
    """Mean over tasks, but the last, of their best accuracy since they were learned less the last.

    >>> forgetting(np.array([[9.0, 2.0], [7.0, 9.0]]))
    2.0
    """
    # from row i on: before, the task was not learned. The last row counts too, so it is never < 0
    return float(np.mean([a[i:, i].max() - a[-1, i] for i in range(len(a) - 1)]))


# As MTIL's table has them (Zheng et al., ICCV 2023), and forgetting.
COLUMNS: Mapping[str, Callable[[Matrix], float]] = {
    "Transfer": transfer,
    "Average": average,
    "Last": last,
    "forgetting": forgetting,
}


@dataclass(frozen=True, eq=False)
class ContinualResult:
    """Scores of the protocol, and the conditions under which they were measured.

    Args:
        sequences: one a seed.
        facts: how they came about.
        tasks: name to the facts of each data set.
        failures: images that could not be read; they count in no number.
        ignored: files passed over while looking for images.
    """

    sequences: tuple[TaskSequence, ...]
    facts: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """The table: zero-shot of both kinds, and the library's ways to answer."""
        method = self.facts["method"]
        own = [_unchanged(s.zero_shot) for s in self.sequences]
        union = [_unchanged(s.union) for s in self.sequences]
        rows = [
            Row("zero-shot, tasks named", "zero_shot", _cells(own)),
            Row("zero-shot, all classes together", "zero_shot", _cells(union)),
        ]
        for way in WAYS:
            cells = _cells([s.matrices[way] for s in self.sequences])
            rows.append(Row(LABELS[way], method, cells))
        return Grid("", tuple(COLUMNS), tuple(rows), tuple(self.tasks))

    def numbers(self) -> dict[str, Cell]:
        """What stands beside the table: router and unknown in percent, changed skills, bytes."""

        def over_seeds(of: Callable[[TaskSequence], float]) -> Cell:
            return cell({s.seed: of(s) for s in self.sequences})

        return {
            "images that find their task, after the last": over_seeds(
                lambda s: float(s.router[-1])
            ),
            "images of unknown tasks taken for known": over_seeds(
                lambda s: 100 * _accepted_unknown(s)
            ),
            "images of known tasks taken for known": over_seeds(
                lambda s: 100 * float(np.nan_to_num(s.accepted[-1]).mean())
            ),
            "earlier skills of which any answer changed a bit": over_seeds(
                lambda s: float(s.changed)
            ),
            "kB a task": over_seeds(lambda s: float(np.mean(s.bytes)) / 1e3),
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: facts, the table and every matrix."""
        return {
            "protocol": "continual",
            "facts": dict(self.facts),
            "tasks": {name: dict(facts) for name, facts in self.tasks.items()},
            "table": {
                row.label: {name: _cell_dict(c) for name, c in zip(COLUMNS, row.cells, strict=True)}
                for row in self.grid.rows
            },
            "numbers": {name: _cell_dict(c) for name, c in self.numbers().items()},
            "sequels": [_sequence_dict(s) for s in self.sequences],
            "failed": len(self.failures),
        }


def _cells(matrices: Sequence[Matrix]) -> tuple[Cell, ...]:
    return tuple(
        cell({seed: measure(a) for seed, a in enumerate(matrices)}) for measure in COLUMNS.values()
    )


def _unchanged(row: Matrix) -> Matrix:
    """`[T]` to `[T, T]`: what learning does not change."""
    return np.tile(row, (len(row), 1))


def _accepted_unknown(one: TaskSequence) -> float:
    """Mean share of images of tasks still to come that are accepted, where a rate is known."""
    to_come = one.accepted[np.triu_indices(len(one.order), k=1)]
    known = to_come[~np.isnan(to_come)]
    return float(np.mean(known)) if len(known) else 0.0


def _cell_dict(c: Cell) -> dict[str, float | None]:
    return {"mean": c.accuracy, "interval": c.interval}


def _sequence_dict(one: TaskSequence) -> dict[str, Any]:
    accepted = [[None if np.isnan(v) else float(v) for v in row] for row in one.accepted]
    return {
        "seed": one.seed,
        "order": list(one.order),
        "matrices": {way: matrix.tolist() for way, matrix in one.matrices.items()},
        "zero_shot": one.zero_shot.tolist(),
        "zero_shot_union": one.union.tolist(),
        "router": one.router.tolist(),
        "accepted": accepted,
        "changed": one.changed,
        "bytes": list(one.bytes),
    }
