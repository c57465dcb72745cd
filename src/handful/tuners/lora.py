"""LoRA: low-rank changes of the attention's query, key and value, by the peft library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import nn

from handful.encoders.torchvision import hide_if_broken
from handful.encoders.towers import Tunable
from handful.errors import InputError, MissingExtraError
from handful.tuners import _placement
from handful.tuners._base import FirstChanged
from handful.tuners._qkv_split import QKV, split_qkv
from handful.tuners._tuner import Tuner
from handful.tuners._validation import check_integer, check_number, check_positive
from handful.tuners.training.recipe import AUGMENTED, Recipe

ADAPTER = "delta"


@dataclass(eq=False, repr=False)
class Lora(Tuner):
    """`W x + (alpha / r) * B A x` for query, key and value; B is zero at the start.

    CLIP-LoRA (Zanella and Ben Ayed, CVPR Workshops 2024): rank 2 in all blocks of both towers,
    184 320 parameters on a ViT-B, alpha 1, dropout 0.25. The layers are peft's; fused attention is
    split first (`_qkv_split`), or the change would have no effect there.

    The default recipe was chosen as that of `block`; rates from 0.003 to 0.01 did alike. The
    published one is 0.0002 over 500 updates a shot, 8000 at 16 shots; 8 classes have 160 here.

    Args:
        rank: r.
        alpha: numerator of the change's scale.
        dropout: share of the input of A left out while training.
        towers: `vision`, `text` or `both`.
        blocks: `all`, `upper` (the upper half), or indices such as `6-11`, `6-` or `10`.

    >>> Lora(rank=4).get_params()["towers"]
    'both'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = replace(AUGMENTED, learning_rate=6e-3)

    rank: int = 2
    alpha: float = 1.0
    dropout: float = 0.25
    towers: str = "both"
    blocks: str = "all"

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        check_positive("alpha", self.alpha)
        check_number("dropout", self.dropout, high=1)
        delta = LoraDelta()
        for tower, index, block in _placement.target_blocks(encoder, self.towers, self.blocks):
            names = block.projections
            if not names:
                raise InputError(
                    f"{encoder.name}: block {index} of the {tower.kind} tower has no attention; "
                    "use the tuner block, or --tune towers=text"
                )
            check_integer("rank", self.rank, 1, block.width)
            if len(names) == 1:  # query, key and value in one module
                split = split_qkv(tower.module(names[0]), names[0])
                delta.replacements.append((names[0], split))
                for projection in QKV:
                    layer = self._lora_layer(getattr(split, projection), names[0])
                    setattr(split, projection, layer)
                    delta.add(f"{tower.kind}_{index}_{projection}", layer)
                continue
            for name, projection in zip(names, QKV, strict=True):
                layer = self._lora_layer(tower.module(name), name)
                delta.replacements.append((name, layer))
                delta.add(f"{tower.kind}_{index}_{projection}", layer)
        return delta

    def _lora_layer(self, base: nn.Module, name: str) -> Any:
        """Peft's LoRA layer on a layer of the model, which stays as it is."""
        hide_if_broken()  # peft imports transformers
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise MissingExtraError("peft", "tune", "the tuner lora") from error
        if not isinstance(base, nn.Linear):
            raise InputError(
                f"{name}: LoRA needs the encoder's own float32 layers, got "
                f"{type(base).__name__}; load the encoder with precision='float32'"
            )
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=["layer"],
        )
        # peft asks the first parameter for the device, and a slice of a layer has none of its own
        device = nn.ParameterList([torch.zeros(1, device=base.weight.device)])
        holder = nn.ModuleDict({"layer": base, "device": device})
        return inject_adapter_in_model(config, holder, ADAPTER)["layer"]

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        return _placement.first_changed(encoder, self.towers, self.blocks)

    def is_linear_in(self, name: str) -> bool:
        """B; scaling A as well would scale the change twice."""
        return ".b." in name

    @contextmanager
    def _attach(self, encoder: Tunable, delta: nn.Module) -> Iterator[None]:
        with ExitStack() as stack:
            for name, layer in cast(LoraDelta, delta).replacements:
                before = encoder.model.get_submodule(name)
                _set_base(layer, before)
                encoder.model.set_submodule(name, layer)
                stack.callback(encoder.model.set_submodule, name, before)
            yield


class LoraDelta(nn.ModuleDict):
    """A and B of every changed layer, and the layers that replace those of the model."""

    replacements: list[tuple[str, nn.Module]]

    def __init__(self) -> None:
        super().__init__()
        # Not registered, or the model's own weights below them would count as learned.
        object.__setattr__(self, "replacements", [])

    def add(self, key: str, layer: Any) -> None:
        """Register A, B and the dropout of one of peft's layers."""
        self[key] = nn.ModuleDict(
            {
                "a": layer.lora_A[ADAPTER],
                "b": layer.lora_B[ADAPTER],
                "dropout": layer.lora_dropout[ADAPTER],
            }
        )


def _set_base(layer: Any, before: nn.Module) -> None:
    """Put a replacement on whatever stands in the model now, which may be another LoRA."""
    if hasattr(layer, "base_layer"):
        layer.base_layer = before
    elif type(before) is type(layer):
        for name in QKV:
            getattr(layer, name).base_layer = getattr(before, name)
