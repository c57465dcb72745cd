"""Does the doctor find wrong labels, and is a skill better off without what it names?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from handful import encoders, metrics, plugins
from handful.data import playground
from handful.skills.doctor import SUSPECT, examine
from samples import Task, feature_draws, playground_draws, support_of
from tables import head, row, table

SHOTS = (8, 16)
SHARE = 0.1
COLUMNS = (
    "doctor", "zero-shot", "at random", "named", "of these wrong", "before", "after", "clean",
)  # fmt: skip


@table("doctor", title="Finding wrong labels", seconds=1500, seeds=1, tasks=1)
def doctor(features: str | None = None, seeds: int = 5, tasks: int = 14) -> Iterator[str]:
    """One label in ten of each support set is changed to another class, drawn by the seed.

    Rankings of the support images are compared by average precision; then what the doctor names is
    removed (never the last image of a class) and `auto` is taught again.
    """
    yield head("task", "shots", *COLUMNS[:3], "doctor / zero-shot", *COLUMNS[3:], "gain")
    if features:
        real = defaultdict(list)
        for shots, seed, task in feature_draws(features, SHOTS, seeds):
            real[shots].append(measured(task, seed))
        for shots, numbers in real.items():
            yield line(Path(features).name, shots, numbers)
    found: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    for name, seed, shots, task in playground_draws(
        encoders.load("tiny"), SHOTS, range(seeds), tasks
    ):
        found[name, shots].append(measured(task, seed))
    for shots in SHOTS:
        every = [numbers for (_, k), rows in found.items() for numbers in rows if k == shots]
        yield line(f"playground, {len(playground.tasks()[:tasks])} tasks", shots, every)
    for (name, shots), numbers in found.items():
        yield line(name, shots, numbers)
    yield (
        f"\n{seeds} seeds a row; {100 * SHARE:.0f} % of the labels changed. doctor, "
        "zero-shot, at random: average precision, %, of the order in which the images are to be "
        "looked at; zero-shot orders by its probability of the given label. named: share of the "
        f"images with a probability of a wrong label above {SUSPECT}. before, after, clean: test "
        "accuracy, %, of `auto` taught with the wrong labels, without what was named, and with "
        "the right labels. gain: after less before, with a 95 % interval (Student's t). Goal: a "
        "ratio of 2, and no loss. Where zero-shot is above 50 no ranking can reach twice that. "
        "Chance is above 10 because few labels are wrong in a support set so small."
    )


def measured(task: Task, seed: int) -> list[float]:
    """`COLUMNS` of one draw, in percent."""
    rng = np.random.default_rng(seed)
    X, right, text, n = task.X, task.y, task.text, len(task.y)
    labels = right.copy()
    changed = rng.permutation(n)[: round(SHARE * n)]
    labels[changed] += rng.integers(1, len(text.classes), len(changed))
    labels[changed] %= len(text.classes)
    wrong = labels != right
    auto = plugins.get("adapters", "auto")
    found = examine(support_of(X, labels, text), auto())
    ranked = np.empty(n)
    for place, finding in enumerate(found.images):
        ranked[finding.row] = -place
    zero_shot = plugins.get("adapters", "zero_shot")().fit(X, labels, text)
    given = zero_shot.predict_proba(X)[np.arange(n), labels]
    named = np.zeros(n, dtype=bool)
    named[[f.row for f in found.suspects]] = True
    kept = ~named
    for c in np.setdiff1d(labels, labels[kept]):
        kept[np.flatnonzero(labels == c)[0]] = True

    def accuracy(rows: np.ndarray | slice, y: np.ndarray) -> float:
        logits = auto().fit(X[rows], y[rows], text).logits(task.Q)
        return 100 * metrics.accuracy(logits, task.targets)

    return [
        100 * average_precision_score(wrong, ranked),
        100 * average_precision_score(wrong, -given),
        100 * average_precision_score(wrong, rng.random(n)),
        100 * named.mean(),
        100 * wrong[named].mean() if named.any() else np.nan,
        accuracy(slice(None), labels),
        accuracy(kept, labels),
        accuracy(slice(None), right),
    ]


def line(name: str, shots: int, numbers: list[list[float]]) -> str:
    values = np.array(numbers)
    ratio = values[:, 0].mean() / values[:, 1].mean()
    gain = values[:, 6] - values[:, 5]
    half = metrics.mean_interval(gain)[1]
    known = [column[~np.isnan(column)] for column in values.T]
    cells = [f"{column.mean():.1f}" if len(column) else "" for column in known]
    shown = f"{gain.mean():+.2f} ± {half:.2f}"
    return row(name, shots, *cells[:3], f"{ratio:.1f}", *cells[3:], shown)
