"""A yardstick, not a method: the mean of three methods' probabilities, nothing tuned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handful import plugins
from handful.adapters import Adapter
from handful.contracts import ClassText


class MeanHead(nn.Module):
    """`logits = log(mean of softmax(heads))`."""

    def __init__(self, heads: list[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        logs = torch.stack([head(x).log_softmax(1) for head in self.heads])
        return logs.logsumexp(0)


class PlainMean(Adapter):
    """The mean of the probabilities of CLIP-Adapter, Tip-Adapter-F and ProKeR."""

    title = "(mean of CLIP-Adapter, Tip-Adapter-F, ProKeR)"
    head = MeanHead

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        seeded = {"clip_adapter": {"seed": self.seed}, "tip_f": {"seed": self.seed}, "proker": {}}
        made = [plugins.get("adapters", name)(**given) for name, given in seeded.items()]
        return MeanHead([adapter._fit(features, targets, text) for adapter in made])
