"""Groups that a skill was taught with: the same patient or burst must not stand in its test set.

A pack states the names of the groups of its support images. Test images of a group of the same name
are no unseen ones, whatever their bytes. Near copies have no names, and a pack holds no pixels to
find them by: where nothing is stated, features alone can only raise a suspicion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handful import data
from handful.contracts import Array
from handful.data.group_by import AUTO, NONE
from handful.data.grouping import DatasetT, Grouped, group_images
from handful.errors import InputError
from handful.packs import Pack
from handful.skills.group_names import is_near
from handful.skills.grouping import NEAR, STATED

# Cosine from which two photos look nearly the same to an encoder, by train photos and the default
# one: photos that were stored anew as JPEG 75 have 0.993 or more, at three quarters of their size
# 0.983 or more. Of 160 independent photos of clothes the most alike have 0.906; but of the open sea
# from above 0.997 (EuroSAT), which is why this is a suspicion only.
ALIKE = 0.98
_BATCH = 1024


def taught_groups(pack: Pack) -> frozenset[str]:
    """Names of the groups of the support images, also of those of no class.

    Names of near copies (`near:1`) are numbers of one support set and mean nothing elsewhere.
    """
    stated = pack.manifest["support"]
    names = {*stated.get("groups", ()), *(stated.get("reserved") or {}).get("groups", ())}
    return frozenset(name for name in names if name and not is_near(name))


def stated_way(training: Mapping[str, Any]) -> str:
    """How the groups of a skill were stated: a column, a pattern, `stated`; "" for none or near."""
    how = str(training.get("group_by") or "")
    return "" if how in (NEAR, NONE) else how


def group_as_taught(
    images: DatasetT, group_by: str, taught: str, *, folds: bool = False, where: object = None
) -> tuple[Grouped[DatasetT], list[str]]:
    """Test images with their groups, by default as the skill's own were stated.

    Args:
        images: labelled images, of all splits.
        group_by: as for `handful.evaluate`.
        taught: how the groups of the skill were stated (`stated_way`).
        folds: whether these are photos for cross-validation, which the skill need not have seen.
        where: the source, which errors name where it is a path.

    Returns:
        the images, and what a reader should know, a sentence each.

    Raises:
        InputError: as `handful.data.grouping.group_images`.
    """
    if not taught:
        return group_images(images, group_by, where), []
    way = f"by {taught}" if taught != STATED else "that its data stated"
    auto = group_by.strip().casefold() == AUTO
    same = _same_way(images, taught) if auto and taught != STATED else None
    if same is not None:
        return same, [
            f"Photos are grouped {way}, as those that the skill was taught with (--group-by for "
            "another way)."
        ]
    grouped = group_images(images, group_by, where)
    if not any(grouped.dataset.groups):
        return grouped, [
            f"The skill was taught with groups {way}, and this evaluation has none stated: "
            + ("photos of one group" if folds else "photos of a group that it was taught with")
            + (" may be in several folds" if folds else " cannot be found")
            + ", and the numbers may be too good. State the groups with --group-by."
        ]
    if not folds and not auto and taught not in (STATED, group_by):
        return grouped, [
            f"The skill was taught with groups {way}, and the test photos are grouped by "
            f"{group_by}: groups that it was taught with are found only where their names are "
            "equal."
        ]
    return grouped, []


def _same_way(images: DatasetT, taught: str) -> Grouped[DatasetT] | None:
    """The images grouped as those of the skill; None where these data do not allow it."""
    try:
        found = group_images(images, taught)
    except InputError:
        return None
    return found if any(found.dataset.groups) else None


def alike_note(pack: Pack, features: Array, names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """A warning of photos that look nearly the same as a support photo; [] where none do.

    Args:
        pack: the skill.
        features: `[M, D]` unit rows of test images.
        names: M names.
        ids: M image digests; support images themselves are named elsewhere.
    """
    support = pack.support
    if support is None or not len(features) or features.shape[1] != support.features.shape[1]:
        return []
    best = np.concatenate(
        [
            (features[i : i + _BATCH] @ support.features.T).max(axis=1)
            for i in range(0, len(features), _BATCH)
        ]
    )
    own = frozenset(pack.support_ids)
    best[[id_ in own for id_ in ids]] = -1
    alike = np.flatnonzero(best >= ALIKE)
    if not len(alike):
        return []
    row = int(best.argmax())
    nearest = int((support.features @ features[row]).argmax())
    pair = data.unique_names([names[row], support.names[nearest] or "a support photo"])
    count = len(alike)
    looks, they = ("photos look", "they are") if count > 1 else ("photo looks", "it is")
    return [
        f"{count} test {looks} nearly the same as a support photo (such as {pair[0]} and "
        f"{pair[1]}); if {they} of the same scene, leave {'them' if count > 1 else 'it'} out."
    ]
