"""The road for several labels an image, or none: a table in, a skill of yes/no questions out.

    images, label sets -> text -> features -> yes/no questions -> pack -> numbers

As in `handful.skills.fit`; only what a label is, and what a good answer is, differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import data, encoders
from handful.adapters import create_estimator
from handful.contracts import Encoder, class_names
from handful.data import MultiLabelDataset
from handful.data.splits import check_seed
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.metrics import FIXED_THRESHOLD, MultiLabelEvaluation, evaluate_multi_label
from handful.packs import Pack
from handful.packs.multi import is_multi_label, shown
from handful.skills.evaluate import predictor_of, unseen
from handful.skills.fit import Fitted
from handful.skills.predict import Predictor
from handful.tasks.multi_label import MultiLabel


@dataclass(frozen=True)
class MultiEvaluated:
    """How good a skill is, and what happened on the way.

    Args:
        result: the numbers.
        failures: images that could not be used, by name, with the reason.
        leaks: test images that are in the support set too, byte for byte.
        ignored: files passed over.
    """

    result: MultiLabelEvaluation
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]


def fit(
    source: str | Path | MultiLabelDataset,
    encoder: str | Path | Encoder = "tiny",
    *,
    params: Mapping[str, Any] | None = None,
    shots: int | None = None,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
    views: int = 1,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Teach a skill that says of each class whether an image shows it.

    Args:
        source: a table as `handful.data.multi_label_table` reads it, or a `MultiLabelDataset`;
            where it states splits, only `train` is used.
        encoder: a name, folder or a loaded encoder.
        params: arguments of `handful.tasks.multi_label.MultiLabel`.
        shots: images are drawn by `seed` until so many show each class, and so many show none, or
            all that there are; more frequent classes get more of them.
        templates: prompts with `{}` where the class goes.
        words: what the prompts call a class, and the order of the classes.
        seed: of the draw and of augmented views.
        views: augmented views averaged into each support feature.
        store: where features are kept.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images, labels or arguments that has to be put right first.
    """
    templates = prompts.expand_templates(templates)
    adapter = create_estimator(MultiLabel, "multi_label", params=params)
    dataset = _part(_load(source), "train")
    names = _names(dataset, words)
    if shots is not None:
        dataset = dataset.subset(draw(dataset.matrix([*names]), shots, seed))
    _check_counts(names, dataset.matrix([*names]), ())
    tower = encoders.load(encoder)
    text = prompts.embed(tower, names, templates)
    found = extract_features(
        tower, dataset.images, store, views=views, seed=seed, progress=progress
    )
    truth = dataset.matrix(text.classes)[list(found.kept)]
    _check_counts(names, truth, found.failures)
    began = time.perf_counter()
    adapter.fit(found.features.values, truth, text)
    seconds = time.perf_counter() - began
    pack = Pack.of(
        adapter,
        text,
        tower,
        templates=templates,
        support_ids=found.features.ids,
        training={
            "shots": shots,
            "counts": dict(zip(text.classes, truth.sum(0).tolist(), strict=True)),
            "images": len(truth),
            "without labels": int((truth.sum(1) == 0).sum()),
            "words": dict(names),
            "seed": seed,
            "views": views,
            "failed": len(found.failures),
        },
    )
    stated = replace(pack, manifest=pack.manifest | {"multi_label": adapter.stated()})
    return Fitted(stated, found.failures, found.encoded, seconds, dataset.ignored)


def evaluate(
    skill: str | Path | Predictor,
    source: str | Path | MultiLabelDataset,
    *,
    encoder: str | Path | Encoder | None = None,
    store: FeatureStore | None = None,
    keep_leaks: bool = False,
    progress: Progress | None = None,
) -> MultiEvaluated:
    """Measure a skill of several labels an image; support images among them are left out.

    Args:
        skill: a pack's folder or a `Predictor`.
        source: as for `fit`; where it states splits, only `test` is used.
        encoder: to use instead of the one the pack names.
        store: where features are kept.
        keep_leaks: count images of the support set too (the numbers are then too good).
        progress: called with (images done, images in all).

    Raises:
        InputError: a skill of one label an image; a label that is not among its classes; nothing
            left to measure on.
    """
    dataset = _part(_load(source), "test")
    predictor = predictor_of(skill, encoder, store)
    pack = predictor.pack
    if not is_multi_label(pack.manifest):
        raise InputError(
            f"{pack.where}: answers with one class an image; measure it with handful.evaluate, or "
            "teach one of several with --multi-label"
        )
    truth = dataset.matrix(pack.classes)
    found = unseen(predictor, dataset.images, store, keep_leaks=keep_leaks, progress=progress)
    given = pack.probabilities(found.features)
    answers = shown(pack.manifest, pack.tensors, given, pack.where)
    wanted = truth[list(found.places)]
    return MultiEvaluated(
        evaluate_multi_label(answers, wanted, pack.classes, given >= FIXED_THRESHOLD),
        found.failures,
        found.leaks,
        dataset.ignored,
    )


def draw(labels: NDArray[np.int64], shots: int, seed: int) -> list[int]:
    """Images in an order drawn by lot, until each kind is on `shots` of them.

    None is passed over on the way, so that classes stay as frequent as they are: a threshold
    depends on that. Of a kind of which there are fewer, all are taken.

    Args:
        labels: `[N, C]`, 0 or 1; rows without a 1 are a kind of their own.
        shots: images of each kind.
        seed: of the order.

    >>> draw(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), 2, seed=0)
    [0, 1, 2, 3]
    """
    if shots < 1:
        raise InputError(f"expected shots of 1 or more, got {shots}")
    order = np.random.default_rng(check_seed(seed)).permutation(len(labels))
    shown = labels[order] > 0
    kinds = np.concatenate([shown, ~shown.any(1, keepdims=True)], axis=1)
    short = (kinds.cumsum(0) < np.minimum(kinds.sum(0), shots)).any(1)
    return sorted(order[: int(short.sum()) + 1].tolist())


def _load(source: str | Path | MultiLabelDataset) -> MultiLabelDataset:
    return data.multi_label_table(source) if isinstance(source, str | Path) else source


def _part(dataset: MultiLabelDataset, split: str) -> MultiLabelDataset:
    return dataset.split(split) if any(dataset.splits) else dataset


def _names(dataset: MultiLabelDataset, words: Mapping[str, str] | None) -> dict[str, str]:
    """Label to words, in the order of the columns."""
    names = dict(words) if words is not None else {name: name for name in dataset.classes}
    class_names(tuple(names))
    if len(names) < 2:
        raise InputError(
            f"expected at least two classes, got {len(names)}: {', '.join(names)}; to tell one "
            "thing from everything else, give the rest a name too"
        )
    return names


def _check_counts(
    names: Mapping[str, str], truth: NDArray[np.int64], failures: Sequence[Failure]
) -> None:
    data.require_images(names, dict(zip(names, truth.sum(0).tolist(), strict=True)), failures)
