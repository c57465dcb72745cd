"""Context tokens: learned vectors in place of words, and their positions among a text's tokens.

The marker `[V]` in a text stands for the M contexts. It is replaced by M placeholder words, and
the tokens that differ between two placeholders are the contexts' positions, so every tokenizer
serves. Tower and tokenizer get an ordinary text; only the placeholders' embeddings are replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tunable
from handful.errors import InputError

MARKER = "[V]"
POSITIONS = {"end": "[V] {}.", "middle": "[V] {} [V].", "front": "{} [V]."}
# Pairs of short words; in most tokenizers the words of at least one pair are one token each.
_PAIRS = (("x", "y"), ("a", "the"), ("of", "the"), ("A", "B"), ("cat", "dog"), ("1", "2"))
_MAX_WORD_TOKENS = 32  # of the words that contexts are initialised with
_CACHED_BATCHES = 64  # tokenized batches of texts that are kept


@dataclass(frozen=True, eq=False)
class TokenizedPrompts:
    """Tokens of N texts and the positions of the M contexts among them.

    Args:
        inputs: of the text tower, the first of them `[N, L]` token ids.
        rows: `[N * M]` indices of texts.
        columns: `[N * M]` positions in them, from left to right.
    """

    inputs: Mapping[str, Tensor]
    rows: Tensor
    columns: Tensor

    def embeddings(self, table: nn.Module, contexts: Tensor) -> Tensor:
        """`[N, L, W]` of the embedding table, with contexts `[N or 1, M, W]` in their places."""
        ids = self.inputs["input_ids"]
        with torch.no_grad():
            base: Tensor = table(ids)
        values = contexts.expand(len(ids), *contexts.shape[1:]).flatten(0, 1)
        return base.index_put((self.rows, self.columns), values.to(base.dtype))


class ContextLocator:
    """Tokenizes texts with contexts for one encoder, and keeps the result.

    Args:
        encoder: whose tokenizer it is.
        length: M.
        position: of the contexts, a key of `POSITIONS`.
    """

    def __init__(self, encoder: Tunable, length: int, position: str) -> None:
        self.encoder, self.length = encoder, length
        self.template = POSITIONS[position]
        self._cached = lru_cache(_CACHED_BATCHES)(self._tokenize)

    @cached_property
    def placeholders(self) -> tuple[str, str]:
        """Two words of one token each."""
        return _placeholders(self.encoder)

    def tokenize(self, texts: Sequence[str]) -> TokenizedPrompts:
        """Tokens and context positions of N texts that hold the marker.

        Raises:
            InputError: a text with more or fewer markers than the position has, or one that does
                not fit into the window.
        """
        return self._cached(tuple(texts))

    def _tokenize(self, texts: Sequence[str]) -> TokenizedPrompts:
        markers = self.template.count(MARKER)
        for text in texts:
            if text.count(MARKER) != markers:
                raise InputError(
                    f"{text!r}: expected {MARKER} {markers} time(s), as in {self.template!r}, got "
                    f"it {text.count(MARKER)} time(s); it stands for the contexts and may be in no "
                    "class name"
                )
        # how many of the contexts stand at each marker
        half = self.length // 2
        counts = (self.length,) if markers == 1 else (half, self.length - half)
        inputs, is_context = self._compare(texts, counts)
        self._check_window(texts, inputs["input_ids"], is_context, counts)
        rows, columns = is_context.nonzero(as_tuple=True)
        return TokenizedPrompts(inputs, rows, columns)

    def _compare(
        self, texts: Sequence[str], counts: Sequence[int]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs of the tower, and `[N, L]` True where a placeholder is."""
        both = [_substituted(text, word, counts) for word in self.placeholders for text in texts]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of texts that are cut: _check_window
            inputs = self.encoder.tokens(both)
        one, other = inputs["input_ids"].chunk(2)
        return {k: v[: len(texts)] for k, v in inputs.items()}, one != other

    def _check_window(
        self, texts: Sequence[str], ids: Tensor, is_context: Tensor, counts: Sequence[int]
    ) -> None:
        """Refuse texts that were cut: they must end as the same text with fewer contexts does.

        Tokenizers cut in silence, some keeping the end-of-text token, so the length alone does not
        tell; a text with fewer placeholders leaves more room and shows how the text really ends.
        """
        few = [1] * len(counts) if self.length > len(counts) else [2] * len(counts)
        others, is_few = self._compare(texts, few)
        wanted, found = sum(few), is_context.sum(dim=1).tolist()
        versions = [(ids, is_context), (others["input_ids"], is_few)]
        short, long = versions if sum(few) > self.length else versions[::-1]
        cut = []
        for i, text in enumerate(texts):
            if found[i] > self.length:
                raise InputError(
                    f"{text!r}: the tokenizer of {self.encoder.name} joins the contexts with the "
                    "words beside them; put them at another position"
                )
            complete = found[i] == self.length and int(is_few[i].sum()) == wanted
            end = _suffix(*short, i, strip=True) if complete else []
            if not complete or _suffix(*long, i)[: len(end)] != end:
                cut.append(text)
        if cut:
            window = max(ids.shape[1], others["input_ids"].shape[1])
            raise InputError(
                f"{max(cut, key=len)!r}: with {self.length} contexts in the place of {MARKER} it "
                f"is longer than the text window of {self.encoder.name}, {window} tokens; give a "
                "smaller length, fewer words to begin with, or a shorter class name"
            )


