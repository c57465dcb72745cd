"""Label errors: which labels are likely wrong, and which images harm the answers to others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.groups import Units, unit_weights

# A support set collected by hand has few wrong labels: the rate is drawn to about one in
# twenty as if by 40 images seen before; the temperature is held to sane values. Chosen on the
# playground (development draws), `eurosat` and `clothing` train photos and made features.
_WRONG, _RIGHT = 2.0, 38.0
_USUAL_SHARPNESS = 0.5
_BOUNDS = [(-3.0, 4.0), (-8.0, 0.0)]  # above one half the labels would be worse than random
_CELLS = 1 << 22  # numbers held at once, [n, N, C] in float64: 32 MB


@dataclass(frozen=True)
class LabelErrors:
    """An estimate of the label noise from left-out logits.

    Args:
        wrong: `[N]` probability that the label is wrong.
        probabilities: `[N, C]` of the classes, before the label is known.
        rate: share of labels expected to be wrong.
        sharpness: what the logits, centred and of unit spread, were multiplied by.
    """

    wrong: Tensor
    probabilities: Tensor
    rate: float
    sharpness: float


def estimate_label_errors(
    left_out: Tensor, targets: Tensor, weights: Tensor | None = None
) -> LabelErrors:
    """How likely each label is wrong, with temperature and rate found together.

    A label is right with probability `1 - e`, else any other class, each as likely:
    `P(label y | x) = (1 - e) p_y + e (1 - p_y) / (C - 1)`, p the softmax of the tempered logits.
    Temperature and e maximise the likelihood of the labels (and a mild prior), so that wrong labels
    do not blunt the temperature, and then
    `P(wrong) = e (1 - p_y) / (C - 1) / P(label y | x)`.

    Args:
        left_out: `[N, C]` logits of each image by a fit that has not seen it, C at least 2.
        targets: `[N]` columns of the labels.
        weights: `[N]` what each counts for, one over the size of its unit; 1 each when not given.

    >>> logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    >>> estimate_label_errors(logits, torch.tensor([0, 1, 0, 1, 1])).wrong.argmax().item()
    4
    """
    # centred and of unit spread, so that the prior of the temperature fits every method
    z = left_out.double()
    z = z - z.mean(1, keepdim=True)
    z = z / z.std(1).mean().clamp(min=1e-9)
    rows, others = torch.arange(len(z)), z.shape[1] - 1
    share = torch.ones(len(z)) if weights is None else weights
    share = share.double()

    from scipy.optimize import minimize  # slow to import, and few commands need it

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        v = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        p = (z * v[0].exp()).softmax(1)[rows, targets]
        e = v[1].sigmoid()
        likelihood = (1 - e) * p + e * (1 - p) / others
        # Beta prior on e, normal prior on the log of the sharpness
        loss = -(share * likelihood.log()).sum() - _WRONG * e.log() - _RIGHT * (1 - e).log()
        loss = loss + 0.5 * (v[0] - _USUAL_SHARPNESS) ** 2
        (slope,) = torch.autograd.grad(loss, v)
        return loss.item(), slope.numpy()

    with torch.enable_grad():
        found = minimize(
            objective, [_USUAL_SHARPNESS, -2.5], jac=True, method="L-BFGS-B", bounds=_BOUNDS
        )
    sharpness = float(np.exp(found.x[0]))
    rate = float(1 / (1 + np.exp(-found.x[1])))
    probabilities = (z * sharpness).softmax(1)
    p = probabilities[rows, targets]
    wrong = rate * (1 - p) / others
    return LabelErrors(wrong / (wrong + (1 - rate) * p), probabilities, rate, sharpness)


def ridge_influence(
    kernel: Tensor,
    residuals: Tensor,
    base: Tensor,
    targets: Tensor,
    penalty: float,
    units: Units | None = None,
) -> Tensor:
    """`[N]` how much better the others are predicted without each sample, in nats a sample.

    `I_i = mean over j of log p_j(y_j | without i, j) - log p_j(y_j | without j)`. Positive: the
    sample hurts. Exact for kernel ridge regression, from one inverse G of `K + lambda I`: with
    `A = G R` the residual of j without i and j is
    `(G_ii A_j - G_ij A_i) / (G_ii G_jj - G_ij²)`, and without j alone `A_j / G_jj`.

    With units, i and j are units: that of an image is of its whole unit, for what one photo of a
    burst does, the others of the burst do as well. The blocks of G take the place of its entries.

    Args:
        kernel: K, `[N, N]`.
        residuals: R, `[N, C]`, what is to be explained.
        base: `[N, C]` what is predicted without any sample.
        targets: `[N]` columns.
        penalty: lambda, positive.
        units: `[N]` what belongs together (`handful.selection.groups`); each alone when not given.
    """
    n = len(kernel)
    if n < 2:
        return torch.zeros(n, dtype=torch.float64)
    rows = torch.arange(n)
    inverse = torch.linalg.inv(kernel.double() + penalty * torch.eye(n, dtype=torch.float64))
    a, own = inverse @ residuals.double(), inverse.diagonal()
    goal = base.double() + residuals.double()
    if units is not None and units.max() + 1 < n:
        return _unit_influence(inverse, a, goal, targets, units)
    alone = goal - a / own[:, None]
    scale = _scale(alone, targets)
    before = (scale * alone).log_softmax(1)[rows, targets]
    result = []
    for at in torch.split(rows, max(1, _CELLS // residuals.numel())):
        shared = inverse[at]  # [n, N]
        denominator = own[at][:, None] * own - shared.square()
        denominator[torch.arange(len(at)), at] = 1.0
        # residual of j without i and j; the prediction is the goal less it
        rest = own[at][:, None, None] * a - shared[:, :, None] * a[at][:, None]
        logits = scale * (goal - rest / denominator[:, :, None])
        after = logits.log_softmax(2)[:, rows, targets]
        gained = after - before
        gained[torch.arange(len(at)), at] = 0.0
        result.append(gained.sum(1) / (n - 1))
    return torch.cat(result)


def _scale(alone: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """The factor on left-out predictions; the temperature that wrong labels do not blunt."""
    noise = estimate_label_errors(alone, targets, weights)
    spread = (alone - alone.mean(1, keepdim=True)).std(1).mean().clamp(min=1e-9)
    return noise.sharpness / spread


def _unit_influence(
    inverse: Tensor, a: Tensor, goal: Tensor, targets: Tensor, units: Units
) -> Tensor:
    """`[N]` influence of the unit of each image on the other units, each counting once.

    The residual of a set S by a fit without it is `G_SS⁻¹ A_S`; its rows J for S = I and J are
    `(G_JJ - G_JI G_II⁻¹ G_IJ)⁻¹ (A_J - G_JI G_II⁻¹ A_I)`.

    Args:
        inverse: G, `[N, N]`.
        a: A, `[N, C]`.
        goal: `[N, C]` what is to be predicted.
        targets: `[N]` columns.
        units: `[N]`, from 0.
    """
    members = [torch.from_numpy(np.flatnonzero(units == u)) for u in range(int(units.max()) + 1)]
    sizes = sorted({len(m) for m in members})
    places = [torch.stack([m for m in members if len(m) == size]) for size in sizes]  # [U, size]
    blocks = [inverse[at[:, :, None], at[:, None]] for at in places]  # [U, size, size]
    alone, after = torch.empty_like(a), torch.empty_like(a)
    for at, block in zip(places, blocks, strict=True):
        alone[at] = goal[at] - torch.linalg.solve(block, a[at])
    weights = torch.from_numpy(unit_weights(units))
    rows, scale = torch.arange(len(a)), _scale(alone, targets, weights)
    before = (scale * alone).log_softmax(1)[rows, targets]
    result = a.new_zeros(len(a))
    for own in members:
        shared = inverse[:, own]  # [N, size of I]
        drawn = torch.linalg.solve(shared[own], shared.T).T  # G_:I G_II⁻¹
        rest = a - drawn @ a[own]
        for at, block in zip(places, blocks, strict=True):
            left = block - drawn[at] @ shared[at].mT
            left[(at == own[0]).any(1)] = torch.eye(at.shape[1], dtype=left.dtype)  # I itself
            after[at] = goal[at] - torch.linalg.solve(left, rest[at])
        gained = weights * ((scale * after).log_softmax(1)[rows, targets] - before)
        gained[own] = 0.0
        result[own] = gained.sum() / max(len(members) - 1, 1)
    return result
