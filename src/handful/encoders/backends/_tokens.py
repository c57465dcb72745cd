"""From texts to token ids, and which of them were cut to the window."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from handful.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from handful.encoders.families import Family

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(text: str) -> str:
    """Lower case, no punctuation, single spaces: what SigLIP was trained on.

    >>> canonical("A photo of a Cat-Fish, isn't it?")
    'a photo of a catfish isnt it'
    """
    return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


class TransformersTokens:
    """Tokenises as a family's processor of transformers does.

    Args:
        tokenizer: the library's tokenizer.
        family: the facts of the architecture.
        config: configuration of the text tower.
    """

    def __init__(self, tokenizer: Any, family: Family, config: Any) -> None:
        self.tokenizer, self.family = tokenizer, family
        if len(tokenizer) > int(config.vocab_size):
            raise InputError(
                f"the tokenizer knows {len(tokenizer)} tokens and the text tower "
                f"{config.vocab_size}; they do not belong together, download the checkpoint again"
            )
        positions = int(getattr(config, "max_position_embeddings", 0) or 77)
        limit = min(int(tokenizer.model_max_length), positions - family.offset)
        self.window = min(limit, family.window or limit)

    def encode(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], int | None]:
        """N texts to `input_ids` [N, L] (and a mask), and the first text that was cut, if any."""
        cleaned = [self.clean(t) for t in texts]
        out = self.tokenizer(
            cleaned,
            padding="max_length" if self.family.padded else True,
            max_length=self.window,
            truncation=True,
            return_tensors="pt",
        )
        # a padded family attends over its padding, as in training, so it gets no mask
        keys = ["input_ids"] if self.family.padded else ["input_ids", "attention_mask"]
        return {k: out[k] for k in keys if k in out}, self._first_cut(out, cleaned)

    def clean(self, text: str) -> str:
        """The text as the family's training data was cleaned."""
        if self.family.case == "canonical":
            return canonical(text)
        return text.lower() if self.family.case == "lower" else text

    def _first_cut(self, out: Any, cleaned: Sequence[str]) -> int | None:
        encodings = getattr(out, "encodings", None)
        if encodings:
            return next((i for i, e in enumerate(encodings) if e.overflowing), None)
        lengths = (len(self.tokenizer(text)["input_ids"]) for text in cleaned)
        return next((i for i, length in enumerate(lengths) if length > self.window), None)


class OpenClipTokens:
    """Tokenises as open_clip does, always padded to the window.

    Args:
        tokenizer: the library's tokenizer.
        vocabulary: size of the text tower's token table; 0 if unknown.
        name: of the encoder, for errors.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, name: str) -> None:
        self.tokenizer, self.vocabulary, self.name = tokenizer, vocabulary, name
        self.window = int(tokenizer.context_length)
        self._inner = getattr(tokenizer, "tokenizer", None)  # of transformers, where there is one
        # this mode of SigLIP 2 ends each text with a token of its own
        self._clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"

    def encode(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], int | None]:
        """N texts to `input_ids` [N, L], and the first text that was cut, if any."""
        tokens: Tensor = self.tokenizer(list(texts))
        if self.vocabulary and int(tokens.max()) >= self.vocabulary:
            raise InputError(
                f"{self.name}: the tokenizer gives token {int(tokens.max())} and the text tower "
                f"knows {self.vocabulary}; they do not belong together"
            )
        return {"input_ids": tokens}, self._first_cut(texts, tokens)

    def _first_cut(self, texts: Sequence[str], tokens: Tensor) -> int | None:
        """The library cuts without a report, so texts that fill the window are measured again."""
        padding = 0 if self._inner is None else self._inner.pad_token_id
        for i, text in enumerate(texts):
            padded = int(tokens[i, -1]) == padding and int(tokens[i, -2]) == padding
            if (self._clips or not padded) and self._length(text) > tokens.shape[1]:
                return i
        return None

    def _length(self, text: str) -> int:
        """Tokens of a text before it is cut, with those at its beginning and end."""
        if self._inner is None:
            return len(self.tokenizer.encode(text)) + 2
        cleaned = self.tokenizer.clean_fn(text)
        if self._clips:
            return len(self._inner(cleaned, add_special_tokens=False, verbose=False).input_ids) + 3
        return len(self._inner(cleaned, verbose=False).input_ids)
