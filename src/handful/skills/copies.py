"""Copies and contradictions among labelled images: each picture counts once, under one label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import ImageRef
from handful.errors import ImageError, InputError

REFUSE, DROP = "refuse", "drop"  # what to do where one picture has two labels
_SHOWN = 3


@dataclass(frozen=True)
class Counted:
    """Which of N labelled images count: each picture once.

    Args:
        rows: positions that count, ascending: the first image of each picture.
        repeated: positions of further copies under the same label, ascending.
        torn: positions of the copies of each picture that has several labels.
    """

    rows: tuple[int, ...]
    repeated: tuple[int, ...]
    torn: tuple[tuple[int, ...], ...]

    @property
    def contradictory(self) -> tuple[int, ...]:
        """Positions of all pictures that have several labels, ascending."""
        return tuple(sorted(i for rows in self.torn for i in rows))


def count_once(pictures: Sequence[Hashable], labels: Sequence[Hashable]) -> Counted:
    """The first image of each picture; none of a picture whose labels differ.

    Args:
        pictures: N digests, or other keys that are equal for copies alone.
        labels: N labels, or tuples of labels.

    >>> found = count_once(["a", "a", "b", "c", "c"], [0, 0, 1, 0, 1])
    >>> found.rows, found.repeated, found.contradictory
    ((0, 2), (1,), (3, 4))
    """
    found: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(pictures):
        found[key].append(i)
    torn, alike = list[tuple[int, ...]](), list[tuple[int, ...]]()
    for rows in found.values():
        (torn if len({labels[i] for i in rows}) > 1 else alike).append(tuple(rows))
    repeated = sorted(i for rows in alike for i in rows[1:])
    return Counted(tuple(rows[0] for rows in alike), tuple(repeated), tuple(torn))


def label_keys(targets: NDArray[Any]) -> list[Hashable]:
    """N labels that can be compared, of `[N]` columns or of `[N, C]` rows of 0 and 1."""
    return [tuple(np.atleast_1d(row).tolist()) for row in targets]


@dataclass(frozen=True)
class Copies:
    """Images that are byte for byte the same.

    Args:
        kept: positions of the images that count, ascending: the first of each picture.
        repeated: names of further copies under the same label; the first one counts.
        dropped: names of pictures with several labels, all of their copies.
        torn: the positions of these, those of one picture together.
    """

    kept: tuple[int, ...]
    repeated: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    torn: tuple[tuple[int, ...], ...] = ()


def find_copies(
    images: Sequence[ImageRef], labels: Sequence[Hashable], on_conflict: str = REFUSE
) -> Copies:
    """Let each picture count once; refuse one that has several labels, or leave it out.

    Only files of one size are read, for others cannot be equal. An image that cannot be read is
    equal to none; it is reported where it is decoded.

    Args:
        images: N images.
        labels: N labels, or tuples of labels.
        on_conflict: `refuse`, or `drop`: leave out all copies of a picture with several labels.

    Raises:
        InputError: a picture with several labels, where they are refused; names its files.
    """
    check_on_conflict(on_conflict)
    keys: list[Hashable] = [*range(len(images))]  # equal to none
    for i in _of_equal_size(images):
        with suppress(ImageError):
            keys[i] = images[i].digest()
    found = count_once(keys, labels)
    if found.torn and on_conflict == REFUSE:
        raise InputError(conflict_message([_told(images, labels, rows) for rows in found.torn]))
    repeated, dropped = (
        tuple(images[i].name for i in rows) for rows in (found.repeated, found.contradictory)
    )
    return Copies(found.rows, repeated, dropped, found.torn)


def check_not_emptied(found: Copies, labels: Sequence[Hashable], classes: Sequence[str]) -> None:
    """Refuse that no photo of a class is left once pictures with several labels are dropped.

    Args:
        found: the copies among N images.
        labels: their N labels, or tuples of labels.
        classes: names of the classes; other labels may be left without photos.

    Raises:
        InputError: of a class none is left; says under which labels its photos are too.
    """
    left = {name for i in found.kept for name in _names(labels[i])}
    told: dict[str, tuple[int, set[str]]] = {}
    for rows in found.torn:
        there = [name for i in rows for name in _names(labels[i])]
        for name in {*there} & {*classes} - left:
            count, others = told.get(name, (0, set()))
            told[name] = (count + there.count(name), others | ({*there} - {name}))
    if told:
        lost = [
            f"all {count} photos of {name} are in {' and '.join(sorted(others))} too"
            for name, (count, others) in sorted(told.items())
        ]
        raise InputError(
            f"{'; '.join(lost[:_SHOWN])}, byte for byte, so --on-conflict drop leaves none of "
            "them; take the wrong copies out"
        )


def _names(label: Hashable) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)


def check_on_conflict(on_conflict: str) -> None:
    """Refuse a word that says nothing about conflicts.

    Raises:
        InputError: neither `refuse` nor `drop`.
    """
    if on_conflict not in (REFUSE, DROP):
        raise InputError(f"on_conflict: expected {REFUSE} or {DROP}, got {on_conflict!r}")


def conflict_message(told: Sequence[str]) -> str:
    """The words of an error about pictures with several labels.

    Args:
        told: of each picture its files with their labels.
    """
    count, more = len(told), len(told) - _SHOWN
    return (
        f"{count} photo{'s have' if count > 1 else ' has'} several labels, byte for byte the same "
        f"file: {'; '.join(told[:_SHOWN])}{f' and {more} more' if more > 0 else ''}; take the "
        "wrong file out, or leave all of them out with --on-conflict drop "
        "(Python: on_conflict='drop')"
    )


def _told(images: Sequence[ImageRef], labels: Sequence[Hashable], rows: Sequence[int]) -> str:
    """`Forest/1.jpg (Forest) and River/1.jpg (River)`: the first image of each label."""
    first = {labels[i]: images[i].name for i in reversed(rows)}
    parts = [f"{name} ({_shown(label)})" for label, name in first.items()]
    return " and ".join(reversed(parts))


def _shown(label: Hashable) -> str:
    return "|".join(label) or "no label" if isinstance(label, tuple) else str(label)


def _of_equal_size(images: Sequence[ImageRef]) -> list[int]:
    """Positions of images that may have a copy among the others."""
    sizes: dict[int, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        if image.path is None:
            sizes[-1].append(i)  # in memory: no need to guess
            continue
        try:
            sizes[image.path.stat().st_size].append(i)
        except (OSError, ValueError):
            continue
    sizes = {size: rows for size, rows in sizes.items() if len(rows) > 1 or -1 in sizes}
    return sorted(i for rows in sizes.values() for i in rows)
