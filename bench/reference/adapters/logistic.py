"""A yardstick: logistic regression on the features, without the text."""

from __future__ import annotations

from torch import Tensor, nn

from handful import plugins
from handful.adapters import Adapter, LinearHead
from handful.contracts import ClassText


class Logistic(Adapter):
    """`logits = scale * x Wᵀ`: the linear probe with `init="random"`."""

    title = "(logistic regression, no text)"
    head = LinearHead

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return plugins.get("adapters", "linear")(init="random")._fit(features, targets, text)
