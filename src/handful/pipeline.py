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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful import data, extract, inputs, metrics, prompts
from handful.contracts import Array, Encoder
from handful.data import Dataset
from handful.errors import InputError
from handful.extract import Extraction, Failure, Progress
from handful.metrics import Evaluation
from handful.packs import Pack, confidence, deltas, multi
from handful.packs.support import Reserved, Support
from handful.predictor import Predictor
from handful.store import FeatureStore

if TYPE_CHECKING:
    from handful.tuners import Trained
    from handful.tuning import Tuning

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


@dataclass(frozen=True)
class Evaluated:
    """How good a skill is on images it has not seen.

    Args:
        result: the numbers.
        failures: images that could not be read; they count in no number.
        leaks: test images that are byte for byte support images; left out of every number.
        ignored: files passed over while looking for images: how many of each kind.
        unknown: how often images of no class are taken for known and the other way round, where
            there were any (`handful.selection.unknown.errors`), or `cannot` and why; else None.
        confidence: calibration error and its bins, with the skill's factor and without, and what
            sets of answers cover at each of `handful.packs.confidence.ERRORS`, or why it cannot.
    """

    result: Evaluation
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]
    unknown: Mapping[str, Any] | None = None
    confidence: Mapping[str, Any] | None = None


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
    templates = prompts.expand(templates)
    adapter = inputs.adapter_of(method, seed, params)
    dataset = inputs.part(inputs.load_images(source), "train")
    dataset, none = inputs.set_apart(dataset, words)
    names = inputs.names_of(dataset, words)
    inputs.check_counts(names, Counter(dataset.labels), ())
    drawn = dataset
    if shots is not None:
        drawn = dataset.subset(data.draw(dataset.labels, shots, seed, dataset.groups or None))
    tower = inputs.load_encoder(encoder, precision="float32" if tuning else "auto")
    trained = None
    if tuning is not None:
        from handful.tuning import tune  # the training half of torch; most skills need none of it

        prompted = prompts.write(names, templates)
        trained = tune(
            tuning, tower, drawn.images, drawn.labels, prompted, seed=seed, store=store,
            progress=progress, head=lambda: inputs.adapter_of(method, seed, params),
        )  # fmt: skip
        before, tower, templates = tower, trained.encoder, trained.templates
    text = inputs.class_text(tower, names, templates)
    found = extract.features(tower, drawn.images, store, views=views, seed=seed, progress=progress)
    strange = extract.features(tower, none.images, store) if len(none) else None
    failures = (*found.failures, *(strange.failures if strange else ()))
    labels = [drawn.labels[i] for i in found.kept]
    counts = Counter(labels)
    inputs.check_counts(names, counts, found.failures)
    column = {name: i for i, name in enumerate(text.classes)}
    support = Support(
        found.features.values,
        np.array([column[label] for label in labels], dtype=np.int64),
        text,
        found.features.ids,
        tuple(inputs.short_name(drawn.images[i].name) for i in found.kept),
        _reserved(none, strange),
    )
    began = time.perf_counter()
    adapter.fit(found.features.values, labels, text)
    seconds = time.perf_counter() - began
    untouched = None
    if trained is not None:
        plain = extract.features(before, [drawn.images[i] for i in found.kept], store)
        words_before = inputs.class_text(before, names, prompted.templates).weights
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
        source: as for `fit`; where it states splits, only `test` is used. Images labelled
            `background`, `none`, `noise` or `other` are asked about as unknown ones.
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
    if multi.is_multi_label(pack.manifest):
        raise InputError(
            f"{pack.where}: says of each class whether an image shows it; measure it with "
            "handful.multilabel.evaluate"
        )
    dataset, none = inputs.set_apart(dataset, None, pack.classes)
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
    strange = None
    if len(none):
        strange = extract.features(predictor.encoder, none.images, store or predictor.store)
    return Evaluated(
        metrics.evaluate(logits, targets, pack.classes),
        (*found.failures, *(strange.failures if strange else ())),
        tuple(dataset.images[found.kept[i]].name for i in np.flatnonzero(seen)),
        dataset.ignored,
        _unknown(predictor, found.features.values[keep], strange, keep_leaks=keep_leaks),
        _confidence(pack, logits, targets),
    )


def _confidence(pack: Pack, logits: Array, targets: NDArray[np.int64]) -> dict[str, Any]:
    """See `Evaluated.confidence`."""
    told: dict[str, Any] = {"bins": {}}
    for key, factor in (("ece", confidence.factor(pack.manifest)), ("ece_uncalibrated", 1.0)):
        chances = confidence.probabilities(logits, factor)
        told[key] = metrics.calibration_error(chances, targets)
        told["bins"][key] = [
            {"from": b.low, "to": b.high, "count": b.count}
            | ({"confidence": b.confidence, "accuracy": b.accuracy} if b.count else {})
            for b in metrics.reliability(chances, targets)
        ]
    told["sets"] = {}
    for error in confidence.ERRORS:
        try:
            among = confidence.sets(pack.manifest, pack.tensors, logits, error, pack.where)
        except InputError as refused:
            told["sets"][f"{error:g}"] = {"cannot": str(refused)}
            continue
        told["sets"][f"{error:g}"] = {
            "coverage": float(among[np.arange(len(targets)), targets].mean()),
            "size": float(among.sum(axis=1).mean()),
        }
    return told


def _unknown(
    predictor: Predictor, known: Array, found: Extraction | None, *, keep_leaks: bool
) -> dict[str, Any] | None:
    """See `Evaluated.unknown`; images that taught the skill what is unknown are left out."""
    if found is None:
        return None
    support = predictor.pack.support
    taught = support.reserved.ids if support and support.reserved else ()
    rows = [i for i, id_ in enumerate(found.features.ids) if keep_leaks or id_ not in taught]
    if not rows:
        return None
    try:
        detector = predictor.detector()
    except InputError as error:
        return {"cannot": str(error)}
    return detector.measure(known, found.features.values[rows])


def _reserved(none: Dataset, found: Extraction | None) -> Reserved | None:
    if found is None or not found.kept:
        return None
    names = tuple(inputs.short_name(none.images[i].name) for i in found.kept)
    return Reserved(found.features.values, found.features.ids, names)


def _nothing_left(readable: int, failures: Sequence[Failure]) -> str:
    if not readable:
        return f"no image could be read{inputs.lost(failures)}"
    return (
        f"all {readable} readable images are in the skill's own support set; "
        "measure on images it has not seen"
    )
