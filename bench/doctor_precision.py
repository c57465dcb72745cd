"""Does the doctor say the same of features in bfloat16 as of those in float32?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from handful import data, encoders, plugins
from handful.contracts import ClassText
from handful.data import Dataset
from handful.encoders import prompts
from handful.features import extract_features
from handful.packs.support import Support
from handful.skills.doctor import Examination, Finding, examine
from samples import support_of
from tables import head, row, table

PROBLEMS = ("label", "hurts", "far")
SHARE = 0.1
BESIDE = 2.0  # deviations from a threshold within which moves count


@table(
    "doctor_precision", title="The doctor in another precision", seconds=300, needs=["photos"],
    seeds=1, shots=(8,),
)  # fmt: skip
def doctor_precision(
    photos: tuple[str, ...] = (), seeds: int = 3, shots: tuple[int, ...] = (4, 8, 16)
) -> Iterator[str]:
    """The same photos through `tiny` in float32 and in bfloat16; one label in ten is changed."""
    yield head(
        "photos", "shots", "images", "moves: label", "far", "pairs",
        "other verdict", "contradicted", "may be", left=1,
    )  # fmt: skip
    for folder in map(Path, photos):
        dataset = data.split_or_all(data.load(folder), "train")
        rows = _encoded(dataset)
        for count in shots:
            drawn = [_pair(dataset, rows, count, seed) for seed in range(seeds)]
            yield row(folder.name, count, *_measured(drawn))
    yield (
        f"\n{seeds} draws a row, {100 * SHARE:.0f} % of the labels changed. moves: the largest "
        "change of a probability of a wrong label, of a distance in robust deviations (within "
        f"{BESIDE:g} of its threshold), and of the cosine of a pair above 0.95. other verdict: "
        "images of which one precision alone says that something is wrong, far or harmful, by the "
        "threshold; contradicted: images of which one says that it is so and the other says "
        "nothing at all; may be: share of the images, %, of which something is said to be perhaps "
        "so."
    )


def _encoded(dataset: Dataset) -> list[tuple[np.ndarray, ClassText]]:
    """Features and text in either precision."""
    words = data.class_words(dataset, None)
    result = []
    for precision in ("float32", "bfloat16"):
        encoder = encoders.load("tiny", precision=precision)
        text = prompts.embed(encoder, words, prompts.expand_templates(prompts.DEFAULT))
        result.append((extract_features(encoder, dataset.images).features.values, text))
    return result


def _pair(
    dataset: Dataset, rows: list[tuple[np.ndarray, ClassText]], shots: int, seed: int
) -> list[tuple[Support, Examination]]:
    """One support set in either precision, and what is found in it."""
    rng = np.random.default_rng(seed)
    column = {name: i for i, name in enumerate(dataset.classes)}
    chosen = np.array(data.draw_shots(dataset.labels, shots, seed, dataset.groups or None))
    labels = np.array([column[dataset.labels[i]] for i in chosen])
    changed = rng.permutation(len(labels))[: round(SHARE * len(labels))]
    labels[changed] += rng.integers(1, len(column), len(changed))
    labels %= len(column)
    pair = []
    for features, text in rows:
        support = support_of(features[chosen], labels, text)
        pair.append((support, examine(support, plugins.get("adapters", "auto")())))
    return pair


def _measured(draws: list[list[tuple[Support, Examination]]]) -> list[str]:
    moves: dict[str, list[float]] = {"label": [0.0], "far": [0.0], "pairs": [0.0]}
    images = other = contradicted = perhaps = 0
    for (one, first), (two, second) in draws:
        cosines = [support.features @ support.features.T for support in (one, two)]
        alike = (cosines[0] > 0.95) & ~np.eye(len(one.ids), dtype=bool)
        moves["pairs"] += np.abs(cosines[0] - cosines[1])[alike].tolist()
        found = (first.by_row(), second.by_row())
        for i in range(len(one.ids)):
            a, b = (by_row[i] for by_row in found)
            images += 1
            perhaps += bool(a.near)
            moves["label"].append(abs(a.wrong - b.wrong))
            if a.distance is not None and abs(a.distance - 3.5) < BESIDE:
                moves["far"].append(abs(a.distance - (b.distance or 0)))
            other += any((p in a.problems) != (p in b.problems) for p in PROBLEMS)
            contradicted += any(
                _clear(x, p) and p not in y.named for p in PROBLEMS for x, y in ((a, b), (b, a))
            )
    digits = {"label": 2, "far": 2, "pairs": 4}
    largest = [f"{max(values):.{digits[name]}f}" for name, values in moves.items()]
    return [str(images), *largest, str(other), str(contradicted), f"{100 * perhaps / images:.1f}"]


def _clear(finding: Finding, problem: str) -> bool:
    return problem in finding.problems and problem not in finding.near
