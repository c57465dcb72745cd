"""Zero-shot CLIP: the nearest class text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handful.adapters._base import Adapter
from handful.contracts import ClassText


class ZeroShotHead(nn.Module):
    """`logits = scale * x Tᵀ`.

    Args:
        weights: T, `[C, D]` unit rows.
        scale: `[]`, the encoder's `exp(logit_scale)`.
    """

    weights: Tensor
    scale: Tensor

    def __init__(self, weights: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return self.scale * x @ self.weights.T


class ZeroShot(Adapter):
    """Classify by the nearest class text; the support images are not used.

    The class weights are the renormalised mean of the normalised prompts, as in Radford et al.,
    "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """

    title = "Zero-shot"
    head = ZeroShotHead

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return ZeroShotHead(torch.from_numpy(text.weights), torch.tensor(text.scale))