def check_names(encoder: Tunable, names: Sequence[str]) -> None:
    """Refuse class names that would leave a prompt without the class.

    Raises:
        InputError: a name without tokens, or one with the marker in it.
    """
    marked = [name for name in names if MARKER in name]
    if marked:
        raise InputError(
            f"the class name {marked[0]!r} holds {MARKER}, which stands for the contexts; give "
            "that class other words (--classes)"
        )
    ids = encoder.tokens([*names, ""])["input_ids"]
    empty = (ids[:-1] == ids[-1:]).all(dim=1).tolist()
    for name, is_empty in zip(names, empty, strict=True):
        if is_empty:
            raise InputError(
                f"the class name {name!r} has no token in the tokenizer of {encoder.name}, so "
                "the class could not be told from others; give it other words (--classes)"
            )


def embedded_words(encoder: Tunable, words: str) -> Tensor:
    """`[M, W]` embeddings of the M tokens of words, as they are before a class name.

    Raises:
        InputError: words that the tokenizer does not cut like as many placeholders.
    """
    pair = _placeholders(encoder)
    words_only = " ".join(words.split())
    # M is not known: try the counts that are possible until only the words' tokens differ
    for m in range(len(words_only.split()), min(_MAX_WORD_TOKENS, len(words_only.encode())) + 1):
        prefixes = (words_only, *(" ".join([word] * m) for word in pair))
        ids, one, other = encoder.tokens([f"{prefix} cat." for prefix in prefixes])["input_ids"]
        is_context = one != other
        if int(is_context.sum()) == m and torch.equal(ids[~is_context], one[~is_context]):
            with torch.no_grad():
                found: Tensor = token_embedding(encoder)(ids[is_context]).clone()
            return found
    raise InputError(
        f"the contexts cannot begin as {words!r}: the tokenizer of {encoder.name} does not cut it "
        f"into 1 to {_MAX_WORD_TOKENS} tokens before a class name; use other words, or length=4"
    )


def token_embedding(encoder: Tunable) -> nn.Module:
    """The table of token embeddings.

    Raises:
        InputError: the text tower has none.
    """
    if not encoder.text.token_embedding:
        raise InputError(
            f"{encoder.name}: its text tower has no table of token embeddings that is known to "
            "Handful, so contexts have no place in it; use the tuner lora, norm or block"
        )
    return encoder.text.module(encoder.text.token_embedding)


def _placeholders(encoder: Tunable) -> tuple[str, str]:
    """Two words that are one token each, preferably a pair without tokens for the spaces."""
    spaced = None
    for pair in _PAIRS:
        ids = encoder.tokens([" ".join([word] * 3) + " cat." for word in pair])["input_ids"]
        positions = (ids[0] != ids[1]).nonzero().flatten().tolist()
        if len(positions) == 3:
            if positions[2] - positions[0] == 2:
                return pair
            spaced = spaced or pair
    if spaced is None:
        raise InputError(
            f"{encoder.name}: no two words that its tokenizer reads as one token each, so contexts "
            "have no place in it; use the tuner lora, norm or block"
        )
    return spaced


def _substituted(text: str, word: str, counts: Sequence[int]) -> str:
    """The text with so many placeholder words at each marker."""
    for count in counts:
        text = text.replace(MARKER, " ".join([word] * count), 1)
    return text


def _suffix(ids: Tensor, is_context: Tensor, row: int, *, strip: bool = False) -> list[int]:
    """The tokens after the last context; with `strip` without the padding at the end."""
    last = int(is_context[row].nonzero().max())
    found: list[int] = ids[row, last + 1 :].tolist()
    if strip and found:
        padding = found[-1]
        while found and found[-1] == padding:
            found.pop()
    return found
