"""The support set as a pack keeps it: features, labels and text features, never pixels.

With them a skill can be taught again without its images and without the encoder: after an image is
added or taken away, for leave-one-out, for an answer's reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.selection.groups import Units

RESERVED = "support.reserved"  # the tensor
_LONG = 0.01  # bfloat16 rounds less
TENSORS = {"features": "float32", "targets": "int64", "text": "float32"}


@dataclass(frozen=True, eq=False)
class Reserved:
    """Images that show none of the classes, for the answer "unknown".

    Args:
        features: `[R, D]` unit rows.
        ids: R image digests.
        names: R names of the images.
        groups: R names of what belongs together, "" for none; empty: none of them has one.
    """

    features: Array
    ids: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _fill_groups(self)
        if self.features.ndim != 2 or {len(self.ids), len(self.names)} != {len(self.features)}:
            raise InputError(
                f"expected R features, ids and names, got {list(self.features.shape)}, "
                f"{len(self.ids)} and {len(self.names)}"
            )

    @cached_property
    def units(self) -> Units:
        """`[R]` numbers of what belongs together: images of a group, and copies of one."""
        return _units(self.groups, self.ids)

    def subset(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        """Some of the images."""
        rows = np.asarray(rows, dtype=np.int64)
        ids, names, groups = _take(rows, self.ids, self.names, self.groups)
        return replace(self, features=self.features[rows], ids=ids, names=names, groups=groups)


@dataclass(frozen=True, eq=False)
class Support:
    """A support set as features.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` positions in `text.classes`.
        text: class names and text features.
        ids: N image digests.
        names: N names of the images, for users; "" where there is none.
        reserved: images that show none of the classes, if any were given.
        groups: N names of what belongs together (a burst, a patient), "" for none; empty: no image
            has one. Statements leave the images of a group out together (`units`).

    Raises:
        InputError: sizes that disagree, a target that is no class.
    """

    features: Array
    targets: NDArray[np.int64]
    text: ClassText
    ids: tuple[str, ...]
    names: tuple[str, ...]
    reserved: Reserved | None = field(default=None, repr=False)
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _fill_groups(self)
        sizes = {len(self.features), len(self.targets), len(self.ids), len(self.names)}
        if len(sizes) != 1 or self.features.ndim != 2 or not len(self.features):
            raise InputError(
                f"expected N features, targets, ids and names, got {list(self.features.shape)}, "
                f"{len(self.targets)}, {len(self.ids)} and {len(self.names)}"
            )
        _check_fit(self.features, self.targets, self.text.embeddings, len(self.text.classes))
        other = self.reserved
        if other is not None and other.features.shape[1] != self.features.shape[1]:
            raise InputError(
                f"expected reserved images of the width {self.features.shape[1]}, "
                f"got {other.features.shape[1]}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """N class names."""
        return tuple(self.text.classes[c] for c in self.targets)

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class, also of those without any."""
        found = np.bincount(self.targets, minlength=len(self.text.classes))
        return {name: int(n) for name, n in zip(self.text.classes, found, strict=True)}

    @cached_property
    def units(self) -> Units:
        """`[N]` numbers of what is left out together: images of a group, and copies of one."""
        return _units(self.groups, self.ids)

    def subset(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Self:
        """The same classes with some of the images."""
        rows = np.asarray(rows, dtype=np.int64)
        ids, names, groups = _take(rows, self.ids, self.names, self.groups)
        return replace(
            self,
            features=self.features[rows],
            targets=self.targets[rows],
            ids=ids,
            names=names,
            groups=groups,
        )

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What goes into `weights.safetensors`, under `support.`."""
        values = (self.features, self.targets, self.text.embeddings)
        made = {
            f"support.{name}": np.ascontiguousarray(value, dtype=kind)
            for (name, kind), value in zip(TENSORS.items(), values, strict=True)
        }
        if self.reserved is not None:
            made[RESERVED] = np.ascontiguousarray(self.reserved.features, dtype=np.float32)
        return made

    def stated(self) -> dict[str, Any]:
        """What goes into `pack.json` under `support`."""
        made: dict[str, Any] = _stated(self)
        if self.reserved is not None:
            made["reserved"] = _stated(self.reserved)
        return made


def _units(groups: Sequence[str], ids: Sequence[str]) -> Units:
    from handful.selection.groups import find_units  # imports torch; reading a skill needs none

    return find_units(groups, ids)


def _fill_groups(images: Support | Reserved) -> None:
    """One group an image, also where none were given.

    Raises:
        InputError: not one for each image.
    """
    groups = images.groups or ("",) * len(images.ids)
    if len(groups) != len(images.ids):
        raise InputError(f"expected {len(images.ids)} groups, one an image, got {len(groups)}")
    object.__setattr__(images, "groups", groups)  # the dataclasses are frozen


def _take(rows: NDArray[np.integer[Any]], *columns: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(column[i] for i in rows) for column in columns]


def _stated(images: Support | Reserved) -> dict[str, list[str]]:
    made = {"images": list(images.ids), "names": list(images.names)}
    return made | ({"groups": list(images.groups)} if any(images.groups) else {})


def check_support(
    features: NDArray[Any],
    targets: NDArray[Any],
    text: NDArray[Any],
    classes: int,
    width: int | None = None,
) -> None:
    """Refuse malformed tensors of an untrusted pack; a library routes images by them.

    Args:
        features: `[N, D]`, unit rows.
        targets: `[N]` columns.
        text: `[C, D]` or `[C, P, D]`, unit rows.
        classes: C.
        width: D, where it is known.

    Raises:
        InputError: another type or shape, rows that are far from length one.
    """
    for values, kind in zip((features, targets, text), TENSORS.values(), strict=True):
        if str(values.dtype) != kind or not values.size:
            raise InputError(f"expected {kind}, got {values.dtype} {list(values.shape)}")
    if features.ndim != 2 or targets.shape != features.shape[:1] or len(text) != classes:
        raise InputError(
            f"expected [N, D] features, N targets and the text of {classes} classes, got "
            f"{list(features.shape)}, {list(targets.shape)} and {list(text.shape)}"
        )
    if width not in (None, features.shape[1]):
        raise InputError(f"expected the encoder's width {width}, got {features.shape[1]}")
    _check_fit(features, targets, text, classes)
    for values in (features, text):
        lengths = np.linalg.norm(values.astype(np.float64), axis=-1)
        if np.abs(lengths - 1).max() > _LONG:
            raise InputError(f"expected rows of length one, got {lengths.max():.3g}")


def _check_fit(
    features: NDArray[Any], targets: NDArray[Any], text: NDArray[Any], classes: int
) -> None:
    if targets.min() < 0 or targets.max() >= classes:
        raise InputError(f"a target is none of the {classes} classes")
    if text.shape[-1] != features.shape[1]:
        raise InputError(
            f"expected features of the text's width {text.shape[-1]}, got {features.shape[1]}"
        )
