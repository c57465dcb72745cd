"""The groups of a fit: stated or found, as facts of the skill and in the words of `handful fit`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.data.group_by import AUTO, NONE
from handful.skills.copies import label_keys
from handful.skills.hints import group_hint, none_of_them_hint
from handful.skills.near_copies import NearCopies, find_near_copies
from handful.skills.support import SupportFeatures, SupportImages
from handful.tasks import Task

NEAR, STATED = "near copies", "stated"
_SHOWN = 3


def with_groups(
    images: SupportImages, features: SupportFeatures
) -> tuple[SupportImages, SupportFeatures, NearCopies | None]:
    """A support set with its near copies as groups, where nothing about groups was stated.

    Args:
        images: the support set before the encoder.
        features: after it, by an encoder that was not trained on these images.

    Returns:
        both, and what was found; None where groups are stated or not wanted.
    """
    if images.states_groups:
        return images, features, None
    labels = label_keys(features.targets)
    found = find_near_copies(features.images, features.features, labels)
    groups = [""] * len(images.images)
    for place, name in zip(features.kept, found.groups, strict=True):
        groups[place] = name
    labelled = replace(images.images, groups=tuple(groups))
    return replace(images, images=labelled), replace(features, groups=found.groups), found


def grouping_facts(
    images: SupportImages, features: SupportFeatures, near: NearCopies | None
) -> dict[str, Any]:
    """How groups came about and how many units there are, for `training` in `pack.json`.

    `units` only where any image is of a group.
    """
    if any(features.groups):
        return {"group_by": _how(images, near), "units": _unit_count(features)}
    # said for those who add images: near copies among them are not wanted either
    return {"group_by": NONE} if images.group_by.strip().casefold() == NONE else {}


def grouping_notes(
    task: Task, images: SupportImages, features: SupportFeatures, near: NearCopies | None
) -> tuple[str, ...]:
    """What a user should know of the groups, a sentence each."""
    if near:
        notes = near_copies_notes(features.units, "; they were left out together")
        notes += [hint] if (hint := group_hint(images.images)) else []
    else:
        by = "as stated" if images.group_by == AUTO else f"by {images.group_by}"
        what = "group" if len(np.unique(features.units)) == 1 else "groups or single photos"
        notes = _unit_notes(features.units, f"{what} ({by}); they were left out together.")
    if images.group_note:
        notes.append(f"{images.group_note}.")
    if task.exclusive:
        notes += _of_one_unit(features) + _across(features, near)
        notes += [hint] if (hint := none_of_them_hint(features.counts)) else []
    return tuple(notes)


def near_copies_notes(units: NDArray[np.int64], what_for: str) -> list[str]:
    """That photos are near copies of each other, where any are.

    Args:
        units: `[N]`, equal for photos that belong together.
        what_for: the rest of the sentence.
    """
    found = f"bursts or single pictures (near copies){what_for}. Some may not have been found:"
    return _unit_notes(
        units,
        f"{found} state groups where you know them (--group-by); --group-by none if all are "
        "independent.",
        "at most ",
    )


def _unit_notes(units: NDArray[np.int64], found: str, most: str = "") -> list[str]:
    """Nothing where each photo is alone."""
    count, alone = len(units), len(np.unique(units))
    return [f"{count} photos are {most}{alone} {found}"] if alone < count else []


def _how(images: SupportImages, near: NearCopies | None) -> str:
    if near:
        return NEAR
    return STATED if images.group_by == AUTO else images.group_by


def _unit_count(features: SupportFeatures) -> int:
    return len(np.unique(features.units))


def _of_one_unit(features: SupportFeatures) -> list[str]:
    """Classes whose several images are all of one unit, so that none can be left out."""
    of_class: dict[str, set[int]] = defaultdict(set)
    names = [*features.counts]
    for target, unit in zip(features.targets.tolist(), features.units.tolist(), strict=True):
        of_class[names[target]].add(unit)
    sizes = Counter(names[target] for target in features.targets.tolist())
    alone = [name for name in names if len(of_class[name]) == 1 and sizes[name] > 1]
    if not alone:
        return []
    shown = ", ".join(alone[:_SHOWN])
    more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
    all_of = f"All photos of {shown}{more} are one group"
    if len(alone) > 1:
        all_of = f"Of {shown}{more} all photos of each class are one group"
    return [
        f"{all_of}, so none of them can be left out: how well "
        f"{'they are' if len(alone) > 1 else 'it is'} told is not known; add photos of another "
        "occasion."
    ]


def _across(features: SupportFeatures, near: NearCopies | None) -> list[str]:
    """Pictures that are nearly the same and have different labels."""
    if near is None or not near.across:
        return []
    names, count = [*features.counts], len(near.across)
    files = data.unique_names([image.name for image in features.images])
    told = [f"{files[i]} ({names[int(features.targets[i])]})" for i in near.across[0]]
    is_are = "groups of near copies have" if count > 1 else "group of near copies has"
    return [
        f"{count} {is_are} several labels, such as {' and '.join(told)}; where one is wrong, "
        "handful doctor shows it."
    ]
