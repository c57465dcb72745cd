"""Losses: pure functions of tensors, one formula each.

B images, C classes, D feature width. Logits are cosines times the encoder's scale. Everything is
computed in float32 or wider, whatever type comes in: under mixed precision the logits are rounded
already, and exponentials of them must not be rounded again.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of `-log softmax(logits)[target]` over the rows.

    Args:
        logits: `[B, C]`, `s * x t^T` of unit rows x `[B, D]` and t `[C, D]`.
        targets: `[B]` columns.

    >>> round(cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item(), 4)
    0.6931
    """
    return functional.cross_entropy(_at_least_float32(logits), targets)


def frozen_kl(logits: Tensor, frozen: Tensor) -> Tensor:
    """Mean over the rows of `KL(p0 || p)`, of the frozen model's answers to the tuned model's.

    p0 = softmax(frozen) counts as given; no gradient reaches it. This is the direction of
    knowledge distillation and of PromptSRC's code (Khattak et al., ICCV 2023): the tuned model must
    keep giving probability to whatever the frozen one finds likely, so it cannot buy a lower
    cross-entropy by forgetting a class; `KL(p || p0)` would let it drop all but one. PromptSRC
    divides by B * C; here it is the mean over B, so that a weight means the same for any number of
    classes.

    Args:
        logits: `[B, C]` of the tuned model.
        frozen: `[B, C]` of the frozen one.
    """
    before = functional.log_softmax(_at_least_float32(frozen.detach()), dim=-1)
    now = functional.log_softmax(_at_least_float32(logits), dim=-1)
    # both in logarithms: a probability that rounds to 0 gives 0 and not NaN
    return functional.kl_div(now, before, reduction="none", log_target=True).sum(dim=-1).mean()


def consistency(visual: Tensor, textual: Tensor) -> Tensor:
    """Mean over the rows of `(KL(p_v || p_t) + KL(p_t || p_v)) / 2`; needs no label.

    `p_v = softmax(s A_v(x) T0^T)` are tuned image features against frozen text features,
    `p_t = softmax(s x0 A_t(T)^T)` frozen image features against tuned text features: the changes
    of the two towers, each measured against its frozen counterpart, have to agree on an image.
    Where only one tower is tuned, the other view is the frozen model and this is a pull to it.
    Computed as `sum (p_v - p_t)(log p_v - log p_t) / 2`, of which no term is negative.

    Args:
        visual: `[B, C]` logits of the tuned image tower.
        textual: `[B, C]` logits of the tuned text tower.

    >>> same = torch.tensor([[1.0, 2.0]])
    >>> consistency(same, same).item()
    0.0
    """
    p = functional.log_softmax(_at_least_float32(visual), dim=-1)
    q = functional.log_softmax(_at_least_float32(textual), dim=-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=-1).mean() / 2


def prompt_distance(learned: Tensor, written: Tensor) -> Tensor:
    """Mean over the classes of `||t_c - t0_c||^2`: learned prompts stay near the hand-written ones.

    Of unit rows this is `2 - 2 cos`. KgCoOp (Yao et al., CVPR 2023) states the distance; its code
    has the mean of `1 - cos`, half of it, so a weight there counts half as much here.

    Args:
        learned: `[C, D]` unit rows.
        written: `[C, D]` unit rows; counts as given, no gradient reaches it.
    """
    difference = _at_least_float32(learned) - _at_least_float32(written.detach())
    return difference.square().sum(dim=-1).mean()


def squared_norm(change: Tensor) -> Tensor:
    """`||W - W0||_F^2`, a sum, not a mean: ProLIP's (Fahes et al., 2024), times its lambda.

    Its lambda is 1 / shots a class (its code; "N" in the paper).

    Args:
        change: `W - W0`, of any shape.
    """
    return _at_least_float32(change).square().sum()


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
