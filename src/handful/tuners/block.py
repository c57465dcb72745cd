"""Bottleneck adapters inside the encoder's blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from handful.encoders.towers import Block, Tower, Tunable
from handful.tuners import _placement
from handful.tuners._base import FirstChanged
from handful.tuners._tuner import Tuner
from handful.tuners._validation import check_integer, check_number, check_option, check_positive
from handful.tuners.training.recipe import AUGMENTED, Recipe

PLACES = ("parallel", "attention", "mlp", "both")
# Times the block's width, as an MLP is; a skill from elsewhere could ask for more than fits memory.
_WIDEST = 4


@dataclass(eq=False, repr=False)
class BlockAdapters(Tuner):
    """`h + s * Up(relu(Down(h)))` in the blocks of an encoder; its own weights stay frozen.

    `parallel` adds what the adapter makes of the MLP's input to the MLP's output (AdaptFormer, Chen
    et al., NeurIPS 2022; there the adapter reads the residual stream, here the normalised input
    that the MLP reads). `attention` and `mlp` put it after that part, `both` after each (Houlsby et
    al., ICML 2019). The stages of a ResNet get the same bottleneck as 1 x 1 convolutions after
    their last skip connection; `place` does not matter there. Up and the biases are zero at the
    start, so the tuned encoder begins as the frozen one.

    The default recipe was chosen on draws of the playground that no reported number uses, 16 shots,
    one or two draws of five tasks. Without views everything overfits. Views that leave the meaning
    alone and crops did alike. The KL term `kl` keeps what a head on top can still use: shapes in a
    mosaic, 45 % zero-shot, fall to 28 % without it and to 35 % at 0.3, and stay at 47 % at 1; but 1
    slows down what has to be learned anew (dusk 49 % by the text alone, 71 % at 0.3). Rates from
    0.001 to 0.003, 8 or 16 views, 20 or 40 epochs, one tower or both: within 2 points of each other
    on average. The upper half of the blocks was 1 to 2 points worse.

    Args:
        bottleneck: width of the adapter's middle.
        place: `parallel`, `attention`, `mlp` or `both`.
        towers: `vision`, `text` or `both`.
        blocks: `all`, `upper` (the upper half), or indices such as `6-11`, `6-` or `10`.
        scale: s.
        dropout: share of the middle left out while training.

    >>> BlockAdapters(bottleneck=16, towers="vision").get_params()["place"]
    'parallel'
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = replace(AUGMENTED, learning_rate=2e-3)

    bottleneck: int = 64
    place: str = "parallel"
    towers: str = "both"
    blocks: str = "all"
    scale: float = 1.0
    dropout: float = 0.1

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        check_option("place", self.place, PLACES)
        check_positive("scale", self.scale)
        check_number("dropout", self.dropout, high=1)
        adapters = nn.ModuleDict()
        for tower, index, block in _placement.target_blocks(encoder, self.towers, self.blocks):
            check_integer("bottleneck", self.bottleneck, 1, _WIDEST * block.width)
            for part in self._parts(block):
                kind = Bottleneck if block.mlp else ConvBottleneck
                adapters[f"{tower.kind}_{index}_{part}"] = kind(
                    block.width, self.bottleneck, self.scale, self.dropout
                )
        return adapters

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        return _placement.first_changed(encoder, self.towers, self.blocks)

    def is_linear_in(self, name: str) -> bool:
        """The upper map, whose output is what is added."""
        return ".up." in name

    @contextmanager
    def _attach(self, encoder: Tunable, delta: nn.Module) -> Iterator[None]:
        adapters = dict(delta.named_children())
        with ExitStack() as stack:
            for tower, index, block in _placement.target_blocks(encoder, self.towers, self.blocks):
                for part in self._parts(block):
                    adapter = adapters[f"{tower.kind}_{index}_{part}"]
                    _register_hooks(stack, tower, block, part, adapter)
            yield

    def _parts(self, block: Block) -> tuple[str, ...]:
        """The parts of a block that get an adapter; a ResNet's stage has none of its own."""
        if not block.mlp:
            return ("stage",)
        return ("attention", "mlp") if self.place == "both" else (self.place,)


class Bottleneck(nn.Module):
    """`s * Up(dropout(relu(Down(h))))`, `[..., W]` to `[..., W]`, zero at the start."""

    def __init__(self, width: int, middle: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.down, self.up = self._maps(width, middle)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))  # as `nn.Linear` itself does
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)
        self.scale, self.dropout = scale, nn.Dropout(dropout)

    def _maps(self, width: int, middle: int) -> tuple[Any, Any]:
        return nn.Linear(width, middle), nn.Linear(middle, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """What is to be added to the hidden states."""
        change: Tensor = self.up(self.dropout(torch.relu(self.down(hidden))))
        return self.scale * change


class ConvBottleneck(Bottleneck):
    """The same over the channels of `[N, W, H, W']`, as 1 x 1 convolutions."""

    def _maps(self, width: int, middle: int) -> tuple[Any, Any]:
        return nn.Conv2d(width, middle, 1), nn.Conv2d(middle, width, 1)


def _register_hooks(
    stack: ExitStack, tower: Tower, block: Block, part: str, adapter: nn.Module
) -> None:
    """Hook an adapter into a part of a block; the stack removes the hooks again."""
    if part != "parallel":
        target = {"attention": block.attention, "mlp": block.mlp, "stage": block.name}[part]
        hook = tower.module(target).register_forward_hook(
            lambda _m, _a, out: _with_change(out, adapter)
        )
        stack.callback(hook.remove)
        return
    inputs: list[Tensor] = []  # of the MLP, from the hook before it to the hook after it
    before = tower.module(block.mlp_input or block.mlp).register_forward_pre_hook(
        lambda _m, args: inputs.append(args[0])
    )
    after = tower.module(block.mlp).register_forward_hook(
        lambda _m, _a, out: out + adapter(inputs.pop()).to(out.dtype)
    )
    stack.callback(before.remove)
    stack.callback(after.remove)


def _with_change(out: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A module's output, or the first item of a tuple, plus the change of it."""
    if isinstance(out, tuple):
        return (_with_change(out[0], change), *out[1:])
    # mixed precision rounds the adapter's output; the residual stream keeps its own type
    return out + change(out).to(out.dtype)
