"""Spaces: which rows may be compared with each other, and the keys that name them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from handful.data.decoding import VERSION
from handful.errors import InputError

DAY = 86_400.0  # seconds


def space(fingerprint: str, precision: str, views: int = 1, seed: int = 0) -> str:
    """The key of a space of features; the seed only counts where an image has several views.

    The decoder's version is part of it: another makes other pixels of some files.

    >>> space("model:clip weights:0f", "bfloat16", views=10, seed=1)
    'model:clip weights:0f precision:bfloat16 decoder:2 views:10 seed:1'
    """
    key = f"{fingerprint} precision:{precision} decoder:{VERSION}"
    return key if views == 1 else f"{key} views:{views} seed:{seed}"


def activation_space(
    fingerprint: str,
    precision: str,
    block: int,
    *,
    tower: str = "vision",
    augmentation: str = "none",
    view: int = 0,
    seed: int = 0,
) -> str:
    """The key of a space of activations; view 0 is the image as it is, whatever the others are.

    >>> activation_space("model:clip weights:0f", "float32", 10)
    'model:clip weights:0f precision:float32 decoder:2 tower:vision block:10'
    """
    key = f"{fingerprint} precision:{precision} decoder:{VERSION} tower:{tower} block:{block}"
    return key if view == 0 else f"{key} augmentation:{augmentation} view:{view} seed:{seed}"


@dataclass(frozen=True)
class Space:
    """What a store holds of one space.

    Args:
        space: the key.
        encoder: name of the encoder, `""` where none was given.
        shape: of one row: `(D,)` of features, the shape that enters the block of activations.
        count: rows that can be found.
        filled: rows that the space's own file has room for; 0 where rows lie in the index.
        used: when it was last used, in seconds since 1970, to about `Store.fresh` seconds.
        number: of the space in the index, and of its file.
    """

    space: str
    encoder: str
    shape: tuple[int, ...]
    count: int
    filled: int
    used: float
    number: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of float32."""
        return 4 * math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all rows; a file may have room for rows that can no longer be found."""
        return self.row_bytes * max(self.filled, self.count)

    @property
    def precision(self) -> str:
        """What the encoder computed in."""
        return self.part("precision")

    @property
    def views(self) -> int:
        """How many augmented views were averaged into a row of features."""
        return int(self.part("views") or 1)

    @property
    def dim(self) -> int:
        """Width of the last axis, D."""
        return self.shape[-1]

    def part(self, name: str) -> str:
        """The value of `name:value` in the key, such as of `block`; `""` where it has none."""
        parts = (part.partition(":") for part in self.space.split())
        return next((value for key, _, value in parts if key == name), "")

    def matches(self, wanted: str) -> bool:
        """Whether `wanted` is its key, its encoder's name, or one `name:value` of its key."""
        return wanted in (self.space, self.encoder, *self.space.split())


def named(spaces: Sequence[Space], wanted: str) -> list[Space]:
    """The spaces that match `wanted`, see `Space.matches`.

    Raises:
        InputError: none does; with what there is.
    """
    found = [space for space in spaces if space.matches(wanted)]
    if not found:
        known = ", ".join(sorted({each.encoder or each.space for each in spaces})) or "none"
        raise InputError(f"the store holds nothing called {wanted!r}; known: {known}")
    return found


def unwanted(spaces: Sequence[Space], wanted: str | None, unused_days: float | None) -> list[Space]:
    """The spaces that match `wanted`, and those that were not used for so many days."""
    found = [] if wanted is None else named(spaces, wanted)
    if unused_days is not None:
        oldest = time.time() - unused_days * DAY
        found += [space for space in spaces if space.used < oldest and space not in found]
    return found
