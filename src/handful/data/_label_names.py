"""Labels of images in memory, as names of classes: texts, or numbers with the names of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from handful.contracts import class_names
from handful.data._image_table import cell_text, is_missing
from handful.data.text import clean_name
from handful.errors import InputError

_SHOWN = 5


def to_names(
    labels: Sequence[Any], places: Sequence[str], classes: Sequence[str] | None, where: str
) -> list[Any]:
    """Labels with class names in place of numbers; a missing one becomes None.

    Args:
        labels: N labels: text, a number, or nothing (None, NaN). Of several labels an image: a
            list, tuple or set of them, or an array of C zeros and ones.
        places: N places, for errors.
        classes: C names that numbers stand for, if they are known.
        where: what errors call the source.

    Raises:
        InputError: numbers without names, numbers beyond the classes, texts and numbers mixed,
            labels of another kind.
    """
    flat = [
        _shown(label, place, classes, where) if _is_row(label) else plain(label)
        for label, place in zip(labels, places, strict=True)
    ]
    found = [(each, place) for row, place in zip(flat, places, strict=True) for each in _each(row)]
    texts = [pair for pair in found if isinstance(pair[0], str)]
    numbers = [pair for pair in found if isinstance(pair[0], int)]
    others = [pair for pair in found if not isinstance(pair[0], str | int)]
    if others:
        raise InputError(
            f"{where}: labels of a kind that is not understood ({len(others)}): {_first(others)}; "
            "expected texts, or whole numbers with the names of the classes (classes=)"
        )
    if texts and numbers:
        raise InputError(
            f"{where}: some labels are texts, {_first(texts[:1])}, and some are numbers, "
            f"{_first(numbers[:1])}; make them of one kind"
        )
    if numbers and classes is None:
        raise InputError(
            f"{where}: the labels are numbers, {_first(numbers[:3])}; give the names of the "
            "classes in their order (classes=['cat', 'dog']), or make texts of the labels where "
            "the numbers are the names"
        )
    names = list(classes or ())
    outside = [pair for pair in numbers if not 0 <= pair[0] < len(names)]
    if outside:
        raise InputError(
            f"{where}: labels outside 0 to {len(names) - 1}, the {len(names)} classes "
            f"({len(outside)}): {_first(outside)}"
        )
    return [_named(row, names) for row in flat]


def check_classes(classes: Any) -> tuple[str, ...] | None:
    """Names of classes that a caller gave.

    Raises:
        InputError: no list of different names.
    """
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise InputError(
            f"classes: expected a list of names, got {classes!r}; such as ['cat', 'dog']"
        )
    names = list(classes)
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise InputError(f"classes: expected names as texts, got {wrong[0]!r}")
    return class_names([clean_name(name) for name in names])


def plain(label: Any) -> Any:
    """A label without its wrapping: a text, an int, a list of these, or None where it is missing.

    What is none of these is returned as it is.
    """
    if hasattr(label, "detach"):  # a tensor
        label = label.detach().cpu().numpy()
    if isinstance(label, np.ndarray | np.generic):
        label = label.tolist()  # of a single number a number
    if is_missing(label):
        return None
    if isinstance(label, str):
        return cell_text(label) or None
    if isinstance(label, list | tuple | set | frozenset):
        ordered = label if isinstance(label, list | tuple) else sorted(label, key=str)
        return [plain(each) for each in ordered]
    if isinstance(label, bool):
        return int(label)
    if isinstance(label, float):
        return int(label) if label.is_integer() else label
    return label


def _is_row(label: Any) -> bool:
    """Whether a label is an array or a tensor with an entry for each class."""
    return getattr(label, "ndim", 0) == 1


def _shown(label: Any, place: str, classes: Sequence[str] | None, where: str) -> list[int]:
    """The classes that have a 1 in an array of zeros and ones."""
    row = plain(label)
    if classes is None or len(row) != len(classes) or any(each not in (0, 1) for each in row):
        count = "one entry a class (classes=)" if classes is None else f"{len(classes)} entries"
        raise InputError(
            f"{where}: expected labels of several classes as an array of 0 and 1 with {count}, "
            f"got {row} ({place})"
        )
    return [i for i, each in enumerate(row) if each]


def _each(label: Any) -> list[Any]:
    """The single labels of an image; none where it is missing."""
    if isinstance(label, list):
        return label
    return [] if label is None else [label]


def _named(label: Any, names: Sequence[str]) -> Any:
    if isinstance(label, list):
        return [_named(each, names) for each in label]
    return names[label] if isinstance(label, int) else label


def _first(pairs: Sequence[tuple[Any, str]]) -> str:
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return ", ".join(f"{value!r} ({place})" for value, place in pairs[:_SHOWN]) + more
