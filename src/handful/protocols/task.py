"""What a protocol works on: labelled features with their text, and what one fit sees of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText
from handful.errors import InputError, MismatchError
from handful.protocols import trials

Rows = NDArray[np.int64]
UNKNOWN = "not stated"  # the encoder of a feature file that does not say


@dataclass(frozen=True, eq=False)
class Task:
    """One data set as features.

    An image keeps its place in the source, so that a draw is the same whether all images were
    encoded or only those that are needed.

    Args:
        name: what tables call it.
        labels: `[N]` columns of `text.classes`.
        text: class names and text features.
        splits: `[N]` `train`, `val`, `test`; "" where none is stated.
        usable: `[N]` false for an image that could not be read.
        where: `[N]` row in `values`, -1 for an image that was not encoded.
        values: `[R, D]` features.
        shown: `[R, D]` features of the same images when they are in a support set (the mean of
            augmented views); `values` when not given.
        ids: N image digests, "" where unknown.
        groups: N names of what belongs together, or None.
        digest: of everything above; equal digests, equal results.
        encoder: what the encoder is called.
        facts: what a reader must know of it.
    """

    name: str
    labels: Rows
    text: ClassText
    splits: NDArray[np.str_]
    usable: NDArray[np.bool_]
    where: Rows
    values: Array
    ids: tuple[str, ...]
    digest: str
    encoder: str
    shown: Array | None = None
    groups: tuple[str, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stated(self) -> bool:
        """Does the source say which images to train and test on?"""
        return bool((self.splits != "").any())

    @property
    def pool(self) -> NDArray[np.bool_]:
        """`[N]` true where a support image may come from."""
        return self.usable & ((self.splits == "train") if self.stated else True)

    @property
    def exam(self) -> NDArray[np.bool_]:
        """`[N]` true for images that may be tested on: the test split, or all of them."""
        return self.usable & ((self.splits == "test") if self.stated else True)

    def draw(
        self, shots: int, seed: int, among: Rows | None = None, *, allow_fewer: bool = False
    ) -> tuple[Rows, NDArray[np.bool_]]:
        """Positions of a support set, and `[N]` true for the images to test on.

        Args:
            shots: images a class.
            seed: of the draw.
            among: columns of the classes to draw from; all when not given.
            allow_fewer: take all images of a class that has fewer.
        """
        pool = self.pool if among is None else self.pool & np.isin(self.labels, among)
        return trials.draw(
            [self.text.classes[c] for c in self.labels],
            shots,
            seed,
            pool=pool,
            test=self.exam,
            groups=self.groups,
            ids=self.ids if any(self.ids) else None,
            allow_fewer=allow_fewer,
        )

    def rows(self, images: Rows, *, support: bool = False) -> Array:
        """`[len(images), D]` features of images by their place in the source."""
        places = self.where[images]
        if (places < 0).any():
            raise InputError(f"{self.name}: {int((places < 0).sum())} images were not encoded")
        known = self.shown if support and self.shown is not None else self.values
        return known[places]


@dataclass(frozen=True, eq=False)
class Exam:
    """What a fitted method is asked.

    Args:
        name: of the exam, such as `test`, `new`, or a target data set.
        task: where the images are.
        images: `[M]` places in the task.
        targets: `[M]` positions in `columns`.
        columns: `[c]` columns of the fit's text among which the answer is chosen; None for all.
    """

    name: str
    task: Task
    images: Rows
    targets: Rows
    columns: Rows | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """One support set with its text, and the exams that follow it.

    Args:
        task: where the support images are.
        shots: images a class.
        seed: of the draw.
        images: `[S]` places in the task.
        labels: `[S]` columns of `text`.
        text: names and text features of all classes of this fit.
        exams: what is asked; none of their images is in the support set.
    """

    task: Task
    shots: int
    seed: int
    images: Rows
    labels: Rows
    text: ClassText
    exams: tuple[Exam, ...]

    @property
    def digest(self) -> str:
        """Of everything that decides the numbers, but the method."""
        parts: list[Any] = [self.task.digest, self.shots, self.seed, self.images, self.labels]
        parts += [text_digest(self.text)]
        for e in self.exams:
            parts += [e.name, e.task.digest, e.images, e.targets]
            parts += ["all" if e.columns is None else e.columns]
        return digest(parts)


def digest(parts: Iterable[Any]) -> str:
    """SHA-256 of texts, numbers and arrays in order; equal on every machine."""
    result = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head = f"{part.dtype.str}{part.shape}"
            body = np.ascontiguousarray(part).tobytes()
        else:
            head, body = type(part).__name__, str(part).encode("utf-8", "backslashreplace")
        result.update(f"{head}:{len(body)}:".encode() + body)
    return result.hexdigest()


def text_digest(text: ClassText) -> str:
    """Of the class names, their order and their text features."""
    return digest([text.scale, *text.classes, text.embeddings])


def same_encoder(tasks: Sequence[Task]) -> None:
    """Refuse tasks whose features cannot meet in one classifier.

    Raises:
        MismatchError: naming the two that differ.
    """
    first = tasks[0]
    for other in tasks[1:]:
        mine, theirs = (t.text.embeddings.shape[2] for t in (first, other))
        if mine != theirs:
            raise MismatchError(
                f"{other.name} has features of width {theirs}, {first.name} of width {mine}; "
                "this protocol needs all data sets from one encoder"
            )
        one, two = (str(t.facts.get("fingerprint", "")) for t in (first, other))
        # a feature file may state a name or a fingerprint
        if one and two and one not in (two, other.encoder) and two != first.encoder:
            raise MismatchError(
                f"{other.name} was encoded by {other.encoder}, {first.name} by {first.encoder}; "
                "this protocol needs all data sets from one encoder"
            )
