"""Which texts do not fit into the window; the library cuts them without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor


def first_cut(tokenizer: Any, texts: Sequence[str], tokens: Tensor) -> int | None:
    """The place of the first text that lost its end.

    Args:
        tokenizer: the library's.
        texts: N texts.
        tokens: `[N, L]`, what the tokenizer made of them.
    """
    inner = getattr(tokenizer, "tokenizer", None)
    padding = 0 if inner is None else inner.pad_token_id
    clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"  # ends with a token of its own
    for i, text in enumerate(texts):
        if not clips and int(tokens[i, -1]) == padding and int(tokens[i, -2]) == padding:
            continue  # padded, so all of it is there
        if _length(tokenizer, inner, text, clips=clips) > tokens.shape[1]:
            return i
    return None


def _length(tokenizer: Any, inner: Any, text: str, *, clips: bool) -> int:
    if inner is None:
        return len(tokenizer.encode(text)) + 2
    cleaned = tokenizer.clean_fn(text)
    if clips:
        return len(inner(cleaned, add_special_tokens=False, verbose=False)["input_ids"]) + 3
    return len(inner(cleaned, verbose=False)["input_ids"])
