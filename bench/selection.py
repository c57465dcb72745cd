"""The exact search of alpha and beta against a grid, on the same features in one run.

Usage: python bench/selection.py [--features FOLDER] [--threads 1] [--rounds 3]

The grid is the published one of Tip-Adapter: 200 betas, for each 20 alphas, and for each pair the
logits of all validation images and how many are right. Ours takes 25 betas, and all alphas at once.
Without FOLDER, features are drawn at random around class means.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import one_hot

from handful import data
from handful.contracts import Array, ClassText, unit
from handful.selection.alpha import best_alpha_beta

Task = tuple[Array, np.ndarray, Array, np.ndarray, ClassText]
SPANS = ((7.0, 3.0), (12.0, 10.0), (50.0, 50.0))  # largest beta and alpha, of three data sets


def drawn(classes: int, shots: int, queries: int, width: int = 512) -> Task:
    """Unit rows around class means, all near one direction, as CLIP's are; text is off the mean."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((1, width)) + rng.standard_normal((classes, width))
    columns, asked = np.repeat(np.arange(classes), shots), rng.integers(0, classes, queries)
    X = unit(means[columns] + 3 * rng.standard_normal((len(columns), width)))
    Q = unit(means[asked] + 3 * rng.standard_normal((queries, width)))
    text = unit(means + 2 * rng.standard_normal((classes, width)))[:, None]
    return X, columns, Q, asked, ClassText(text, tuple(f"class {i}" for i in range(classes)), 100.0)


def read(folder: Path) -> Task:
    """16 images a class as the cache; the rest as validation images, to time the search only."""
    found = data.load_features(folder)
    names = [found.text.classes[c] for c in found.labels]
    support = np.array(data.draw_shots(names, 16, 0))
    rest = np.setdiff1d(np.arange(len(names)), support)
    values, labels = found.values, found.labels
    return values[support], labels[support], values[rest], labels[rest], found.text


@torch.inference_mode()
def grid(zero: Array, near: Array, keys: np.ndarray, targets: np.ndarray, span) -> tuple:
    """200 betas times 20 alphas: logits and accuracy of each pair."""
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


def compared(name: str, task: Task, span: tuple[float, float], rounds: int) -> str:
    X, columns, Q, asked, text = task
    zero, near = text.scale * Q @ text.weights.T, Q @ X.T
    betas = np.linspace(0.1, span[0], 25)
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        ours = best_alpha_beta(zero, near, columns, asked, betas, high=span[1])
        taken.append(time.perf_counter() - began)
    began = time.perf_counter()
    right, beta, alpha = grid(zero, near, columns, asked, span)
    slow, fast = time.perf_counter() - began, float(np.median(taken))
    return (
        f"| {name} | {len(asked)} x {len(columns)} x {len(text.classes)} "
        f"| {span[0]:g}, {span[1]:g} | {slow:.2f} | {fast:.4f} | {slow / fast:.0f} "
        f"| {100 * right / len(asked):.2f} ({beta:.2f}, {alpha:.2f}) "
        f"| {100 * ours.right / len(asked):.2f} ({ours.beta:.2f}, {ours.alpha:.2f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="of torch; ours uses one")
    parser.add_argument("--rounds", type=int, default=5, help="of ours; the grid runs once")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tasks = {"drawn, 37 classes": drawn(37, 16, 736)}
    if arguments.features:
        tasks = {arguments.features.name: read(arguments.features), **tasks}
    print("| features | images x keys x classes | largest beta, alpha | grid, s | exact, s | ratio "
          "| grid: right, % (beta, alpha) | exact: right, % (beta, alpha) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for name, task in tasks.items():
        for span in SPANS:
            print(compared(name, task, span, arguments.rounds), flush=True)
    print(f"\nThreads: {arguments.threads}. Exact: median of {arguments.rounds} rounds; grid: one. "
          "Both search the same ranges. Right: of the images that were searched on, which says "
          "nothing of others.")  # fmt: skip


if __name__ == "__main__":
    main()
