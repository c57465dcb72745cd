"""The road, told once: images and labels in, a skill out, and how good it is.

    images, labels -> text -> features -> adapter -> pack -> numbers

`fit` and `evaluate` are the road; `handful.comparison` walks it once for every method.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import data, extract, inputs, metrics, plugins, prompts
from handful.contracts import Encoder
from handful.data import Dataset
from handful.errors import InputError
from handful.extract import Failure, Progress
from handful.metrics import Evaluation
from handful.packs import Pack
from handful.predictor import Predictor
from handful.store import FeatureStore

DEFAULT_METHOD = "auto"


@dataclass(frozen=True)
class Fitted:
    """A new skill and what happened on the way.

    Args:
        pack: the skill; `pack.save(folder)` writes it.
        failures: images that could not be used, by name, with the reason.
        encoded: images that went through the encoder; the rest were known.
        seconds: time spent fitting the adapter alone.
        ignored: files passed over while looking for images: how many of each kind.
    """

    pack: Pack
    failures: tuple[Failure, ...]
    encoded: int
    seconds: float
    ignored: Mapping[str, int]

    @property
    def selection(self) -> Mapping[str, Any] | None:
        """Why these methods, where the adapter chose: `reason` and `ranking` (`Auto.explain`)."""
        chosen: Mapping[str, Any] | None = self.pack.manifest["training"].get("selection")
        return chosen


@dataclass(frozen=True)
class Evaluated:
    """How good a skill is on images it has not seen.

    Args:
        result: the numbers.
        failures: images that could not be read; they count in no number.
        leaks: test images that are byte for byte support images; left out of every number.
        ignored: files passed over while looking for images: how many of each kind.
    """

    result: Evaluation
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]


def fit(
    source: str | Path | Dataset,
    *,
    encoder: str | Path | Encoder = "tiny",
    method: str = DEFAULT_METHOD,
    params: Mapping[str, Any] | None = None,
    shots: int | None = None,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
    views: int = 1,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Teach a skill from labelled images.

    Args:
        source: a folder per class, a table, a split file (see `handful.data.load`), or a `Dataset`.
            Where it states splits, only `train` is used.
        encoder: name, folder or a loaded encoder.
        method: an adapter's name; see `handful methods`. `auto` blends the methods that the support
            images themselves speak for.
        params: the adapter's own arguments, such as `{"alpha": 2.0}`.
        shots: images a class, drawn by `seed`; all of them when not given.
        templates: prompts with `{}` where the class goes, or names of sets such as `satellite`;
            several are averaged.
        words: what the prompts call a class, and the order of the classes, where the labels
            themselves will not do: `{"n02123045": "tabby cat"}`.
        seed: of the draw, of augmented views and of the adapter where it has one.
        views: augmented views averaged into each support feature; 1 means the image as it is.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images, labels or arguments that has to be put right first.
    """
    templates = prompts.expand(templates)
    adapter = _adapter(method, params, seed)
    dataset = inputs.part(inputs.load_images(source), "train")
    names = inputs.names_of(dataset, words)
    inputs.check_counts(names, Counter(dataset.labels), ())
    drawn = dataset
    if shots is not None:
        drawn = dataset.subset(data.draw(dataset.labels, shots, seed, dataset.groups or None))
    tower = inputs.load_encoder(encoder)
    text = inputs.class_text(tower, names, templates)
    found = extract.features(tower, drawn.images, store, views=views, seed=seed, progress=progress)
    labels = [drawn.labels[i] for i in found.kept]
    counts = Counter(labels)
    inputs.check_counts(names, counts, found.failures)
    began = time.perf_counter()
    adapter.fit(found.features.values, labels, text)
    seconds = time.perf_counter() - began
    pack = Pack.of(
        adapter,
        text,
        tower,
        templates=templates,
        support_ids=found.features.ids,
        training={
            "shots": shots,
            "counts": {name: counts[name] for name in names},
            "words": dict(names),
            "seed": seed,
            "views": views,
            "failed": len(found.failures),
            **({"selection": adapter.explain()} if hasattr(adapter, "explain") else {}),
        },
        evaluation=None,
    )
    return Fitted(pack, found.failures, found.encoded, seconds, dataset.ignored)


def evaluate(
    skill: str | Path | Predictor,
    source: str | Path | Dataset,
    *,
    encoder: str | Path | Encoder | None = None,
    store: FeatureStore | None = None,
    keep_leaks: bool = False,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a skill on labelled images; support images found among them are left out.

    A method that learns from the images it is asked (`semantics` is not `inductive`) gets them in
    a shuffled order, always the same: as they lie on disk, by class, their order tells labels.

    Args:
        skill: a pack's folder or a `Predictor`.
        source: as for `fit`; where it states splits, only `test` is used.
        encoder: to use instead of the one the pack names.
        store: where features are kept.
        keep_leaks: count images of the support set too (the numbers are then too good).
        progress: called with (images done, images in all).

    Raises:
        InputError: a label that is not among the skill's classes; nothing left to measure on.
    """
    dataset = inputs.part(inputs.load_images(source), "test")
    if isinstance(encoder, Path):
        encoder = str(encoder)
    predictor = (
        skill if isinstance(skill, Predictor) else Predictor(skill, encoder=encoder, store=store)
    )
    pack = predictor.pack
    unknown = sorted(set(dataset.labels) - set(pack.classes))
    if unknown:
        raise InputError(
            f"labels {unknown[:5]} are not among the skill's {len(pack.classes)} classes; "
            f"it knows: {', '.join(pack.classes[:10])}"
        )
    found = extract.features(
        predictor.encoder, dataset.images, store or predictor.store, progress=progress
    )
    support = frozenset(pack.support_ids)
    seen = np.array([id_ in support for id_ in found.features.ids], dtype=bool)
    keep = np.flatnonzero(~seen | keep_leaks)
    if not len(keep):
        raise InputError(_nothing_left(len(seen), found.failures))
    column = {name: i for i, name in enumerate(pack.classes)}
    targets = np.array([column[dataset.labels[found.kept[i]]] for i in keep])
    if pack.semantics != "inductive":
        turn = np.random.default_rng(0).permutation(len(keep))
        keep, targets = keep[turn], targets[turn]
    logits = pack.logits(found.features.values[keep])
    return Evaluated(
        metrics.evaluate(logits, targets, pack.classes),
        found.failures,
        tuple(dataset.images[found.kept[i]].name for i in np.flatnonzero(seen)),
        dataset.ignored,
    )


def _adapter(method: str, params: Mapping[str, Any] | None, seed: int) -> Any:
    cls = plugins.get("adapters", method)
    accepted = cls().get_params()
    unknown = sorted(set(params or {}) - accepted.keys())
    if unknown:
        raise InputError(
            f"{method} has no parameter {', '.join(unknown)}; "
            f"it has: {', '.join(accepted) or 'none'}"
        )
    seeded = {"seed": seed} if "seed" in accepted else {}
    return cls(**{**seeded, **(params or {})})


def _nothing_left(readable: int, failures: Sequence[Failure]) -> str:
    if not readable:
        return f"no image could be read{inputs.lost(failures)}"
    return (
        f"all {readable} readable images are in the skill's own support set; "
        "measure on images it has not seen"
    )
