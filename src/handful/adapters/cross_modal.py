"""Cross-modal linear probe: prompts are training samples beside the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from handful.adapters import Adapter, LinearHead, Recipe, number, scalar, train
from handful.adapters._inputs import canonical_order
from handful.adapters._training import batches
from handful.contracts import ClassText


@dataclass(eq=False, repr=False)
class CrossModal(Adapter):
    """Cross-modal linear probe: one head learns from images and from prompts alike.

    `logits = scale * x Wᵀ`, W by `CE(images) + CE(prompts)` from T, with AdamW; then
    `W = (1 - ratio) T + ratio W`, the average of the zero-shot head and the trained one.

    Every prompt of every class is a text sample: they spread around their mean as augmented views
    of an image do, and the mean is where W starts already. A step takes as many prompts as images,
    drawn apart, so that each kind counts for half whatever their numbers.

    Args:
        ratio: how much of the trained head goes into the average; 0 is zero-shot, 1 no average.
        steps: updates, fixed in advance.
        learning_rate: at the start of the cosine.
        batch: images a step, and prompts a step.
        weight_decay: decoupled.
        seed: of the order of the samples.

    Source: Lin et al., "Multimodality Helps Unimodality: Cross-Modal Few-Shot Learning with
    Multimodal Models", CVPR 2023. They sweep rate, decay and batch and stop early on validation
    images within 12800 steps; ours are fixed. The average of halves (WiSE-FT) is theirs.
    """

    title = "Cross-modal probe"
    head = LinearHead
    neutral = {"ratio": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter

    ratio: float = 0.5
    steps: int = 300
    learning_rate: float = 1e-3
    batch: int = 256
    weight_decay: float = 0.01
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        ratio = number("ratio", self.ratio, 0, 1)
        start, scale = torch.from_numpy(text.weights), scalar(text.scale)
        recipe = Recipe(
            self.steps, self.learning_rate, self.batch, self.weight_decay, seed=self.seed
        )
        prompts, columns = prompt_samples(text)
        draws = batches(len(prompts), recipe)

        def on_prompts(head: LinearHead) -> Tensor:
            rows = next(draws)
            return cross_entropy(head(prompts[rows]), columns[rows])

        # CE(images) + CE(prompts): prompts are the penalty, drawn apart, so each kind is half
        head = LinearHead(weights=nn.Parameter(start.clone()), scale=scale)
        learned = train(head, features, targets, recipe, on_prompts).weights
        # WiSE-FT: averaging weights keeps the zero-shot accuracy that training alone may lose
        return LinearHead(weights=start.lerp(learned, ratio), scale=scale)


def prompt_samples(text: ClassText) -> tuple[Tensor, Tensor]:
    """`[C * P, D]` prompts and `[C * P]` columns, in an order that no order of classes changes."""
    classes, prompts, width = text.embeddings.shape
    rows = text.embeddings.reshape(-1, width)
    columns = torch.arange(classes).repeat_interleave(prompts)
    order = canonical_order(rows, columns.numpy())
    return torch.from_numpy(rows[order]), columns[order]
