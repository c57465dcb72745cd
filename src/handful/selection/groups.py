"""Units: images that are not independent of one another, and the folds that leave them out whole.

A unit is a burst, a patient, a place, or the copies of one picture. An answer to an image by a fit
that has seen another of its unit is too good, so a unit is left out as one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.selection.links import Links

Units = NDArray[np.int64]


def find_units(*names: Sequence[Hashable]) -> Units:
    """`[N]` numbers of units, from 0, in the order in which they first appear.

    Args:
        names: one or more columns of N names. Images with equal names in any column are of one
            unit, and so are images that are linked through others. `""` and None are no name.

    >>> find_units(["a", "a", "", ""], ["1", "2", "2", "3"])
    array([0, 0, 0, 1])
    """
    count = len(names[0]) if names else 0
    links = Links(count)
    for column in names:
        first: dict[Hashable, int] = {}
        for i, name in enumerate(column):
            if name in ("", None):
                continue
            links.join(first.setdefault(name, i), i)
    number: dict[int, int] = {}
    found = [number.setdefault(links.root(i), len(number)) for i in range(count)]
    return np.array(found, dtype=np.int64)


def group_folds(targets: NDArray[Any], units: Units, most: int) -> Units:
    """`[N]` fold in which each image is left out, of up to `most`; a unit is never torn apart.

    The units of a class are dealt out in turn, class after class without starting anew, so that
    folds hold about as many units of each class. A unit with images of several classes is dealt
    with the first of them. Every fold is used where there are enough units.

    Args:
        targets: `[N]` columns, in whose order classes are dealt out.
        units: `[N]` from `find_units`.
        most: folds at most, at least 1.

    >>> group_folds(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3, 4]), 2)
    array([0, 0, 1, 0, 1, 0])
    """
    order = np.argsort(np.asarray(targets), kind="stable")
    dealt = list(dict.fromkeys(np.asarray(units)[order].tolist()))
    folds = max(1, min(most, len(dealt)))
    place = {unit: i % folds for i, unit in enumerate(dealt)}
    return np.array([place[unit] for unit in np.asarray(units).tolist()], dtype=np.int64)


def left_out_units(targets: NDArray[Any], units: Units) -> NDArray[np.bool_]:
    """`[N]` whether the class of an image has images of another unit, so that it can be left out.

    >>> left_out_units(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))
    array([False, False,  True,  True])
    """
    targets, units = np.asarray(targets), np.asarray(units)
    pairs = np.unique(np.stack([targets, units]), axis=1)
    several = np.bincount(pairs[0].astype(np.int64)) > 1
    return np.asarray(several[targets.astype(np.int64)])


def unit_weights(units: Units) -> NDArray[np.float64]:
    """`[N]` 1 over the size of the unit: the images of a unit count as one together.

    >>> unit_weights(np.array([0, 0, 1]))
    array([0.5, 0.5, 1. ])
    """
    return np.asarray(1 / np.bincount(units)[units])
