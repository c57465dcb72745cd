"""Which rows to label next: greedy reduction of the variance of a linear model, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 0.1  # precision of the weights before any label, in labels of one direction


def variance_reduction_order(
    labelled: Tensor, candidates: Tensor, weight: Tensor, count: int, ridge: float = RIDGE
) -> list[int]:
    """Candidates whose labels take most variance off a ridge regression, the best first.

    Rows are taken less the mean of all and scaled to length one. With A the labelled rows, a
    linear model has the posterior covariance `S = (ridge I + AᵀA)⁻¹`, whatever the labels are, and
    the label of candidate i lowers the variance of the answers to all candidates together by

        `sum_j weight_j (x_jᵀ S x_i)² / (1 + x_iᵀ S x_i)`.

    The best one joins A, S shrinks by a rank-one update, and the next is chosen: so they lie apart
    from the labelled rows and from each other, and where many candidates of much weight are.

    Args:
        labelled: A, `[N, D]`.
        candidates: `[M, D]`.
        weight: `[M]`, none negative: how much the answer to each candidate is in doubt.
        count: how many to choose; at most M are.
        ridge: how sure the model is of its weights before any label.

    Source: sequential A- and V-optimal design, Yu, Bi and Tresp, "Active Learning via Transductive
    Experimental Design", ICML 2006; the weights are ours.

    >>> rows = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.1], [0.0, -1.0]])
    >>> variance_reduction_order(rows[:1], rows[1:], torch.ones(3), 2)
    [2, 1]
    """
    count = min(count, len(candidates))
    every = torch.cat([labelled, candidates])
    every = every - every.mean(0)
    every = every / every.norm(dim=1, keepdim=True).clamp(min=1e-12)
    known, rows = every[: len(labelled)], every[len(labelled) :]
    precision = (known.T @ known).double()
    precision.diagonal().add_(ridge)
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(precision)).to(rows)
    # all that the scores need is kept up to date by rank-one steps of [M, D]
    spread = rows @ covariance  # x S
    onto = spread @ (rows.T @ (rows * weight[:, None].to(rows)))  # x S G
    chosen: list[int] = []
    for _ in range(count):
        variance = (spread * rows).sum(1).clamp(min=0)
        gain = (spread * onto).sum(1) / (1 + variance)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        step = (spread @ rows[best]) / (1 + variance[best])
        spread, onto = (
            torch.addr(spread, step, spread[best], alpha=-1),
            torch.addr(onto, step, onto[best], alpha=-1),
        )
    return chosen
