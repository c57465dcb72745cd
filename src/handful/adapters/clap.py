"""CLAP: ZS-LP with a penalty towards the texts, stronger where zero-shot fits the shots well."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, class_means, number, scalar, train
from handful.adapters.zs_lp import CosineHead, momentum_recipe
from handful.contracts import ClassText


@dataclass(eq=False, repr=False)
class Clap(Adapter):
    """CLAP: a class-adaptive cosine linear probe.

    `logits = scale * x n(W)ᵀ`, W by cross-entropy plus `strength * mean_c lambda_c |w_c - t_c|²`
    from T, with gradient descent. `lambda_c` is the mean zero-shot probability of class c on its
    own shots: the better a text classifies its own class, the closer its row stays to it.

    Args:
        strength: factor on the penalty; 0 is ZS-LP.
        steps: updates, fixed in advance; 0 is zero-shot.
        learning_rate: at the start of the cosine, as for ZS-LP.
        batch: samples a step.
        seed: of the order of the samples.

    Source: Silva-Rodriguez et al., "A Closer Look at the Few-Shot Adaptation of Large
    Vision-Language Models", CVPR 2024. The paper has an augmented Lagrangian whose multipliers
    adapt; the published scripts never take its outer step, and the multipliers stay at the values
    above. So do ours. A class without shots has no such value (theirs divides zero by zero); it
    gets the mean of the others. Rate and steps are those of `ZsLp` here, for its reasons.
    """

    title = "CLAP"
    head = CosineHead
    neutral = {"steps": 0}  # noqa: RUF012  # declared ClassVar in Adapter

    strength: float = 1.0
    steps: int = 300
    learning_rate: float = 0.01
    batch: int = 256
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        recipe = momentum_recipe(text, self.steps, self.learning_rate, self.batch, self.seed)
        anchor = torch.from_numpy(text.weights)
        head = CosineHead(weights=nn.Parameter(anchor.clone()), scale=scalar(text.scale))
        # taken now, while the head is zero-shot still
        weight = number("strength", self.strength, 0) * multipliers(head, features, targets)
        return train(head, features, targets, recipe, lambda h: penalty(h.weights, anchor, weight))


def penalty(weights: Tensor, text: Tensor, multiplier: Tensor) -> Tensor:
    """`[]`: `mean_c lambda_c |w_c - t_c|²`."""
    return (multiplier * (weights - text).square().sum(1)).mean()


@torch.no_grad()
def multipliers(zero_shot: CosineHead, features: Tensor, targets: Tensor) -> Tensor:
    """`[C]` mean probability of a class on its own shots; without shots, the mean of the others."""
    right = zero_shot(features).softmax(1).gather(1, targets[:, None])
    seen = torch.bincount(targets, minlength=len(zero_shot.weights)) > 0
    values = class_means(right, targets, len(seen))[:, 0]
    return torch.where(seen, values, values[seen].mean())
