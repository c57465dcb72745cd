"""How good a skill is: what it answers to labelled images that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics
from handful.contracts import Array, Encoder, ImageRef
from handful.data import Dataset
from handful.errors import InputError
from handful.features import Extraction, Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.metrics import Evaluation
from handful.packs import Pack, confidence, multi
from handful.skills.predict import Predictor


@dataclass(frozen=True)
class Evaluated:
    """How good a skill is on images it has not seen.

    Args:
        result: the numbers.
        failures: images that could not be read; they count in no number.
        leaks: test images that are byte for byte support images; left out of every number.
        ignored: files passed over while looking for images: how many of each kind.
        unknown: how often images of no class are taken for known and the other way round, where
            there were any (`handful.selection.novelty.detection_errors`), or `cannot` and why;
            else None.
        confidence: calibration error and its bins, with the skill's factor and without, and what
            sets of answers cover at each of `handful.packs.confidence.ERRORS`, or why it cannot.
    """

    result: Evaluation
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]
    unknown: Mapping[str, Any] | None = None
    confidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Unseen:
    """Images that can be read and did not teach the skill.

    Args:
        features: `[M, D]`.
        places: of the M images among those asked for.
        leaks: names of images that are byte for byte support images; among the M where they were
            asked for.
        failures: images that could not be read.
    """

    features: Array
    places: tuple[int, ...]
    leaks: tuple[str, ...]
    failures: tuple[Failure, ...]


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
    dataset = data.split_or_all(data.load(source), "test")
    predictor = predictor_of(skill, encoder, store)
    pack = predictor.pack
    if multi.is_multi_label(pack.manifest):
        raise InputError(
            f"{pack.where}: says of each class whether an image shows it; measure it with "
            "handful.skills.multi_label.evaluate"
        )
    dataset, none = data.separate_reserved(dataset, None, pack.classes)
    unknown = sorted(set(dataset.labels) - set(pack.classes))
    if unknown:
        raise InputError(
            f"labels {unknown[:5]} are not among the skill's {len(pack.classes)} classes; "
            f"it knows: {', '.join(pack.classes[:10])}"
        )
    found = unseen(predictor, dataset.images, store, keep_leaks=keep_leaks, progress=progress)
    features = found.features
    column = {name: i for i, name in enumerate(pack.classes)}
    targets = np.array([column[dataset.labels[i]] for i in found.places])
    if pack.semantics != "inductive":
        turn = np.random.default_rng(0).permutation(len(targets))
        features, targets = features[turn], targets[turn]
    logits = pack.logits(features)
    strange = None
    if len(none):
        strange = extract_features(predictor.encoder, none.images, store or predictor.store)
    return Evaluated(
        metrics.evaluate(logits, targets, pack.classes),
        (*found.failures, *(strange.failures if strange else ())),
        found.leaks,
        dataset.ignored,
        _unknown(predictor, features, strange, keep_leaks=keep_leaks),
        _confidence(pack, logits, targets),
    )


def predictor_of(
    skill: str | Path | Predictor,
    encoder: str | Path | Encoder | None,
    store: FeatureStore | None,
) -> Predictor:
    """The skill, ready to answer."""
    if isinstance(skill, Predictor):
        return skill
    encoder = str(encoder) if isinstance(encoder, Path) else encoder
    return Predictor(skill, encoder=encoder, store=store)


def unseen(
    predictor: Predictor,
    images: Sequence[ImageRef],
    store: FeatureStore | None = None,
    *,
    keep_leaks: bool = False,
    progress: Progress | None = None,
) -> Unseen:
    """Encode images, and set those apart that the skill was taught with.

    Raises:
        InputError: nothing is left to measure on.
    """
    found = extract_features(predictor.encoder, images, store or predictor.store, progress=progress)
    support = frozenset(predictor.pack.support_ids)
    seen = np.array([id_ in support for id_ in found.features.ids], dtype=bool)
    keep = np.flatnonzero(~seen | keep_leaks)
    if not len(seen):
        raise InputError(f"no image could be read{data.describe_failures(found.failures)}")
    if not len(keep):
        raise InputError(
            f"all {len(seen)} readable images are in the skill's own support set; "
            "measure on images it has not seen"
        )
    return Unseen(
        found.features.values[keep],
        tuple(found.kept[i] for i in keep),
        tuple(images[found.kept[i]].name for i in np.flatnonzero(seen)),
        found.failures,
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
