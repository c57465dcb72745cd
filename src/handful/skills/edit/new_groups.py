"""Groups of the images that are added to a skill."""

from __future__ import annotations

from collections.abc import Sequence

from handful.contracts import Array
from handful.data import Dataset
from handful.data.group_by import NONE
from handful.packs import Pack
from handful.skills.grouping import NEAR
from handful.skills.near_copies import find_near_copies


def new_groups(
    pack: Pack, dataset: Dataset, kept: Sequence[int], features: Array
) -> tuple[str, ...]:
    """K groups of new images: as stated; else their near copies, unless groups were asked for.

    A skill fitted with `--group-by none` has none, so that it stays what one fit would give. One
    whose groups were stated gets those that the new images state: an image without is alone.
    Near copies of images that the skill holds are not looked for, since it has no pixels of them.

    Args:
        pack: the skill.
        dataset: the images that were given.
        kept: positions of the K that are new.
        features: `[K, D]` unit rows of them.
    """
    how = pack.manifest["training"].get("group_by", NEAR)
    if how == NONE:
        return ("",) * len(kept)
    if any(dataset.groups) or how != NEAR:
        return tuple(dataset.groups[i] for i in kept)
    images, labels = [dataset.images[i] for i in kept], [dataset.labels[i] for i in kept]
    return find_near_copies(images, features, labels, one_group=True).groups
