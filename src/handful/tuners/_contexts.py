"""Learned vectors in the place of words: where they stand among a text's tokens.

A marker in a text stands for them. It is written as so many placeholder words, and the tokens that
change with the placeholder are the places, so every tokenizer serves. Tower and tokenizer see an
ordinary text; only the placeholders' embeddings are others.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tunable
from handful.errors import InputError

MARKER = "[V]"
POSITIONS = {"end": "[V] {}.", "middle": "[V] {} [V].", "front": "{} [V]."}
_PAIRS = (("x", "y"), ("a", "the"), ("of", "the"), ("A", "B"), ("cat", "dog"), ("1", "2"))
_LONGEST = 32  # tokens that words to begin with may have
_HELD = 64  # batches of texts that are remembered


@dataclass(frozen=True, eq=False)
class Placed:
    """Tokens of N texts and where the M contexts stand in them.

    Args:
        inputs: of the tower that reads, the first of them `[N, L]` token ids.
        rows: `[N * M]` texts.
        columns: `[N * M]` places in them, from left to right.
    """

    inputs: Mapping[str, Tensor]
    rows: Tensor
    columns: Tensor

    def embeddings(self, table: nn.Module, contexts: Tensor) -> Tensor:
        """`[N, L, W]`, the contexts `[N or 1, M, W]` put into what the table says of the tokens."""
        ids = self.inputs["input_ids"]
        with torch.no_grad():
            base: Tensor = table(ids)
        values = contexts.expand(len(ids), *contexts.shape[1:]).flatten(0, 1)
        return base.index_put((self.rows, self.columns), values.to(base.dtype))


class Places:
    """Finds the places of contexts for one encoder, and remembers them.

    Args:
        encoder: whose tokenizer it is.
        length: M.
        position: where contexts stand, of `POSITIONS`.
    """

    def __init__(self, encoder: Tunable, length: int, position: str) -> None:
        self.encoder, self.length = encoder, length
        self.template = POSITIONS[position]
        self.pair = _placeholders(encoder)
        self._held: dict[tuple[str, ...], Placed] = {}

    def find(self, texts: Sequence[str]) -> Placed:
        """The places in N texts that hold the marker.

        Raises:
            InputError: a text with more or fewer markers than the position has, or one that does
                not fit into the window.
        """
        key = tuple(texts)
        if key not in self._held:
            if len(self._held) >= _HELD:
                self._held.clear()
            self._held[key] = self._find(key)
        return self._held[key]

    def _find(self, texts: Sequence[str]) -> Placed:
        markers = self.template.count(MARKER)
        for text in texts:
            if text.count(MARKER) != markers:
                raise InputError(
                    f"{text!r}: expected {MARKER} {markers} time(s), as in {self.template!r}, got "
                    f"it {text.count(MARKER)} time(s); it stands for the contexts and may be in no "
                    "class name"
                )
        counts = _split(self.length, markers)
        inputs, places = self._tokens(texts, counts)
        self._check(texts, inputs["input_ids"], places, counts)
        rows, columns = places.nonzero(as_tuple=True)
        return Placed(inputs, rows, columns)

    def _tokens(
        self, texts: Sequence[str], counts: Sequence[int]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs of the tower, and `[N, L]` True where a placeholder is."""
        both = [_written(text, word, counts) for word in self.pair for text in texts]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of texts that are cut; see _check
            inputs = self.encoder.tokens(both)
        one, other = inputs["input_ids"].chunk(2)
        return {k: v[: len(texts)] for k, v in inputs.items()}, one != other

    def _check(
        self, texts: Sequence[str], ids: Tensor, places: Tensor, counts: Sequence[int]
    ) -> None:
        """Refuse texts whose end was cut: it must be the end that fewer contexts leave."""
        few = [1] * len(counts) if self.length > len(counts) else [2] * len(counts)
        others, at = self._tokens(texts, few)
        wanted, found = sum(few), places.sum(dim=1).tolist()
        versions = [(ids, places), (others["input_ids"], at)]
        short, long = versions if sum(few) > self.length else versions[::-1]
        cut = []
        for i, text in enumerate(texts):
            if found[i] > self.length:
                raise InputError(
                    f"{text!r}: the tokenizer of {self.encoder.name} joins the contexts with the "
                    "words beside them; put them at another position"
                )
            complete = found[i] == self.length and int(at[i].sum()) == wanted
            end = _end(*short, i, strip=True) if complete else []
            if not complete or _end(*long, i)[: len(end)] != end:
                cut.append(text)
        if cut:
            window = max(ids.shape[1], others["input_ids"].shape[1])
            raise InputError(
                f"{max(cut, key=len)!r}: with {self.length} contexts in the place of {MARKER} it "
                f"is longer than the text window of {self.encoder.name}, {window} tokens; give a "
                "smaller length, fewer words to begin with, or a shorter class name"
            )


def check_names(encoder: Tunable, names: Sequence[str]) -> None:
    """Refuse class names of which nothing would be left.

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
    for name, nothing in zip(names, empty, strict=True):
        if nothing:
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
    said = " ".join(words.split())
    for m in range(len(said.split()), min(_LONGEST, len(said.encode())) + 1):
        texts = [f"{begun} cat." for begun in (said, *(" ".join([word] * m) for word in pair))]
        ids, one, other = encoder.tokens(texts)["input_ids"]
        places = one != other
        if int(places.sum()) == m and torch.equal(ids[~places], one[~places]):
            with torch.no_grad():
                found: Tensor = table_of(encoder)(ids[places]).clone()
            return found
    raise InputError(
        f"the contexts cannot begin as {words!r}: the tokenizer of {encoder.name} does not cut it "
        f"into 1 to {_LONGEST} tokens before a class name; use other words, or length=4"
    )


def table_of(encoder: Tunable) -> nn.Module:
    """The table of token embeddings.

    Raises:
        InputError: the tower that reads has none.
    """
    if not encoder.text.token_embedding:
        raise InputError(
            f"{encoder.name}: its text tower has no table of token embeddings that is known to "
            "Handful, so contexts have no place in it; use the tuner lora, norm or block"
        )
    return encoder.text.module(encoder.text.token_embedding)


def _placeholders(encoder: Tunable) -> tuple[str, str]:
    """Two words that are one token each; rather such as leave no token between them."""
    rest = None
    for pair in _PAIRS:
        ids = encoder.tokens([" ".join([word] * 3) + " cat." for word in pair])["input_ids"]
        places = (ids[0] != ids[1]).nonzero().flatten().tolist()
        if len(places) == 3:
            if places[2] - places[0] == 2:
                return pair
            rest = rest or pair
    if rest is None:
        raise InputError(
            f"{encoder.name}: no two words that its tokenizer reads as one token each, so contexts "
            "have no place in it; use the tuner lora, norm or block"
        )
    return rest


def _split(length: int, markers: int) -> tuple[int, ...]:
    """How many of the contexts stand at each marker."""
    return (length,) if markers == 1 else (length // 2, length - length // 2)


def _written(text: str, word: str, counts: Sequence[int]) -> str:
    for count in counts:
        text = text.replace(MARKER, " ".join([word] * count), 1)
    return text


def _end(ids: Tensor, places: Tensor, row: int, *, strip: bool = False) -> list[int]:
    """The tokens after the last context, on request without the run of equal ones at the end."""
    last = int(places[row].nonzero().max())
    found: list[int] = ids[row, last + 1 :].tolist()
    if strip and found:
        final = found[-1]
        while found and found[-1] == final:
            found.pop()
    return found
