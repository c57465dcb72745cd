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
from handful.data.group_by import AUTO
from handful.data.grouping import group_images
from handful.encoders import prompts
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import deltas
from handful.packs.support import Reserved, Support
from handful.selection.groups import Units, find_units
from handful.skills.copies import REFUSE, Copies, check_not_emptied, find_copies
from handful.tasks import Source, Task


@dataclass(frozen=True, eq=False)
class SupportImages:
    """The support set before the encoder.

    Args:
        images: N labelled images that a skill is taught with.
        reserved: images that show none of the classes.
        words: class name to its words in a prompt, in the order of the classes.
        ignored: files passed over while looking for images: how many of each kind.
        group_by: how groups were asked for (`handful.data.grouping`).
        group_note: of how many images the group could not be told and why; "" for none.
        repeated: names of images that are there already, byte for byte; each picture counts once.
        dropped: names of images that have several labels and were left out.
    """

    images: LabelledImages
    reserved: LabelledImages
    words: dict[str, str]
    ignored: Mapping[str, int]
    group_by: str = AUTO
    group_note: str = ""
    repeated: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def states_groups(self) -> bool:
        """Whether groups are known before a picture is looked at, or were not asked for."""
        return self.group_by != AUTO or any(self.images.groups)


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
        kept: N positions of the images among those that were to be encoded.
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
    kept: tuple[int, ...]

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
    *,
    group_by: str = AUTO,
    on_conflict: str = REFUSE,
    keep_copies: bool = False,
) -> SupportImages:
    """The images of the split `train` where splits are stated, of which `shots` a class are drawn.

    Args:
        task: what is asked of the skill.
        source: labelled images.
        words: class names with their words, where they were stated.
        shots: images a class; all of them when not given.
        seed: of the draw.
        group_by: how groups are stated, over all splits (`handful.data.grouping.group_images`).
        on_conflict: of a picture with several labels: `refuse`, or `drop` all its copies.
        keep_copies: leave copies and contradictions as they are, for who names them.

    Raises:
        InputError: the data or the class names have to be put right, a class has too few images.
    """
    words = data.clean_words(words)
    known = data.with_classes_known(source, group_by, words or ())
    grouped = group_images(task.load(known), group_by, source)
    dataset = data.split_or_all(grouped.dataset, "train")
    # reserved labels first: `background` would be a class and a column of the head otherwise
    dataset, reserved = task.separate(dataset, words)
    found = None if keep_copies else _copies(dataset, reserved, on_conflict)
    if found and (found.repeated or found.dropped):
        count = len(dataset)
        dataset = dataset.subset(i for i in found.kept if i < count)
        reserved = reserved.subset(i - count for i in found.kept if i >= count)
    dropped = found.dropped if found else ()
    lost = [Failure(name, f"{name} has several labels", 0) for name in dropped]
    drawn = dataset
    with data.reserved_in_errors(reserved):
        names = task.class_words(dataset, words)
        counts = task.counts(task.targets(dataset, [*names]), [*names])
        data.require_images(names, counts, lost)
        if shots is not None:
            drawn = dataset.subset(task.draw(dataset, [*names], shots, seed))
    repeated = found.repeated if found else ()
    return SupportImages(
        drawn, reserved, names, dataset.ignored, group_by, grouped.note, repeated, dropped
    )


def _copies(dataset: LabelledImages, reserved: LabelledImages, on_conflict: str) -> Copies:
    """Copies among the images of the classes and, after them, those of none."""
    # `background` and `none` mean the same, so a picture may have both
    none = min(reserved.labels, default="")
    labels = (*dataset.labels, *([none] * len(reserved)))
    found = find_copies((*dataset.images, *reserved.images), labels, on_conflict)
    check_not_emptied(found, (*dataset.labels, *reserved.labels), dataset.classes)
    return found


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
        kept=found.kept,
    )


def features_before_tuning(
    encoder: Encoder,
    class_prompts: prompts.ClassPrompts,
    support: SupportFeatures,
    store: FeatureStore | None,
) -> deltas.Untouched | None:
    """Features of the support set by the base of a tuned encoder, for routing in a library."""
    base = getattr(encoder, "base", None)
    if base is None:
        return None
    plain = extract_features(base, support.images, store)
    text = prompts.encode_prompts(base, class_prompts)
    return deltas.Untouched(plain.features.values, support.targets, text.weights)
