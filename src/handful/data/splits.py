"""k-shot draws, held-out splits, and leaks between splits."""

from __future__ import annotations

import hashlib
import operator
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from handful.contracts import ImageRef
from handful.errors import ImageError, InputError


def seeded_generator(*parts: object) -> np.random.Generator:
    """A random generator that depends on the parts' text alone, on every machine.

    >>> seeded_generator(0, "cat").integers(1000, size=3).tolist()
    [556, 418, 339]
    """
    # each part with its length, so that ("a", "bc") and ("ab", "c") differ; Python's hash() would
    # differ from run to run
    key = "\x1f".join(f"{len(str(p))}:{p}" for p in parts)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()))


def check_seed(seed: int) -> int:
    """The seed, when it is one: a whole number from 0 that fits 64 bits.

    Raises:
        InputError: it is none.
    """
    try:
        given = operator.index(seed)
    except TypeError:
        given = -1
    if 0 <= given < 1 << 63:
        return given
    raise InputError(f"seed: expected a whole number from 0 to {(1 << 63) - 1}, got {seed!r}")


def draw_shots(
    labels: Sequence[str],
    shots: int,
    seed: int,
    groups: Sequence[str] | None = None,
    *,
    allow_fewer: bool = False,
) -> list[int]:
    """Positions of `shots` images of each class, drawn at random, ascending.

    A class's draw depends on the seed, its name and its own images alone: other classes may come
    and go. A draw of more shots contains the draw of fewer. With groups, images of one class come
    from as many different groups as there are; see `remaining` for what is then left to test on.

    Args:
        labels: N class names.
        shots: images a class, at least 1.
        seed: another seed, another draw.
        groups: N names of what belongs together, "" for none.
        allow_fewer: take all images of a class that has fewer than `shots`.

    Raises:
        InputError: a class with fewer images than shots, with its name and count; a seed that is
            none.

    >>> draw_shots(["cat", "dog", "cat", "dog"], 2, seed=0)
    [0, 1, 2, 3]
    """
    if shots < 1:
        raise InputError(f"expected at least 1 shot a class, got {shots}")
    seed = check_seed(seed)
    home = _homes(labels, groups)
    members = _members(labels)
    short = {name: len(rows) for name, rows in members.items() if len(rows) < shots}
    if short and not allow_fewer:
        few = ", ".join(f"{name} ({n})" for name, n in sorted(short.items())[:5])
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        raise InputError(
            f"too few images for {shots} shots a class: {few}{more}; "
            "ask for fewer shots or add images"
        )
    drawn: list[int] = []
    for name, rows in members.items():
        order = np.argsort(seeded_generator("draw", seed, name).random(len(rows)), kind="stable")
        turn: Counter[str] = Counter()
        ranked = []
        for rank, i in enumerate(order):
            group = home[rows[i]]
            # sorting by turn first takes one image of every group before a second one of any
            ranked.append((turn[group], rank, rows[i]))
            turn[group] += 1
        drawn += [row for _, _, row in sorted(ranked)[:shots]]
    return sorted(drawn)


def remaining(count: int, drawn: Iterable[int], groups: Sequence[str] | None = None) -> list[int]:
    """Of `count` images, those that may be tested on: not drawn, in no group of a drawn one."""
    taken = set(drawn)
    names = groups or [""] * count
    shared = {names[i] for i in taken} - {""}
    return [i for i in range(count) if i not in taken and names[i] not in shared]


