"""Labelled images, whatever they came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from handful.data._labelled import Labelled


@dataclass(frozen=True, eq=False)
class Dataset(Labelled):
    """N labelled images.

    Args:
        images: N references; nothing is decoded here.
        labels: N class names.
        splits: N of `train`, `val`, `test` or another name; "" where none is stated. May be left
            out, and then none is.
        groups: N names of what belongs together (a camera, a burst, a patient); "" for none. May
            be left out.
        classes: C class names in the order of the logit columns; the sorted labels when left out.
        ignored: files passed over while looking for images: how many of each extension.

    Raises:
        InputError: lengths that disagree, a label not among the classes, class names that repeat,
            a group in more than one split.

    >>> from handful.contracts import ImageRef
    >>> two = Dataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), ("cat", "dog"))
    >>> two.classes, two.subset([1]).labels
    (('cat', 'dog'), ('dog',))
    """

    labels: tuple[str, ...]

    def _given(self) -> set[str]:
        return set(self.labels)

    @property
    def counts(self) -> dict[str, int]:
        """Images a class, in the order of the classes."""
        found = Counter(self.labels)
        return {name: found[name] for name in self.classes}
