"""A finished sequence of tasks as tables, markdown and a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.protocols.continual import Continual
from handful.protocols.sequel import (
    WAYS,
    Matrix,
    Sequel,
    average,
    forgetting,
    last,
    transfer,
)
from handful.protocols.table import Cell, cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS: Mapping[str, Callable[[Matrix], float]] = {
    "Transfer": transfer,
    "Average": average,
    "Last": last,
    "forgetting": forgetting,
}
LABELS = {
    "named": "library, tasks named",
    "routed": "library, no names",
    "open": "library, no names, unknown refused",
}


def rows(done: Continual) -> dict[str, tuple[Cell, ...]]:
    """Line to its cells under `COLUMNS`; zero-shot of both kinds first."""
    found = {
        "zero-shot, tasks named": _cells([_always(s.zero_shot) for s in done.sequels]),
        "zero-shot, all classes together": _cells([_always(s.union) for s in done.sequels]),
    }
    for way in WAYS:
        found[LABELS[way]] = _cells([s.matrices[way] for s in done.sequels])
    return found


def numbers(done: Continual) -> dict[str, Cell]:
    """What stands beside the table, in percent: the router, the unknown, the bits, the bytes."""

    def over(of: Callable[[Sequel], float]) -> Cell:
        return cell({s.seed: of(s) for s in done.sequels})

    return {
        "images that find their task, after the last": over(lambda s: float(s.router[-1])),
        "images of unknown tasks taken for known": over(lambda s: 100 * _strange(s)),
        "images of known tasks taken for known": over(lambda s: 100 * _kept(s)),
        "earlier skills of which any answer changed a bit": over(lambda s: float(s.changed)),
        "kB a task": over(lambda s: float(np.mean(s.bytes)) / 1e3),
    }


def as_dict(done: Continual) -> dict[str, Any]:
    """JSON-ready: facts, the table and every matrix."""
    return {
        "protocol": "continual",
        "facts": dict(done.facts),
        "tasks": {name: dict(facts) for name, facts in done.tasks.items()},
        "table": {
            label: {
                name: {"mean": c.accuracy, "interval": c.interval}
                for name, c in zip(COLUMNS, cells, strict=True)
            }
            for label, cells in rows(done).items()
        },
        "numbers": {
            name: {"mean": c.accuracy, "interval": c.interval} for name, c in numbers(done).items()
        },
        "sequels": [_sequel(s) for s in done.sequels],
        "failed": len(done.failures),
    }


def markdown(done: Continual, heading: str, level: int = 2) -> str:
    """The table, what stands beside it, and the first seed's matrix with names and without."""
    mark = "#" * level
    first = done.sequels[0]
    lines = [f"{mark[1:] or '#'} {heading}", "", *_table(done), ""]
    lines += [f"- {name}: {c}" for name, c in numbers(done).items()]
    lines += ["", told(done), ""]
    for way in ("named", "routed"):
        lines += [f"{mark} {LABELS[way]}: accuracy after each task, %, first order", ""]
        lines += _matrix(first.order, first.matrices[way])
        lines.append("")
    return "\n".join(lines)


def told(done: Continual) -> str:
    """How the numbers came about, in a paragraph."""
    f = done.facts
    return (
        f"{len(done.sequels[0].order)} tasks, {f['shots']} shots, method {f['method']}, encoder "
        f"{f['encoder']}, {f['seeds']} seeds ({f['order']}). {f['hyper-parameters'].capitalize()}. "
        "Transfer: tasks still to come; those are answered by zero-shot, named among their own "
        "classes. Last: after all tasks. Without names an answer is one of all classes of all "
        "tasks, and is right where task and class are; each image is judged by itself. Where "
        f"unknown images are refused, at most {100 * f['rate']:g} % of the images of a task that "
        "is not there are meant to be accepted; refused ones are answered by zero-shot over all "
        "classes, and so is everything until three tasks are there to learn a rate from."
    )


def figure(done: Continual) -> Figure:
    """The first seed's accuracy matrices, and accuracy on what was learned so far."""
    from matplotlib.figure import Figure  # not pyplot: no global state and no window

    first = done.sequels[0]
    size = max(3.4, 0.34 * len(first.order) + 1.4)
    result = Figure(figsize=(2.6 * size, size), layout="constrained")
    left, middle, right = result.subplots(1, 3, width_ratios=(1, 1, 0.8))
    for axes, way in ((left, "named"), (middle, "routed")):
        shown = axes.imshow(first.matrices[way], vmin=0, vmax=100, cmap="viridis")
        axes.set_title(LABELS[way], fontsize="medium")
        axes.set_xticks(range(len(first.order)), first.order, rotation=90, fontsize="x-small")
        axes.set_yticks(range(len(first.order)), first.order, fontsize="x-small")
        axes.set_xlabel("asked about")
    left.set_ylabel("after learning")
    result.colorbar(shown, ax=middle, label="accuracy, %", shrink=0.8)
    steps = np.arange(1, len(first.order) + 1)
    for way, style in zip(WAYS, ("-o", "--s", ":^"), strict=True):
        means = [
            np.mean([s.matrices[way][t, : t + 1].mean() for s in done.sequels])
            for t in range(len(steps))
        ]
        right.plot(steps, means, style, markersize=4, label=LABELS[way])
    right.set_xlabel("tasks learned")
    right.set_ylabel("accuracy on them, %")
    right.set_ylim(0, None)
    right.grid(alpha=0.25)
    right.legend(frameon=False, fontsize="x-small")
    return result


def _cells(matrices: Sequence[Matrix]) -> tuple[Cell, ...]:
    return tuple(
        cell({n: measure(a) for n, a in enumerate(matrices)}) for measure in COLUMNS.values()
    )


def _always(row: Matrix) -> Matrix:
    """`[T]` to `[T, T]`: what learning does not change."""
    return np.tile(row, (len(row), 1))


def _strange(one: Sequel) -> float:
    """Mean share of images of tasks still to come that are accepted, where a rate is known."""
    count = len(one.order)
    found = [one.accepted[t, i] for t in range(count) for i in range(t + 1, count)]
    there = [v for v in found if not np.isnan(v)]
    return float(np.mean(there)) if there else 0.0


def _kept(one: Sequel) -> float:
    """Mean share of images of all tasks that are accepted after the last."""
    return float(np.nan_to_num(one.accepted[-1]).mean())


def _sequel(one: Sequel) -> dict[str, Any]:
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


def _table(done: Continual) -> list[str]:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" + "|---:" * len(COLUMNS) + "|"]
    lines += [f"| {label} | {' | '.join(map(str, c))} |" for label, c in rows(done).items()]
    return lines


def _matrix(order: Sequence[str], matrix: Matrix) -> list[str]:
    lines = ["| after | " + " | ".join(order) + " |", "|---" + "|---:" * len(order) + "|"]
    for name, row in zip(order, matrix, strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{v:.0f}" for v in row) + " |")
    return lines
