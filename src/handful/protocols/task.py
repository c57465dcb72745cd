"""A labelled data set as features, and the support sets that are drawn from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array, ClassText
from handful.errors import InputError, MismatchError
from handful.features import Failure
from handful.selection.groups import find_units

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
SHOTS = (1, 2, 4, 8, 16)
UNKNOWN = "not stated"  # the encoder of a feature file that states none


@dataclass(frozen=True, eq=False)
class Task:
    """One data set as features.

    An image keeps its index in the source, so that a draw is the same whether all images were
    encoded or only those that are needed.

    Args:
        name: what tables call it.
        labels: `[N]` columns of `text.classes`.
        text: class names and text features.
        splits: `[N]` `train`, `val`, `test`; "" where none is stated.
        usable: `[N]` false for an image that could not be read.
        rows: `[N]` row in `values`, -1 for an image that was not encoded.
        values: `[R, D]` features.
        support_values: `[R, D]` features of the same images when they are in a support set (the
            mean of augmented views); `values` when not given.
        ids: N image digests, "" where unknown.
        groups: N names of what belongs together, or None.
        digest: of everything above; equal digests, equal results.
        encoder: what the encoder is called.
        facts: what a reader must know of it.
        failures: images that could not be read.
        ignored: files passed over while looking for images.
    """

    name: str
    labels: Indices
    text: ClassText
    splits: NDArray[np.str_]
    usable: Mask
    rows: Indices
    values: Array
    ids: tuple[str, ...]
    digest: str
    encoder: str
    support_values: Array | None = None
    groups: tuple[str, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_features(
        cls, name: str, values: Array, labels: Indices, text: ClassText, **more: Any
    ) -> Task:
        """A task of which every image is encoded and usable.

        Args:
            name: what tables call it.
            values: `[N, D]` features.
            labels: `[N]` columns.
            text: class names and text features.
            more: other fields; without `splits` none is stated.
        """
        count = len(labels)
        fields: dict[str, Any] = {
            "splits": np.full(count, ""),
            "usable": np.ones(count, dtype=bool),
            "rows": np.arange(count),
            "ids": ("",) * count,
            "digest": "",
            "encoder": UNKNOWN,
        }
        return cls(name=name, values=values, labels=labels, text=text, **fields | more)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the columns."""
        return self.text.classes

    @property
    def has_splits(self) -> bool:
        """Whether the source states which images to train and test on."""
        return bool((self.splits != "").any())

    @property
    def pool(self) -> Mask:
        """`[N]` true where a support image may come from: the train split, or all images."""
        return self.usable & ((self.splits == "train") if self.has_splits else True)

    @property
    def testable(self) -> Mask:
        """`[N]` true for images that may be tested on: the test split, or all images."""
        return self.usable & ((self.splits == "test") if self.has_splits else True)

    @cached_property
    def test_units(self) -> Indices:
        """`[N]` numbers of what is independent among the images to test on, -1 for all others.

        Images of one group, and copies of one picture, are one.
        """
        images = np.flatnonzero(self.testable)
        columns = [[column[int(i)] for i in images] for column in (self.groups, self.ids) if column]
        result = np.full(len(self.labels), -1)
        result[images] = find_units(*columns) if columns else np.arange(len(images))
        return result

    @cached_property
    def test_digest(self) -> str:
        """Of the images, so that units of two tasks are not taken for the same."""
        return self.digest or digest([self.name, self.labels, self.values, *self.ids])

    def draw(
        self, shots: int, seed: int, classes: Indices | None = None, *, allow_fewer: bool = False
    ) -> tuple[Indices, Mask]:
        """Indices of a support set, and `[N]` true for the images to test on.

        Args:
            shots: images a class.
            seed: of the draw.
            classes: columns of the classes to draw from; all when not given.
            allow_fewer: take all images of a class that has fewer.
        """
        return draw_support(
            [self.classes[c] for c in self.labels],
            shots,
            seed,
            pool=self.pool if classes is None else self.pool & np.isin(self.labels, classes),
            test=self.testable,
            groups=self.groups,
            ids=self.ids if any(self.ids) else None,
            allow_fewer=allow_fewer,
        )

    def features(self, images: Indices, *, support: bool = False) -> Array:
        """`[len(images), D]` features of images by their index in the source."""
        rows = self.rows[images]
        if (rows < 0).any():
            raise InputError(f"{self.name}: {int((rows < 0).sum())} images were not encoded")
        known = self.values if self.support_values is None or not support else self.support_values
        return known[rows]


def draw_support(
    names: Sequence[str],
    shots: int,
    seed: int,
    *,
    pool: Mask | None = None,
    test: Mask | None = None,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    allow_fewer: bool = False,
) -> tuple[Indices, Mask]:
    """Indices of one support set, and `[N]` true for the images to test on; never both.

    Args:
        names: N class names.
        shots: images a class.
        seed: of the draw.
        pool: `[N]` true where a support image may come from; everywhere when not given.
        test: `[N]` true for test images; all that the draw left when not given.
        groups: N names of what belongs together (a camera, a burst), "" for none; the group of a
            support image is not tested on.
        ids: N image digests; a copy of a support image is not tested on.
        allow_fewer: take all images of a class that has fewer than `shots`.

    Raises:
        InputError: a class has too few images; nothing is left to test on.
    """
    candidates = np.arange(len(names)) if pool is None else np.flatnonzero(pool)
    group_of = None if groups is None else [groups[int(i)] for i in candidates]
    labels = [names[int(i)] for i in candidates]
    drawn = candidates[data.draw_shots(labels, shots, seed, group_of, allow_fewer=allow_fewer)]
    rest = np.zeros(len(names), dtype=bool)
    rest[data.remaining(len(names), drawn.tolist(), groups)] = True
    rest &= True if test is None else test
    if ids is not None:
        support = {ids[int(i)] for i in drawn}
        rest &= [id_ not in support for id_ in ids]
    if not rest.any():
        raise InputError(f"{shots} shots leave no test image; use fewer shots or more images")
    return drawn, rest


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 of texts, numbers and arrays in order; equal on every machine."""
    result = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head = f"{part.dtype.str}{part.shape}"
            body = np.ascontiguousarray(part).tobytes()
        else:
            head, body = type(part).__name__, str(part).encode("utf-8", "backslashreplace")
        # with its length, or ["ab", "c"] and ["a", "bc"] would be one
        result.update(f"{head}:{len(body)}:".encode() + body)
    return result.hexdigest()


def text_digest(text: ClassText) -> str:
    """Of the class names, their order and their text features."""
    return digest([text.scale, *text.classes, text.embeddings])


def check_same_encoder(tasks: Sequence[Task]) -> None:
    """Refuse tasks whose features cannot meet in one classifier.

    Raises:
        MismatchError: naming the two that differ.
    """
    first = tasks[0]
    for other in tasks[1:]:
        expected, found = (t.text.embeddings.shape[2] for t in (first, other))
        if expected != found:
            raise MismatchError(
                f"{other.name} has features of width {found}, {first.name} of width {expected}; "
                "this protocol needs all data sets from one encoder"
            )
        one, two = (str(t.facts.get("fingerprint", "")) for t in (first, other))
        # a feature file may state a name or a fingerprint
        if one and two and one not in (two, other.encoder) and two != first.encoder:
            raise MismatchError(
                f"{other.name} was encoded by {other.encoder}, {first.name} by {first.encoder}; "
                "this protocol needs all data sets from one encoder"
            )
