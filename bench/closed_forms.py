"""Closed forms against the published loops: APE's choice of channels, and the search of alpha."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from handful.adapters._channel_selection import channel_criterion
from handful.contracts import Array
from handful.selection.alpha import best_alpha_beta
from samples import Task, clustered, feature_draws
from tables import head, row, seconds, table, timed

# ---- APE

SHOTS, WIDTH, BALANCE = 16, 1024, 0.7


@table("ape", title="APE's channel criterion", seconds=30, rounds=1, small=4, large=100)
def ape(rounds: int = 3, small: int = 10, large: int = 1000) -> Iterator[str]:
    """The closed form against four nested loops over samples.

    The loops visit every ordered pair of samples of different classes and add up the products of
    their channels, a vector at a time, as the published code does. They are timed on a few classes
    with all 16 shots, where both ways must agree, and extrapolated by the number of pairs.
    """
    task = ape_task(small)
    loop, _, (slow, pairs) = timed(lambda: nested(*task))
    fast = channel_criterion(*task, BALANCE)
    many = (large * (SHOTS + 1)) ** 2 - large * (SHOTS + 1) ** 2
    yield f"{SHOTS} shots and one text a class, {WIDTH} channels; the loop once, the closed form"
    yield f"the best of {rounds} rounds.\n"
    yield head("classes", "pairs", "nested loop, s", "", "closed form, s", "ratio")
    for classes, count, slowly, how in (
        (small, pairs, loop, "measured"),
        (large, many, loop * many / pairs, "extrapolated by pairs"),
    ):
        drawn = ape_task(classes)
        quickly = min(seconds(lambda d=drawn: channel_criterion(*d, BALANCE), rounds))
        ratio = f"{slowly / quickly:,.0f}"
        yield row(classes, f"{count:,}", f"{slowly:,.1f}", how, f"{quickly:.4f}", ratio)
    half = WIDTH // 2
    best = (set(values.topk(half).indices.tolist()) for values in (slow, fast))
    gap = float((slow.double() - fast).abs().max() / fast.abs().max())
    yield f"\nLargest difference at {small} classes, relative to the largest worth: {gap:.1e}"
    yield (
        "(the loop adds up in float32); "
        f"{len(set.intersection(*best))} of the best {half} channels are shared."
    )
    if gap > 1e-4:
        raise SystemExit("the two ways disagree")


def ape_task(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """`[N, D]` unit rows, `[N]` columns, `[C, D]` unit rows of text, drawn at random."""
    random = np.random.default_rng(0)
    weights = torch.from_numpy(random.standard_normal((classes, WIDTH), dtype=np.float32))
    columns = torch.arange(classes).repeat_interleave(SHOTS)
    noise = torch.from_numpy(random.standard_normal((len(columns), WIDTH), dtype=np.float32))
    return normalize(weights[columns] + noise, dim=1), columns, normalize(weights, dim=1)


def nested(features: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, int]:
    """`[D]` criterion and the number of pairs, pair by pair."""
    samples = [
        [text, *features[targets == column]] for column, text in enumerate(weights)
    ]  # each class: its text, then its images
    total, pairs = torch.zeros(weights.shape[1]), 0
    for here, ours in enumerate(samples):
        for there, theirs in enumerate(samples):
            for one in ours:
                for other in theirs:
                    if here != there:
                        total += one * other
                        pairs += 1
    return (1 - BALANCE) * weights.var(0) - BALANCE * total / pairs, pairs


# ---- alpha and beta

SPANS = ((7.0, 3.0), (12.0, 10.0), (50.0, 50.0))  # largest beta and alpha, of three data sets


@table("selection", title="Exact alpha against a grid", seconds=120, rounds=1, queries=60)
def selection(
    features: str | None = None, threads: int = 1, rounds: int = 5, queries: int = 736
) -> Iterator[str]:
    """The exact search of alpha and beta against a grid, on the same features in one run.

    The grid is the published one of Tip-Adapter: 200 betas, for each 20 alphas, and for each pair
    the logits of all validation images and how many are right. Ours takes 25 betas, and all alphas
    at once. Of real features 16 images a class are the cache and the rest are validation images, to
    time the search only.
    """
    torch.set_num_threads(threads)
    tasks = {"drawn, 37 classes": clustered(37, 16, queries, noise=3, text_noise=2)}
    if features:
        _, _, task = next(feature_draws(features, [16], 1))
        tasks = {Path(features).name: task, **tasks}
    yield head(
        "features", "images x keys x classes", "largest beta, alpha", "grid, s", "exact, s",
        "ratio", "grid: right, % (beta, alpha)", "exact: right, % (beta, alpha)",
    )  # fmt: skip
    for name, task in tasks.items():
        for span in SPANS:
            yield compared(name, task, span, rounds)
    yield (
        f"\nThreads: {threads}. Exact: median of {rounds} rounds; grid: one. "
        "Both search the same ranges. Right: of the images that were searched on, which says "
        "nothing of others."
    )


def compared(name: str, task: Task, span: tuple[float, float], rounds: int) -> str:
    X, y, Q, asked, text = task.X, task.y, task.Q, task.targets, task.text
    zero, near = text.scale * Q @ text.weights.T, Q @ X.T
    betas = np.linspace(0.1, span[0], 25)
    ours = best_alpha_beta(zero, near, y, asked, betas, high=span[1])
    fast = statistics.median(
        seconds(lambda: best_alpha_beta(zero, near, y, asked, betas, high=span[1]), rounds)
    )
    slow, _, (right, beta, alpha) = timed(lambda: grid(zero, near, y, asked, span))
    return row(
        name, f"{len(asked)} x {len(y)} x {len(text.classes)}", f"{span[0]:g}, {span[1]:g}",
        f"{slow:.2f}", f"{fast:.4f}", f"{slow / fast:.0f}",
        f"{100 * right / len(asked):.2f} ({beta:.2f}, {alpha:.2f})",
        f"{100 * ours.right / len(asked):.2f} ({ours.beta:.2f}, {ours.alpha:.2f})",
    )  # fmt: skip


@torch.inference_mode()
def grid(
    zero: Array, near: Array, keys: np.ndarray, targets: np.ndarray, span: tuple[float, float]
) -> tuple[float, float, float]:
    """200 betas times 20 alphas: how many are right, beta and alpha of the best pair."""
    text, affinity = torch.from_numpy(zero), torch.from_numpy(near)
    values = one_hot(torch.from_numpy(keys), zero.shape[1]).float()
    truth = torch.from_numpy(targets)
    best = (-1.0, 0.0, 0.0)
    for i in range(200):
        beta = 0.1 + i * (span[0] - 0.1) / 200
        for j in range(20):
            alpha = 0.1 + j * (span[1] - 0.1) / 20
            logits = text + alpha * torch.exp(beta * (affinity - 1)) @ values
            right = int((logits.argmax(dim=1) == truth).sum())
            best = max(best, (right, beta, alpha), key=lambda found: found[0])
    return best
