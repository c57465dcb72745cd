"""Full fine-tuning: the yardstick that the papers compare with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, cast

from torch import nn

from handful.encoders.towers import Tunable
from handful.tuners import _changes, _range
from handful.tuners._base import Entry, Tuner
from handful.tuners.training.recipe import BASE_RATE, Recipe


class Full(Tuner):
    """Learns every parameter of the encoder; for comparison, not for use.

    Its delta is as large as the towers it changes (605 MB for both towers of a ViT-B/32), nothing
    can be computed once, training holds the weights five times (as they are, the difference, its
    gradient and AdamW's two means), and a handful of images makes the encoder forget what it is not
    shown. Above a learning rate of 1e-5 `fit` refuses. What is learned is the difference to the
    encoder's own weights, and it does not decay. BatchNorm's statistics and the logit scale stay.

    Args:
        towers: `vision`, `text` or `both`.

    >>> Full().recipe.learning_rate
    1e-05
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(
        epochs=20,
        learning_rate=BASE_RATE,
        batch=16,
        views=8,
        augmentation="semantic",
        kl=0.3,
    )
    fastest: ClassVar[float] = BASE_RATE

    def __init__(self, towers: str = "both") -> None:
        self.towers = towers

    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        found: dict[str, nn.Parameter] = {}
        for tower in _range.towers(encoder, self.towers):
            found.update(_changes.whole(encoder, tower, "full"))
        return _changes.Change(found)

    def _attached(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(_changes.Change, delta).attached(encoder.model)

    def _entry(self, encoder: Tunable) -> Entry:
        kinds = {tower.kind for tower in _range.towers(encoder, self.towers)}
        return Entry(*(_changes.BEFORE if k in kinds else None for k in ("vision", "text")))

    def scales(self, name: str) -> bool:
        """All of it: what is learned is the difference to the encoder's own."""
        return True
