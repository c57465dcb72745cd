"""Batches and learning rate of each update: the same on one process or many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from handful.tuners.training.recipe import Recipe


def batches(
    count: int, unlabelled: int, recipe: Recipe, epoch: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Rows `[B]` in an order drawn anew for each epoch, and as many images without labels.

    The generator is seeded by the epoch, so a resumed training sees the order it would have seen.
    """
    order = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    rows = torch.randperm(count, generator=order)
    for part in torch.split(rows, recipe.batch):
        others = None
        if unlabelled:
            others = torch.randint(unlabelled, part.shape, generator=order)
        yield part, others


def split_batch(
    rows: Tensor, others: Tensor | None, rank: int, world: int, parts: int
) -> list[tuple[Tensor, Tensor | None, float]]:
    """The parts of a batch that one of several processes computes, each with its weight.

    The mean of a part's losses times its weight, summed over the parts and averaged over the
    processes, is the mean over the batch.

    >>> split_batch(torch.arange(5), None, rank=0, world=2, parts=2)
    [(tensor([0, 2]), None, 0.8), (tensor([4]), None, 0.4)]
    """
    # A process too many computes one row of weight 0, for the others wait for its gradients.
    has = len(rows) > rank
    mine = rows[rank::world] if has else rows[:1]
    size = math.ceil(len(mine) / parts)
    split = torch.split(mine, size)
    more: Sequence[Tensor | None] = [None] * len(split)
    if others is not None:  # as many as rows, so both are split alike
        more = torch.split(others[rank::world] if has else others[:1], size)
    weight = world / len(rows) if has else 0.0
    return [(part, extra, len(part) * weight) for part, extra in zip(split, more, strict=True)]


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate: linear over the share `warmup` of all steps, then a half cosine.

    >>> [round(learning_rate_factor(step, 8, warmup=0.25), 2) for step in range(9)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    # max: a warm-up of all steps leaves none for the cosine
    return (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
