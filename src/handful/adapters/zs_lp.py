"""ZS-LP: a linear probe on the unit sphere that starts at the class texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.adapters import Adapter, Head, Recipe, number, scalar, train
from handful.contracts import ClassText

_CLASSES, _SCALE = 100, 100.0  # where a rate holds as it is: the middle of the published sets


class CosineHead(Head):
    """`logits = scale * x n(W)ᵀ`, n = rows to length one.

    Args:
        weights: W, `[C, D]`, of any length.
        scale: `[]`, the encoder's `exp(logit_scale)`.
    """

    weights: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return self.scale * x @ normalize(self.weights, dim=1).T


def momentum_recipe(
    text: ClassText, steps: int, learning_rate: float, batch: int, seed: int
) -> Recipe:
    """Momentum 0.9, at a rate that moves logits equally whatever the classes and the scale are.

    The loss is a mean over samples, so the gradient of a class's row falls with the number of
    classes; a logit moves with the square of the scale, once through the gradient and once through
    the row.
    """
    rate = number("learning_rate", learning_rate, 0)
    rate = rate * len(text.classes) / _CLASSES * (_SCALE / text.scale) ** 2
    return Recipe(steps, rate, batch, 0.0, seed=seed, momentum=0.9)


@dataclass(eq=False, repr=False)
class ZsLp(Adapter):
    """ZS-LP: a cosine linear probe, started at the class texts.

    `logits = scale * x n(W)ᵀ`, W by cross-entropy from T, gradient descent with momentum 0.9.

    Args:
        steps: updates, fixed in advance; 0 is zero-shot.
        learning_rate: at the start of the cosine, for 100 classes at a scale of 100; elsewhere it
            is multiplied by `C / 100 * (100 / scale)²`. It was chosen on draws of the playground
            that no reported number uses, and looked at on EuroSAT and clothing photos through
            `tiny`.
        batch: samples a step.
        seed: of the order of the samples.

    Source: Silva-Rodriguez et al., "A Closer Look at the Few-Shot Adaptation of Large
    Vision-Language Models", CVPR 2024. Momentum and batch are theirs. They take rate 0.1 for 300
    epochs over 20 augmented views of every image, whatever the number of classes. The curvature
    along a class's row is up to `scale² / 4 C`, so that on few classes this rate is beyond what is
    stable, and on features that never change it throws the rows far from their texts at one shot.
    """

    title = "ZS-LP"
    folds = 4  # each costs a training, and `auto` waits for them
    head = CosineHead
    neutral = {"steps": 0}  # noqa: RUF012  # declared ClassVar in Adapter

    steps: int = 300
    learning_rate: float = 0.01
    batch: int = 256
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        recipe = momentum_recipe(text, self.steps, self.learning_rate, self.batch, self.seed)
        weights = nn.Parameter(torch.from_numpy(text.weights))
        return train(
            CosineHead(weights=weights, scale=scalar(text.scale)), features, targets, recipe
        )
