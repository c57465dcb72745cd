"""Groups of the images that are added to a skill."""

from __future__ import annotations

from collections.abc import Sequence

from handful.contracts import Array
from handful.data import Dataset
from handful.packs import Pack
from handful.skills.grouping import NEAR
from handful.skills.near_copies import find_near_copies


def new_groups(
    pack: Pack, dataset: Dataset, kept: Sequence[int], features: Array
) -> tuple[str, ...]:
    """K groups of new images: as stated; else their near copies, unless the skill's were stated.

    Near copies of images that the skill holds are not looked for, since it has no pixels of them.

    Args:
        pack: the skill.
        dataset: the images that were given.
        kept: positions of the K that are new.
        features: `[K, D]` unit rows of them.
    """
    if any(dataset.groups):
        return tuple(dataset.groups[i] for i in kept)
    if pack.manifest["training"].get("group_by", NEAR) != NEAR:
        return ("",) * len(kept)
    images, labels = [dataset.images[i] for i in kept], [dataset.labels[i] for i in kept]
    return find_near_copies(images, features, labels, one_group=True).groups
