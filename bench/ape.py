"""APE's choice of channels: the closed form against four nested loops over samples.

Usage: python bench/ape.py [--rounds 3]

The loops visit every ordered pair of samples of different classes and add up the products of their
channels, a vector at a time, as the published code does. They are timed on a few classes with all
16 shots, where both ways must agree, and extrapolated by the number of pairs to 1000 classes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from handful.adapters._channel_selection import channel_criterion

SHOTS, WIDTH, BALANCE = 16, 1024, 0.7
SMALL, LARGE = 10, 1000


def task(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """`[N, D]` unit rows, `[N]` columns, `[C, D]` unit rows of text, drawn at random."""
    random = np.random.default_rng(0)
    weights = torch.from_numpy(random.standard_normal((classes, WIDTH), dtype=np.float32))
    columns = torch.arange(classes).repeat_interleave(SHOTS)
    noise = torch.from_numpy(random.standard_normal((len(columns), WIDTH), dtype=np.float32))
    rows = torch.nn.functional.normalize(weights[columns] + noise, dim=1)
    return rows, columns, torch.nn.functional.normalize(weights, dim=1)


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


def seconds(size: int, rounds: int) -> float:
    features, targets, weights = task(size)
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        channel_criterion(features, targets, weights, BALANCE)
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    small = task(SMALL)
    began = time.perf_counter()
    slow, pairs = nested(*small)
    loop = time.perf_counter() - began
    fast = channel_criterion(*small, BALANCE)
    gap = float((slow.double() - fast).abs().max() / fast.abs().max())
    many = (LARGE * (SHOTS + 1)) ** 2 - LARGE * (SHOTS + 1) ** 2
    rows = [
        (SMALL, pairs, loop, "measured", seconds(SMALL, rounds)),
        (LARGE, many, loop * many / pairs, "extrapolated by pairs", seconds(LARGE, rounds)),
    ]
    print(f"{SHOTS} shots and one text a class, {WIDTH} channels; the loop once, the closed form")
    print(f"the best of {rounds} rounds.\n")
    print("| classes | pairs | nested loop, s | | closed form, s | ratio |")
    print("|---|---|---|---|---|---|")
    for classes, count, slowly, how, quickly in rows:
        print(
            f"| {classes} | {count:,} | {slowly:,.1f} | {how} | {quickly:.4f} "
            f"| {slowly / quickly:,.0f} |"
        )
    best = set(slow.topk(WIDTH // 2).indices.tolist())
    shared = len(best & set(fast.topk(WIDTH // 2).indices.tolist()))
    print(f"\nLargest difference at {SMALL} classes, relative to the largest worth: {gap:.1e}")
    print(f"(the loop adds up in float32); {shared} of the best {WIDTH // 2} channels are shared.")
    if gap > 1e-4:
        raise SystemExit("the two ways disagree")


if __name__ == "__main__":
    main()
