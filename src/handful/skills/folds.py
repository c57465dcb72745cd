"""Folds of a cross-validation: whole groups, classes as even as the groups allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handful.errors import InputError

_ATTEMPTS = 20


def deal_folds(
    targets: NDArray[np.int64],
    units: NDArray[np.int64],
    folds: int,
    seed: int,
    classes: Sequence[str],
) -> NDArray[np.int64]:
    """`[M]` fold of each image from 0; a group is in one fold, classes are as even as can be.

    Args:
        targets: `[M]` columns; of several labels an image `[M, C]`, which are not kept even.
        units: `[M]`, equal for images that belong together.
        folds: how many.
        seed: of the deal.
        classes: C names.

    Raises:
        InputError: fewer groups than folds, or a class that some fold would have to be answered
            without.
    """
    count = len(np.unique(units))
    if count < folds:
        raise InputError(
            f"{folds} folds need at least as many photos or groups of them, and there are {count}; "
            "ask for fewer folds"
        )
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # slow to import

    shown = targets if targets.ndim == 2 else targets[:, None] == np.arange(len(classes))
    for c, name in enumerate(classes):
        if len(np.unique(units[shown[:, c] > 0])) < 2:
            raise InputError(
                f"all photos of {name!r} are of one group, so that no fold can be answered by a "
                "skill that knows the class; add photos of it from others"
            )
    kind = GroupKFold if targets.ndim == 2 else StratifiedGroupKFold
    places = np.zeros(len(targets), dtype=np.int64)
    for attempt in range(_ATTEMPTS):  # an uneven deal may give one fold all groups of a small class
        splitter = kind(n_splits=folds, shuffle=True, random_state=seed + attempt)
        try:
            for fold, (_, test) in enumerate(splitter.split(targets, _strata(targets), units)):
                places[test] = fold
        except ValueError as error:  # more folds than photos of every class
            raise InputError(
                f"{folds} folds are more than any class has photos; ask for fewer folds"
            ) from error
        if all((shown[places != f] > 0).any(axis=0).all() for f in range(folds)):
            return places
    raise InputError(
        f"with {folds} folds a class would be missing from what a fold is taught with, for it has "
        "few groups; ask for more folds, or add photos of other groups"
    )


def _strata(targets: NDArray[np.int64]) -> NDArray[np.int64] | None:
    return targets if targets.ndim == 1 else None
