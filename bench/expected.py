"""Does what `handful fit` says to expect of new photos come true?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from handful import data, metrics, plugins
from handful.encoders import prompts
from handful.protocols.encoding import encode_all
from handful.protocols.episodes import few_shot
from handful.protocols.sources import most_shots
from handful.skills.statements import confidence
from samples import Task, feature_draws, playground_draws, support_of, tiny
from tables import head, row, table

SHOTS = (2, 3, 4, 8, 16)


@table("expected", title="What `fit` says to expect", seconds=900, seeds=2, tasks=2)
def expected(
    features: str | None = None, photos: tuple[str, ...] = (), seeds: int = 10, tasks: int = 8
) -> Iterator[str]:
    """`auto` on draws of a support set: its estimate from left-out images, and the test images."""
    yield head("data", "shots", "draws", "stated", "tested", "stated - tested", "held", left=1)
    found: dict[tuple[str, int], list[list[float]]] = {}
    for name, shots, task in _draws(features, photos, seeds, tasks):
        found.setdefault((name, shots), []).append(_measured(task))
    for (name, shots), rows in found.items():
        stated, tested, held = np.array(rows).T
        gap = metrics.mean_interval(list(stated - tested))
        yield row(
            name, shots, len(rows), f"{stated.mean():.1f}", f"{tested.mean():.1f}",
            f"{gap[0]:+.1f} ± {gap[1]:.1f}", f"{100 * held.mean():.0f}",
        )  # fmt: skip
    every = np.concatenate([np.array(rows)[:, 2] for rows in found.values()])
    yield (
        "\nAccuracies in %, means over the draws. held: share of the draws, %, whose test accuracy "
        f"lies in the stated 95 % interval (Wilson); {100 * every.mean():.0f} of all. The interval "
        "is that of the left-out images; it knows nothing of the draw's own luck or of the test "
        "set's size."
    )


def _draws(
    features: str | None, photos: tuple[str, ...], seeds: int, tasks: int
) -> Iterator[tuple[str, int, Task]]:
    if features:
        for shots, _, task in feature_draws(features, SHOTS, seeds):
            yield Path(features).name, shots, task
    for folder in photos:
        dataset = data.load(folder)
        words = data.class_words(dataset, None)
        templates = prompts.expand_templates(prompts.DEFAULT)
        encoded = encode_all(dataset, words, tiny(), templates, None, None, name="")
        most = [k for k in SHOTS if k < most_shots(encoded)]  # of all images there is one draw
        for drawn in few_shot([encoded], most, range(seeds)):
            X = drawn.task.features(drawn.support, support=True)
            (asked,) = drawn.query_sets
            Q = drawn.task.features(asked.images)
            yield (
                Path(folder).name,
                drawn.shots,
                Task(X, drawn.labels, Q, asked.targets, drawn.text),
            )
    for _, _, shots, task in playground_draws(tiny(), SHOTS, range(max(seeds // 5, 1)), tasks):
        yield f"playground, {tasks} tasks", shots, task


def _measured(task: Task) -> list[float]:
    """Stated accuracy, that on the test images, and whether it lies in the stated interval."""
    adapter = plugins.get("adapters", "auto")().fit(task.X, task.y, task.text)
    entry, _ = confidence(adapter, support_of(task.X, task.y, task.text))
    right, count = entry["right"], entry["images"]
    tested = metrics.accuracy(adapter.logits(task.Q), task.targets)
    low, high = metrics.wilson_interval(right, count)
    return [100 * right / count, 100 * tested, float(low <= tested <= high)]
