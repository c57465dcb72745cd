"""Tip-Adapter-F: the cache of Tip-Adapter with keys that learn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from handful.adapters import Adapter, Recipe, train, whole
from handful.adapters.tip import TipHead, cache_head
from handful.contracts import ClassText


@dataclass(eq=False, repr=False)
class TipF(Adapter):
    """Tip-Adapter-F: the keys start as the support features and are trained; labels stay.

    `logits = scale * x Tᵀ + alpha * exp(-beta * (1 - x Fᵀ)) Y`, F learned by cross-entropy with
    AdamW and a cosine schedule. The keys are not renormalised, as in the paper.

    Args:
        alpha: weight of the cache against zero-shot.
        beta: sharpness; with larger values only the nearest keys count.
        epochs: passes over the support set, fixed in advance; 0 is Tip-Adapter.
        learning_rate: at the start of the cosine.
        batch: samples a step.
        seed: of the order of the samples.

    Source: Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for Few-shot
    Classification", ECCV 2022; 20 epochs, learning rate 1e-3, epsilon 1e-4 and batch 256 are
    theirs. Their code measures every epoch on the test set and keeps the best, then searches
    alpha and beta again; here the last epoch is the answer. Their images are augmented anew in
    every epoch; here the features are fixed.
    """

    title = "Tip-Adapter-F"
    head = TipHead
    neutral = {"alpha": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter

    alpha: float = 1.0
    beta: float = 5.5
    epochs: int = 20
    learning_rate: float = 1e-3
    batch: int = 256
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        batch = whole("batch", self.batch, 1)
        steps = whole("epochs", self.epochs) * math.ceil(len(features) / batch)
        recipe = Recipe(steps, self.learning_rate, batch, epsilon=1e-4, seed=self.seed)
        # the same head with its keys as the one parameter: what is trained is what answers
        fixed = cache_head(features, targets, text, self.alpha, self.beta)
        tensors = dict(fixed.named_buffers()) | {"keys": nn.Parameter(fixed.keys.clone())}
        return train(TipHead(**tensors), features, targets, recipe)
