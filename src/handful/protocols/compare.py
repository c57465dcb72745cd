"""Methods side by side: the same draws, the same test images, several seeds, an interval.

The support set of every seed is drawn per class; hyper-parameters are the methods' defaults, so no
validation set exists and no test image takes part in any choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import data, encoders
from handful.contracts import Encoder, check_count
from handful.data.grouping import Grouped, group_images
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.protocols.encoding import encode_all
from handful.protocols.episodes import few_shot
from handful.protocols.methods import inductive_methods, title
from handful.protocols.ranking import Ranking, rank
from handful.protocols.runner import Configuration, Score, fit_and_test, scores_of
from handful.protocols.sources import most_shots
from handful.protocols.tables import Cell, Grid, by_shots, mean_cell
from handful.protocols.task import SHOTS, Task
from handful.protocols.uncertainty import in_words
from handful.selection.groups import find_units
from handful.skills.support import unreadable


@dataclass(frozen=True)
class Comparison:
    """Scores of every trial, and the conditions under which they were measured.

    Args:
        trials: one a task, method, shot count and seed.
        facts: encoder, templates, classes, test images, protocol.
    """

    trials: tuple[Score, ...]
    facts: Mapping[str, Any]

    @property
    def grid(self) -> Grid:
        """The table: a row a method, a column a shot count, means over tasks."""
        return by_shots("", self.trials)

    @property
    def rankings(self) -> list[Ranking]:
        """Methods by their means, one list for each kind that may be compared."""
        return rank(self.trials)

    def cell(self, method: str, shots: int) -> Cell:
        """Mean over tasks and seeds; the interval is over seeds and test images."""
        return mean_cell(self._of(method, shots))

    @property
    def interval(self) -> str:
        """What the intervals cover: a sentence."""
        return in_words(self.trials)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: facts, the ranking, cells and every trial."""
        cells = [
            {
                "method": method,
                "shots": shots,
                **asdict(self.cell(method, shots)),
                "seconds": float(np.mean([t.seconds for t in self._of(method, shots)])),
            }
            for method in dict.fromkeys(t.method for t in self.trials)
            for shots in sorted({t.shots for t in self.trials})
        ]
        keys = ("task", "method", "shots", "seed", "accuracy", "seconds")
        trials = [{key: getattr(t, key) for key in keys} for t in self.trials]
        ranking = [row.as_dict() for part in self.rankings for row in part.rows]
        return {"facts": dict(self.facts), "ranking": ranking, "cells": cells, "trials": trials}

    def _of(self, method: str, shots: int) -> list[Score]:
        return [t for t in self.trials if (t.method, t.shots) == (method, shots)]


def compare(
    source: Any,
    *,
    encoder: str | Path | Encoder = encoders.DEFAULT,
    methods: Sequence[str] | None = None,
    shots: int | Sequence[int] | None = None,
    seeds: int = 3,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    group_by: str = "auto",
    progress: Progress | None = None,
) -> tuple[Comparison, tuple[Failure, ...]]:
    """Compare methods on labelled images.

    Over 60 lines for its arguments, each told in a line.

    Supports are drawn from `train` and tested on `test` where the source states splits; else the
    images that a seed did not draw are its test set.

    Args:
        source: as for `handful.fit`.
        encoder: name, folder or a loaded encoder.
        methods: adapters' names; all inductive ones when not given. Those that learn from the
            test images (`batch`, `stream`) run when named, and stand apart in every table.
        shots: one shot count or several; those of 1, 2, 4, 8, 16 that the images allow when
            not given.
        seeds: how many draws.
        templates: prompts with `{}`, or names of sets such as `satellite`.
        words: label to words in the prompt.
        precision: of an encoder that is loaded by name; see `handful.encoders.load`.
        device: likewise.
        store: where features are kept.
        group_by: which images belong together, so that no draw tears them apart; as for
            `handful.fit`, and by default those that the source states.
        progress: called with (images done, images in all).

    Raises:
        InputError: fewer images than shots, no test images, fewer than two classes.
    """
    templates = prompts.expand_templates(templates)
    methods = [methods] if isinstance(methods, str) else methods
    check_count("seeds", seeds)
    counts = _shot_counts(shots)
    known = data.with_classes_known(source, group_by, words or ())
    grouped = group_images(data.load(known, classes=words), group_by, source)
    dataset, reserved = data.separate_reserved(grouped.dataset, words)
    with data.reserved_in_errors(reserved):
        names = data.class_words(dataset, words)
    model = encoders.load(encoder, precision=precision, device=device)
    task = encode_all(dataset, names, model, templates, store, progress, name="")
    drawable = Counter(task.classes[c] for c in task.labels[task.pool])
    data.require_images(names, drawable, task.failures)
    trials = compare_features(
        task, methods or inductive_methods(), counts or _possible_shots(task), range(seeds)
    )
    facts = {
        "encoder": model.name,
        "fingerprint": model.fingerprint,
        "precision": model.precision,
        "templates": list(templates),
        "classes": len(names),
        "images": len(task.labels),
        "copies": f"{len(task.ids) - len(set(task.ids))} images repeat another byte for byte; "
        "a copy of a support image is never tested on",
        "groups": _groups(task, grouped),
        "ignored": dict(dataset.ignored),
        "seeds": seeds,
        "equal draws": _equal_draws(task, {t.shots for t in trials}),
        "test": "the test split" if task.has_splits else "all images outside the support set",
        "hyper-parameters": "each method's defaults; no validation set",
    }
    return Comparison(tuple(trials), facts), (*task.failures, *unreadable(dataset))


def compare_features(
    task: Task, methods: Sequence[str], shots: Sequence[int], seeds: Sequence[int]
) -> list[Score]:
    """Every method at every shot count and seed, on one task."""
    rows = [Configuration(title(method), method, ()) for method in methods]
    return [
        score
        for episode in few_shot([task], shots, seeds)
        for row in rows
        for score in scores_of(row, episode, fit_and_test(row, episode))
    ]


def _shot_counts(shots: int | Sequence[int] | None) -> tuple[int, ...]:
    """The shot counts that were asked for; none where the images decide.

    Raises:
        InputError: something that is no whole number from 1.
    """
    if shots is None:
        return ()
    listed: Any = shots if isinstance(shots, Iterable) and not isinstance(shots, str) else [shots]
    counts: tuple[int, ...] = tuple(listed)
    for count in counts:
        check_count("shots", count)
    return counts


def _groups(task: Task, grouped: Grouped[data.Dataset]) -> str:
    """How many there are, and what could not be told of some photos; "" without any."""
    if not task.groups:
        return ""
    units = find_units(task.groups, task.ids)
    note = f"; {grouped.note}" if grouped.note else ""
    return f"{len(units)} images are {int(units.max()) + 1} groups or single images{note}"


def _equal_draws(task: Task, shots: Collection[int]) -> list[int]:
    """Shot counts at which every seed draws all images there are, where tests are split off."""
    most = int(np.bincount(task.labels[task.pool]).max())
    return [k for k in sorted(shots) if task.has_splits and k >= most]


def _possible_shots(task: Task) -> tuple[int, ...]:
    """Shot counts that the smallest class allows, one image left for the test where needed."""
    possible = tuple(k for k in SHOTS if k <= most_shots(task))
    if not possible:
        raise InputError(
            "a class has too few images to draw a support set and keep a test image; "
            "every class needs at least two"
        )
    return possible
