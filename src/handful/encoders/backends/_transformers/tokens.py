"""From texts to token ids, with each family's own facts."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from handful.errors import InputError

if TYPE_CHECKING:
    import torch

    from handful.encoders.families import Family

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(text: str) -> str:
    """Lower case, no punctuation, single spaces: what SigLIP was trained on.

    >>> canonical("A photo of a Cat-Fish, isn't it?")
    'a photo of a catfish isnt it'
    """
    return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


class Texts:
    """Cuts texts into tokens as a family's processor does.

    Args:
        tokenizer: the library's tokenizer.
        family: the facts of the architecture.
        config: configuration of the text tower.
    """

    def __init__(self, tokenizer: Any, family: Family, config: Any) -> None:
        self.tokenizer = tokenizer
        self.family = family
        if len(tokenizer) > int(config.vocab_size):
            raise InputError(
                f"the tokenizer knows {len(tokenizer)} tokens and the text tower "
                f"{config.vocab_size}; they do not belong together, download the checkpoint again"
            )
        positions = int(getattr(config, "max_position_embeddings", 0) or 77)
        limit = min(int(tokenizer.model_max_length), positions - family.offset)
        self.window = min(limit, family.window or limit)

    def tokens(self, texts: Sequence[str]) -> tuple[dict[str, torch.Tensor], int | None]:
        """N texts to `input_ids` [N, L] (and a mask), and the first text that was cut, if any."""
        read = [self._clean(t) for t in texts]
        out = self.tokenizer(
            read,
            padding="max_length" if self.family.padded else True,
            max_length=self.window,
            truncation=True,
            return_tensors="pt",
        )
        keys = ["input_ids"] if self.family.padded else ["input_ids", "attention_mask"]
        return {k: out[k] for k in keys if k in out}, self._first_cut(out, read)

    def _clean(self, text: str) -> str:
        if self.family.case == "canonical":
            return canonical(text)
        return text.lower() if self.family.case == "lower" else text

    def _first_cut(self, out: Any, read: Sequence[str]) -> int | None:
        encodings = getattr(out, "encodings", None)
        if encodings:
            return next((i for i, e in enumerate(encodings) if e.overflowing), None)
        lengths = (len(self.tokenizer(text)["input_ids"]) for text in read)
        return next((i for i, length in enumerate(lengths) if length > self.window), None)
