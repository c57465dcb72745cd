"""Groups of near copies: photos of a support set that are one picture, or of one burst.

Two photos belong together where their pictures are one (`handful.selection.near_copies`), or where
one camera took them within seconds and they are no less alike than photos of the set usually are.
Photos that one camera took hours apart are never near copies: an empty scene looks the same every
night, and each night is a picture of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful import data
from handful.contracts import Array, ImageRef
from handful.data.exif import Exif, read_exif
from handful.data.grouping import chains
from handful.errors import ImageError
from handful.features import processors
from handful.selection.links import linked_units
from handful.selection.near_copies import SIDE, are_one_picture, candidate_pairs
from handful.skills.group_names import near_name

BURST = 10.0  # seconds between two photos of a burst
_APART = 3600.0  # seconds from which photos of one camera are pictures of their own
# Pixels of a side that are enough of a JPEG, which decodes faster so: similarities differ by about
# 0.001 from those of every pixel, with SIDE by 0.03.
_ENOUGH = 4 * SIDE
_MOST_PAIRS = 20_000  # pairs that are looked at; of more, the most alike

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class NearCopies:
    """What was found among N photos.

    Args:
        groups: N names such as `near:1`, "" for a photo without near copies.
        across: pairs of positions that are one picture under two labels, of each group the first.
    """

    groups: tuple[str, ...]
    across: tuple[tuple[int, int], ...] = ()


def find_near_copies(
    images: Sequence[ImageRef],
    features: Array,
    labels: Sequence[Hashable],
    *,
    one_group: bool = False,
) -> NearCopies:
    """Find photos that are nearly the same picture; also under different labels.

    A unit holds both of two labels: a new photo will not come with its neighbour in the burst,
    whatever that one is labelled, so an estimate must leave out both.

    Args:
        images: N images.
        features: `[N, D]` unit rows of them.
        labels: N labels.
        one_group: whether a single group of all N is one; it leaves nothing to be left out, so it
            is none where these are all the images there are.
    """
    count = len(images)
    with ThreadPoolExecutor(processors()) as pool:
        facts = list(pool.map(read_exif, images))
        pairs = candidate_pairs(features, _MOST_PAIRS)
        pairs = pairs[~_apart(facts, pairs)]
        needed = np.unique(pairs)
        seen = list(pool.map(_picture, (images[i] for i in needed)))
    place = {int(i): k for k, i in enumerate(i for i, p in zip(needed, seen, strict=True) if p)}
    pictures = [np.asarray(p) for p in seen if p]
    pairs = pairs[[int(i) in place and int(j) in place for i, j in pairs]]
    if len(pairs):
        at = np.array([[place[int(i)], place[int(j)]] for i, j in pairs])
        pairs = pairs[are_one_picture(np.stack(pictures), at)]
    linked = np.concatenate([pairs, _bursts(facts, features)])
    units = linked_units(linked, count)
    if len(np.unique(units)) == 1 and not one_group:
        return NearCopies(("",) * count)
    return _named(units, labels)


def _named(units: NDArray[np.int64], labels: Sequence[Hashable]) -> NearCopies:
    sizes = Counter(units.tolist())
    number: dict[int, int] = {}
    across: dict[int, tuple[int, int]] = {}
    groups = []
    for i, first in enumerate(units.tolist()):  # a unit is known by its first photo
        alone = sizes[first] == 1
        groups.append("" if alone else near_name(number.setdefault(first, len(number) + 1)))
        if labels[first] != labels[i]:
            across.setdefault(first, (first, i))
    return NearCopies(tuple(groups), tuple(across.values()))


def _picture(image: ImageRef) -> Image.Image | None:
    """A small square picture; None for what cannot be decoded, which is reported elsewhere."""
    try:
        found = data.decode(image, least=_ENOUGH)
    except ImageError:
        return None
    large = min(found.size) >= SIDE
    return found.resize((SIDE, SIDE), Image.Resampling.BOX if large else Image.Resampling.BICUBIC)


def _apart(facts: Sequence[Exif], pairs: Pairs) -> NDArray[np.bool_]:
    """`[P]` whether one camera took both, and long after one another."""
    return np.array([_is_apart(facts[i], facts[j]) for i, j in pairs.tolist()], dtype=np.bool_)


def _is_apart(first: Exif, second: Exif) -> bool:
    if first.time is None or second.time is None or first.camera != second.camera:
        return False
    return abs((first.time - second.time).total_seconds()) > _APART


def _bursts(facts: Sequence[Exif], features: NDArray[Any]) -> Pairs:
    """`[P, 2]` photos that one camera took one after the other within seconds.

    They have to be as alike as two photos of the set usually are, for a hand-held camera may have
    turned to something else.
    """
    times = [f.time if f.camera else None for f in facts]
    members: dict[int, list[int]] = {}
    for i, first in chains([f.camera for f in facts], times, BURST).items():
        members.setdefault(first, []).append(i)
    timed = [pair for rows in members.values() for pair in pairwise(rows)]
    if not timed:
        return np.zeros((0, 2), dtype=np.int64)
    rows = features if len(features) <= 1000 else features[:: len(features) // 1000 + 1]
    usual = float(np.median((rows @ rows.T)[~np.eye(len(rows), dtype=np.bool_)]))
    found = np.array(timed, dtype=np.int64)
    alike = np.einsum("pd,pd->p", features[found[:, 0]], features[found[:, 1]]) >= usual
    return np.asarray(found[alike])
