"""The field's protocols: which support set is fitted, and which images are tested afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from handful.contracts import ClassText
from handful.errors import InputError
from handful.protocols.task import Indices, Task, check_same_encoder, digest, text_digest


@dataclass(frozen=True, eq=False)
class QuerySet:
    """Test images of an episode.

    Args:
        name: such as `test`, `new`, or a target data set.
        task: where the images are.
        images: `[M]` indices in the task.
        targets: `[M]` positions in `columns`.
        columns: `[c]` columns of the episode's text among which the answer is chosen; None for
            all.
    """

    name: str
    task: Task
    images: Indices
    targets: Indices
    columns: Indices | None = None

    @cached_property
    def units(self) -> Indices:
        """`[M]` numbers of the task's independent images or groups."""
        return self.task.test_units[self.images]


@dataclass(frozen=True, eq=False)
class Episode:
    """One support set with its text, and the query sets that are tested after it.

    Args:
        task: where the support images are.
        shots: images a class.
        seed: of the draw.
        support: `[S]` indices in the task.
        labels: `[S]` columns of `text`.
        text: names and text features of all classes of this fit.
        query_sets: none of their images is in the support set.
    """

    task: Task
    shots: int
    seed: int
    support: Indices
    labels: Indices
    text: ClassText
    query_sets: tuple[QuerySet, ...]

    @property
    def digest(self) -> str:
        """Of everything that decides the numbers, but the method."""
        parts: list[Any] = [self.task.digest, self.shots, self.seed, self.support, self.labels]
        parts += [text_digest(self.text)]
        for q in self.query_sets:
            parts += [q.name, q.task.digest, q.images, q.targets]
            parts += ["all" if q.columns is None else q.columns]
        return digest(parts)


def few_shot(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Episode]:
    """Support images of all classes; all test images, among all classes."""
    for task, seed, k in product(tasks, seeds, shots):
        drawn, rest = task.draw(k, seed, allow_fewer=allow_fewer)
        images = np.flatnonzero(rest)
        queries = QuerySet("test", task, images, task.labels[images])
        yield Episode(task, k, seed, drawn, task.labels[drawn], task.text, (queries,))


def base_classes(classes: int) -> int:
    """How many of the classes are base ones: the first half, the middle one included."""
    # as CoOp's `subsample_classes`, or the halves were not those of the published numbers
    return math.ceil(classes / 2)


def base_to_new(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Episode]:
    """Support images of the first half of the classes; each half is tested among its own classes.

    For the base half a method is given the base classes' names and images, as in the field. For
    the new half it is given the names of all classes and the images of the base ones.

    Raises:
        InputError: a data set with fewer than four classes.
    """
    for task in tasks:
        classes = len(task.text.classes)
        if classes < 4:
            raise InputError(
                f"{task.name}: base-to-new needs at least four classes, two in each half, "
                f"got {classes}"
            )
        half = base_classes(classes)
        base_text = ClassText(
            task.text.embeddings[:half], task.text.classes[:half], task.text.scale
        )
        for seed, k in product(seeds, shots):
            drawn, rest = task.draw(k, seed, np.arange(half), allow_fewer=allow_fewer)
            labels = task.labels[drawn]
            base = np.flatnonzero(rest & (task.labels < half))
            new = np.flatnonzero(rest & (task.labels >= half))
            for name, images in (("base", base), ("new", new)):
                if not len(images):
                    raise InputError(f"{task.name}: no image to test the {name} classes on")
            # two fits: the names of the new classes are known to the second one only
            queries = QuerySet("base", task, base, task.labels[base])
            yield Episode(task, k, seed, drawn, labels, base_text, (queries,))
            columns = np.arange(half, classes)
            # targets count within the new half, as its columns do
            queries = QuerySet("new", task, new, task.labels[new] - half, columns)
            yield Episode(task, k, seed, drawn, labels, task.text, (queries,))


