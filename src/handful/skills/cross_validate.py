"""Cross-validation: how good a skill would be, where there are no further photos to test it on.

The photos are dealt into folds of whole groups, each class as evenly as its groups allow. Each
fold is answered by a skill that was taught with the others, calibrated by them alone, and the
answers of all folds are measured together. The features are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, encoders, tasks
from handful.contracts import Array, ClassText, Encoder, check_count
from handful.data import LabelledImages
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import confidence
from handful.packs.support import Support
from handful.skills.answers import Answers
from handful.skills.copies import count_once, label_keys
from handful.skills.evaluated import Evaluated
from handful.skills.folds import deal_folds
from handful.skills.interval_units import find_test_units, fold_notes, note_of
from handful.skills.loaded import AnySkill
from handful.skills.measure import (
    Sets,
    calibration_numbers,
    facts_of,
    sets_of,
    with_details,
)
from handful.skills.recipe import Recipe, recipe_of
from handful.skills.statements import state
from handful.skills.subgroups import check_columns
from handful.skills.support import unreadable
from handful.skills.taught_groups import group_as_taught
from handful.tasks import Task


def cross_validate(
    source: Any,
    folds: int = 5,
    *,
    recipe: Recipe | None = None,
    skill: AnySkill | None = None,
    encoder: str | Path | Encoder | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    group_by: str = "auto",
    by: str | Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure by cross-validation, in folds of whole groups.

    Over 60 lines for its arguments, each told in a line.

    Args:
        source: as for `handful.fit`; where it states splits, only `train` is used.
        folds: how many.
        recipe: how each fold's skill is taught.
        skill: one to take the recipe and the encoder from instead; its support set is not used.
        encoder: name, folder or a loaded encoder; that of `skill`, else the default.
        precision: of an encoder that is loaded by name; see `handful.encoders.load`.
        device: likewise.
        store: where features are kept.
        group_by: what is not torn apart by folds, and counts once in intervals; as for `fit`.
        by: columns of the table for each of whose values the numbers are computed too.
        seed: of the folds.
        progress: called with (images done, images in all).

    Returns:
        The numbers of all folds together; `answers.folds` says which fold an image was in.

    Raises:
        InputError: fewer groups of a class than would leave some in every fold's teaching; a skill
            with a tuned encoder, or one that photos without labels helped.
    """
    check_count("folds", folds)
    if folds < 2:
        raise InputError("cross-validation needs at least 2 folds")
    by = (by,) if isinstance(by, str) else tuple(by)
    taken, model = recipe_of(skill, encoder, precision, device) if skill else (recipe, None)
    recipe = taken or Recipe()
    task = tasks.choose(recipe.task, source)
    task.create(recipe.method, recipe.seed, recipe.params)  # a wrong parameter is refused at once
    source = data.with_classes_known(data.read_source(source), group_by, recipe.words or ())
    images = task.load(source)
    grouped, said = group_as_taught(images, group_by, recipe.group_by, folds=True, where=source)
    dataset = data.split_or_all(grouped.dataset, "train")
    dataset, reserved = task.separate(dataset, recipe.words)
    check_columns(by, [*dataset.columns])
    words = task.class_words(dataset, recipe.words)
    data.require_images(words, task.counts(task.targets(dataset, [*words]), [*words]))
    if model is None:
        chosen = encoders.DEFAULT if encoder is None else encoder
        model = encoders.load(chosen, precision=precision, device=device)
    class_prompts = prompts.class_prompts(words, prompts.expand_templates(recipe.templates))
    text = prompts.encode_prompts(model, class_prompts)
    found = extract_features(model, dataset.images, store, progress=progress)
    kept = np.asarray(found.kept)
    readable = replace(grouped, dataset=dataset.subset(kept))
    truth = task.targets(readable.dataset, [*words])
    counted = count_once(found.features.ids, label_keys(truth))
    rows = np.array(counted.rows, dtype=np.int64)
    readable, units = find_test_units(readable, found.features.values, found.features.ids, truth)
    photos = _Photos(
        readable.dataset.subset(rows),
        tuple(found.features.ids[i] for i in rows),
        found.features.values[rows],
        truth[rows],
        units[rows],
    )
    data.require_images(words, task.counts(photos.targets, [*words]), found.failures)
    places = deal_folds(photos.targets, photos.units, folds, seed, text.classes)
    parts = [_answer_fold(task, recipe, text, photos, places == f) for f in range(folds)]
    options = {"cv": folds, "group_by": grouped.how, "by": list(by), "seed": seed}
    done = _pooled(task, text.classes, photos, places, parts)
    method = recipe.method or task.default_method
    facts = facts_of(None, source, done.answers, len(np.unique(photos.units)), options)
    facts["data"] |= {"images_of_no_class": len(reserved)}
    facts["skill"] |= {"method": method, "encoder": model.name}
    names = [dataset.images[i].name for i in kept]
    done = replace(
        done,
        facts=facts,
        failures=(*found.failures, *unreadable(dataset)),
        ignored=dataset.ignored,
        repeated=tuple(names[i] for i in counted.repeated),
        contradictory=tuple(names[i] for i in counted.contradictory),
        notes=(
            *fold_notes(len(rows), folds, len(reserved)),
            *note_of(replace(readable, dataset=photos.images), photos.units),
            *said,
        ),
    )
    return with_details(done, photos.units, (), by)


