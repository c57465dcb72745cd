"""Which photos of a test set are not independent of one another, so that intervals count them once.

Those of a stated group, copies of one picture, and, where nothing is stated, near copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.data.group_by import AUTO
from handful.data.grouping import DatasetT, Grouped
from handful.selection.groups import find_units
from handful.skills.copies import label_keys
from handful.skills.group_names import is_near
from handful.skills.grouping import near_copies_notes
from handful.skills.near_copies import find_near_copies


def find_test_units(
    grouped: Grouped[DatasetT], features: Array, ids: Sequence[str], targets: NDArray[np.int64]
) -> tuple[Grouped[DatasetT], NDArray[np.int64]]:
    """The photos with near copies as groups, where none are stated, and their `[M]` units.

    Args:
        grouped: M photos that could be read, with the groups that were asked for.
        features: `[M, D]` unit rows of them.
        ids: M image digests.
        targets: M entries or rows.
    """
    dataset = grouped.dataset
    if grouped.how == AUTO and not any(dataset.groups):
        near = find_near_copies(dataset.images, features, label_keys(targets))
        dataset = replace(dataset, groups=near.groups)
    return replace(grouped, dataset=dataset), find_units(dataset.groups, ids)


def note_of(grouped: Grouped[DatasetT], units: NDArray[np.int64]) -> list[str]:
    """What a reader should know of the groups, a sentence each.

    Args:
        grouped: the photos that count.
        units: of them.
    """
    notes = [f"{grouped.note}."] if grouped.note else []
    if any(is_near(name) for name in grouped.dataset.groups):
        notes += near_copies_notes(units, ", which intervals count once each")
    return notes


def fold_notes(count: int, folds: int, of_no_class: int) -> list[str]:
    """How a cross-validation came about, and what it leaves out, a sentence each.

    Args:
        count: photos that count.
        folds: of them.
        of_no_class: photos such as those of a folder `background`.
    """
    notes = [
        f"cross-validation: each of {count} photos is answered by a skill taught with the other "
        f"{folds - 1} of {folds} folds."
    ]
    if of_no_class:
        are = "photos of no class (background) are"
        notes.append(
            f"{of_no_class} {are if of_no_class > 1 else 'photo of no class (background) is'} left "
            "out of the cross-validation, which says nothing of unknown photos; handful evaluate "
            "SKILL PHOTOS measures them."
        )
    return notes