def cross(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Episode]:
    """Support images of the first data set; every other one is tested among its own classes.

    For a target a method is given the names of both data sets' classes and images of the first.
    """
    source, *targets = _several(tasks, "cross", "a data set to teach and at least one to ask")
    joint = [_joint_text(source, target) for target in targets]
    for seed, k in product(seeds, shots):
        drawn, rest = source.draw(k, seed, allow_fewer=allow_fewer)
        labels = source.labels[drawn]
        images = np.flatnonzero(rest)
        queries = QuerySet(source.name, source, images, source.labels[images])
        yield Episode(source, k, seed, drawn, labels, source.text, (queries,))
        for target, text in zip(targets, joint, strict=True):
            images = _without_copies(source, drawn, target)
            # the answer is chosen among the target's own classes, which stand behind the source's
            columns = np.arange(len(source.text.classes), len(text.classes))
            queries = QuerySet(target.name, target, images, target.labels[images], columns)
            yield Episode(source, k, seed, drawn, labels, text, (queries,))


def domain(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Episode]:
    """Support images of the first data set; the others show the same classes in other ways.

    A variant with some of the classes only (ImageNet-A and -R) is tested among those.
    """
    source, *variants = _several(tasks, "domain", "a data set to teach and at least one variant")
    source_columns = [_columns(source, variant) for variant in variants]
    for seed, k in product(seeds, shots):
        drawn, rest = source.draw(k, seed, allow_fewer=allow_fewer)
        images = np.flatnonzero(rest)
        queries = [QuerySet(source.name, source, images, source.labels[images])]
        for variant, columns in zip(variants, source_columns, strict=True):
            images = _without_copies(source, drawn, variant)
            # ImageNet-A and -R have 200 of the 1000 classes, and the field answers among those
            present = np.unique(variant.labels[variant.testable])
            targets = np.searchsorted(present, variant.labels[images])
            found = columns[present]
            queries.append(QuerySet(variant.name, variant, images, targets, found))
        labels = source.labels[drawn]
        yield Episode(source, k, seed, drawn, labels, source.text, tuple(queries))


def _joint_text(source: Task, target: Task) -> ClassText:
    """The text of two data sets, names marked by whose they are.

    Where they have different numbers of prompts, each class keeps the mean of its own.
    """
    same = source.text.embeddings.shape[1] == target.text.embeddings.shape[1]
    parts = [t.text.embeddings if same else t.text.weights[:, None] for t in (source, target)]
    marked = zip(("source", "target"), (source, target), strict=True)
    names = [f"{mark}: {name}" for mark, task in marked for name in task.text.classes]
    return ClassText(np.concatenate(parts), tuple(names), source.text.scale)


def _several(tasks: Sequence[Task], protocol: str, what: str) -> Sequence[Task]:
    """The tasks, if there are two at least and one encoder made them all.

    Raises:
        InputError: there is one.
        MismatchError: the encoders differ.
    """
    if len(tasks) < 2:
        raise InputError(f"the protocol {protocol} needs {what}, got one source; name them all")
    check_same_encoder(tasks)
    return tasks


def _without_copies(source: Task, drawn: Indices, target: Task) -> Indices:
    """Test images of a target that are no copy of a support image."""
    # "" is an unknown digest, which is no copy of another unknown one
    support = {source.ids[int(i)] for i in drawn} - {""}
    images = np.flatnonzero(target.testable)
    kept = np.array([target.ids[int(i)] not in support for i in images], dtype=bool)
    if not kept.any():
        raise InputError(f"{target.name}: every test image is a copy of a support image")
    return np.asarray(images[kept])


def _columns(source: Task, variant: Task) -> Indices:
    """`[C of the variant]` columns of the source with the same names; -1 for unused ones.

    Raises:
        InputError: images of classes that the source does not have.
    """
    column = {name: i for i, name in enumerate(source.text.classes)}
    found = np.array([column.get(name, -1) for name in variant.text.classes], dtype=np.int64)
    used = np.unique(variant.labels[variant.testable])
    missing = [variant.text.classes[c] for c in used if found[c] < 0]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise InputError(
            f"{variant.name}: has {len(missing)} class{'es' * (len(missing) > 1)} that "
            f"{source.name} does not have: {shown}; domain generalisation needs the same names"
        )
    return found
