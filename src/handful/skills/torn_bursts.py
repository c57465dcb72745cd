"""Test photos that are near copies of photos the skill was taught with, or of one burst with them.

They are not independent of the support set, so the numbers on them are too good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array, Encoder, ImageRef
from handful.data.group_by import AUTO
from handful.data.grouping import Grouped
from handful.errors import ImageError
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.skills.near_copies import find_near_copies


def torn_bursts_notes(
    grouped: Grouped[Any],
    test: Sequence[ImageRef],
    features: Array,
    ids: Sequence[str],
    pack: Pack,
    encoder: Encoder,
    store: FeatureStore | None = None,
) -> list[str]:
    """A sentence where bursts are torn between the split `train` and the photos that are measured.

    Looked for where nothing is known of groups, and only among the photos of `train` that taught
    the skill: others cannot have made the numbers too good.

    Args:
        grouped: all photos of the source, with their splits.
        test: M photos that are measured.
        features: `[M, D]` unit rows of them.
        ids: M image digests; support images that are counted on demand are told of elsewhere.
        pack: the skill.
        encoder: of the skill.
        store: where features are kept.
    """
    dataset = grouped.dataset
    if grouped.how != AUTO or any(dataset.groups):
        return []
    taught = frozenset(pack.support_ids)
    train = _with_digests(dataset.images, dataset.splits, taught)
    new = [i for i, id_ in enumerate(ids) if id_ not in taught]
    test, features = [test[i] for i in new], features[new]
    if not train or not test:
        return []
    known = extract_features(encoder, train, store)
    train = [train[i] for i in known.kept]
    places = pairs_of_splits(train, known.features.values, test, features)
    if not places:
        return []
    names = data.unique_names([image.name for image in (*train, *test)])
    first, of_train = places[0]
    are = "is a near copy" if len(places) == 1 else "are near copies"
    return [
        f"{len(places)} of {len(test)} test photos {are} of photos of train that taught the skill, "
        f"or of one burst with them, such as {names[len(train) + first]} and {names[of_train]}: "
        "the numbers are too good. Put all photos of a burst into one split; with bursts stated "
        "(--group-by), those that are torn are named."
    ]


def pairs_of_splits(
    train: Sequence[ImageRef], known: Array, test: Sequence[ImageRef], features: Array
) -> list[tuple[int, int]]:
    """Each test photo that belongs together with a train photo, and the first such photo.

    Args:
        train: N photos.
        known: `[N, D]` unit rows of them.
        test: M photos.
        features: `[M, D]` unit rows of them.
    """
    rows: NDArray[Any] = np.concatenate([known, features])
    images = [*train, *test]
    groups = find_near_copies(images, rows, [""] * len(images), one_group=True).groups
    first: dict[str, int] = {}
    for i, name in enumerate(groups[: len(train)]):
        first.setdefault(name, i)
    first.pop("", None)
    return [(j, first[name]) for j, name in enumerate(groups[len(train) :]) if name in first]


def _with_digests(
    images: Sequence[ImageRef], splits: Sequence[str], wanted: frozenset[str]
) -> list[ImageRef]:
    """Photos of the split `train` with one of these digests, each picture once."""
    found: dict[str, ImageRef] = {}
    for image, split in zip(images, splits, strict=True):
        if split != "train":
            continue
        try:
            digest = image.digest()
        except ImageError:  # it taught nothing
            continue
        if digest in wanted:
            found.setdefault(digest, image)
    return [*found.values()]
