"""Evaluation of a skill on labelled images that are not in its support set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array, Encoder
from handful.data import LabelledImages
from handful.errors import InputError
from handful.features import Extraction, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, confidence
from handful.skills import operating_points
from handful.skills.answers import Answers
from handful.skills.copies import count_once, label_keys
from handful.skills.evaluated import Evaluated
from handful.skills.interval_units import find_test_units, note_of
from handful.skills.loaded import AnySkill
from handful.skills.measure import (
    calibration_numbers,
    facts_of,
    sets_of,
    with_details,
)
from handful.skills.pool import TRANSDUCTIVE, check_pool, refit_with_pool
from handful.skills.predict import Predictor
from handful.skills.subgroups import check_columns
from handful.skills.support import unreadable
from handful.skills.taught_groups import (
    alike_note,
    group_as_taught,
    stated_way,
    taught_groups,
)
from handful.skills.torn_bursts import torn_bursts_notes
from handful.skills.unseen import unseen

__all__ = ["Evaluated", "evaluate"]

_OF_CLASSES = "answers.csv holds the photos of classes alone; those of no class are measured apart."


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
    group_by: str = "auto",
    at: str | Sequence[str] = (),
    by: str | Sequence[str] = (),
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a skill on labelled images; support images found among them are left out.

    A method that learns from the images it is asked (`semantics` is not `inductive`) gets them in
    a shuffled order, always the same: by class, as on disk, their order would give labels away.
    A picture counts once, however many copies of it there are. Intervals count groups.
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
        keep_leaks: count images of the support set and of its groups too (the numbers are then too
            good), and those of a pool that the skill was taught with.
        pool: fit the skill anew with the test images as its pool, without their labels. Such
            numbers are transductive: not to be compared with those of a skill as it is.
        group_by: which test images are not independent; as for `fit`. By default as the groups of
            the skill were stated, else the groups that the data state, else near copies. Images of
            a group that the skill was taught with are left out as its support images are.
        at: operating points to choose on the support set and to measure here, such as
            `sensitivity 0.95 of sick`; see `handful.skills.operating_points`.
        by: columns of the table for each of whose values the numbers are computed too.
        progress: called with (images done, images in all).

    Raises:
        InputError: a label of no class; nothing to measure on; too few support images; no column.
    """
    at, by = ((one,) if isinstance(one, str) else tuple(one) for one in (at, by))
    if isinstance(skill, Predictor):
        predictor = skill
    else:
        predictor = Predictor(skill, encoder, store, precision=precision, device=device)
    pack, store = predictor.pack, store or predictor.store
    task = pack.task
    asked = operating_points.check(pack, at, pool=pool)
    source = data.read_source(source, classes=classes, root=root)
    images = task.load(data.with_classes_known(source, group_by, pack.classes))
    taught = stated_way(pack.manifest["training"])
    grouped, said = group_as_taught(images, group_by, taught, where=source)
    dataset = data.split_or_all(grouped.dataset, "test")
    dataset, reserved = task.separate(dataset, known=pack.classes)
    check_columns(by, [*dataset.columns])
    truth = task.targets(dataset, pack.classes)
    # before any image is encoded: a support set that is too small for them is refused
    chosen = operating_points.of_support(pack, asked)
    if pool:
        check_pool(task, pack.method)
        if keep_leaks:
            raise InputError("a pool of test images holds no support images; leave keep_leaks out")
    found = unseen(
        *(predictor, dataset.images, store),
        groups=dataset.groups,
        keep_leaks=keep_leaks,
        keep_pool=keep_leaks or pool,
        progress=progress,
    )
    none = extract_features(predictor.encoder, reserved.images, store) if len(reserved) else None
    kept = np.asarray(found.places)
    counted = count_once(found.ids, label_keys(truth[kept]))
    if not counted.rows:
        raise InputError(
            "no test image is left: every picture is there with different labels "
            f"({dataset.images[kept[0]].name}); correct them"
        )
    rows = np.array(counted.rows)[_order(pack, len(counted.rows))]
    features, places = found.features[rows], kept[rows]
    readable = replace(grouped, dataset=dataset.subset(kept))
    readable, units = find_test_units(readable, found.features, found.ids, truth[kept])
    photos, units = readable.dataset.subset(rows), units[rows]
    adapter, transductive = pack.adapter, None
    if pool:  # without support images, also where their leaks are counted
        adapter, trust = refit_with_pool(pack, features)
        transductive = {"pool": len(rows), "trust": round(trust, 4), "note": TRANSDUCTIVE}
    probabilities = adapter.predict_proba(features) if pool else pack.probabilities(features)
    answered = task.answered(adapter, probabilities)
    ids = [found.ids[i] for i in rows]
    measured = photos.images, features, ids
    warned = torn_bursts_notes(grouped, *measured, pack, predictor.encoder, store)
    warned = warned or alike_note(pack, features, [image.name for image in photos.images], ids)
    answers = _answers(pack, photos, ids, truth[places], probabilities, answered)
    options = {"group_by": grouped.how, "at": list(at), "by": list(by), "keep_leaks": keep_leaks}
    result = task.evaluate(probabilities, answered, truth[places], pack.classes, units)
    facts = facts_of(pack, source, answers, len(np.unique(units)), options | {"pool": pool})
    facts["data"] |= {"images_of_no_class": len(none.features.ids) if none else 0}
    done = Evaluated(
        task,
        result,
        (*found.failures, *(none.failures if none else ()), *unreadable(dataset)),
        found.leaks,
        dataset.ignored,
        _unknown(predictor, features, none, reserved.groups, keep_leaks=keep_leaks),
        _confidence(pack, features, truth[places], units) if task.exclusive and not pool else None,
        () if pool else found.in_pool,
        transductive,
        answers,
        tuple(dataset.images[kept[i]].name for i in counted.repeated),
        tuple(dataset.images[kept[i]].name for i in counted.contradictory),
        facts=facts,
        notes=(
            *said,
            *note_of(replace(readable, dataset=photos), units),
            *warned,
            *([_OF_CLASSES] if none else []),
        ),
        group_leaks=found.group_leaks,
        leaked_groups=found.leaked_groups,
    )
    return with_details(done, units, chosen, by)


