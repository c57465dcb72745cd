"""Evaluation of a skill on labelled images that are not in its support set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics
from handful.contracts import Array, Encoder
from handful.data import LabelledImages
from handful.errors import InputError
from handful.features import Extraction, Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, confidence
from handful.report import to_frame
from handful.skills.answers import Answers
from handful.skills.loaded import AnySkill
from handful.skills.pool import TRANSDUCTIVE, check_pool, refit_with_pool
from handful.skills.predict import Predictor
from handful.skills.support import unreadable
from handful.skills.unseen import unseen
from handful.tasks import Task

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Evaluated:
    """How good a skill is on images it has not seen.

    Args:
        task: what was asked.
        result: the numbers of the task, `handful.metrics.Evaluation` or `MultiLabelEvaluation`.
        failures: images that could not be read; they count in no number.
        leaks: test images that are byte for byte support images; left out of every number.
        ignored: files passed over while looking for images: how many of each kind.
        unknown: how often images of no class are taken for known and the other way round, where
            there were any (`handful.selection.novelty.detection_errors`), or `cannot` and why;
            else None.
        confidence: calibration error and its bins, with the skill's factor and without, and what
            sets of answers cover at each of `handful.packs.confidence.ERRORS`, or why it cannot;
            None for a task without one class an image.
        in_pool: test images that taught the skill without their labels; left out of every number.
        transductive: where the test images themselves were the pool, how many (`pool`), how far
            they were trusted (`trust`) and a `note` that says so; else None.
        answers: what was answered of each test image that counts, with the truth; None for a
            task that asks neither for one class an image nor for several.
    """

    task: Task
    result: Any
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]
    unknown: Mapping[str, Any] | None = None
    confidence: Mapping[str, Any] | None = None
    in_pool: tuple[str, ...] = ()
    transductive: Mapping[str, Any] | None = None
    answers: Answers | None = None

    def to_frame(self) -> DataFrame:
        """A row a class: `class,precision,recall,f1,images`, images being those of the class.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        keys = {"precision": "precision", "recall": "recall", "f1": "f1", "images": "support"}
        rows = [
            [name, *(numbers[key] for key in keys.values())]
            for name, numbers in self.result.per_class.items()
        ]
        return to_frame(["class", *keys], rows)


