"""The field's protocols: which support set is fitted, and what is asked afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from handful.contracts import ClassText
from handful.errors import InputError
from handful.protocols.task import Exam, Lesson, Rows, Task, same_encoder


def few_shot(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Lesson]:
    """All classes are taught and all are asked."""
    for task in tasks:
        for seed in seeds:
            for k in shots:
                drawn, rest = task.draw(k, seed, allow_fewer=allow_fewer)
                images = np.flatnonzero(rest)
                exam = Exam("test", task, images, task.labels[images])
                yield Lesson(task, k, seed, drawn, task.labels[drawn], task.text, (exam,))


def base_classes(classes: int) -> int:
    """How many of the classes are base ones: the first half, the middle one included."""
    return math.ceil(classes / 2)


def base_to_new(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Lesson]:
    """The first half of the classes is taught; each half is asked among its own classes.

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
        base = part_of(task.text, half)
        for seed in seeds:
            for k in shots:
                drawn, rest = task.draw(k, seed, np.arange(half), allow_fewer=allow_fewer)
                labels = task.labels[drawn]
                old = np.flatnonzero(rest & (task.labels < half))
                new = np.flatnonzero(rest & (task.labels >= half))
                for name, found in (("base", old), ("new", new)):
                    if not len(found):
                        raise InputError(f"{task.name}: no image to test the {name} classes on")
                columns = np.arange(half, classes)
                asked = Exam("base", task, old, task.labels[old])
                yield Lesson(task, k, seed, drawn, labels, base, (asked,))
                asked = Exam("new", task, new, task.labels[new] - half, columns)
                yield Lesson(task, k, seed, drawn, labels, task.text, (asked,))


def cross(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Lesson]:
    """The first data set is taught; every other one is asked among its own classes.

    For a target a method is given the names of both data sets' classes and images of the first.
    """
    source, *targets = several(tasks, "cross", "a data set to teach and at least one to ask")
    both = [joined(source, target) for target in targets]
    for seed in seeds:
        for k in shots:
            drawn, rest = source.draw(k, seed, allow_fewer=allow_fewer)
            labels = source.labels[drawn]
            own = np.flatnonzero(rest)
            asked = Exam(source.name, source, own, source.labels[own])
            yield Lesson(source, k, seed, drawn, labels, source.text, (asked,))
            for target, text in zip(targets, both, strict=True):
                images = _unseen(source, drawn, target)
                columns = np.arange(len(source.text.classes), len(text.classes))
                asked = Exam(target.name, target, images, target.labels[images], columns)
                yield Lesson(source, k, seed, drawn, labels, text, (asked,))


def domain(
    tasks: Sequence[Task], shots: Sequence[int], seeds: Sequence[int], *, allow_fewer: bool = False
) -> Iterator[Lesson]:
    """The first data set is taught; the others show the same classes in other ways.

    A variant with some of the classes only (ImageNet-A and -R) is asked among those.
    """
    source, *variants = several(tasks, "domain", "a data set to teach and at least one variant")
    placed = [_columns(source, variant) for variant in variants]
    for seed in seeds:
        for k in shots:
            drawn, rest = source.draw(k, seed, allow_fewer=allow_fewer)
            own = np.flatnonzero(rest)
            exams = [Exam(source.name, source, own, source.labels[own])]
            for variant, columns in zip(variants, placed, strict=True):
                images = _unseen(source, drawn, variant)
                present = np.unique(variant.labels[variant.exam])
                targets = np.searchsorted(present, variant.labels[images])
                exams.append(Exam(variant.name, variant, images, targets, columns[present]))
            labels = source.labels[drawn]
            yield Lesson(source, k, seed, drawn, labels, source.text, tuple(exams))


def part_of(text: ClassText, first: int) -> ClassText:
    """The text of the first classes."""
    return ClassText(text.embeddings[:first], text.classes[:first], text.scale)


def joined(source: Task, target: Task) -> ClassText:
    """The text of two data sets, names marked by whose they are.

    Where they have different numbers of prompts, each class keeps the mean of its own.
    """
    same = source.text.embeddings.shape[1] == target.text.embeddings.shape[1]
    parts = [t.text.embeddings if same else t.text.weights[:, None] for t in (source, target)]
    marked = zip(("source", "target"), (source, target), strict=True)
    names = [f"{mark}: {name}" for mark, task in marked for name in task.text.classes]
    return ClassText(np.concatenate(parts), tuple(names), source.text.scale)


def several(tasks: Sequence[Task], protocol: str, what: str) -> Sequence[Task]:
    """The tasks, if there are two at least and one encoder made them all.

    Raises:
        InputError: there is one.
        MismatchError: the encoders differ.
    """
    if len(tasks) < 2:
        raise InputError(f"the protocol {protocol} needs {what}, got one source; name them all")
    same_encoder(tasks)
    return tasks


def _unseen(source: Task, drawn: Rows, target: Task) -> Rows:
    """Test images of a target that are no copy of a support image."""
    support = {source.ids[int(i)] for i in drawn} - {""}
    images = np.flatnonzero(target.exam)
    kept = np.array([target.ids[int(i)] not in support for i in images], dtype=bool)
    if not kept.any():
        raise InputError(f"{target.name}: every test image is a copy of a support image")
    result: Rows = images[kept]
    return result


def _columns(source: Task, variant: Task) -> Rows:
    """`[C of the variant]` columns of the source with the same names; -1 for unused ones.

    Raises:
        InputError: images of classes that the source does not have.
    """
    column = {name: i for i, name in enumerate(source.text.classes)}
    found = np.array([column.get(name, -1) for name in variant.text.classes], dtype=np.int64)
    used = np.unique(variant.labels[variant.exam])
    strange = [variant.text.classes[c] for c in used if found[c] < 0]
    if strange:
        shown = ", ".join(strange[:5]) + (", ..." if len(strange) > 5 else "")
        raise InputError(
            f"{variant.name}: has {len(strange)} class{'es' * (len(strange) > 1)} that "
            f"{source.name} does not have: {shown}; domain generalisation needs the same names"
        )
    return found