def holdout(
    labels: Sequence[str], groups: Sequence[str] | None, fraction: float, seed: int
) -> tuple[list[int], list[int]]:
    """Positions of (train, test): about `fraction` of every class held out, groups kept whole.

    Every class keeps an image to train on; one whose images are all in one group is not held out.

    Args:
        labels: N class names.
        groups: N names of what belongs together, "" or None for none.
        fraction: part to hold out, between 0 and 1.
        seed: another seed, another part.

    Raises:
        InputError: a fraction out of range; a seed that is none; nothing that could be held out.

    >>> train, test = holdout(["cat"] * 4 + ["dog"] * 4, None, 0.25, seed=0)
    >>> len(train), len(test)
    (6, 2)
    """
    if not 0 < fraction < 1:
        raise InputError(f"expected a fraction between 0 and 1, got {fraction}")
    seed = check_seed(seed)
    home = _homes(labels, groups)
    left = Counter(labels)
    wanted = {name: max(1, round(fraction * n)) for name, n in left.items()}
    test: list[int] = []
    for unit in _units(labels, home, seed):
        has = Counter(labels[i] for i in unit)
        # greedy: a group goes to the test part where that brings the counts nearer to the wanted
        better = sum(abs(wanted[c] - n) - abs(wanted[c]) for c, n in has.items()) < 0
        if better and all(left[c] > n for c, n in has.items()):
            test += unit
            wanted = {c: n - has[c] for c, n in wanted.items()}
            left -= has
    if not test:
        raise InputError(
            "nothing can be held out: every class needs images in at least two groups; "
            "add images or state no groups"
        )
    held = set(test)
    return [i for i in range(len(labels)) if i not in held], sorted(test)


def leaks(
    support: Sequence[ImageRef | str], test: Sequence[ImageRef | str]
) -> list[tuple[int, int]]:
    """Pairs (position in support, position in test) of byte-identical images.

    Args:
        support: images, or the digests of images that are known already.
        test: the same. An image that cannot be read is identical to none.
    """
    where: dict[str, list[int]] = defaultdict(list)
    for i, id_ in enumerate(_ids(support)):
        if id_:
            where[id_].append(i)
    return [(i, j) for j, id_ in enumerate(_ids(test)) for i in where.get(id_, [])]


def draw_to_digests(images: Sequence[ImageRef | str], drawn: Iterable[int]) -> list[str]:
    """Digests of the drawn images: a draw that outlives renaming and moving the files.

    Raises:
        ImageError: a drawn image that cannot be read.
    """
    chosen = [images[i] for i in drawn]
    return [i if isinstance(i, str) else i.digest() for i in chosen]


def draw_from_digests(ids: Sequence[str], images: Sequence[ImageRef | str]) -> list[int]:
    """Positions of a recorded draw's images, in its order; of equal images the first.

    Raises:
        InputError: images of the draw that are not here.
    """
    where: dict[str, int] = {}
    for i, id_ in enumerate(_ids(images)):
        where.setdefault(id_, i)
    missing = [id_ for id_ in ids if id_ not in where]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(ids)} images of this draw are not among the "
            f"{len(images)} given, such as the one with the digest {missing[0][:16]}; "
            "draw again or add them"
        )
    return [where[id_] for id_ in ids]


def _ids(images: Sequence[ImageRef | str]) -> list[str]:
    found = []
    for image in images:
        try:
            found.append(image if isinstance(image, str) else image.digest())
        except ImageError:  # reported where it is decoded
            found.append("")
    return found


def _members(labels: Sequence[str]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        members[str(label)].append(i)
    return members


def _homes(labels: Sequence[str], groups: Sequence[str] | None) -> list[str]:
    """A group for every image; one of its own for an image without."""
    if groups is None:
        return [f"#{i}" for i in range(len(labels))]
    if len(groups) != len(labels):
        raise InputError(f"expected {len(labels)} groups, one an image, got {len(groups)}")
    return [f"={g}" if g else f"#{i}" for i, g in enumerate(groups)]


def _units(labels: Sequence[str], home: Sequence[str], seed: int) -> list[list[int]]:
    """Images that must stay together, in a random order that other classes do not change."""
    units: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(home):
        units[group].append(i)
    keys = {}
    for name, rows in _members(labels).items():
        for row, key in zip(
            rows, seeded_generator("holdout", seed, name).random(len(rows)), strict=True
        ):
            keys[row] = key
    return sorted(units.values(), key=lambda rows: min((keys[i], i) for i in rows))
