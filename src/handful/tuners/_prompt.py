"""The tensors of a soft prompt, and the way of texts through them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tunable
from handful.errors import InputError
from handful.tuners._contexts import Placed, Places, table_of


class Prompt(nn.Module):
    """Contexts, as their way from where they began.

    Args:
        start: `[1 or C, M, W]`.
        classes: the names they were made for.
        net: of CoCoOp, `[N, D]` image features to `[N, W]`.
    """

    start: Tensor

    def __init__(self, start: Tensor, classes: tuple[str, ...], net: nn.Module | None) -> None:
        super().__init__()
        self.contexts = nn.Parameter(torch.zeros_like(start))
        self.register_buffer("start", start, persistent=False)
        self.net, self.classes = net, classes
        self.places = {name: i for i, name in enumerate(classes)}
        self._found: dict[str, Places] = {}

    def now(self) -> Tensor:
        """`[1 or C, M, W]`."""
        return self.start + self.contexts

    def shift(self, features: Tensor) -> Tensor:
        """`[N, W]` of `[N, D]` unit image features."""
        if self.net is None:
            raise InputError("these contexts do not depend on the image")
        made: Tensor = self.net(features)
        return made

    def find(self, encoder: Tunable, position: str, texts: Sequence[str]) -> Placed:
        """Tokens and places of N texts."""
        if position not in self._found:
            self._found[position] = Places(encoder, self.start.shape[1], position)
        return self._found[position].find(texts)

    def read(
        self,
        encoder: Tunable,
        position: str,
        texts: Sequence[str],
        contexts: Tensor,
        *,
        each: bool = False,
    ) -> Tensor:
        """`[N, D]` of N texts with contexts `[N or 1, M, W]`; with `each` `[K, N, D]` of K."""
        placed = self.find(encoder, position, texts)
        table, inputs = table_of(encoder), placed.inputs
        if not each:
            with encoder.text.embedded(placed.embeddings(table, contexts)):
                return encoder.text.forward(inputs)
        many = [placed.embeddings(table, own[None]) for own in contexts]
        repeated = {k: v.repeat(len(many), 1) for k, v in inputs.items()}
        with encoder.text.embedded(torch.cat(many)):
            found = encoder.text.forward(repeated)
        return found.reshape(len(many), len(texts), -1)


def zero(width: int, out: int) -> nn.Linear:
    """A linear map of everything to zero."""
    made = nn.Linear(width, out)
    nn.init.zeros_(made.weight)
    nn.init.zeros_(made.bias)
    return made
