"""Small few-shot tasks with known answers, for the tests of adapters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from handful.contracts import ClassText, unit

# tests run side by side, and small products on threads that wait for a core take a hundred times
# as long as on one thread
torch.set_num_threads(1)


@dataclass(frozen=True)
class Task:
    """Support `[N, D]` with `[N]` names, queries `[M, D]` with `[M]` columns, and the text."""

    X: np.ndarray
    y: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    text: ClassText


def make(
    classes: int = 5, shots: int = 4, width: int = 24, seed: int = 0, queries: int = 8
) -> Task:
    """Classes around means that the text knows only roughly, as with a real encoder.

    All images share a direction, and all texts another one: the gap between the two modalities.
    """
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    image_gap, text_gap = rng.standard_normal((2, 1, width))
    text = unit(means[:, None] + 0.6 * rng.standard_normal((classes, 3, width)) + text_gap)
    names = tuple(f"class {'dbeacgfhij'[i % 10]}{i // 10}" for i in range(classes))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        targets = np.repeat(np.arange(classes), count)
        noise = 0.7 * rng.standard_normal((len(targets), width))
        return unit(means[targets] + image_gap + noise), targets

    X, columns = draw(shots)
    test, targets = draw(queries)
    return Task(X, np.array(names)[columns], test, targets, ClassText(text, names, 100.0))
