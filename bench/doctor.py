"""Does the doctor find wrong labels, and is a skill better off without what it names?

Usage: python bench/doctor.py [--features FOLDER] [--seeds 5]

One label in ten of each support set is changed to another class, drawn by the seed. Rankings of
the support images are compared by average precision; then what the doctor names is removed (never
the last image of a class) and `auto` is taught again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from handful import data, encoders, metrics, plugins
from handful.contracts import ClassText
from handful.data import playground
from handful.packs.support import Support
from handful.protocols.demo import draw
from handful.skills.doctor import SUSPECT, examine

SHOTS = (8, 16)
SHARE = 0.1
COLUMNS = (
    "doctor", "zero-shot", "at random", "named", "of these wrong", "before", "after", "clean",
)  # fmt: skip


def one(
    X: np.ndarray,
    right: np.ndarray,
    text: ClassText,
    test: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> list[float]:
    """A row of `COLUMNS`, in percent, and whether accuracy after is lower than before."""
    rng = np.random.default_rng(seed)
    n, classes = len(right), len(text.classes)
    labels = right.copy()
    changed = rng.permutation(n)[: round(SHARE * n)]
    labels[changed] = (right[changed] + rng.integers(1, classes, len(changed))) % classes
    wrong = labels != right
    ids = tuple(f"{i:064x}" for i in range(n))
    auto = plugins.get("adapters", "auto")
    found = examine(Support(X, labels, text, ids, ids), auto())
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

    def accuracy(rows: np.ndarray, y: np.ndarray) -> float:
        return 100 * metrics.accuracy(auto().fit(X[rows], y[rows], text).logits(test[0]), test[1])

    everything = np.ones(n, dtype=bool)
    return [
        100 * average_precision_score(wrong, ranked),
        100 * average_precision_score(wrong, -given),
        100 * average_precision_score(wrong, rng.random(n)),
        100 * named.mean(),
        100 * wrong[named].mean() if named.any() else np.nan,
        accuracy(everything, labels),
        accuracy(kept, labels),
        accuracy(everything, right),
    ]


def row(name: str, shots: int, numbers: list[list[float]]) -> str:
    table = np.array(numbers)
    ratio = table[:, 0].mean() / table[:, 1].mean()
    gain = table[:, 6] - table[:, 5]
    half = metrics.mean_interval(gain)[1]
    known = [column[~np.isnan(column)] for column in table.T]
    cells = [f"{column.mean():.1f}" if len(column) else "" for column in known]
    return (
        f"| {name} | {shots} | {' | '.join(cells[:3])} | {ratio:.1f} | {' | '.join(cells[3:])} "
        f"| {gain.mean():+.2f} ± {half:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, help="a folder of features, such as WHU-RS19's")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    head = ["task", "shots", *COLUMNS[:3], "doctor / zero-shot", *COLUMNS[3:], "gain"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    if arguments.features:
        known = data.feature_file(arguments.features)
        names = [known.text.classes[c] for c in known.labels]
        for shots in SHOTS:
            numbers = []
            for seed in range(arguments.seeds):
                drawn = np.array(data.draw_shots(names, shots, seed))
                rest = np.setdiff1d(np.arange(len(names)), drawn)
                test = known.values[rest], known.labels[rest]
                X, y = known.values[drawn], known.labels[drawn]
                numbers.append(one(X, y, known.text, test, seed))
            print(row(known.name, shots, numbers), flush=True)
    encoder = encoders.load("tiny")
    found: dict[tuple[str, int], list[list[float]]] = defaultdict(list)
    for task in playground.tasks():
        for seed in range(arguments.seeds):
            drawn = draw(encoder, task, max(SHOTS), seed)
            place = np.concatenate([np.arange(max(SHOTS))] * len(drawn.text.classes))
            test = drawn.values[~drawn.pool], drawn.labels[~drawn.pool]
            for shots in SHOTS:
                rows = np.flatnonzero(drawn.pool)[place < shots]
                X, y = drawn.values[rows], drawn.labels[rows]
                found[task, shots].append(one(X, y, drawn.text, test, seed))
    for shots in SHOTS:
        every = [numbers for (_, k), rows in found.items() for numbers in rows if k == shots]
        print(row(f"playground, {len(playground.tasks())} tasks", shots, every))
    for (task, shots), numbers in found.items():
        print(row(task, shots, numbers))
    print(
        f"\n{arguments.seeds} seeds a row; {100 * SHARE:.0f} % of the labels changed. doctor, "
        "zero-shot, at random: average precision, %, of the order in which the images are to be "
        "looked at; zero-shot orders by its probability of the given label. named: share of the "
        f"images with a probability of a wrong label above {SUSPECT}. before, after, clean: test "
        "accuracy, %, of `auto` taught with the wrong labels, without what was named, and with "
        "the right labels. gain: after less before, with a 95 % interval (Student's t). Goal: a "
        "ratio of 2, and no loss. Where zero-shot is above 50 no ranking can reach twice that. "
        "Chance is above 10 because few labels are wrong in a support set so small."
    )


if __name__ == "__main__":
    main()
