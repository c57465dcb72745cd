"""Labelled images, whatever they came from: one class each, or any number of classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from handful.contracts import ImageRef, class_names
from handful.errors import InputError

# Common names of the three splits, and the one that is stored.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SEPARATORS = "|;"  # what stands between the labels of one image, and in no class name


@dataclass(frozen=True, eq=False)
class LabelledImages(ABC):
    """Base of `Dataset` and `MultiLabelDataset`, which differ in what a label is.

    Args:
        images: N references; nothing is decoded here.
        labels: N labels.
        splits: N of `train`, `val`, `test` or another name; "" where none is stated. May be left
            out, and then none is.
        groups: N names of what belongs together (a camera, a burst, a patient); "" for none. May
            be left out.
        classes: C class names in the order of the logit columns; the sorted labels when left out.
        ignored: files passed over while looking for images: how many of each extension.
        unreadable: name and reason of further images, whose labels could not be read either.
        columns: further columns of a table by their names, N texts each; "" for an empty cell.

    Raises:
        InputError: lengths that disagree, a label not among the classes, class names that repeat,
            a group in more than one split.
    """

    images: tuple[ImageRef, ...]
    labels: tuple[Any, ...]
    splits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @abstractmethod
    def _label_names(self) -> set[str]:
        """Every class that some image is labelled with."""

    def __post_init__(self) -> None:
        count = len(self.images)
        for name in ("images", "labels", "splits", "groups"):
            values = tuple(getattr(self, name))
            if not values and name in ("splits", "groups"):
                values = ("",) * count
            if len(values) != count:
                raise InputError(f"expected {count} {name}, one an image, got {len(values)}")
            object.__setattr__(self, name, values)
        columns = {name: tuple(column) for name, column in self.columns.items()}
        for name, column in columns.items():
            if len(column) != count:
                raise InputError(
                    f"the column {name!r}: expected {count} cells, one an image, got {len(column)}"
                )
        object.__setattr__(self, "columns", columns)
        labels = self._label_names()
        classes = class_names(self.classes or sorted(labels))
        object.__setattr__(self, "classes", classes)
        broken = [name for name in classes if not _is_unicode(name)]
        if broken:
            raise InputError(f"the class name {broken[0]!r} is not Unicode text; rename it")
        unknown = sorted(labels - set(classes))
        if unknown:
            raise InputError(
                f"labels {unknown[:5]} are not among the {len(classes)} classes; "
                "add them to the classes or correct them"
            )
        shared = groups_in_several_splits(self.groups, self.splits)
        if shared:
            raise InputError(
                f"groups in more than one split ({len(shared)}): {', '.join(shared[:5])}; "
                f"a group belongs to one split only. {self._torn_photos(shared[0])}: put all "
                "photos of a group into one split, or correct what states the groups (the column, "
                "or --group-by; with --group-by none each photo is alone)"
            )

    def _torn_photos(self, group: str) -> str:
        """The first photo of a group in each of its splits: `a is in train, b is in test`."""
        first: dict[str, str] = {}
        for image, name, split in zip(self.images, self.groups, self.splits, strict=True):
            if name == group and split:
                first.setdefault(split, image.name)
        return ", ".join(f"{name} is in {split}" for split, name in first.items())

    def __len__(self) -> int:
        return len(self.images)

    def split(self, name: str) -> Self:
        """The images of one split; all classes keep their place.

        Raises:
            InputError: there are none; lists the splits that there are.
        """
        wanted = SPLITS.get(name.strip().casefold(), name)
        chosen = [i for i, split in enumerate(self.splits) if split == wanted]
        if not chosen:
            there = ", ".join(f"{s or 'not stated'} ({n})" for s, n in Counter(self.splits).items())
            raise InputError(f"no images in the split {name!r}; the splits are: {there}")
        return self.subset(chosen)

    def subset(self, indices: Iterable[int]) -> Self:
        """The images at these positions, in this order; all classes keep their place."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen),
            columns={n: tuple(column[i] for i in chosen) for n, column in self.columns.items()},
        )


@dataclass(frozen=True, eq=False)
class Dataset(LabelledImages):
    """N images with one class name each as `labels`; see `LabelledImages` for the other fields.

    >>> two = Dataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), ("cat", "dog"))
    >>> two.classes, two.subset([1]).labels
    (('cat', 'dog'), ('dog',))
    """

    labels: tuple[str, ...]

    def _label_names(self) -> set[str]:
        return set(self.labels)

    @property
    def counts(self) -> dict[str, int]:
        """Images a class, in the order of the classes."""
        found = Counter(self.labels)
        return {name: found[name] for name in self.classes}


@dataclass(frozen=True, eq=False)
class MultiLabelDataset(LabelledImages):
    """N images with a tuple of class names each as `labels`; an empty one shows no class.

    Raises:
        InputError: as `LabelledImages`; no image has a label; a class name holds a separator.

    >>> two = MultiLabelDataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), (("cat", "dog"), ()))
    >>> two.matrix().tolist()
    [[1, 1], [0, 0]]
    """

    labels: tuple[tuple[str, ...], ...]

    def _label_names(self) -> set[str]:
        return {label for labels in self.labels for label in labels}

    def __post_init__(self) -> None:
        if not (self.classes or self._label_names()):
            raise InputError("no image has a label; label some of them")
        super().__post_init__()
        odd = [name for name in self.classes if set(name) & set(SEPARATORS)]
        if odd:
            raise InputError(
                f"the class name {odd[0]!r} holds | or ;, which stand between labels; rename it"
            )

    @property
    def counts(self) -> dict[str, int]:
        """Images that show each class, in the order of the classes."""
        return dict(zip(self.classes, self.matrix().sum(0).tolist(), strict=True))

    def matrix(self, classes: Sequence[str] = ()) -> NDArray[np.int64]:
        """`[N, C]`, 1 where an image shows a class; the columns are `classes`, its own by default.

        Raises:
            InputError: a label that is not among them.
        """
        column = {name: c for c, name in enumerate(classes or self.classes)}
        unknown = sorted(self._label_names() - column.keys())
        if unknown:
            raise InputError(
                f"labels {unknown[:5]} are not among the {len(column)} classes: "
                f"{', '.join([*column][:10])}"
            )
        result = np.zeros((len(self), len(column)), dtype=np.int64)
        for i, labels in enumerate(self.labels):
            result[i, [column[label] for label in labels]] = 1
        return result


def groups_in_several_splits(groups: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Groups that have images in more than one split, sorted; "" is no group."""
    home: dict[str, str] = {}
    return sorted(
        {g for g, s in zip(groups, splits, strict=True) if g and home.setdefault(g, s) != s}
    )


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a folder's name in an old encoding, or half a character in JSON
        return False
    return True
