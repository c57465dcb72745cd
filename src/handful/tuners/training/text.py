"""What training reads of the classes: their text features, or the way to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.tuners._tuned_encoder import TunerModule, encode_texts
from handful.tuners.training.recipe import Recipe


class TrainingText:
    """Prompts of C classes on their way through the tower that reads.

    Args:
        base: the encoder.
        parts: the tuners, those below and those that are learning.
        prompts: `C * P` texts.
        entry: the first block of the tower that training changes; None for none.
        recipe: how many classes are read at once.
    """

    def __init__(
        self,
        base: Tunable,
        parts: Sequence[TunerModule],
        prompts: ClassPrompts,
        entry: int | None,
        recipe: Recipe,
    ) -> None:
        self.base, self.parts, self.entry = base, parts, entry
        self.classes, self.texts = len(prompts.classes), prompts.texts
        self.chunk = (recipe.chunk or self.classes) * (len(self.texts) // self.classes)
        self._own = any(_reads(base, p, self.texts[0]) for p in parts)
        self._held: Tensor | None = None
        self._tokens = {} if self._own else base.tokens(self.texts)
        with torch.no_grad():
            if entry is None:
                self._held = encode_texts(base, parts, self.texts).float()
            elif entry >= 0 and not self._own:
                self._held = base.text.entering(self._tokens, entry).float()

    def weights(self) -> Tensor:
        """`[C, D]` unit rows, differentiable: the mean of a class's prompts, scaled to one."""
        places = torch.split(torch.arange(len(self.texts)), self.chunk)
        if len(places) > 1 and torch.is_grad_enabled():  # one chunk's activations at a time
            rows = [checkpoint(self._rows, part, use_reentrant=False) for part in places]
        else:
            rows = [self._rows(part) for part in places]
        each = normalize(torch.cat(rows).float(), dim=-1)
        return normalize(each.reshape(self.classes, -1, each.shape[-1]).mean(dim=1), dim=-1)

    def _rows(self, places: Tensor) -> Tensor:
        if self._held is not None and self.entry is None:
            return self._held[places]
        if self._own:
            return encode_texts(self.base, self.parts, [self.texts[i] for i in places.tolist()])
        tokens = {k: v[places] for k, v in self._tokens.items()}
        if self._held is None or self.entry is None:
            return self.base.text.forward(tokens)
        return self.base.text.resumed(self._held[places], tokens, self.entry)


def _reads(base: Tunable, part: TunerModule, text: str) -> bool:
    with torch.no_grad():
        return part.tuner._encode_texts(base, part.module, [text]) is not None
