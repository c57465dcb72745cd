"""Images with any number of labels, whatever they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.data._labelled import Labelled
from handful.errors import InputError

SEPARATORS = "|;"  # what stands between labels, and in no class name


@dataclass(frozen=True, eq=False)
class MultiDataset(Labelled):
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

    >>> from handful.contracts import ImageRef
    >>> two = MultiDataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), (("cat", "dog"), ()))
    >>> two.matrix().tolist()
    [[1, 1], [0, 0]]
    """

    labels: tuple[tuple[str, ...], ...]

    def _given(self) -> set[str]:
        return {label for labels in self.labels for label in labels}

    def __post_init__(self) -> None:
        if not (self.classes or self._given()):
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
        strange = sorted(self._given() - column.keys())
        if strange:
            raise InputError(
                f"labels {strange[:5]} are not among the {len(column)} classes: "
                f"{', '.join([*column][:10])}"
            )
        result = np.zeros((len(self), len(column)), dtype=np.int64)
        for i, labels in enumerate(self.labels):
            result[i, [column[label] for label in labels]] = 1
        return result
