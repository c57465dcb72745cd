"""How fast adapters fit and answer, on features drawn at random: speed does not see that."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from handful import plugins
from samples import clustered, with_modality_gap
from tables import apart, head, in_turns, memory, row, table, timed

FITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("zero_shot", {}),
    ("tip", {}),
    ("tip_f", {}),
    ("clip_adapter", {}),
    ("clip_adapter", {"branch": "both"}),
    ("linear", {}),
    ("linear", {"init": "random"}),
)


@table(
    "adapters", title="Adapters: fitting and answering", seconds=120,
    rounds=1, classes=100, queries=500,
)  # fmt: skip
def adapters(rounds: int = 3, classes: int = 1000, queries: int = 10_000) -> Iterator[str]:
    """Tip-Adapter against the textbook formula, and fitting of several methods.

    `softmax input = s x Tᵀ + alpha exp(-beta (1 - x Fᵀ)) Y` with Y as a dense one-hot matrix, in
    float32 in the same process. Ours is the whole `Adapter.logits`, with its checks and its scaling
    of rows; the textbook gets unit rows.
    """
    keys, asked = (f"{count:,}".replace(",", " ") for count in (16 * classes, queries))
    yield f"Tip-Adapter, {keys} keys x 512, {classes} classes, {asked} queries, best round:\n"
    yield head("keys a class", "way", "seconds", "core seconds", "ratio", "ratio of core seconds")
    worst = 0.0
    for counts, drop in (("16 each", 0), ("16, one class 15", 1)):
        lines, error = answering(counts, drop, classes, queries, rounds)
        yield from lines
        worst = max(worst, error)
    yield f"\nLargest relative difference of any logit: {worst:.1e}.\n"
    yield "Fitting 100 classes x 16 shots x 512, best round:\n"
    yield head("method", "seconds", "core seconds")
    task = clustered(100, 16, 1)
    plugins.get("adapters", "linear")(steps=2).fit(task.X, task.y, task.text)  # the libraries load
    for name, arguments in FITS:
        adapter = plugins.get("adapters", name)(**arguments)
        fit = partial(adapter.fit, task.X, task.y, task.text)
        wall, cores = (min(t["fit"]) for t in in_turns({"fit": fit}, rounds))
        method = ", ".join([name, *(f"{k}={v}" for k, v in arguments.items())])
        yield row(method, f"{wall:.3f}", f"{cores:.3f}")
    facts = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load at the end": round(os.getloadavg()[0], 1),
        "rounds": rounds,
    }
    yield "\n" + ", ".join(f"{k}: {v}" for k, v in facts.items()) + "."


@torch.inference_mode()
def answering(
    counts: str, drop: int, classes: int, queries: int, rounds: int
) -> tuple[list[str], float]:
    """Rows of one support set, and the largest relative difference of a logit."""
    task = clustered(classes, 16, queries)
    X, y, Q = task.X[drop:], task.y[drop:], torch.from_numpy(task.Q)
    adapter = plugins.get("adapters", "tip")().fit(X, y, task.text)
    weights = torch.from_numpy(task.text.weights)
    dense = textbook(torch.from_numpy(X), torch.from_numpy(y), weights, task.text.scale)
    ways: dict[str, Callable[[], Any]] = {
        "handful": lambda: adapter.logits(task.Q),
        "textbook, 256 a time": lambda: dense(Q, 256),
        "textbook, 4096 a time": lambda: dense(Q, 4096),
    }
    wall, cores = ({n: min(t) for n, t in times.items()} for times in in_turns(ways, rounds))
    rows = [
        row(
            counts, way, f"{wall[way]:.2f}", f"{cores[way]:.2f}",
            f"{wall[way] / wall['handful']:.2f}", f"{cores[way] / cores['handful']:.2f}",
        )
        for way in ways
    ]  # fmt: skip
    truth = dense(Q, 256).numpy()
    return rows, float(np.max(np.abs(adapter.logits(task.Q) - truth) / np.abs(truth)))


def textbook(keys: Tensor, labels: Tensor, weights: Tensor, scale: float) -> Callable[..., Tensor]:
    values = one_hot(labels, len(weights)).float()

    def logits(queries: Tensor, chunk: int) -> Tensor:
        parts = []
        for x in queries.split(chunk):
            affinity = x @ keys.T
            parts.append(scale * x @ weights.T + ((-1) * (5.5 - 5.5 * affinity)).exp() @ values)
        return torch.cat(parts)

    return logits


# ---- `auto` beside the methods that it would replace

SIZES = ((100, 1, 512), (100, 2, 512), (100, 16, 512), (1000, 1, 512), (1000, 16, 512))


@table(
    "auto", title="Choosing by itself: time and memory", seconds=300,
    threads=1, methods=("auto", "tip_f"), largest=200,
)  # fmt: skip
def auto(
    threads: int = 4,
    methods: tuple[str, ...] = ("auto", "clip_adapter", "tip_f", "gda"),
    largest: int = 16_000,
) -> Iterator[str]:
    """Each cell is a process of its own, so that its peak memory is its own."""
    yield head("classes x shots x width", *methods)
    for size in SIZES:
        if size[0] * size[1] <= largest:
            cells = (apart(fit_cost, method, *size, threads) for method in methods)
            yield row(" x ".join(map(str, size)), *cells)
    yield (
        f"\n{threads} threads; seconds to fit and the process's peak memory. Goals for "
        "`auto`: 5 s at 100 x 16 x 512; 2 minutes and 4 GB at 1000 x 16 x 512."
    )


def fit_cost(method: str, classes: int, shots: int, width: int, threads: int) -> str:
    torch.set_num_threads(threads)
    task = with_modality_gap(classes, shots, width)
    adapter = plugins.get("adapters", method)()  # its imports are no part of the fit
    before = memory("VmHWM")
    wall, _, _ = timed(lambda: adapter.fit(task.X, task.y, task.text))
    return f"{wall:.2f} s, {memory('VmHWM') / 1e9:.2f} GB (of it {before / 1e9:.2f} before the fit)"