def _order(pack: Pack, count: int) -> NDArray[np.int64]:
    if pack.semantics == "inductive":
        return np.arange(count)
    # a fixed seed: the same numbers in every run
    return np.random.default_rng(0).permutation(count)


def _answers(
    pack: Pack,
    photos: LabelledImages,
    ids: Sequence[str],
    targets: NDArray[np.int64],
    probabilities: Array,
    answered: NDArray[np.bool_],
) -> Answers | None:
    """See `Evaluated.answers`."""
    shape = (len(photos), len(pack.classes))
    truth = shape[:1] if pack.task.exclusive else shape
    if probabilities.shape != shape or targets.shape != truth:
        return None  # a task of a plug-in may ask for something else
    return Answers(
        tuple(image.name for image in photos.images),
        photos.groups,
        tuple(ids),
        targets,
        probabilities,
        pack.classes,
        photos.columns,
        None if pack.task.exclusive else answered,
    )


def _confidence(
    pack: Pack, features: Array, targets: NDArray[np.int64], units: NDArray[np.int64]
) -> dict[str, Any]:
    """See `Evaluated.confidence`."""
    logits = pack.logits(features)
    factor = confidence.factor(pack.manifest, pack.where)
    own, plain = (confidence.probabilities(logits, by) for by in (factor, 1.0))
    among = sets_of(pack.manifest, pack.tensors, logits, pack.where)
    return calibration_numbers(targets, own, plain, among, units)


def _unknown(
    predictor: Predictor,
    known: Array,
    found: Extraction | None,
    groups: Sequence[str],
    *,
    keep_leaks: bool,
) -> dict[str, Any] | None:
    """See `Evaluated.unknown`; images that taught the skill what is unknown are left out."""
    if found is None:
        return None
    support = predictor.pack.support
    taught = support.reserved.ids if support and support.reserved else ()
    own = taught_groups(predictor.pack)
    rows = [
        i
        for i, (place, id_) in enumerate(zip(found.kept, found.features.ids, strict=True))
        if keep_leaks or (id_ not in taught and (groups[place] if groups else "") not in own)
    ]
    if not rows:
        return None
    try:
        detector = predictor.detector()
    except InputError as error:
        return {"cannot": str(error)}
    return detector.measure(known, found.features.values[rows])
