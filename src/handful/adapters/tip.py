"""Tip-Adapter: a key-value cache of the support set, blended with zero-shot; no training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, Head, number, scalar
from handful.contracts import ClassText
from handful.selection import cache_leave_one_out


class TipHead(Head):
    """`logits = scale * x Tᵀ + alpha * phi(x Fᵀ) Y`, `phi(z) = exp(-beta * (1 - z))`.

    Y is one-hot, so `phi Y` is a sum over the keys of each class; it is computed as such, and
    neither the `[N, C]` matrix nor a product with it ever exists.

    Args:
        weights: T, `[C, D]` unit rows.
        scale: `[]`, the encoder's `exp(logit_scale)`.
        keys: F, `[N, D]` unit rows.
        labels: `[N]`, the class of each key.
        alpha: `[]`, weight of the cache.
        beta: `[]`, sharpness of the affinity.
    """

    weights: Tensor
    scale: Tensor
    keys: Tensor
    labels: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__(**tensors)
        classes, shots = len(self.weights), len(self.keys) // len(self.weights)
        in_blocks = torch.arange(classes).repeat_interleave(shots)
        self._shots = shots if torch.equal(in_blocks, self.labels) else 0  # 0: counts differ

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        queries = self.beta * x
        # exp(beta z - beta) as one fused product, in whichever order the sums over keys are views
        if self._shots:
            affinity = torch.addmm(-self.beta, queries, self.keys.T).exp_()
            votes = affinity.view(-1, len(self.weights), self._shots).sum(2)
        else:
            affinity = torch.addmm(-self.beta, self.keys, queries.T).exp_()
            empty = affinity.new_zeros(len(self.weights), x.shape[0])
            votes = empty.index_add(0, self.labels, affinity).T
        return self.scale * x @ self.weights.T + self.alpha * votes


def cache_head(
    features: Tensor, targets: Tensor, text: ClassText, alpha: float, beta: float
) -> TipHead:
    """The head of a support set, its keys in blocks of one class so that votes are block sums."""
    order = torch.argsort(targets, stable=True)
    return TipHead(
        weights=torch.from_numpy(text.weights),
        scale=scalar(text.scale),
        keys=features[order],
        labels=targets[order],
        alpha=scalar(number("alpha", alpha)),
        beta=scalar(number("beta", beta, 0)),
    )


@dataclass(eq=False, repr=False)
class Tip(Adapter):
    """Tip-Adapter (training-free).

    `logits = scale * x Tᵀ + alpha * exp(-beta * (1 - x Fᵀ)) Y`

    Args:
        alpha: weight of the cache against zero-shot.
        beta: sharpness; with larger values only the nearest keys count.

    Source: Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot
    Classification", ECCV 2022. The published code searches alpha and beta on a large validation
    set; the defaults here are fixed and need none. The paper averages the features of ten
    augmented views into each key; hand such averages in as `X` to do the same.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> Tip().fit([[0.8, 0.6], [0.6, 0.8]], ["cat", "dog"], text).predict([[0.9, 0.1]])
    array(['cat'], dtype='<U3')
    """

    title = "Tip-Adapter"
    head = TipHead
    neutral = {"alpha": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter

    alpha: float = 1.0
    beta: float = 5.5

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return cache_head(features, targets, text, self.alpha, self.beta)

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        head = cache_head(features, targets, text, self.alpha, self.beta)
        votes = cache_leave_one_out(features, targets, len(head.weights), float(head.beta), units)
        return head.scale * features @ head.weights.T + head.alpha * votes
