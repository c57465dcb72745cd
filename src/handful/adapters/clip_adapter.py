"""CLIP-Adapter: a small bottleneck beside the frozen features, blended in by a ratio."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.adapters import Adapter, Head, Recipe, number, scalar, train, whole
from handful.contracts import ClassText
from handful.errors import InputError

_BRANCHES = ("image", "text", "both")


class ClipAdapterHead(Head):
    """`logits = scale * n(r A(x) + (1 - r) x) · n(q B(T) + (1 - q) T)`, n = rows to length one.

    A and B are bottlenecks, `A(x) = relu(relu(x downᵀ) upᵀ)`.

    Args:
        weights: T, `[C, D]` unit rows.
        scale: `[]`, the encoder's `exp(logit_scale)`.
        down: `[H, D]`, first linear map of A.
        up: `[D, H]`, second linear map of A.
        ratio: `[]`, r.
        text_down: `[G, D]`, first linear map of B.
        text_up: `[D, G]`, second linear map of B.
        text_ratio: `[]`, q.
    """

    weights: Tensor
    scale: Tensor
    down: Tensor
    up: Tensor
    ratio: Tensor
    text_down: Tensor
    text_up: Tensor
    text_ratio: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        images = _blend(x, self.down, self.up, self.ratio)
        texts = _blend(self.weights, self.text_down, self.text_up, self.text_ratio)
        return self.scale * images @ texts.T


def _blend(rows: Tensor, down: Tensor, up: Tensor, ratio: Tensor) -> Tensor:
    learned = torch.relu(torch.relu(rows @ down.T) @ up.T)
    return normalize(ratio * learned + (1 - ratio) * rows, dim=1)


@dataclass(eq=False, repr=False)
class ClipAdapter(Adapter):
    """CLIP-Adapter on the image features, on the class texts, or on both.

    `logits = scale * n(r A(x) + (1 - r) x) · n(q B(T) + (1 - q) T)`; a branch that is not chosen
    has ratio zero.

    Args:
        branch: `image`, `text` or `both`.
        ratio: r, how much of the adapted image feature is blended in; 0 is zero-shot.
        text_ratio: q, the same for the class texts.
        reduction: the bottleneck is D / reduction wide.
        steps: updates, fixed in advance.
        learning_rate: at the start of the cosine. This and `steps` were chosen on draws of the
            playground that no reported number uses (`bench/accuracy.py`).
        batch: samples a step.
        seed: of the first weights and of the order of the samples.

    Source: Gao et al., "CLIP-Adapter: Better Vision-Language Models with Feature Adapters", IJCV
    2024. As in its code (not its text), a ReLU follows both linear maps. The code adapts features
    before they are normalised; ours are unit rows, which gives the same logits, because maps
    without biases pass the length of a row on and it is divided out at the end. The code has the
    image branch only and recomputes the class texts in every step. The length of
    training is not in the paper; 300 steps of AdamW let the loss settle, and fit in seconds.
    """

    title = "CLIP-Adapter"
    head = ClipAdapterHead
    neutral = {"ratio": 0.0, "text_ratio": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter
    variants = tuple({"branch": branch} for branch in _BRANCHES)

    branch: str = "image"
    ratio: float = 0.2
    text_ratio: float = 0.2
    reduction: int = 4
    steps: int = 300
    learning_rate: float = 3e-3
    batch: int = 256
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        if self.branch not in _BRANCHES:
            raise InputError(f"expected branch in {_BRANCHES}, got {self.branch!r}")
        recipe = Recipe(self.steps, self.learning_rate, self.batch, seed=self.seed)
        ratio = number("ratio", self.ratio, 0, 1)
        text_ratio = number("text_ratio", self.text_ratio, 0, 1)
        generator = torch.Generator().manual_seed(recipe.seed)
        width = features.shape[1]
        hidden = max(1, width // whole("reduction", self.reduction, 1))
        images, texts = self.branch != "text", self.branch != "image"
        down, up = _bottleneck(width, hidden, generator) if images else _unused(width)
        text_down, text_up = _bottleneck(width, hidden, generator) if texts else _unused(width)
        head = ClipAdapterHead(
            weights=torch.from_numpy(text.weights),
            scale=scalar(text.scale),
            down=down,
            up=up,
            ratio=scalar(ratio if images else 0),
            text_down=text_down,
            text_up=text_up,
            text_ratio=scalar(text_ratio if texts else 0),
        )
        return train(head, features, targets, recipe)


def _bottleneck(width: int, hidden: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """First weights, uniform in ±1/sqrt(inputs), as `nn.Linear` draws them."""
    down = torch.empty(hidden, width, dtype=torch.float32, device="cpu")
    up = torch.empty(width, hidden, dtype=torch.float32, device="cpu")
    down.uniform_(-(width**-0.5), width**-0.5, generator=generator)
    up.uniform_(-(hidden**-0.5), hidden**-0.5, generator=generator)
    return nn.Parameter(down), nn.Parameter(up)


def _unused(width: int) -> tuple[Tensor, Tensor]:
    """A bottleneck one wide: with ratio zero it adds nothing, and exporters get fixed shapes."""
    zeros = torch.zeros(width, dtype=torch.float32, device="cpu")
    return zeros[None], zeros[:, None].clone()