def evaluate(
    skill: AnySkill,
    source: Any,
    *,
    classes: Sequence[str] | None = None,
    root: str | Path | None = None,
    encoder: str | Path | Encoder | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    keep_leaks: bool = False,
    pool: bool = False,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a skill on labelled images; support images found among them are left out.

    A method that learns from the images it is asked (`semantics` is not `inductive`) gets them in
    a shuffled order, always the same: by class, as on disk, their order would give labels away.
    Over 60 lines for its arguments, each told in a line.

    Args:
        skill: a skill's folder, a `Predictor`, or what `handful.fit` returns.
        source: as for `fit`; where it states splits, only `test` is used. Images labelled
            `background`, `none`, `noise` or `other` are asked about as unknown ones.
        classes: names of the classes in their order, where labels in memory are numbers.
        root: where relative paths in memory start; the working directory when not given.
        encoder: to use instead of the one the pack names.
        precision: of an encoder that is loaded by name; see `Predictor`.
        device: likewise.
        store: where features are kept.
        keep_leaks: count images of the support set too (the numbers are then too good), and those
            of a pool that the skill was taught with.
        pool: fit the skill anew with the test images as its pool, without their labels. Such
            numbers are transductive: not to be compared with those of a skill as it is.
        progress: called with (images done, images in all).

    Raises:
        InputError: a label that is not among the skill's classes; nothing left to measure on.
    """
    if isinstance(skill, Predictor):
        predictor = skill
    else:
        predictor = Predictor(skill, encoder, store, precision=precision, device=device)
    pack, store = predictor.pack, store or predictor.store
    task = pack.task
    images = task.load(data.read_source(source, classes=classes, root=root))
    dataset = data.split_or_all(images, "test")
    dataset, reserved = task.separate(dataset, known=pack.classes)
    truth = task.targets(dataset, pack.classes)
    if pool:
        check_pool(task, pack.method)
        if keep_leaks:
            raise InputError("a pool of test images holds no support images; leave keep_leaks out")
    found = unseen(
        *(predictor, dataset.images, store),
        keep_leaks=keep_leaks,
        keep_pool=keep_leaks or pool,
        progress=progress,
    )
    none = extract_features(predictor.encoder, reserved.images, store) if len(reserved) else None
    order = _order(pack, len(found.features))
    features, places = found.features[order], np.asarray(found.places)[order]
    targets = truth[places]
    adapter, facts = pack.adapter, None
    if pool:  # without support images, also where their leaks are counted
        adapter, trust = refit_with_pool(pack, found.features)
        facts = {"pool": len(found.features), "trust": round(trust, 4), "note": TRANSDUCTIVE}
    probabilities = adapter.predict_proba(features) if pool else pack.probabilities(features)
    return Evaluated(
        task,
        task.evaluate(adapter, features, targets, pack.classes),
        (*found.failures, *(none.failures if none else ()), *unreadable(dataset)),
        found.leaks,
        dataset.ignored,
        _unknown(predictor, found.features, none, keep_leaks=keep_leaks),
        _confidence(pack, pack.logits(features), targets) if task.exclusive and not pool else None,
        () if pool else found.in_pool,
        facts,
        _answers(pack, dataset, places, [found.ids[i] for i in order], targets, probabilities),
    )


def _order(pack: Pack, count: int) -> NDArray[np.int64]:
    if pack.semantics == "inductive":
        return np.arange(count)
    # a fixed seed: the same numbers in every run
    return np.random.default_rng(0).permutation(count)


def _answers(
    pack: Pack,
    dataset: LabelledImages,
    places: NDArray[np.int64],
    ids: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: Array,
) -> Answers | None:
    """See `Evaluated.answers`; `places` are positions in the data set."""
    shape = (len(places), len(pack.classes))
    truth = shape[:1] if pack.task.exclusive else shape
    if probabilities.shape != shape or targets.shape != truth:
        return None  # a task of a plug-in may ask for something else
    columns: Mapping[str, Sequence[str]] = getattr(dataset, "columns", {})
    return Answers(
        tuple(dataset.images[i].name for i in places),
        tuple(dataset.groups[i] for i in places),
        tuple(ids),
        targets,
        probabilities,
        pack.classes,
        {name: tuple(column[i] for i in places) for name, column in columns.items()},
        None if pack.task.exclusive else pack.task.answered(pack.adapter, probabilities),
    )


def _confidence(pack: Pack, logits: Array, targets: NDArray[np.int64]) -> dict[str, Any]:
    """See `Evaluated.confidence`."""
    found: dict[str, Any] = {"bins": {}}
    # both, to show what the learned factor is worth
    for key, factor in (("ece", confidence.factor(pack.manifest)), ("ece_uncalibrated", 1.0)):
        probabilities = confidence.probabilities(logits, factor)
        found[key] = metrics.calibration_error(probabilities, targets)
        found["bins"][key] = [
            {"from": b.low, "to": b.high, "count": b.count}
            | ({"confidence": b.confidence, "accuracy": b.accuracy} if b.count else {})
            for b in metrics.reliability(probabilities, targets)
        ]
    found["sets"] = {
        f"{error:g}": _sets(pack, logits, targets, error) for error in confidence.ERRORS
    }
    return found


def _sets(pack: Pack, logits: Array, targets: NDArray[np.int64], error: float) -> dict[str, Any]:
    """How many sets at an error rate hold the true class, and how many classes they have."""
    try:
        among = confidence.sets(pack.manifest, pack.tensors, logits, error, pack.where)
    except InputError as refused:
        return {"cannot": str(refused)}
    return {
        # promised is 1 - error on average, for images like the support images
        "coverage": float(among[np.arange(len(targets)), targets].mean()),
        "size": float(among.sum(axis=1).mean()),
    }


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
