"""Tip-Adapter: a key-value cache of the support set, blended with zero-shot; no training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handful.adapters._base import Adapter
from handful.contracts import ClassText


class TipHead(nn.Module):
    """`logits = scale * x Tᵀ + alpha * phi(x Fᵀ) Y`, `phi(z) = exp(-beta * (1 - z))`.

    Y is one-hot, so `phi Y` is a sum over the keys of each class: it is computed as such, and the
    `[N, C]` matrix never exists.

    Args:
        weights: T, `[C, D]` unit rows.
        scale: `[]`.
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

    def __init__(
        self,
        weights: Tensor,
        scale: Tensor,
        keys: Tensor,
        labels: Tensor,
        alpha: Tensor,
        beta: Tensor,
    ) -> None:
        super().__init__()
        for name, tensor in list(locals().items()):
            if isinstance(tensor, Tensor):
                self.register_buffer(name, tensor)

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        affinity = torch.exp(self.beta * (self.keys @ x.T - 1))
        votes = affinity.new_zeros(len(self.weights), len(x))
        votes = votes.index_add(0, self.labels, affinity)
        return self.scale * x @ self.weights.T + self.alpha * votes.T


class Tip(Adapter):
    """Tip-Adapter (training-free).

    Args:
        alpha: weight of the cache against zero-shot.
        beta: sharpness; larger values listen to the nearest keys only.

    Source: Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot
    Classification", ECCV 2022. The published code searches alpha and beta on a large validation
    set; the defaults here are fixed and need none.
    """

    title = "Tip-Adapter"
    head = TipHead

    def __init__(self, alpha: float = 1.0, beta: float = 5.5) -> None:
        self.alpha = alpha
        self.beta = beta

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return TipHead(
            torch.from_numpy(text.weights),
            torch.tensor(text.scale),
            features,
            targets,
            torch.tensor(float(self.alpha)),
            torch.tensor(float(self.beta)),
        )
