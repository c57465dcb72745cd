"""Low-rank changes of the attention's query, key and value, by the peft library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, cast

import torch
from torch import nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError, MissingExtraError
from handful.tuners import _fused, _range
from handful.tuners._arguments import above_zero, number, whole
from handful.tuners._base import Entry, Tuner
from handful.tuners.training.recipe import Recipe

ADAPTER = "delta"


class Lora(Tuner):
    """`W x + (alpha / r) * B A x` for query, key and value; B is zero at the start.

    CLIP-LoRA (Zanella and Ben Ayed, CVPR Workshops 2024): rank 2 in all blocks of both towers,
    184 320 parameters on a ViT-B, alpha 1, dropout 0.25. The layers are peft's; fused attention is
    taken apart first, so that the change has the effect it says it has.

    The default recipe was chosen as that of `block`; rates from 0.003 to 0.01 did alike. The
    published one is 0.0002 over 500 updates a shot, 8000 at 16 shots; 8 classes have 160 here.

    Args:
        rank: r.
        alpha: numerator of the change's scale.
        dropout: share of the input of A left out while training.
        towers: `vision`, `text` or `both`.
        blocks: `all`, `upper` (the upper half), or places such as `6-11`, `6-` or `10`.

    >>> Lora(rank=4).get_params()["towers"]
    'both'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(
        epochs=20,
        learning_rate=6e-3,
        batch=16,
        views=8,
        augmentation="semantic",
        kl=0.3,
    )

    def __init__(
        self,
        rank: int = 2,
        alpha: float = 1.0,
        dropout: float = 0.25,
        towers: str = "both",
        blocks: str = "all",
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.towers = towers
        self.blocks = blocks

    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        above_zero("alpha", self.alpha)
        number("dropout", self.dropout, high=1)
        made = LoraDelta()
        for tower, place, block in _range.chosen(encoder, self.towers, self.blocks):
            if not block.projections:
                raise InputError(
                    f"{encoder.name}: block {place} of the {tower.kind} tower has no attention; "
                    "use the tuner block, or --tune towers=text"
                )
            whole("rank", self.rank, 1, block.width)
            self._layers(made, tower, place, block.projections)
        return made

    def _layers(self, made: LoraDelta, tower: Tower, place: int, names: tuple[str, ...]) -> None:
        """The layers of peft for one block, on the layers of the model as they are."""
        if len(names) == 1:
            split = _fused.apart(tower.module(names[0]), names[0])
            made.stand_ins.append((names[0], split))
            for name in _fused.NAMES:
                layer = self._wrapped(getattr(split, name), names[0])
                setattr(split, name, layer)
                made.learn(f"{tower.kind}_{place}_{name}", layer)
            return
        for name, short in zip(names, _fused.NAMES, strict=True):
            layer = self._wrapped(tower.module(name), name)
            made.stand_ins.append((name, layer))
            made.learn(f"{tower.kind}_{place}_{short}", layer)

    def _wrapped(self, base: nn.Module, name: str) -> Any:
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
        # peft asks the first parameter for the device, and a third of a layer has none of its own
        device = nn.ParameterList([torch.zeros(1, device=base.weight.device)])
        holder = nn.ModuleDict({"layer": base, "device": device})
        return inject_adapter_in_model(config, holder, ADAPTER)["layer"]

    def _entry(self, encoder: Tunable) -> Entry:
        return _range.entry(encoder, self.towers, self.blocks)

    def scales(self, name: str) -> bool:
        """B."""
        return ".b." in name

    @contextmanager
    def _attached(self, encoder: Tunable, delta: nn.Module) -> Iterator[None]:
        with ExitStack() as stack:
            for name, layer in cast(LoraDelta, delta).stand_ins:
                before = encoder.model.get_submodule(name)
                _onto(layer, before)
                encoder.model.set_submodule(name, layer)
                stack.callback(encoder.model.set_submodule, name, before)
            yield


class LoraDelta(nn.ModuleDict):
    """A and B of every changed layer; the layers themselves stand beside, unregistered."""

    stand_ins: list[tuple[str, nn.Module]]

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "stand_ins", [])  # or their base layers would count as learned

    def learn(self, key: str, layer: Any) -> None:
        """Take over A, B and the dropout of one of peft's layers."""
        self[key] = nn.ModuleDict(
            {
                "a": layer.lora_A[ADAPTER],
                "b": layer.lora_B[ADAPTER],
                "dropout": layer.lora_dropout[ADAPTER],
            }
        )


def _onto(layer: Any, before: nn.Module) -> None:
    """Stand on whatever is there now, which may be another LoRA."""
    if hasattr(layer, "base_layer"):
        layer.base_layer = before
    elif type(before) is type(layer):
        for name in _fused.NAMES:
            getattr(layer, name).base_layer = getattr(before, name)
