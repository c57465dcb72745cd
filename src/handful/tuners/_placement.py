"""Which towers, and which of their blocks, a tuner changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handful.encoders.towers import Block, Tower, Tunable
from handful.errors import InputError
from handful.tuners._base import FirstChanged
from handful.tuners._validation import check_option

TOWERS = ("vision", "text", "both")
_RANGE = re.compile(r"(\d+)(-)?(\d+)?")


def select_towers(encoder: Tunable, which: str) -> list[Tower]:
    """The towers that `which` names.

    Raises:
        InputError: another word.
    """
    check_option("towers", which, TOWERS)
    return [t for t in (encoder.vision, encoder.text) if which in (t.kind, "both")]


def block_indices(tower: Tower, blocks: str) -> list[int]:
    """Indices from 0: `all`, `upper` (the upper half), `10`, `6-11` or `6-` (to the last one).

    Raises:
        InputError: a range that the tower does not have, or words that are none.

    >>> from types import SimpleNamespace
    >>> block_indices(SimpleNamespace(kind="vision", blocks=(None,) * 4), "upper")
    [2, 3]
    """
    count = len(tower.blocks)
    if not count:
        raise InputError(
            f"the {tower.kind} tower has no blocks that Handful knows how to change; choose the "
            "other tower, or the tuner norm, projection or full"
        )
    if blocks in ("all", "upper"):
        return list(range(count // 2 if blocks == "upper" else 0, count))
    match = _RANGE.fullmatch(str(blocks).strip())
    if match is None:
        raise InputError(f"expected blocks such as all, upper, 6-11, 6- or 10, got {blocks!r}")
    first = int(match[1])
    # `6-11`, else `6-` to the last block, else `10` alone
    last = int(match[3]) if match[3] else (count - 1 if match[2] else first)
    if not first <= last < count:
        raise InputError(
            f"the {tower.kind} tower has {count} blocks, 0 to {count - 1}; got {blocks!r}"
        )
    return list(range(first, last + 1))


def target_blocks(encoder: Tunable, which: str, blocks: str) -> Iterator[tuple[Tower, int, Block]]:
    """Tower, index and block of everything that is to be changed."""
    for tower in select_towers(encoder, which):
        for index in block_indices(tower, blocks):
            yield tower, index, tower.blocks[index]


def first_changed(encoder: Tunable, which: str, blocks: str) -> FirstChanged:
    """The first block that is changed in each tower."""
    towers = select_towers(encoder, which)
    return FirstChanged(**{t.kind: block_indices(t, blocks)[0] for t in towers})
