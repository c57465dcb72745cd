"""What images with one label each and images with several have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

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
class Labelled(ABC):
    """N images, what each is labelled, and where it belongs; see the two kinds of it."""

    images: tuple[ImageRef, ...]
    labels: tuple[Any, ...]
    splits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    @abstractmethod
    def _given(self) -> set[str]:
        """Every class that an image is labelled with."""

    def __post_init__(self) -> None:
        count = len(self.images)
        for name in ("images", "labels", "splits", "groups"):
            values = tuple(getattr(self, name))
            if not values and name in ("splits", "groups"):
                values = ("",) * count
            if len(values) != count:
                raise InputError(f"expected {count} {name}, one an image, got {len(values)}")
            object.__setattr__(self, name, values)
        given = self._given()
        classes = class_names(self.classes or sorted(given))
        object.__setattr__(self, "classes", classes)
        broken = [name for name in classes if not _is_text(name)]
        if broken:
            raise InputError(f"the class name {broken[0]!r} is not Unicode text; rename it")
        strange = sorted(given - set(classes))
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

    def split(self, name: str) -> Self:
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

    def subset(self, indices: Iterable[int]) -> Self:
        """The images at these positions, in this order; all classes keep their place."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            groups=tuple(self.groups[i] for i in chosen),
        )


def straddling(groups: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Groups that lie in more than one split, sorted; "" is no group."""
    home: dict[str, str] = {}
    return sorted(
        {g for g, s in zip(groups, splits, strict=True) if g and home.setdefault(g, s) != s}
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a folder's name in an old encoding, or half a character in JSON
        return False
    return True
