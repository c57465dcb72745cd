"""Labelled images to features, of those images that a protocol needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText, Encoder
from handful.data import Dataset
from handful.encoders import prompts
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.protocols.task import Rows, Task, digest, text_digest


@dataclass(frozen=True, eq=False)
class Source:
    """Labelled images whose features are still to be made.

    Args:
        name: what tables call it.
        dataset: the images.
        words: label to its words in a prompt, in the order of the columns.
        templates: sets of templates that suit it, where the person names none.
    """

    name: str
    dataset: Dataset
    words: Mapping[str, str]
    templates: Sequence[str] = prompts.DEFAULT

    @property
    def labels(self) -> Rows:
        """`[N]` columns."""
        column = {label: i for i, label in enumerate(self.words)}
        return np.array([column[label] for label in self.dataset.labels], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Need:
    """What of a source is needed, so that nothing else is encoded.

    Args:
        draws: (shots, seed) of the support sets; none for a data set that is only asked.
        views: augmented views averaged into the features of support images.
        allow_fewer: take all images of a class that has too few.
    """

    draws: Sequence[tuple[int, int]] = ()
    views: int = 1
    allow_fewer: bool = False


@dataclass(frozen=True, eq=False)
class Eye:
    """Who looks: an encoder, its templates and where features are kept.

    Args:
        encoder: loaded at first use, for feature files need none.
        templates: of all sources; None for what suits each.
        store: where features are kept.
        chosen: the encoder's name, where a person chose it; feature files must then agree.
    """

    encoder: Callable[[], Encoder]
    templates: Sequence[str] | None = None
    store: FeatureStore | None = None
    chosen: str = ""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A task, and the images that could not be used."""

    task: Task
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


def encode(source: Source, eye: Eye, need: Need, progress: Progress | None = None) -> Loaded:
    """The features that are needed, from the store where it knows them.

    An image that cannot be read is left out, and another one is drawn in its place.
    """
    tower = eye.encoder()
    templates = prompts.expand_templates(eye.templates or source.templates)
    text = class_text(tower, source.words, templates)
    dataset, labels = source.dataset, source.labels
    splits = np.array(dataset.splits)
    blank = Task(
        name=source.name,
        labels=labels,
        text=text,
        splits=splits,
        usable=np.ones(len(labels), dtype=bool),
        where=np.full(len(labels), -1),
        values=np.empty((0, tower.dim), dtype=np.float32),
        ids=("",) * len(labels),
        digest="",
        encoder=tower.name,
        groups=dataset.groups if any(dataset.groups) else None,
    )
    failures: dict[int, Failure] = {}
    while True:
        drawn = _drawn(blank, need)
        asked = np.flatnonzero(blank.exam | drawn)
        found = extract_features(
            tower, [dataset.images[i] for i in asked], eye.store, progress=progress
        )
        lost = [int(asked[f.index]) for f in found.failures]
        failures |= {i: replace(f, index=i) for i, f in zip(lost, found.failures, strict=True)}
        blank.usable[lost] = False
        if not drawn[lost].any():
            break
    kept = asked[list(found.kept)]
    blank.where[kept] = np.arange(len(kept))
    ids = np.full(len(labels), "", dtype=object)
    ids[kept] = found.features.ids
    shown = None
    if need.views > 1:
        shown = _viewed(blank, found.features.values, drawn, source, eye, need.views, progress)
    facts = {
        **image_counts(blank),
        "encoder": tower.name,
        "fingerprint": tower.fingerprint,
        "precision": tower.precision,
        "templates": list(templates),
        "views": need.views,
        "repeats": len(kept) - len(set(found.features.ids)),
    }
    known = [tower.fingerprint, tower.precision, need.views, text_digest(text), labels, blank.where]
    task = replace(
        blank,
        values=found.features.values,
        shown=shown,
        ids=tuple(ids),
        digest=digest([*known, *dataset.splits, *dataset.groups, *ids]),
        facts=facts,
    )
    ordered = tuple(failures[i] for i in sorted(failures))
    return Loaded(task, ordered, dataset.ignored)


def class_text(tower: Encoder, words: Mapping[str, str], templates: Sequence[str]) -> ClassText:
    """Text of classes by their labels; several may have the same words, as two of ImageNet's do."""
    unique: dict[str, int] = {}
    row = [unique.setdefault(" ".join(w.casefold().split()), len(unique)) for w in words.values()]
    first = {r: w for w, r in reversed(list(zip(words.values(), row, strict=True)))}
    text = prompts.embed(tower, [first[r] for r in range(len(unique))], templates)
    return ClassText(text.embeddings[row], tuple(words), text.scale)


def image_counts(task: Task) -> dict[str, Any]:
    """How many images of which part."""
    parts = Counter(task.splits[task.usable].tolist())
    said = {"train": parts["train"], "test": parts["test"]} if task.stated else {}
    return {"classes": len(task.text.classes), "images": len(task.labels), **said}


def _drawn(task: Task, need: Need) -> NDArray[np.bool_]:
    """`[N]` true for images of any support set."""
    result = np.zeros(len(task.labels), dtype=bool)
    for shots, seed in need.draws:
        result[task.draw(shots, seed, allow_fewer=need.allow_fewer)[0]] = True
    return result


def _viewed(
    task: Task,
    values: Array,
    drawn: NDArray[np.bool_],
    source: Source,
    eye: Eye,
    views: int,
    progress: Progress | None,
) -> Array:
    """`[R, D]` features; those of support images are means over augmented views."""
    images = np.flatnonzero(drawn & task.usable)
    pictures = [source.dataset.images[i] for i in images]
    found = extract_features(eye.encoder(), pictures, eye.store, views=views, progress=progress)
    result = values.copy()
    result[task.where[images[list(found.kept)]]] = found.features.values
    return result
