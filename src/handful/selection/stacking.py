"""Stacked generalisation: weights of a blend of methods from their leave-one-out logits."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.units import weighted_mean

_FAINT = 1e-3  # factor on the first weights where no blend is better than chance
_FLOOR = 0.1  # a member whose first weight is zero may still earn one


def stacking_weights(
    left_out: Tensor,
    targets: Tensor,
    first: Tensor,
    pull: float,
    counted: Tensor | None = None,
) -> Tensor:
    """`[J]` weights, none negative, of the likeliest blend of logits that no member has fitted.

    `min_w sum_i v_i CE(sum_j w_j Z_ij, y_i) + pull * sum_j (w_j - f_j)² / (f_j + 0.1)`

    v makes every class count the same and adds up to the number of images. The sum over samples
    grows with the support set and the pull does not: with few samples the first weights f hold,
    with many the likelihood. Convex, so the start does not matter. Where no member is better than
    guessing, the first weights are kept a thousand times fainter: the best there is, and claiming
    next to nothing.

    Args:
        left_out: Z, `[J, N, C]` logits of J methods, each row by a fit that has not seen it.
        targets: y, `[N]` columns.
        first: f, `[J]` weights to be drawn to.
        pull: how strongly.
        counted: `[N]` images that each sample counts for, all 1 if None.

    Source: stacked generalisation, Wolpert, 1992, and its weights that are not negative, Breiman,
    "Stacked Regressions", 1996; the pull to fixed weights is ours.

    >>> right = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
    >>> half = torch.tensor([0.5, 0.5])
    >>> weights = stacking_weights(torch.cat([right, -right]), torch.tensor([0, 1]), half, 0.01)
    >>> bool(weights[0] > weights[1]), weights[1].item()
    (True, 0.0)
    """
    from scipy.optimize import minimize  # slow to import, and answering needs none of it

    values = left_out - left_out.mean(2, keepdim=True)  # the softmax stays the same
    each = torch.ones(len(targets), dtype=torch.float64) if counted is None else counted
    counts = torch.zeros(values.shape[2], dtype=torch.float64).index_add_(0, targets, each)
    weight = each * (each.sum() / (counts.count_nonzero() * counts[targets]))
    rows, start = torch.arange(len(targets)), first.double().numpy()

    def objective(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = torch.einsum("j,jnc->nc", torch.from_numpy(w).to(values), values).log_softmax(1)
        loss = -(weight * logs[rows, targets].double()).sum().item()
        # d CE / d logits = softmax - one-hot; by the chain rule through sum_j w_j Z_j
        slope = logs.exp_()
        slope[rows, targets] -= 1
        slope *= weight[:, None].to(slope)
        away = w - start
        gradient = torch.einsum("nc,jnc->j", slope, values).double().numpy()
        loss += pull * float((away**2 / (start + _FLOOR)).sum())
        return loss, gradient + 2 * pull * away / (start + _FLOOR)

    result = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start)
    )
    weights = torch.from_numpy(result.x)
    # all members worse than knowing nothing: the first weights, so faint that nothing is claimed
    return weights if weights.any() else _FAINT * first.double()


def unfitted_inverse_temperature(
    logits: Tensor, targets: Tensor, counted: Tensor | None = None
) -> float:
    """The factor at which logits that were not fitted are likeliest, whatever their own scale.

    `min_a sum_i CE(exp(a) Z_i / s, y_i) + a² / 2`, s the mean over the samples of the standard
    deviation over the classes; the answer is `exp(a) / s`, or 0 where all logits are alike.
    Zero-shot has not seen any support image, so this is unbiased also at one shot: where texts say
    nothing of the images, the factor is small.

    Args:
        logits: Z, `[N, C]`.
        targets: y, `[N]` columns.
        counted: `[N]` images that each sample counts for, all 1 if None.

    >>> logits, targets = torch.tensor([[0.9, 0.0], [0.0, 0.9]]), torch.tensor([0, 1])
    >>> right = unfitted_inverse_temperature(logits, targets)
    >>> abs(unfitted_inverse_temperature(10 * logits, targets) / right - 0.1) < 1e-4
    True
    >>> unfitted_inverse_temperature(logits, 1 - targets) < right / 3
    True
    """
    from scipy.optimize import minimize_scalar

    values, rows = logits.double(), torch.arange(len(targets))
    spread = weighted_mean(values.std(dim=1), counted).item()
    if not spread > 0:
        return 0.0
    values = values / spread

    # a log-normal prior about 1: a few samples do not decide alone
    def objective(a: float) -> float:
        logs = (math.exp(a) * values).log_softmax(1)
        return -_summed(logs[rows, targets], counted) + a * a / 2

    found = minimize_scalar(objective, bounds=(-8, 4), method="bounded", options={"xatol": 1e-7})
    return math.exp(found.x) / spread


def capped_inverse_temperature(
    logits: Tensor, targets: Tensor, counted: Tensor | None = None
) -> float:
    """Inverse temperature of logits that were not fitted, at most 1: how far they can be trusted.

    `min_a sum_i CE(exp(a) Z_i, y_i) + a² / 2`; the answer is `min(1, exp(a))`. Zero-shot has not
    seen any support image, so this is unbiased also at one shot.

    Args:
        logits: Z, `[N, C]`.
        targets: y, `[N]` columns.
        counted: `[N]` images that each sample counts for, all 1 if None.

    >>> logits = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    >>> capped_inverse_temperature(logits, torch.tensor([0, 1]))
    1.0
    >>> capped_inverse_temperature(logits, torch.tensor([1, 0])) < 0.2
    True
    """
    from scipy.optimize import minimize_scalar

    values, rows = logits.double(), torch.arange(len(targets))

    # a log-normal prior about 1 on the factor: a few samples do not decide alone
    def objective(a: float) -> float:
        logs = (math.exp(a) * values).log_softmax(1)
        return -_summed(logs[rows, targets], counted) + a * a / 2

    found = minimize_scalar(objective, bounds=(-8, 2), method="bounded")
    return min(1.0, math.exp(found.x))


def _summed(values: Tensor, counted: Tensor | None) -> float:
    return (values.sum() if counted is None else values @ counted).item()
