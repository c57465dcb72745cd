"""LayerNorm tuning: learns the scales and shifts of the normalisations, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from torch import nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError
from handful.tuners import _placement
from handful.tuners._base import FirstChanged
from handful.tuners._reparametrization import BEFORE_FIRST_BLOCK, Reparametrization
from handful.tuners._tuner import Tuner
from handful.tuners.training.recipe import AUGMENTED, Recipe


@dataclass(eq=False, repr=False)
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
            `upper` (the upper half) or indices such as `6-11`, `6-` or `10`, those inside these
            blocks, and those after the last block if that is among them; what comes before is then
            computed once.

    >>> LayerNorms(towers="vision").get_params()["blocks"]
    'all'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = replace(AUGMENTED, learning_rate=5e-3)

    towers: str = "both"
    blocks: str = "all"

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        found: dict[str, nn.Parameter] = {}
        for tower in _placement.select_towers(encoder, self.towers):
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
        return Reparametrization(found)

    def _attach(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return cast(Reparametrization, delta).attached(encoder.model)

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        towers = _placement.select_towers(encoder, self.towers)
        return FirstChanged(**{t.kind: min(self._norms(t).values(), default=None) for t in towers})

    def _norms(self, tower: Tower) -> dict[str, int]:
        """Names of the LayerNorms to learn, and the first block that each of them changes."""
        found = _layer_norms(tower)
        if self.blocks == "all":
            return found
        chosen = set(_placement.block_indices(tower, self.blocks))
        if len(tower.blocks) - 1 in chosen:
            chosen.add(len(tower.blocks))  # the norms after the last block go with it
        return {name: index for name, index in found.items() if index in chosen}


def _layer_norms(tower: Tower) -> dict[str, int]:
    """The block that holds each LayerNorm: -1 before the first, `len(blocks)` after the last.

    A norm outside the blocks comes before or after them as the library registers it, which is the
    order of computation in every supported tower.
    """
    found: dict[str, int] = {}
    begun = False  # whether the first block has been reached
    for name, module in tower.model.named_modules():
        inside = [i for i, b in enumerate(tower.blocks) if f"{name}.".startswith(f"{b.name}.")]
        begun = begun or bool(inside)
        if isinstance(module, nn.LayerNorm) and f"{name}.".startswith(tower.prefixes):
            outside = len(tower.blocks) if begun else BEFORE_FIRST_BLOCK
            found[name] = inside[0] if inside else outside
    return found
