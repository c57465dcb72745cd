"""Trials on features: every method on the same draws and the same test images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics, plugins
from handful.contracts import Array, ClassText
from handful.errors import InputError

SHOTS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Trial:
    """One method fitted once: accuracy in percent, seconds to fit."""

    task: str
    method: str
    shots: int
    seed: int
    accuracy: float
    seconds: float


def compare_features(
    values: Array,
    labels: NDArray[np.integer[Any]],
    text: ClassText,
    *,
    methods: Sequence[str],
    shots: Sequence[int] = SHOTS,
    seeds: Iterable[int] = range(3),
    pool: NDArray[np.bool_] | None = None,
    test: NDArray[np.bool_] | None = None,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    task: str = "",
    progress: Callable[[], None] | None = None,
) -> list[Trial]:
    """The same on features: `[N, D]` rows, `[N]` columns of `text.classes`.

    Args:
        values: `[N, D]` features of all images.
        labels: `[N]` positions in `text.classes`.
        text: class names and text features.
        methods: adapters' names.
        shots: images a class.
        seeds: seeds of the draws (and of the methods that have one).
        pool: `[N]` true where a support image may come from; everywhere when not given.
        test: `[N]` true for test images; all that the draw left when not given.
        groups: N names of what belongs together (a camera, a burst), "" for none; the group of a
            support image is not tested on.
        ids: N image digests; a copy of a support image is not tested on.
        task: name to write into the trials.
        progress: called after every trial.
    """
    candidates = np.arange(len(labels)) if pool is None else np.flatnonzero(pool)
    names = [text.classes[c] for c in labels[candidates]]
    homes = None if groups is None else [groups[int(i)] for i in candidates]
    trials = []
    for seed in seeds:
        for k in shots:
            drawn = candidates[data.draw(names, k, seed, homes)]
            rest = np.zeros(len(labels), dtype=bool)
            rest[data.rest(len(labels), drawn.tolist(), groups)] = True
            rest &= True if test is None else test
            if ids is not None:
                support = {ids[int(i)] for i in drawn}
                rest &= [id_ not in support for id_ in ids]
            if not rest.any():
                raise InputError(f"{k} shots leave no test image; use fewer shots or more images")
            for method in methods:
                adapter = _seeded(method, seed)
                began = time.perf_counter()
                adapter.fit(values[drawn], labels[drawn], text)
                seconds = time.perf_counter() - began
                hit = metrics.accuracy(adapter.logits(values[rest]), labels[rest])
                trials.append(Trial(task, method, k, seed, 100 * hit, seconds))
                if progress:
                    progress()
    return trials


def _seeded(method: str, seed: int) -> Any:
    cls = plugins.get("adapters", method)
    return cls(seed=seed) if "seed" in cls().get_params() else cls()
