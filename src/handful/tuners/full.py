"""Full fine-tuning: the baseline that the papers compare with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from torch import nn

from handful.encoders.towers import Tunable
from handful.errors import InputError
from handful.tuners import _placement
from handful.tuners._base import FirstChanged
from handful.tuners._reparametrization import BEFORE_FIRST_BLOCK, Reparametrization
from handful.tuners._tuner import Tuner
from handful.tuners.training.recipe import AUGMENTED, MAX_BASE_RATE, Recipe


@dataclass(eq=False, repr=False)
class Full(Tuner):
    """Learns every parameter of the encoder; for comparison, not for use.

    Its delta is as large as the towers it changes (605 MB for both towers of a ViT-B/32), nothing
    can be computed once, training holds the weights five times (as they are, the difference, its
    gradient and AdamW's two moments), and a handful of images makes the encoder lose what it is
    not shown. Above a learning rate of 1e-5 `fit` refuses. What is learned is the difference to the
    encoder's own weights, and it does not decay. BatchNorm's statistics and the logit scale stay.

    Args:
        towers: `vision`, `text` or `both`.

    >>> Full().recipe.learning_rate
    1e-05
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = replace(AUGMENTED, learning_rate=MAX_BASE_RATE)
    max_learning_rate: ClassVar[float] = MAX_BASE_RATE

    towers: str = "both"

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        towers = _placement.select_towers(encoder, self.towers)
        if encoder.precision != "float32":  # rounded weights are no parameters any more
            raise InputError(
                f"{encoder.name} computes in {encoder.precision} here, and its weights are "
                "rounded; load it with precision='float32' for the tuner full"
            )
        return Reparametrization({k: v for t in towers for k, v in t.parameters().items()})

    def _attach(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(Reparametrization, delta).attached(encoder.model)

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        towers = _placement.select_towers(encoder, self.towers)
        return FirstChanged(**{t.kind: BEFORE_FIRST_BLOCK for t in towers})
