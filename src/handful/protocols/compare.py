"""Methods side by side: the same draws, the same test images, several seeds, an interval.

The support set of every seed is drawn per class; hyper-parameters are the methods' defaults, so no
validation set exists and no test image takes part in any choice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, encoders, metrics
from handful.contracts import Encoder
from handful.data import Dataset
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.protocols.trials import SEMANTICS, SHOTS, Trial, compare_features, inductive, semantics


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Args:
        method: the adapter's name.
        shots: images a class.
        accuracy: percent, mean over tasks and seeds.
        interval: half the width of its 95 % interval; None where one seed tells no spread.
        seconds: mean time to fit.
    """

    method: str
    shots: int
    accuracy: float
    interval: float | None
    seconds: float

    def __str__(self) -> str:
        spread = "" if self.interval is None else f" ± {self.interval:.1f}"
        return f"{self.accuracy:.1f}{spread}"


@dataclass(frozen=True)
class Block:
    """Methods whose numbers may be compared with each other.

    Args:
        semantics: `inductive`, `batch` or `stream`.
        note: what a reader must know of them; "" for inductive ones.
        methods: the adapters' names.
    """

    semantics: str
    note: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Every trial and what a reader must know to believe it.

    Args:
        trials: one a task, method, shot count and seed.
        facts: encoder, templates, classes, test images, protocol.
    """

    trials: tuple[Trial, ...]
    facts: Mapping[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order in which they were asked for."""
        return tuple(dict.fromkeys(t.method for t in self.trials))

    def blocks(self) -> list[Block]:
        """The methods, apart where their numbers must not be compared."""
        kinds = {method: semantics(method) for method in self.methods}
        return [
            Block(kind, note, tuple(m for m in self.methods if kinds[m] == kind))
            for kind, note in SEMANTICS.items()
            if kind in kinds.values()
        ]

    @property
    def shots(self) -> tuple[int, ...]:
        """Shot counts, ascending."""
        return tuple(sorted({t.shots for t in self.trials}))

    def cell(self, method: str, shots: int) -> Cell:
        """Mean over tasks and seeds; the interval is Student's t over the seeds' means."""
        trials = [t for t in self.trials if (t.method, t.shots) == (method, shots)]
        seeds = sorted({t.seed for t in trials})
        means = [float(np.mean([t.accuracy for t in trials if t.seed == s])) for s in seeds]
        mean, half = metrics.mean_interval(means)
        seconds = float(np.mean([t.seconds for t in trials]))
        return Cell(method, shots, mean, None if math.isnan(half) else half, seconds)

    def cells(self) -> list[Cell]:
        """The whole table, method by method."""
        return [self.cell(m, k) for m in self.methods for k in self.shots]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: facts, cells and every trial."""
        return {
            "facts": dict(self.facts),
            "cells": [asdict(c) for c in self.cells()],
            "trials": [asdict(t) for t in self.trials],
        }


def compare(
    source: str | Path | Dataset,
    *,
    encoder: str | Path | Encoder = "tiny",
    methods: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: int = 3,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> tuple[Comparison, tuple[Failure, ...]]:
    """Compare methods on labelled images.

    Where the source states splits, supports are drawn from `train` and the test set is `test`;
    else each seed draws its support per class and all other images are its test set.

    Args:
        source: as for `handful.fit`.
        encoder: name, folder or a loaded encoder.
        methods: adapters' names; all inductive ones when not given. Those that learn from the
            test images (`batch`, `stream`) run when asked for and are told apart.
        shots: shot counts; those of 1, 2, 4, 8, 16 that the images allow when not given.
        seeds: how many draws.
        templates: prompts with `{}`, or names of sets such as `satellite`.
        words: label to words in the prompt.
        store: where features are kept.
        progress: called with (images done, images in all).

    Raises:
        InputError: fewer images than shots, no test images, fewer than two classes.
    """
    templates = prompts.expand_templates(templates)
    if isinstance(methods, str):
        methods = [methods]
    if seeds < 1:
        raise InputError(f"expected at least 1 seed, got {seeds}")
    dataset, _ = data.separate_reserved(data.load(source), words)
    names = data.class_words(dataset, words)
    tower = encoders.load(encoder)
    text = prompts.embed(tower, names, templates)
    found = extract_features(tower, dataset.images, store, progress=progress)
    usable = dataset.subset(found.kept)
    column = {name: i for i, name in enumerate(text.classes)}
    labels = np.array([column[label] for label in usable.labels])
    split = np.array(usable.splits)
    pool, test = (split == "train", split == "test") if split.any() else (None, None)
    drawable = labels if pool is None else labels[pool]
    data.require_images(names, Counter(text.classes[c] for c in drawable), found.failures)
    trials = compare_features(
        found.features.values,
        labels,
        text,
        methods=methods or inductive(),
        shots=shots or _possible(drawable, held=pool is None),
        seeds=range(seeds),
        pool=pool,
        test=test,
        groups=usable.groups or None,
        ids=found.features.ids,
    )
    facts = {
        "encoder": tower.name,
        "fingerprint": tower.fingerprint,
        "precision": tower.precision,
        "templates": list(templates),
        "classes": len(names),
        "images": len(labels),
        "copies": f"{_copies(found.features.ids)} images repeat another byte for byte; "
        "a copy of a support image is never tested on",
        "ignored": dict(dataset.ignored),
        "seeds": seeds,
        "test": "all images outside the support set" if test is None else "the test split",
        "hyper-parameters": "each method's defaults; no validation set",
    }
    return Comparison(tuple(trials), facts), found.failures


def _possible(labels: NDArray[np.integer[Any]], *, held: bool) -> tuple[int, ...]:
    """Shot counts that the smallest class allows, one image left for the test where needed."""
    fewest = int(np.bincount(labels).min()) - held
    possible = tuple(k for k in SHOTS if k <= fewest)
    if not possible:
        raise InputError(
            "a class has too few images to draw a support set and keep a test image; "
            "every class needs at least two"
        )
    return possible


def _copies(ids: Sequence[str]) -> int:
    return len(ids) - len(set(ids))
