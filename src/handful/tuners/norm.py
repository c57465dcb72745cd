"""LayerNorm tuning: the scales and shifts of the normalisations, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, cast

from torch import nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError
from handful.tuners import _changes, _range
from handful.tuners._base import Entry, Tuner
from handful.tuners.training.recipe import Recipe


class LayerNorms(Tuner):
    """Learns g and b of every `g * (h - mean) / std + b` in the encoder: 65 536 numbers on a ViT-B.

    The first stage of 2SFS (Farina et al., "Rethinking Few-Shot Adaptation of Vision-Language
    Models in Two Stages", CVPR 2025) on both towers; there a linear classifier follows, here any
    adapter may. BatchNorm is left alone: its statistics are the pretraining's.

    The default recipe was chosen as that of `block`, between the rates 0.003 and 0.01, which did
    alike (57 and 64 % by the text alone on two tasks, 63 and 65 % with `auto` on top).

    Args:
        towers: `vision`, `text` or `both`.
        blocks: `all`: every LayerNorm of the tower, the one before the first block included. With
            `upper` (the upper half) or places such as `6-11`, `6-` or `10`, those inside these
            blocks, and those after the last block if that is among them; what comes before is then
            computed once.

    >>> LayerNorms(towers="vision").get_params()["blocks"]
    'all'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(
        epochs=20,
        learning_rate=5e-3,
        batch=16,
        views=8,
        augmentation="semantic",
        kl=0.3,
    )

    def __init__(self, towers: str = "both", blocks: str = "all") -> None:
        self.towers = towers
        self.blocks = blocks

    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        found: dict[str, nn.Parameter] = {}
        for tower in _range.towers(encoder, self.towers):
            parameters = tower.parameters()
            names = [
                f"{norm}.{part}"
                for norm in self._norms(tower)
                for part in ("weight", "bias")
                if f"{norm}.{part}" in parameters
            ]
            if not names:
                other = "text" if tower.kind == "vision" else "vision"
                raise InputError(
                    f"{encoder.name}: the {tower.kind} tower has no LayerNorm in blocks "
                    f"{self.blocks}; use towers={other} or the tuner block"
                )
            found.update({name: parameters[name] for name in names})
        return _changes.Change(found)

    def _attached(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(_changes.Change, delta).attached(encoder.model)

    def _entry(self, encoder: Tunable) -> Entry:
        towers = _range.towers(encoder, self.towers)
        first = {t.kind: min(self._norms(t).values(), default=None) for t in towers}
        return Entry(first.get("vision"), first.get("text"))

    def scales(self, name: str) -> bool:
        """All of it: what is learned is the difference to the encoder's own."""
        return True

    def _norms(self, tower: Tower) -> dict[str, int]:
        """Names of the LayerNorms to learn, and the block at which each begins to matter."""
        places = _places(tower)
        if self.blocks == "all":
            return places
        chosen = set(_range.indices(tower, self.blocks))
        if len(tower.blocks) - 1 in chosen:
            chosen.add(len(tower.blocks))
        return {name: place for name, place in places.items() if place in chosen}


def _places(tower: Tower) -> dict[str, int]:
    """The block that each LayerNorm lies in: -1 before the first, `len(blocks)` after the last.

    A norm outside of the blocks lies before or after them as the library registers it, which is
    the order of computation in every tower that we know.
    """
    found: dict[str, int] = {}
    begun = False
    for name, module in tower.model.named_modules():
        inside = [i for i, b in enumerate(tower.blocks) if f"{name}.".startswith(f"{b.name}.")]
        begun = begun or bool(inside)
        if isinstance(module, nn.LayerNorm) and f"{name}.".startswith(tower.prefixes):
            outside = len(tower.blocks) if begun else _changes.BEFORE
            found[name] = inside[0] if inside else outside
    return found
