"""Images with any number of labels, whatever they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from handful.contracts import ImageRef, class_names
from handful.data.dataset import SPLITS, straddling
from handful.errors import InputError

SEPARATORS = "|;"  # what stands between labels, and in no class name


@dataclass(frozen=True, eq=False)
class MultiDataset:
    """N images with any number of labels each.

    Args:
        images: N references; nothing is decoded here.
        labels: N tuples of class names; an empty one is an image that shows none of the classes.
        splits: N of `train`, `val`, `test` or another name; "" where none is stated.
        groups: N names of what belongs together; "" for none.
        classes: C class names in the order of the columns; the sorted labels when left out.
        ignored: files passed over; a table has none.

    Raises:
        InputError: lengths that disagree, a label not among the classes, class names that repeat
            or hold a separator, no label at all, a group in more than one split.

    >>> two = MultiDataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), (("cat", "dog"), ()))
    >>> two.matrix().tolist()
    [[1, 1], [0, 0]]
    """

    images: tuple[ImageRef, ...]
    labels: tuple[tuple[str, ...], ...]
    splits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        for name in ("labels", "splits", "groups"):
            values = tuple(getattr(self, name)) or (("",) * count if name != "labels" else ())
            if len(values) != count:
                raise InputError(f"expected {count} {name}, one an image, got {len(values)}")
            object.__setattr__(self, name, values)
        given = {label for labels in self.labels for label in labels}
        if not (self.classes or given):
            raise InputError("no image has a label; label some of them")
        object.__setattr__(self, "classes", class_names(self.classes or sorted(given)))
        odd = [name for name in self.classes if set(name) & set(SEPARATORS)]
        if odd:
            raise InputError(
                f"the class name {odd[0]!r} holds | or ;, which stand between labels; rename it"
            )
        strange = sorted(given - set(self.classes))
        if strange:
            raise InputError(
                f"labels {strange[:5]} are not among the {len(self.classes)} classes; "
                "add them to the classes or correct them"
            )
        torn = straddling(self.groups, self.splits)
        if torn:
            raise InputError(
                f"groups in more than one split ({len(torn)}): {', '.join(torn[:5])}; "
                "a group belongs to one split only"
            )

    def __len__(self) -> int:
        return len(self.images)

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
        strange = sorted({label for labels in self.labels for label in labels} - column.keys())
        if strange:
            raise InputError(
                f"labels {strange[:5]} are not among the {len(column)} classes: "
                f"{', '.join([*column][:10])}"
            )
        result = np.zeros((len(self), len(column)), dtype=np.int64)
        for i, labels in enumerate(self.labels):
            result[i, [column[label] for label in labels]] = 1
        return result

    def split(self, name: str) -> MultiDataset:
        """The images of one split; all classes keep their place.

        Raises:
            InputError: there are none.
        """
        wanted = SPLITS.get(name.strip().casefold(), name)
        chosen = [i for i, split in enumerate(self.splits) if split == wanted]
        if not chosen:
            there = ", ".join(sorted({s or "not stated" for s in self.splits}))
            raise InputError(f"no images in the split {name!r}; the splits are: {there}")
        return self.subset(chosen)

    def subset(self, indices: Iterable[int]) -> MultiDataset:
        """The images at these positions, in this order; all classes keep their place."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen),
        )
