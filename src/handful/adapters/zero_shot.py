"""Zero-shot CLIP: the nearest class text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, LinearHead, scalar
from handful.contracts import ClassText


class ZeroShot(Adapter):
    """Classify by the nearest class text; the support images are not used.

    `logits = scale * x Tᵀ`. The class weights are the renormalised mean of the normalised prompts,
    as in Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
    2021.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> ZeroShot().fit([[0.8, 0.6]], ["cat"], text).predict([[0.6, 0.8]])
    array(['dog'], dtype='<U3')
    """

    title = "Zero-shot"
    head = LinearHead
    neutral = {}  # noqa: RUF012  # declared ClassVar in Adapter

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return LinearHead(weights=torch.from_numpy(text.weights), scale=scalar(text.scale))

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        logits: Tensor = self._fit(features, targets, text)(features)
        return logits  # the fit has seen none of them
