"""Trials on features: every method on the same draws and the same test images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics, plugins
from handful.adapters import create_adapter
from handful.contracts import Array, ClassText
from handful.errors import InputError

SHOTS = (1, 2, 4, 8, 16)
SEMANTICS = {
    "inductive": "",
    "batch": "saw all test images at once (without labels): not comparable with the methods that "
    "see one image at a time",
    "stream": "saw the test images in order (without labels) and learned on the way: not "
    "comparable with the methods that see one image at a time",
}


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
    names = [text.classes[c] for c in labels]
    trials = []
    for seed in seeds:
        for k in shots:
            drawn, mask = draw(names, k, seed, pool=pool, test=test, groups=groups, ids=ids)
            rest = shuffled(mask, seed)
            for method in methods:
                adapter = create_adapter(method, seed)
                began = time.perf_counter()
                adapter.fit(values[drawn], labels[drawn], text)
                seconds = time.perf_counter() - began
                hit = metrics.accuracy(adapter.logits(values[rest]), labels[rest])
                trials.append(Trial(task, method, k, seed, 100 * hit, seconds))
                if progress:
                    progress()
    return trials


def semantics(method: str) -> str:
    """`inductive`, `batch` or `stream`: what an answer of the method depends on."""
    return str(getattr(plugins.get("adapters", method), "semantics", "inductive"))


def inductive() -> list[str]:
    """Names of the methods whose numbers may stand side by side."""
    return [name for name in plugins.names("adapters") if semantics(name) == "inductive"]


def shuffled(test: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Positions of the test images in an order that tells nothing, which a stream would use."""
    return np.random.default_rng(seed).permutation(np.flatnonzero(test))


def draw(
    names: Sequence[str],
    shots: int,
    seed: int,
    *,
    pool: NDArray[np.bool_] | None = None,
    test: NDArray[np.bool_] | None = None,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    allow_fewer: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Positions of one support set, and `[N]` true for the images to test on; never both.

    Args:
        names: N class names.
        shots: images a class.
        seed: of the draw.
        pool: `[N]` true where a support image may come from.
        test: `[N]` true for test images.
        groups: N names of what belongs together, "" for none.
        ids: N image digests.
        allow_fewer: take all images of a class that has fewer than `shots`.

    Raises:
        InputError: a class has too few images; nothing is left to test on.
    """
    candidates = np.arange(len(names)) if pool is None else np.flatnonzero(pool)
    homes = None if groups is None else [groups[int(i)] for i in candidates]
    among = [names[int(i)] for i in candidates]
    drawn = candidates[data.draw_shots(among, shots, seed, homes, allow_fewer=allow_fewer)]
    rest = np.zeros(len(names), dtype=bool)
    rest[data.remaining(len(names), drawn.tolist(), groups)] = True
    rest &= True if test is None else test
    if ids is not None:
        support = {ids[int(i)] for i in drawn}
        rest &= [id_ not in support for id_ in ids]
    if not rest.any():
        raise InputError(f"{shots} shots leave no test image; use fewer shots or more images")
    return drawn, rest
