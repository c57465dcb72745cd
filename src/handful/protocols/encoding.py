"""Labelled images to features, of those images that a protocol needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from handful import encoders
from handful.contracts import ClassText, Encoder
from handful.data import Dataset
from handful.encoders import prompts
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.protocols.task import Indices, Mask, Task, digest, text_digest


@dataclass(frozen=True, eq=False)
class ImageSource:
    """Labelled images whose features are still to be made.

    Args:
        name: what tables call it.
        dataset: the images.
        words: label to its words in a prompt, in the order of the columns.
        templates: sets of templates that suit it, where the user names none.
    """

    name: str
    dataset: Dataset
    words: Mapping[str, str]
    templates: Sequence[str] = prompts.DEFAULT

    @property
    def labels(self) -> Indices:
        """`[N]` columns."""
        column = {label: i for i, label in enumerate(self.words)}
        return np.array([column[label] for label in self.dataset.labels], dtype=np.int64)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the columns."""
        return tuple(self.words)

    @property
    def has_splits(self) -> bool:
        """Whether the source states which images to train and test on."""
        return any(self.dataset.splits)

    @property
    def pool(self) -> Mask:
        """`[N]` true where a support image may come from: the train split, or all images."""
        every = np.ones(len(self.dataset.labels), dtype=bool)
        return np.array(self.dataset.splits) == "train" if self.has_splits else every


@dataclass(frozen=True, eq=False)
class SupportDraws:
    """The support sets that will be drawn from a source, so that nothing else is encoded.

    Args:
        draws: (shots, seed) of each; none for a data set that is only tested on.
        views: augmented views averaged into the features of support images.
        allow_fewer: take all images of a class that has too few.
    """

    draws: Sequence[tuple[int, int]] = ()
    views: int = 1
    allow_fewer: bool = False


@dataclass(frozen=True, eq=False)
class Encoding:
    """How images are encoded.

    Args:
        model: name, folder or a loaded encoder; `tiny` when not given.
        templates: of all sources; None for what suits each.
        store: where features are kept.
        progress: called with (images done, images in all), anew for every source.
        precision: of a model that is loaded by name; see `handful.encoders.load`.
        device: likewise.
    """

    model: str | Path | Encoder | None = None
    templates: Sequence[str] | None = None
    store: FeatureStore | None = None
    progress: Progress | None = None
    precision: str = "auto"
    device: str = "auto"

    @cached_property
    def encoder(self) -> Encoder:
        """Loaded at first use: feature files need none."""
        name = self.model or encoders.DEFAULT
        return encoders.load(name, precision=self.precision, device=self.device)

    @property
    def name(self) -> str:
        """Of the model asked for; "" where none was."""
        if self.model is None:
            return ""
        return str(self.model) if isinstance(self.model, str | Path) else self.model.name


def encode(source: ImageSource, encoding: Encoding, needed: SupportDraws) -> Task:
    """The features that are needed, from the store where it has them.

    An image that cannot be read is left out, and another one is drawn in its place.
    """
    encoder, dataset, labels = encoding.encoder, source.dataset, source.labels
    templates = prompts.expand_templates(encoding.templates or source.templates)
    text = class_text(encoder, source.words, templates)
    task = Task.of_features(
        source.name,
        np.empty((0, encoder.dim), dtype=np.float32),
        labels,
        text,
        splits=np.array(dataset.splits),
        rows=np.full(len(labels), -1),
        encoder=encoder.name,
        groups=dataset.groups if any(dataset.groups) else None,
    )
    failures: dict[int, Failure] = {}
    drawn = _drawn(task, needed)
    while True:
        images = np.flatnonzero(task.testable | drawn)
        found = _extract(source, encoding, images)
        lost = [int(images[f.index]) for f in found.failures]
        failures |= {i: replace(f, index=i) for i, f in zip(lost, found.failures, strict=True)}
        task.usable[lost] = False
        if not drawn[lost].any():
            break
        drawn = _drawn(task, needed)  # others in their places, which may not be encoded yet
    kept = images[list(found.kept)]
    task.rows[kept] = np.arange(len(kept))
    ids = np.full(len(labels), "", dtype=object)
    ids[kept] = found.features.ids
    values, support_values = found.features.values, None
    if needed.views > 1:  # of support images the mean over augmented views
        images = np.flatnonzero(drawn & task.usable)
        augmented = _extract(source, encoding, images, needed.views)
        support_values = values.copy()
        support_values[task.rows[images[list(augmented.kept)]]] = augmented.features.values
    facts = {
        **image_counts(task),
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "precision": encoder.precision,
        "templates": list(templates),
        "views": needed.views,
        "repeats": len(kept) - len(set(found.features.ids)),
    }
    known = [encoder.fingerprint, encoder.precision, needed.views, text_digest(text)]
    return replace(
        task,
        values=values,
        support_values=support_values,
        ids=tuple(ids),
        digest=digest([*known, labels, task.rows, *dataset.splits, *dataset.groups, *ids]),
        facts=facts,
        failures=tuple(failures[i] for i in sorted(failures)),
        ignored=dataset.ignored,
    )


def encode_all(
    dataset: Dataset,
    words: Mapping[str, str],
    model: Encoder,
    templates: Sequence[str],
    store: FeatureStore | None = None,
    progress: Progress | None = None,
    **more: Any,
) -> Task:
    """All readable images of a data set as features.

    Args:
        dataset: the images.
        words: label to its words in a prompt, in the order of the columns.
        model: the encoder of images and texts.
        templates: prompts.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).
        more: other fields of the task.
    """
    text = prompts.embed(model, words, templates)
    found = extract_features(model, dataset.images, store, progress=progress)
    usable = dataset.subset(found.kept)
    column = {name: i for i, name in enumerate(text.classes)}
    return Task.of_features(
        values=found.features.values,
        labels=np.array([column[label] for label in usable.labels], dtype=np.int64),
        text=text,
        splits=np.array(usable.splits, dtype=str),
        groups=usable.groups or None,
        ids=found.features.ids,
        failures=found.failures,
        **more,
    )


def class_text(encoder: Encoder, words: Mapping[str, str], templates: Sequence[str]) -> ClassText:
    """Text of classes by their labels; several may have the same words, as two of ImageNet's do."""
    unique: dict[str, int] = {}
    row = [unique.setdefault(" ".join(w.casefold().split()), len(unique)) for w in words.values()]
    # reversed, so that the first of several spellings is the one that is encoded
    first = {r: w for w, r in reversed(list(zip(words.values(), row, strict=True)))}
    text = prompts.embed(encoder, [first[r] for r in range(len(unique))], templates)
    return ClassText(text.embeddings[row], tuple(words), text.scale)


def image_counts(task: Task) -> dict[str, Any]:
    """How many images of which part."""
    parts = Counter(task.splits[task.usable].tolist())
    splits = {"train": parts["train"], "test": parts["test"]} if task.has_splits else {}
    return {"classes": len(task.text.classes), "images": len(task.labels), **splits}


def _drawn(task: Task, needed: SupportDraws) -> Mask:
    """`[N]` true for images of any support set."""
    result = np.zeros(len(task.labels), dtype=bool)
    for shots, seed in needed.draws:
        result[task.draw(shots, seed, allow_fewer=needed.allow_fewer)[0]] = True
    return result


def _extract(source: ImageSource, encoding: Encoding, images: Indices, views: int = 1) -> Any:
    return extract_features(
        encoding.encoder,
        [source.dataset.images[i] for i in images],
        encoding.store,
        views=views,
        progress=encoding.progress,
    )
