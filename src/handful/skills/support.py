"""The support set before it is fitted: `read_support` (images), `encode_support` (features)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.data import LabelledImages
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs.support import Reserved, Support
from handful.selection.groups import Units, find_units
from handful.tasks import Source, Task


@dataclass(frozen=True, eq=False)
class SupportImages:
    """The support set before the encoder.

    Args:
        images: N labelled images that a skill is taught with.
        reserved: images that show none of the classes.
        words: class name to its words in a prompt, in the order of the classes.
        ignored: files passed over while looking for images: how many of each kind.
    """

    images: LabelledImages
    reserved: LabelledImages
    words: dict[str, str]
    ignored: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class SupportFeatures:
    """The support set after the encoder, without the images that could not be used.

    Args:
        images: N images.
        features: `[N, D]` unit rows.
        ids: N image digests.
        targets: N entries or rows, what the task makes of the labels.
        counts: images of each class.
        groups: N names of what belongs together, "" for none.
        names: N names, unique among them and the reserved ones, without a machine's folders.
        reserved: images that show none of the classes, if there are any.
        failures: images that could not be used, by name, with the reason.
        encoded: images that went through the encoder now.
    """

    images: tuple[ImageRef, ...]
    features: Array
    ids: tuple[str, ...]
    targets: NDArray[np.int64]
    counts: dict[str, int]
    groups: tuple[str, ...]
    names: tuple[str, ...]
    reserved: Reserved | None
    failures: tuple[Failure, ...]
    encoded: int

    @cached_property
    def units(self) -> Units:
        """`[N]` numbers of what is left out together: images of a group, and copies of one."""
        return find_units(self.groups, self.ids)

    def as_support(self, text: ClassText) -> Support:
        """The part that a pack stores, for tasks of one class an image."""
        return Support(
            self.features, self.targets, text, self.ids, self.names, self.reserved, self.groups
        )


def read_support(
    task: Task,
    source: Source,
    words: Mapping[str, str] | None = None,
    shots: int | None = None,
    seed: int = 0,
) -> SupportImages:
    """The images of the split `train` where splits are stated, of which `shots` a class are drawn.

    Raises:
        InputError: the data or the class names have to be put right, a class has too few images.
    """
    dataset = data.split_or_all(task.load(source), "train")
    # reserved labels first: `background` would be a class and a column of the head otherwise
    dataset, reserved = task.separate(dataset, words)
    drawn = dataset
    with data.reserved_in_errors(reserved):
        names = task.class_words(dataset, words)
        data.require_images(names, task.counts(task.targets(dataset, [*names]), [*names]))
        if shots is not None:
            drawn = dataset.subset(task.draw(dataset, [*names], shots, seed))
    return SupportImages(drawn, reserved, names, dataset.ignored)


def unreadable(dataset: LabelledImages) -> tuple[Failure, ...]:
    """Images whose labels could not be read either; they come after all others."""
    places = enumerate(dataset.unreadable, start=len(dataset))
    return tuple(Failure(name, reason, i) for i, (name, reason) in places)


def encode_support(
    task: Task,
    support: SupportImages,
    encoder: Encoder,
    *,
    views: int = 1,
    seed: int = 0,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> SupportFeatures:
    """Features of all images that can be used; reserved images are never augmented.

    Raises:
        InputError: no image of a class can be used.
    """
    found = extract_features(
        encoder, support.images.images, store, views=views, seed=seed, progress=progress
    )
    kept = support.images.subset(found.kept)
    targets = task.targets(kept, [*support.words])
    counts = task.counts(targets, [*support.words])
    # again after `read_support`: a class may have lost its images to files that cannot be read
    data.require_images(support.words, counts, found.failures)
    reserved, failures, encoded = None, found.failures, found.encoded
    names = data.unique_names([image.name for image in kept.images])
    if len(support.reserved):
        none = extract_features(encoder, support.reserved.images, store)
        outside = support.reserved.subset(none.kept)
        names = data.unique_names([image.name for image in (*kept.images, *outside.images)])
        if len(outside):
            of_outside = names[len(kept) :]
            ids = none.features.ids
            reserved = Reserved(none.features.values, ids, of_outside, outside.groups)
        failures, encoded = (*failures, *none.failures), encoded + none.encoded
    failures = (*failures, *unreadable(support.images))
    rows = found.features
    return SupportFeatures(
        images=kept.images,
        features=rows.values,
        ids=rows.ids,
        targets=targets,
        counts=counts,
        groups=kept.groups,
        names=names[: len(kept)],
        reserved=reserved,
        failures=failures,
        encoded=encoded,
    )
