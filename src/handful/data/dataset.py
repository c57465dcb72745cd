"""Labelled images, whatever they came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from handful.contracts import ImageRef, class_names
from handful.errors import InputError

# What people call the three parts, and what we do.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, eq=False)
class Dataset:
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

    >>> two = Dataset((ImageRef.of("a.jpg"), ImageRef.of("b.jpg")), ("cat", "dog"))
    >>> two.classes, two.subset([1]).labels
    (('cat', 'dog'), ('dog',))
    """

    images: tuple[ImageRef, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        for name in ("images", "labels", "splits", "groups"):
            values = tuple(getattr(self, name))
            if not values and name in ("splits", "groups"):
                values = ("",) * count
            if len(values) != count:
                raise InputError(f"expected {count} {name}, one an image, got {len(values)}")
            object.__setattr__(self, name, values)
        classes = class_names(self.classes or sorted(set(self.labels)))
        object.__setattr__(self, "classes", classes)
        broken = [name for name in classes if not _is_text(name)]
        if broken:
            raise InputError(f"the class name {broken[0]!r} is not Unicode text; rename it")
        strange = sorted(set(self.labels) - set(classes))
        if strange:
            raise InputError(
                f"labels {strange[:5]} are not among the {len(classes)} classes; "
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
        """Images a class, in the order of the classes."""
        found = Counter(self.labels)
        return {name: found[name] for name in self.classes}

    def split(self, name: str) -> Dataset:
        """The images of one split; all classes keep their place.

        Raises:
            InputError: there are none; tells which splits there are.
        """
        wanted = SPLITS.get(name.strip().casefold(), name)
        chosen = [i for i, split in enumerate(self.splits) if split == wanted]
        if not chosen:
            there = ", ".join(f"{s or 'not stated'} ({n})" for s, n in Counter(self.splits).items())
            raise InputError(f"no images in the split {name!r}; the splits are: {there}")
        return self.subset(chosen)

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The images at these positions, in this order; all classes keep their place."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen),
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a folder's name in an old encoding, or half a character in JSON
        return False
    return True


def straddling(groups: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Groups that lie in more than one split, sorted; "" is no group."""
    home: dict[str, str] = {}
    return sorted(
        {g for g, s in zip(groups, splits, strict=True) if g and home.setdefault(g, s) != s}
    )
