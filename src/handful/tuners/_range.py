"""Which towers, and which of their blocks, a tuner changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from handful.encoders.towers import Block, Tower, Tunable
from handful.errors import InputError
from handful.tuners._base import Entry

TOWERS = ("vision", "text", "both")
_RANGE = re.compile(r"(\d+)(-)?(\d+)?")


def towers(encoder: Tunable, which: str) -> list[Tower]:
    """The towers that `which` names.

    Raises:
        InputError: another word.
    """
    if which not in TOWERS:
        raise InputError(f"expected towers {', '.join(TOWERS)}, got {which!r}")
    return [t for t in (encoder.vision, encoder.text) if which in (t.kind, "both")]


def indices(tower: Tower, blocks: str) -> list[int]:
    """Places of blocks, the first is 0: `all`, `upper` (the upper half), `10`, `6-11` or `6-`.

    Raises:
        InputError: a range that the tower does not have, or words that are none.

    >>> from types import SimpleNamespace
    >>> indices(SimpleNamespace(kind="vision", blocks=(None,) * 4), "upper")
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
    last = int(match[3]) if match[3] else (count - 1 if match[2] else first)
    if not first <= last < count:
        raise InputError(
            f"the {tower.kind} tower has {count} blocks, 0 to {count - 1}; got {blocks!r}"
        )
    return list(range(first, last + 1))


def chosen(encoder: Tunable, which: str, blocks: str) -> Iterator[tuple[Tower, int, Block]]:
    """Tower, place and block of everything that is to be changed."""
    for tower in towers(encoder, which):
        for place in indices(tower, blocks):
            yield tower, place, tower.blocks[place]


def entry(encoder: Tunable, which: str, blocks: str) -> Entry:
    """The first block that is changed in each tower."""
    first = {tower.kind: indices(tower, blocks)[0] for tower in towers(encoder, which)}
    return Entry(first.get("vision"), first.get("text"))
