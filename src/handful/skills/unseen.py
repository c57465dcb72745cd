"""Images to measure a skill on: without those that taught it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handful import data
from handful.contracts import Array, ImageRef
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.skills.pool import pool_ids
from handful.skills.predict import Predictor
from handful.skills.taught_groups import taught_groups


@dataclass(frozen=True, eq=False)
class Unseen:
    """Images that can be read and did not teach the skill.

    Args:
        features: `[M, D]`.
        places: of the M images among those asked for.
        ids: M image digests.
        leaks: names of images that are byte for byte support images; among the M where they were
            asked for.
        in_pool: names of images that taught the skill without their labels, likewise.
        group_leaks: names of images of groups that the skill was taught with, which are not among
            the `leaks`, likewise.
        leaked_groups: names of these groups.
        failures: images that could not be read.
    """

    features: Array
    places: tuple[int, ...]
    ids: tuple[str, ...]
    leaks: tuple[str, ...]
    in_pool: tuple[str, ...]
    group_leaks: tuple[str, ...]
    leaked_groups: tuple[str, ...]
    failures: tuple[Failure, ...]


def unseen(
    predictor: Predictor,
    images: Sequence[ImageRef],
    store: FeatureStore | None = None,
    *,
    groups: Sequence[str] = (),
    keep_leaks: bool = False,
    keep_pool: bool = False,
    progress: Progress | None = None,
) -> Unseen:
    """Encode images, and set those apart that the skill was taught with, or others of their groups.

    Args:
        predictor: the skill with its encoder.
        images: N test images.
        store: where features are kept.
        groups: N stated names of what belongs together, "" for none; empty: none is stated.
        keep_leaks: keep the skill's own images all the same, and those of its groups.
        keep_pool: keep those that taught it without their labels.
        progress: called with (images done, images in all).

    Raises:
        InputError: nothing is left to measure on.
    """
    found = extract_features(predictor.encoder, images, store, progress=progress)
    support = frozenset(predictor.pack.support_ids)
    seen = np.array([id_ in support for id_ in found.features.ids], dtype=bool)
    # a support image is answered by its own label, so it would raise every number
    pool = pool_ids(predictor.pack)
    helped = np.array([id_ in pool for id_ in found.features.ids], dtype=bool)
    taught = taught_groups(predictor.pack)
    own = [groups[place] if groups else "" for place in found.kept]
    related = np.array([name in taught for name in own], dtype=bool) & ~seen
    keep = np.flatnonzero((~(seen | related) | keep_leaks) & (~helped | keep_pool))
    if not len(seen):
        raise InputError(f"no image could be read{data.describe_failures(found.failures)}")
    if not len(keep) and related.any():
        names = sorted({own[i] for i in np.flatnonzero(related)})
        raise InputError(
            f"all {len(seen)} readable images taught the skill or are of groups that it was taught "
            f"with, such as {names[0]!r}; measure on images of others, or keep them with "
            "--keep-leaks (the numbers are then too good)"
        )
    if not len(keep):
        where = "own support set" if seen.all() else "support set or its pool without labels"
        raise InputError(
            f"all {len(seen)} readable images are in the skill's {where}; "
            "measure on images it has not seen"
        )
    return Unseen(
        found.features.values[keep],
        tuple(found.kept[i] for i in keep),
        tuple(found.features.ids[i] for i in keep),
        tuple(images[found.kept[i]].name for i in np.flatnonzero(seen)),
        tuple(images[found.kept[i]].name for i in np.flatnonzero(helped)),
        tuple(images[found.kept[i]].name for i in np.flatnonzero(related)),
        tuple(sorted({own[i] for i in np.flatnonzero(related)})),
        found.failures,
    )