@dataclass(frozen=True, eq=False)
class _Photos:
    images: LabelledImages
    ids: tuple[str, ...]
    features: Array
    targets: NDArray[np.int64]
    units: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Fold:
    """Answers to the photos of one fold; `rows` are their positions."""

    rows: NDArray[np.int64]
    probabilities: Array
    uncalibrated: Array
    answered: NDArray[np.bool_]
    sets: Sets


def _answer_fold(
    task: Task, recipe: Recipe, text: ClassText, photos: _Photos, out: NDArray[np.bool_]
) -> _Fold:
    """Teach with the others, answer the photos of a fold."""
    adapter = task.create(recipe.method, recipe.seed, recipe.params)
    taught = np.flatnonzero(~out)
    # in a random order, for some methods learn from the order of the photos they are asked
    rows = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(out))
    X, y, units = photos.features[taught], photos.targets[taught], photos.units[taught]
    asked = photos.features[rows]
    if not task.exclusive:
        adapter.fit(X, y, text)
        given = adapter.predict_proba(asked)
        return _Fold(rows, given, given, task.answered(adapter, given), {})
    adapter.fit(X, y, text, groups=units)
    ids = tuple(photos.ids[i] for i in taught)
    groups = tuple(f"g{unit}" for unit in units)
    support = Support(X, y, text, ids, ("",) * len(ids), None, groups)
    entries, tensors = state(adapter, support)
    logits, factor = adapter.logits(asked), confidence.factor(entries)
    plain = confidence.probabilities(logits, 1.0)
    # also methods whose probabilities are no softmax, as `Pack.probabilities`
    given = (
        adapter.predict_proba(asked) if factor == 1 else confidence.probabilities(logits, factor)
    )
    sets = sets_of(entries, tensors, logits, "a fold")
    return _Fold(rows, given, plain, task.answered(adapter, given), sets)


def _pooled(
    task: Task,
    classes: tuple[str, ...],
    photos: _Photos,
    places: NDArray[np.int64],
    parts: Sequence[_Fold],
) -> Evaluated:
    """The folds as one evaluation, in the order of the photos."""
    back = np.argsort(np.concatenate([part.rows for part in parts]))
    given, plain = (
        np.concatenate([getattr(part, name) for part in parts])[back]
        for name in ("probabilities", "uncalibrated")
    )
    answered = np.concatenate([part.answered for part in parts])[back]
    answers = Answers(
        tuple(image.name for image in photos.images.images),
        photos.images.groups,
        photos.ids,
        photos.targets,
        given,
        classes,
        photos.images.columns,
        None if task.exclusive else answered,
        tuple(int(place) + 1 for place in places),
    )
    sure = None
    if task.exclusive:
        sure = calibration_numbers(
            photos.targets, given, plain, _pooled_sets(parts, back), photos.units
        )
    result = task.evaluate(given, answered, photos.targets, classes, photos.units)
    return Evaluated(task, result, (), (), {}, confidence=sure, answers=answers)


def _pooled_sets(parts: Sequence[_Fold], back: NDArray[np.int64]) -> Sets:
    """The sets of all folds, or why one of them cannot give any."""
    pooled: dict[float, NDArray[np.bool_] | str] = {}
    for error in parts[0].sets:
        found = [part.sets[error] for part in parts]
        refused = next((one for one in found if isinstance(one, str)), None)
        pooled[error] = refused or np.concatenate([np.asarray(one) for one in found])[back]
    return pooled
