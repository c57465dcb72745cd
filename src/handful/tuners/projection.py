"""ProLIP: learns the last linear map of the encoder, penalised for its distance from the start."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError
from handful.tuners import _placement
from handful.tuners._base import FirstChanged
from handful.tuners._reparametrization import BEFORE_FIRST_BLOCK, Reparametrization
from handful.tuners._tuner import Tuner
from handful.tuners._validation import check_number
from handful.tuners.training import losses
from handful.tuners.training.recipe import Recipe


@dataclass(eq=False, repr=False)
class Projection(Tuner):
    """Learns W of the last map `x W` with `cross-entropy + lambda * ||W - W0||_F^2`.

    ProLIP (Fahes et al., "CLIP's Visual Embedding Projector is a Few-shot Cornucopia", 2024): the
    visual projection alone, 393 216 numbers on a ViT-B; a bias stays as it is, as there. Everything
    before it is computed once, so an epoch costs one matrix product. Its published training reads
    300 augmented views; give the recipe `views` to come near to it.

    Args:
        towers: `vision` as published, `text` or `both`.
        pull: lambda; None for 1 / shots, the paper's rule for use without a validation set, where
            shots are the images of a class on average.

    >>> Projection(pull=0.5).get_params()["towers"]
    'vision'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(
        epochs=300, learning_rate=1e-4, batch=4096, weight_decay=0.0, warmup=0.0
    )

    towers: str = "vision"
    pull: float | None = None

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        if self.pull is not None:
            check_number("pull", self.pull)
        found: dict[str, nn.Parameter] = {}
        for tower in _placement.select_towers(encoder, self.towers):
            name = _projection_weight(tower)
            if not name:
                raise InputError(
                    f"{encoder.name}: the {tower.kind} tower ends without a linear map of its own; "
                    "use the tuner block"
                )
            found[name] = tower.parameters()[name]
        return Reparametrization(found)

    def _attach(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(Reparametrization, delta).attached(encoder.model)

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        towers = _placement.select_towers(encoder, self.towers)
        return FirstChanged(**{t.kind: len(t.blocks) or BEFORE_FIRST_BLOCK for t in towers})

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        # 1 / shots, as N images of C classes are N / C a class
        strength = len(text) / count if self.pull is None else self.pull
        if not strength:
            return None
        norms = [losses.squared_norm(change) for change in delta.parameters()]
        return strength * torch.stack(norms).sum()


def _projection_weight(tower: Tower) -> str:
    """Name of the matrix: a bare Parameter, or the weight of an `nn.Linear`; empty if none."""
    parameters = tower.parameters()
    candidates = (tower.projection, f"{tower.projection}.weight")
    return next((name for name in candidates if tower.projection and name in parameters), "")
