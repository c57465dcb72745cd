"""Labels of new images in the words of the skill that they are added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from handful import data
from handful.data import Dataset
from handful.skills.edit.support_sets import NO_CLASS


def as_the_skill_spells(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Labels as the skill spells its classes, which may be in another of Unicode's forms."""
    own = {name: data.same_name(name, classes) for name in dataset.classes}
    labels = tuple(own[label] for label in dataset.labels)
    return replace(dataset, labels=labels, classes=tuple(dict.fromkeys(own.values())))


def mark_reserved(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Labels such as `background` become `NO_CLASS`, unless the skill has such a class."""
    labels = tuple(
        NO_CLASS if data.is_reserved(label) and label not in classes else label
        for label in dataset.labels
    )
    return replace(dataset, labels=labels, classes=())
