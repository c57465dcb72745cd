"""APE's choice of feature channels: those on which classes differ, found in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handful.adapters._arguments import number
from handful.adapters._inputs import class_means
from handful.contracts import ClassText
from handful.errors import InputError


def channel_criterion(features: Tensor, targets: Tensor, weights: Tensor, balance: float) -> Tensor:
    """`[D]` worth of each channel: `J_k = -balance * S_k + (1 - balance) * Var_c(T_ck)`.

    `S_k` is the mean of `a_k b_k` over all ordered pairs of samples a, b of different classes, the
    class text being one more sample of its class. With `m_c` the sum and `n_c` the number of the
    samples of class c, that is `((Σ m_c)² - Σ m_c²) / ((Σ n_c)² - Σ n_c²)`: one pass over the
    samples instead of one over their pairs.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns; the counts of the classes may differ, or be zero.
        weights: T, `[C, D]` unit rows.
        balance: share of the similarity between classes, 0 to 1.

    Source: Zhu et al., "Not All Features Matter: Enhancing Few-shot CLIP with Adaptive Prior
    Refinement", ICCV 2023. The published code walks all pairs in four nested loops, takes exactly
    K images of each class for granted, and keeps its answer on disk under a name that holds
    neither the seed nor the balance.

    >>> image, texts = torch.tensor([[0.6, 0.8]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> # pairs of different classes: (image, text 1) and (text 0, text 1)
    >>> channel_criterion(image, torch.tensor([0]), texts, 1.0)
    tensor([ 0.0000, -0.4000], dtype=torch.float64)
    """
    counts = torch.bincount(targets, minlength=len(weights)).double()
    texts = weights.double()
    sums = class_means(features.double(), targets, len(weights)) * counts[:, None] + texts
    counts = counts + 1  # the text is a sample too
    # all ordered pairs, less those within a class
    pairs = counts.sum() ** 2 - counts.square().sum()
    similarity = (sums.sum(0).square() - sums.square().sum(0)) / pairs
    return (1 - balance) * texts.var(0) - balance * similarity


def select_channels(
    features: Tensor, targets: Tensor, text: ClassText, share: float, balance: float
) -> Tensor:
    """`[Q]` positions of the best `share` of the channels, ascending.

    Raises:
        InputError: a share that is not above 0 and at most 1, a balance outside 0 to 1.
    """
    if number("share", share, 0, 1) == 0:
        raise InputError("share: expected a share of the channels above 0, got 0")
    worth = channel_criterion(
        features, targets, torch.from_numpy(text.weights), number("balance", balance, 0, 1)
    )
    best = torch.argsort(worth, descending=True, stable=True)  # of equal ones, the first
    return best[: math.ceil(share * len(worth))].sort().values
