"""The road, told once: images and labels in, a skill out.

    images, labels -> text -> features -> adapter -> pack

`handful.skills.evaluate` measures a skill; `handful.protocols.compare` fits one a method.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import data, encoders
from handful.adapters import create_adapter
from handful.contracts import Encoder
from handful.data import Dataset
from handful.encoders import prompts
from handful.features import Extraction, Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.packs.support import Reserved, Support

if TYPE_CHECKING:
    from handful.tuners import Trained
    from handful.tuners.training.tune import Tuning

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
        trained: the tuned encoder and the report of its training, where there was one.
    """

    pack: Pack
    failures: tuple[Failure, ...]
    encoded: int
    seconds: float
    ignored: Mapping[str, int]
    trained: Trained | None = None

    @property
    def selection(self) -> Mapping[str, Any] | None:
        """Why these methods, where the adapter chose: `reason` and `ranking` (`Auto.explain`)."""
        chosen: Mapping[str, Any] | None = self.pack.manifest["training"].get("selection")
        return chosen


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
    tuning: Tuning | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Teach a skill from labelled images.

    Args:
        source: a folder per class, a table, a split file (see `handful.data.load`), or a `Dataset`.
            Where it states splits, only `train` is used. Images labelled `background`, `none`,
            `noise` or `other` are no class, unless `words` names it: they show what the skill is to
            call unknown, and all of them are used.
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
        tuning: what to change inside the encoder before the adapter is fitted on its features; the
            encoder then computes in float32.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images, labels or arguments that has to be put right first.
    """
    templates = written = prompts.expand_templates(templates)
    adapter = create_adapter(method, seed, params)
    dataset = data.split_or_all(data.load(source), "train")
    dataset, none = data.separate_reserved(dataset, words)
    names = data.class_words(dataset, words)
    data.require_images(names, Counter(dataset.labels), ())
    drawn = dataset
    if shots is not None:
        drawn = dataset.subset(data.draw_shots(dataset.labels, shots, seed, dataset.groups or None))
    tower = encoders.load(encoder, precision="float32" if tuning else "auto")
    trained = None
    if tuning is not None:
        from handful.tuners.training.tune import (
            tune,  # the training half of torch; most skills need none of it
        )

        trained = tune(
            tuning,
            tower,
            drawn.images,
            drawn.labels,
            prompts.class_prompts(names, written),
            seed=seed,
            head=lambda: create_adapter(method, seed, params),
            groups=drawn.groups,
            store=store,
            progress=progress,
        )
        if trained.weight:  # else a skill of the encoder as it was, which can say more of itself
            tower, templates = trained.encoder, trained.templates
    text = prompts.embed(tower, names, templates)
    found = extract_features(tower, drawn.images, store, views=views, seed=seed, progress=progress)
    strange = extract_features(tower, none.images, store) if len(none) else None
    failures = (*found.failures, *(strange.failures if strange else ()))
    labels = [drawn.labels[i] for i in found.kept]
    counts = Counter(labels)
    data.require_images(names, counts, found.failures)
    column = {name: i for i, name in enumerate(text.classes)}
    support = Support(
        found.features.values,
        np.array([column[label] for label in labels], dtype=np.int64),
        text,
        found.features.ids,
        tuple(data.short_name(drawn.images[i].name) for i in found.kept),
        _reserved(none, strange),
    )
    began = time.perf_counter()
    adapter.fit(found.features.values, labels, text)
    seconds = time.perf_counter() - began
    untouched = None
    before = getattr(tower, "base", None)  # of an encoder that something was learned in
    if before is not None:
        plain = extract_features(before, [drawn.images[i] for i in found.kept], store)
        words_before = prompts.embed(before, names, written).weights
        untouched = deltas.Untouched(plain.features.values, support.targets, words_before)
    pack = Pack.of(
        adapter,
        text,
        tower,
        templates=templates,
        support_ids=found.features.ids,
        support=support,
        untouched=untouched,
        training={
            "shots": shots,
            "counts": {name: counts[name] for name in names},
            "words": dict(names),
            "seed": seed,
            "views": views,
            "failed": len(failures),
            **({"selection": adapter.explain()} if hasattr(adapter, "explain") else {}),
        },
        evaluation=None,
    )
    encoded = found.encoded + (strange.encoded if strange else 0)
    return Fitted(pack, failures, encoded, seconds, dataset.ignored, trained)


def _reserved(none: Dataset, found: Extraction | None) -> Reserved | None:
    if found is None or not found.kept:
        return None
    names = tuple(data.short_name(none.images[i].name) for i in found.kept)
    return Reserved(found.features.values, found.features.ids, names)
