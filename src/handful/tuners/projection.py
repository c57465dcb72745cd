"""ProLIP: the last linear map of the encoder, held near where it began."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError
from handful.tuners import _changes, _range
from handful.tuners._arguments import number
from handful.tuners._base import Entry, Tuner
from handful.tuners.training import losses
from handful.tuners.training.recipe import Recipe


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

    def __init__(self, towers: str = "vision", pull: float | None = None) -> None:
        self.towers = towers
        self.pull = pull

    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        if self.pull is not None:  # 1 / shots
            number("pull", self.pull)
        found: dict[str, nn.Parameter] = {}
        for tower in _range.towers(encoder, self.towers):
            name = _weight(tower)
            if not name:
                raise InputError(
                    f"{encoder.name}: the {tower.kind} tower ends without a linear map of its own; "
                    "use the tuner norm or block"
                )
            found[name] = tower.parameters()[name]
        return _changes.Change(found)

    def _attached(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(_changes.Change, delta).attached(encoder.model)

    def _entry(self, encoder: Tunable) -> Entry:
        towers = _range.towers(encoder, self.towers)
        last = {t.kind: len(t.blocks) if t.blocks else _changes.BEFORE for t in towers}
        return Entry(last.get("vision"), last.get("text"))

    def scales(self, name: str) -> bool:
        """All of it: what is learned is the difference to the encoder's own."""
        return True

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        strength = len(text) / count if self.pull is None else self.pull
        if not strength:
            return None
        pulls = [losses.weight_pull(change) for change in delta.parameters()]
        return strength * torch.stack(pulls).sum()


def _weight(tower: Tower) -> str:
    """Name of the matrix: a Parameter of its own, or that of an `nn.Linear`; empty if none."""
    mine = tower.parameters()
    candidates = (tower.projection, f"{tower.projection}.weight")
    return next((name for name in candidates if tower.projection and name in mine), "")
