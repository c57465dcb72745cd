"""Classes of labelled images: their words in prompts, reserved labels, classes without images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from handful.contracts import class_names
from handful.data.dataset import Dataset, LabelledImages
from handful.data.text import clean_name
from handful.errors import InputError

# labels of images that show none of the classes: negatives for the detection of unknown ones
RESERVED = frozenset({"background", "none", "noise", "other"})


class FailedImage(Protocol):
    """An image that could not be used, such as `handful.features.Failure`."""

    @property
    def reason(self) -> str:
        """Why, naming the image."""
        ...


def clean_words(words: Mapping[str, str] | None) -> dict[str, str] | None:
    """Class names that were stated, spelled as labels are; see `handful.data.text.clean_name`.

    Raises:
        InputError: two of them that nobody can tell apart.
    """
    if words is None:
        return None
    found = {clean_name(name): word for name, word in words.items()}
    if len(found) < len(words):
        names = [clean_name(name) for name in words]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"class names repeat: {twice!r} is there twice; take one out")
    return found


def is_reserved(label: str) -> bool:
    """Whether a label stands for none of the classes."""
    return label.strip().casefold() in RESERVED


def separate_reserved(
    dataset: Dataset, words: Mapping[str, str] | None = None, known: Sequence[str] = ()
) -> tuple[Dataset, Dataset]:
    """Images of the classes, and those with a label for none of the classes (`RESERVED`).

    A label that is named among the class names is a class, whatever it is called.

    Args:
        dataset: labelled images.
        words: class names that were stated, if any.
        known: further labels that are classes.

    Raises:
        InputError: no image shows a class.
    """
    stated = {*(clean_words(words) or ()), *known}
    none = {c for c in dataset.classes if is_reserved(c) and c not in stated}
    if not none:
        return dataset, dataset.subset([])
    if none >= set(dataset.classes):
        raise InputError(
            f"all images are labelled {', '.join(sorted(none))}, which says that they show none "
            "of the classes; add folders of what they are to be told from"
        )
    inside = [i for i, label in enumerate(dataset.labels) if label not in none]
    outside = [i for i, label in enumerate(dataset.labels) if label in none]
    classes = tuple(c for c in dataset.classes if c not in none)
    return replace(dataset.subset(inside), classes=classes), dataset.subset(outside)


@contextmanager
def reserved_in_errors(reserved: LabelledImages) -> Iterator[None]:
    """Add to an `InputError` that images were set apart before: they may be what it misses.

    Args:
        reserved: the second of what `separate_reserved` returns.
    """
    try:
        yield
    except InputError as error:
        if not len(reserved):
            raise
        names = sorted(set(reserved.labels))
        raise InputError(
            f"{error}. Note: {len(reserved)} images labelled {' and '.join(names)} are taken for "
            "none of the classes; where that is a class like the others, name all classes in a "
            "--classes file (in Python: words=)"
        ) from error


def class_words(dataset: Dataset, words: Mapping[str, str] | None = None) -> dict[str, str]:
    """Class name to its words in a prompt, in the order of the logit columns.

    Args:
        dataset: labelled images of the classes.
        words: class names that were stated, with their words; else each name stands for itself.

    Raises:
        InputError: a label that is not among the stated names, fewer than two classes.
    """
    words = clean_words(words)
    missing = sorted(set(dataset.labels) - words.keys()) if words is not None else []
    if words is not None and missing:
        raise InputError(
            f"labels {missing[:5]} are not among the {len(words)} class names; "
            "add them to the class names or correct them"
        )
    names = dict(words) if words is not None else {label: label for label in dataset.classes}
    class_names(tuple(names))
    if len(names) < 2:
        raise InputError(
            f"a classifier needs at least two classes, got {len(names)}: {', '.join(names)}; "
            + _missing_class(dataset, next(iter(names)))
        )
    return names


def _missing_class(dataset: Dataset, name: str) -> str:
    """What to do where there is one class alone: where others may be, or to add one."""
    paths = [image.path for image in dataset.images if image.path]
    parts = [path.parts for path in paths]
    depth = max((len(p) - 1 - p[::-1].index(name) for p in parts if name in p), default=-1)
    below = {p[depth + 1] for p in parts if name in p[:-1] and depth + 2 < len(p)}
    if depth >= 0 and len(below) > 1:
        shown = ", ".join(sorted(below)[:5]) + ", ..." * (len(below) > 5)
        home = Path(*parts[0][: depth + 1])
        return f"{name} holds folders ({shown}): if these are the classes, name {home}"
    return "add a folder with images of something else"


def require_images(
    classes: Sequence[str] | Mapping[str, str],
    counts: Mapping[str, int],
    failures: Sequence[FailedImage] = (),
) -> None:
    """Refuse classes without images, naming the images that could not be used.

    Raises:
        InputError: a class has none.
    """
    empty = [name for name in classes if not counts.get(name)]
    if empty:
        raise InputError(
            f"no usable image for {', '.join(empty[:5])}{describe_failures(failures)}; "
            "add images of it or take it off the class names"
        )


def describe_failures(failures: Sequence[FailedImage]) -> str:
    """Why the first images failed, in brackets, for an error; "" where none did."""
    if not failures:
        return ""
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f" ({'; '.join(f.reason for f in failures[:3])}{more})"
