"""What a skill states of itself, measured: its probabilities, its sets of answers, `unknown`."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from handful import metrics
from handful.adapters import create_adapter
from handful.contracts import ClassText
from handful.packs import confidence, novelty
from handful.skills import statements
from samples import Task, World, support_of, worlds
from tables import head, row, table

# ---- probabilities and sets of answers

FIRST = 300  # seed of the playground's draws; those that anything was chosen on begin at 5000
METHODS = ("auto", "tip", "gda", "text_gda", "proker", "zs_lp", "linear")


@table("confidence", title="How sure a skill is", seconds=3600, seeds=1, tasks=1, methods=("tip",))
def how_sure(
    features: str | None = None,
    seeds: int = 3,
    methods: tuple[str, ...] = METHODS,
    tasks: int = 14,
) -> Iterator[str]:
    """How honest probabilities and sets of answers are, before and after calibration.

    For each draw the skill is taught with 2, 4, 8 or 16 images a class and asked about all test
    images. The calibration error (ECE) is taken over the answers of all draws together: of the few
    test images of one draw even perfect probabilities would have one of several percent.
    """
    torch.set_num_threads(1)
    shots = (2, 4, 8, 16)
    found: dict[str, dict[tuple[str, int], list[Any]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(seeds):
        for world in both_kinds(features, max(shots), FIRST + seed, tasks):
            for method, k in itertools.product(methods, shots):
                found[world.name][method, k].append(answers(world, method, k, seed))
    for name, cells in found.items():
        wanted = [f"{100 * (1 - error):g} %" for error in confidence.ERRORS]
        yield f"\n### {name}\n"
        yield head("method", "shots", "ECE before", "ECE after", *wanted, left=1)
        for (method, k), rows in cells.items():
            errors = (f"{pooled_error(rows, key):.1f}" for key in ("before", "after"))
            yield row(method, k, *errors, *map(lambda e, r=rows: coverage(r, e), confidence.ERRORS))
    yield (
        f"\nAll in percent over {seeds} seeds (and all tasks); ECE with 15 bins over all "
        "answers together, before and after the factor. Sets: coverage at the coverage asked for, "
        "and in brackets the mean number of classes in a set; a dash where the support sets were "
        "too small to promise it."
    )


def both_kinds(features: str | None, shots: int, seed: int, tasks: int) -> Iterator[World]:
    """The real data set and the tasks of the playground under one name."""
    for world in worlds(features, shots, seed, tasks):
        yield world if world.pool is None else replace(world, name="playground")


def answers(world: World, method: str, shots: int, seed: int) -> dict[str | float, Any]:
    """Probabilities before and after, and coverage and size of the sets at each error."""
    classes = range(len(world.text.classes))
    taught, tested = world.split(classes, shots, np.random.default_rng(seed))
    support = support_of(world.values[taught], np.asarray(world.labels)[taught], world.text)
    adapter = create_adapter(method, seed).fit(support.features, support.targets, support.text)
    entry, tensors = statements.confidence(adapter, support)
    logits, truth = adapter.logits(world.values[tested]), np.asarray(world.labels)[tested]
    manifest = {"confidence": entry}
    found: dict[str | float, Any] = {"truth": truth}
    for key, factor in (("before", 1.0), ("after", confidence.factor(manifest))):
        found[key] = confidence.probabilities(logits, factor)
    for error in confidence.ERRORS:
        if error >= entry["smallest"]:
            among = confidence.sets(manifest, tensors, logits, error, "")
            found[error] = (among[np.arange(len(truth)), truth].mean(), among.sum(1).mean())
    return found


def pooled_error(rows: list[dict[Any, Any]], key: str) -> float:
    """ECE over all draws, in percent; only the best answer matters, so two columns suffice."""
    best = np.concatenate([row[key].max(1) for row in rows])
    right = np.concatenate([row[key].argmax(1) == row["truth"] for row in rows])
    # the best answer stays the largest column below one half too
    others = np.minimum(1 - best, best * (1 - 1e-9))
    return 100 * metrics.calibration_error(np.stack([best, others], 1), (~right).astype(int))


def coverage(rows: list[dict[Any, Any]], error: float) -> str:
    """Mean coverage and size of the draws that promise an error."""
    there = [row[error] for row in rows if error in row]
    if not there:
        return "-"
    share, size = np.mean(there, axis=0)
    return f"{100 * share:.1f} ({size:.2f})"


# ---- unknown images

RATE = 0.05


@table(
    "unknown", title="Telling unknown images", seconds=1200, seeds=1, methods=("tip",), shots=(4,)
)
def unknown_images(
    features: str | None = None,
    seeds: int = 5,
    methods: tuple[str, ...] = ("auto", "tip", "gda", "clip_adapter", "text_gda"),
    shots: tuple[int, ...] = (4, 8, 16),
) -> Iterator[str]:
    """How well unknown images are told, with a third of the classes held out as unknown.

    The skill never sees a third of the classes, drawn by lot at each draw, and is asked about all
    test images. The unknown classes are of the same kind as the known ones, which is the hard case.
    The playground's few tasks of new things are also put together into one, so that there are
    classes enough to promise a rate.
    """
    torch.set_num_threads(1)
    found: dict[str, dict[int, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(seeds):
        for world in by_family(list(worlds(features, max(shots), seed))):
            for k in shots:
                found[world.name][k].append(detection(held_out(world, k, seed), methods, seed))
    for name, by_shots in found.items():
        yield f"\n### {name}\n"
        yield head("", *(f"{k} shots" for k in by_shots), left=1)
        for key in by_shots[shots[0]][0]:
            means = (known_mean([each[key] for each in rows]) for rows in by_shots.values())
            yield row(key, *("never" if math.isnan(m) else f"{m:.1f}" for m in means))
    yield (
        f"\nAUROC of known against unknown images, and what happens at a stated false-accept rate "
        f"of {100 * RATE:g} %; all in percent, mean over {seeds} seeds (and tasks). "
        "The softmax and the logit are the largest of the method; `ours` is the same for every "
        "method. Promised: how often the support set was large enough to promise the rate; the "
        "measured rates count every draw."
    )


def by_family(drawn: list[World]) -> Iterator[World]:
    """The tasks under the names of their families, then those of new things as one."""
    for one in drawn:
        family = f"playground, {one.name.split('-')[0]}"
        yield one if one.pool is None else replace(one, name=family)
    new = [one for one in drawn if one.pool is not None and one.name.startswith("novel")]
    starts = np.cumsum([0, *(len(one.text.classes) for one in new)])
    names = tuple(f"{one.name} {c}" for one in new for c in one.text.classes)
    words = np.concatenate([one.text.weights for one in new])[:, None]
    yield World(
        "playground, new things together",
        np.concatenate([one.values for one in new]),
        np.concatenate([one.labels + at for at, one in zip(starts, new, strict=False)]),
        ClassText(words, names, new[0].text.scale),
        np.concatenate([one.pool for one in new if one.pool is not None]),
    )


def held_out(world: World, shots: int, seed: int) -> Task:
    """A support set of two thirds of the classes; the target of a query is -1 where unknown."""
    rng = np.random.default_rng(seed)
    classes = len(world.text.classes)
    known = np.sort(rng.permutation(classes)[max(1, round(classes / 3)) :])
    column = np.full(classes, -1)
    column[known] = np.arange(len(known))
    support, tested = world.split(known, shots, rng)
    names = tuple(world.text.classes[c] for c in known)
    text = ClassText(world.text.embeddings[known], names, world.text.scale)
    X, y = world.values[support], column[world.labels[support]]
    return Task(X, y, world.values[tested], column[world.labels[tested]], text)


def detection(task: Task, methods: tuple[str, ...], seed: int) -> dict[str, float]:
    """Areas under the curve and shares, in percent."""
    known = task.targets >= 0
    detector = novelty.fit_detector(support_of(task.X, task.y, task.text))
    if detector is None:
        raise SystemExit(f"{task.text.classes}: too few classes")
    rates = detector.rates(task.Q)
    accepted = 100 * float((rates[~known] <= RATE).mean())
    found = {
        "ours": area(known, -rates),
        "false accepts": accepted,
        "known accepted": 100 * float((rates[known] <= RATE).mean()),
        "promised": 100 * float(detector.smallest <= RATE),
        "false accepts where promised": accepted if detector.smallest <= RATE else math.nan,
        "Mahalanobis": area(known, mahalanobis(task)),
        "nearest": area(known, (task.Q @ task.X.T).max(1)),
    }
    for method in methods:
        adapter = create_adapter(method, seed).fit(task.X, task.y, task.text)
        logits = adapter.logits(task.Q).astype(np.float64)
        best = logits.max(1)
        # the order of the softmax without its rounding to 1
        found[f"{method} softmax"] = area(known, -np.log(np.exp(logits - best[:, None]).sum(1)))
        found[f"{method} logit"] = area(known, best)
    return found


def mahalanobis(task: Task) -> np.ndarray:
    """`[M]`: less the distance to the nearest class, with one covariance (Ledoit-Wolf)."""
    means = np.stack([task.X[task.y == c].mean(0) for c in range(len(task.text.classes))])
    inverse = LedoitWolf(assume_centered=True).fit(task.X - means[task.y]).precision_
    away = task.Q[:, None] - means
    return -np.einsum("mcd,de,mce->mc", away, inverse, away).min(1)


def area(known: np.ndarray, score: np.ndarray) -> float:
    return 100 * float(roc_auc_score(known, score))


def known_mean(values: list[float]) -> float:
    there = [v for v in values if not math.isnan(v)]
    return float(np.mean(there)) if there else math.nan
