"""The classes of a training: their text features, or their way through the text tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.tuners._tuned_encoder import TEXT_BATCH, TunerModule, encode_texts
from handful.tuners.training.recipe import Recipe


class TrainingText:
    """Prompts of C classes, and the part of the text tower that they still have to pass.

    Args:
        base: the encoder.
        modules: the tuners, those below and those that are learning.
        prompts: `C * P` texts.
        block: the first block of the text tower that training changes; None for none.
        recipe: how many classes are encoded at once.
    """

    def __init__(
        self,
        base: Tunable,
        modules: Sequence[TunerModule],
        prompts: ClassPrompts,
        block: int | None,
        recipe: Recipe,
    ) -> None:
        self.base, self.modules, self.block = base, modules, block
        self.classes, self.texts = len(prompts.classes), prompts.texts
        self.chunk = (recipe.chunk or self.classes) * (len(self.texts) // self.classes)
        with torch.no_grad():
            own = (m.tuner._encode_texts(base, m.module, self.texts[:1]) for m in modules)
            self._own_way = any(rows is not None for rows in own)
            self._tokens = {} if self._own_way else base.tokens(self.texts)
            self._values: Tensor | None = None  # `[C * P, ...]` computed once
            if block is None:
                self._values = encode_texts(base, modules, self.texts).float()
            elif block >= 0 and not self._own_way:
                self._values = base.text.forward_until(self._tokens, block).float()

    def weights(self) -> Tensor:
        """`[C, D]` unit rows, differentiable: the mean of a class's prompts, scaled to one."""
        chunks = torch.split(torch.arange(len(self.texts)), self.chunk)
        if len(chunks) > 1 and torch.is_grad_enabled():  # one chunk's activations at a time
            rows = [checkpoint(self._rows, chunk, use_reentrant=False) for chunk in chunks]
        else:
            rows = [self._rows(chunk) for chunk in chunks]
        return _class_means(torch.cat(rows), self.classes)

    def _rows(self, chunk: Tensor) -> Tensor:
        if self._values is not None and self.block is None:
            return self._values[chunk]
        if self._own_way:
            return encode_texts(self.base, self.modules, [self.texts[i] for i in chunk.tolist()])
        tokens = {k: v[chunk] for k, v in self._tokens.items()}
        if self._values is None or self.block is None:
            return self.base.text.forward(tokens)
        return self.base.text.forward_from(self._values[chunk], tokens, self.block)


def encode_classes(base: Tunable, modules: Sequence[TunerModule], text: ClassPrompts) -> Tensor:
    """`[C, D]` unit rows as the encoder encodes the classes now; no gradient."""
    with torch.no_grad():
        starts = range(0, len(text.texts), TEXT_BATCH)
        rows = [encode_texts(base, modules, text.texts[i : i + TEXT_BATCH]) for i in starts]
        return _class_means(torch.cat(rows), len(text.classes))


def _class_means(rows: Tensor, classes: int) -> Tensor:
    """`[C * P, D]` to `[C, D]` unit rows, the mean direction of each class's P prompts."""
    unit = normalize(rows.float(), dim=-1)
    return normalize(unit.reshape(classes, -1, unit.shape[-1]).mean(dim=1), dim=-1)
