"""ZS-LP: a linear probe on the unit sphere that starts at the class texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.adapters._base import Adapter
from handful.adapters._head import Head, number, scalar
from handful.adapters._training import Recipe, train
from handful.contracts import ClassText

PUBLISHED_CLASSES = 100  # of the middle one of the eleven sets that the published rate was set on


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


def descent(steps: int, learning_rate: float, batch: int, seed: int, classes: int) -> Recipe:
    """Momentum 0.9, at a rate that moves the row of a class equally however many classes there are.

    The loss is a mean over samples, so that the gradient of one row falls with the classes.
    """
    rate = number("learning_rate", learning_rate, 0) * classes / PUBLISHED_CLASSES
    return Recipe(steps, rate, batch, 0.0, seed=seed, momentum=0.9)


class ZsLp(Adapter):
    """ZS-LP: a cosine linear probe, started at the class texts.

    `logits = scale * x n(W)ᵀ`, W by cross-entropy from T, gradient descent with momentum 0.9.

    Args:
        steps: updates, fixed in advance; 0 is zero-shot.
        learning_rate: at the start of the cosine, for 100 classes; it is multiplied by C / 100.
        batch: samples a step.
        seed: of the order of the samples.

    Source: Silva-Rodriguez et al., "A Closer Look at the Few-Shot Adaptation of Large
    Vision-Language Models", CVPR 2024. Rate 0.1 and batch 256 are theirs. The gradient of a row
    falls with the number of classes while the curvature does so too, and on few classes 0.1 is
    beyond what is stable at a scale of 100; so the rate is theirs at 100 classes, the middle of
    their sets, and in proportion elsewhere. They take 300 epochs over 20 augmented views of every
    image; features that never change need fewer steps.
    """

    title = "ZS-LP"
    head = CosineHead
    neutral = {"steps": 0}  # noqa: RUF012  # declared ClassVar in Adapter

    def __init__(
        self, steps: int = 300, learning_rate: float = 0.1, batch: int = 256, seed: int = 0
    ) -> None:
        self.steps = steps
        self.learning_rate = learning_rate
        self.batch = batch
        self.seed = seed

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        weights = torch.from_numpy(text.weights)
        recipe = descent(self.steps, self.learning_rate, self.batch, self.seed, len(weights))
        head = CosineHead(weights=nn.Parameter(weights), scale=scalar(text.scale))
        return train(head, features, targets, recipe)
