"""The image and text towers of an encoder, described in one way for every library's model.

A `Tower` lists the parts of one tower by their names in the loaded model; tuners change a model
through it. Nothing of the library's forward pass is written again: skipping blocks, starting in the
middle and replacing token embeddings all override the `forward` of the library's own modules for
the length of one call, so the numbers are the library's by construction. Such a call changes the
model, so it belongs to one thread at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from handful.contracts import Encoder
from handful.errors import InputError

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Block:
    """One block of a tower, by the names of its parts in the library's model.

    Args:
        name: dotted name; its output is `[N, L, W]`, or `[N, W, H, W']` of a ResNet's stage.
        width: W.
        attention: the module that attends; its output, or the first item of it, is `[N, L, W]`.
        mlp: the module after it; its output is `[N, L, W]`.
        mlp_input: the module whose input `[N, L, W]` is the MLP's; `mlp` itself where not given.
        projections: query, key and value as three `nn.Linear`, or the one module that holds all
            three (`nn.MultiheadAttention`, or an `nn.Linear` three times as wide).
    """

    name: str
    width: int
    attention: str = ""
    mlp: str = ""
    mlp_input: str = ""
    projections: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tower:
    """One tower of a model.

    Args:
        kind: which tower.
        model: the library's whole model; names count from it.
        call: the model and inputs of the library to `[N, D]` features before they are scaled to
            length one; it holds no model itself, so that a copy of the tower computes with its own.
        blocks: in the order of computation; empty where the tower has none that we know.
        prefixes: what the names of this tower's parameters begin with.
        embedding: module and method whose result enters the first block; `forward_from` does not
            compute it. None where that method cannot be named, so that it is computed in vain.
        projection: the last linear map, an `nn.Linear` or a Parameter `[W, D]`; empty if none.
        token_embedding: of a text tower, the `nn.Embedding` of its tokens.
    """

    kind: Literal["vision", "text"]
    model: nn.Module
    call: Callable[[nn.Module, Inputs], Tensor]
    blocks: tuple[Block, ...]
    prefixes: tuple[str, ...]
    embedding: tuple[str, str] | None = None
    projection: str = ""
    token_embedding: str = ""
    size: int = field(init=False)

    def __post_init__(self) -> None:
        total = sum(p.numel() for p in self.parameters().values())
        object.__setattr__(self, "size", total)

    def module(self, name: str) -> nn.Module:
        """The module of that dotted name."""
        return self.model.get_submodule(name)

    def parameters(self) -> dict[str, nn.Parameter]:
        """This tower's parameters by dotted name."""
        named = self.model.named_parameters()
        return {n: p for n, p in named if n.startswith(self.prefixes)}

    def forward(self, inputs: Inputs) -> Tensor:
        """`[N, D]` features as the library computes them, not scaled to length one."""
        return self.call(self.model, inputs)

    def forward_until(self, inputs: Inputs, block: int) -> Tensor:
        """The input `[N, L, W]` of a block; nothing after it is computed.

        Args:
            inputs: as for `forward`.
            block: its index in `blocks`; `len(blocks)` gives the output of the last one.
        """
        self._check(block)
        with ExitStack() as stack, torch.no_grad():
            if block < len(self.blocks):
                here = self.module(self.blocks[block].name)
                stack.enter_context(overridden(here, "forward", _stop))
            else:
                last = self.module(self.blocks[-1].name)
                hook = last.register_forward_hook(lambda _m, _a, out: _stop(out))
                stack.callback(hook.remove)
            try:
                self.call(self.model, inputs)
            except _ReachedError as reached:
                return reached.hidden.detach()
        raise InputError(f"the {self.kind} tower never came to its block {block}")

    def forward_from(self, activations: Tensor, inputs: Inputs, block: int) -> Tensor:
        """Features `[N, D]` by the library's forward from a block on, given its input.

        Args:
            activations: `[N, L, W]`, from `forward_until`.
            inputs: as for `forward`; a text tower pools by them, since tokens mark where texts end.
            block: as for `forward_until`.
        """
        self._check(block)

        def given(*_args: Any, **_kwargs: Any) -> Tensor:
            return activations

        with ExitStack() as stack:
            if self.embedding is not None:
                module, method = self.embedding
                stack.enter_context(overridden(self.module(module), method, given))
            # earlier blocks pass their input on; the last of them hands over the activations
            for place, earlier in enumerate(self.blocks[:block]):
                passed = self.module(earlier.name)
                way = given if place == block - 1 else _first
                stack.enter_context(overridden(passed, "forward", way))
                for hooks in ("_forward_pre_hooks", "_forward_hooks"):  # they have run already
                    stack.enter_context(overridden(passed, hooks, OrderedDict()))
            if not block:  # nothing stands before the first block that could hand it on
                first = self.module(self.blocks[0].name)
                hook = first.register_forward_pre_hook(
                    lambda _m, args, kwargs: ((activations, *args[1:]), kwargs), with_kwargs=True
                )
                stack.callback(hook.remove)
            return self.call(self.model, inputs)

    @contextmanager
    def with_embeddings(self, embeddings: Tensor) -> Iterator[None]:
        """Within it, token embeddings `[N, L, W]` stand in for those of the table."""
        table = self.module(self.token_embedding)
        with overridden(table, "forward", lambda *_a, **_k: embeddings):
            yield

    def _check(self, block: int) -> None:
        if not self.blocks:
            raise InputError(f"the {self.kind} tower has no blocks that are known to Handful")
        if not 0 <= block <= len(self.blocks):
            raise InputError(
                f"the {self.kind} tower has {len(self.blocks)} blocks, 0 to {len(self.blocks)}; "
                f"got {block}"
            )


@runtime_checkable
class Tunable(Encoder, Protocol):
    """An encoder whose model and towers can be reached."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def model(self) -> nn.Module:
        """The library's model."""
        ...

    @property
    def vision(self) -> Tower:
        """The image tower."""
        ...

    @property
    def text(self) -> Tower:
        """The text tower."""
        ...

    def pixels(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """N prepared images to the inputs of `vision`, on the device."""
        ...

    def tokens(self, batch: Sequence[str]) -> dict[str, Tensor]:
        """N texts to the inputs of `text`, on the device."""
        ...


@contextmanager
def overridden(target: nn.Module, name: str, stand_in: Any) -> Iterator[None]:
    """Within it, an attribute of one module is replaced; `forward` keeps its hooks."""
    before = vars(target).get(name)
    object.__setattr__(target, name, stand_in)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(target, name)
        else:
            object.__setattr__(target, name, before)


def has_module(model: nn.Module, name: str, kind: type[nn.Module] = nn.Module) -> bool:
    """Whether a model has a module of that dotted name and kind."""
    try:
        return isinstance(model.get_submodule(name), kind)
    except AttributeError:
        return False


def _first(hidden: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden


class _ReachedError(Exception):
    """Not an error: ends the library's forward where nothing that follows is of interest."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def _stop(hidden: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    raise _ReachedError(hidden)
