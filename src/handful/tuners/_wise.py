"""How much of what was learned to keep, chosen from the support set alone (WiSE-FT's question)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handful import prompts
from handful.contracts import Array, ImageRef
from handful.errors import InputError
from handful.extract import features
from handful.prompts import ClassPrompts
from handful.store import FeatureStore
from handful.towers import Tunable
from handful.tuners._base import Tuner
from handful.tuners._fit import Trained, fit
from handful.tuners._recipe import Recipe
from handful.tuners._tuned import Tuned

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_HELD_OUT = 4  # every fourth image of a class


def fit_between(
    tuners: Sequence[Tuner],
    encoder: Tunable,
    images: Sequence[ImageRef],
    labels: Sequence[str],
    text: ClassPrompts,
    *,
    weight: float | None = None,
    features_in: FeatureStore | None = None,
    **settings: Any,
) -> Trained:
    """`fit`, and then only `weight` of the change (`Delta.scaled`).

    Without a weight, every fourth image of each class is set apart, the rest is trained on, and
    the weight whose cross-entropy on the images set apart is lowest is taken; then all images are
    trained on again. That doubles the time. Wortsman et al. (CVPR 2022) fix 0.5 or look at test
    data; nothing but the support set is looked at here.

    Args:
        tuners: as for `fit`.
        encoder: as for `fit`.
        images: as for `fit`.
        labels: as for `fit`.
        text: as for `fit`.
        weight: 0 to 1; None chooses.
        features_in: where features of the images set apart are kept.
        settings: as for `fit`.

    Raises:
        InputError: as `fit`; no class has two images to choose from.
    """
    curve: dict[str, float] = {}
    if weight is None:
        recipe = settings.get("recipe") or tuners[0].recipe
        apart = _apart(labels, recipe)
        rest = [i for i in range(len(labels)) if i not in apart]
        once = {k: v for k, v in settings.items() if k not in ("checkpoint", "callbacks")}
        first = fit(tuners, encoder, *_rows(images, labels, rest), text, **once)
        held = _rows(images, labels, sorted(apart))
        curve = {f"{a:g}": _loss(first, a, *held, text, features_in) for a in WEIGHTS}
        weight = min(WEIGHTS, key=lambda a: curve[f"{a:g}"])
    whole = fit(tuners, encoder, images, labels, text, **settings)
    told = {"weight": weight, **({"held_out_loss": curve} if curve else {})}
    deltas = {n: d.scaled(weight) for n, d in whole.encoder.deltas.items()}
    deltas = {n: replace(d, facts={**d.facts, **told}) for n, d in deltas.items()}
    return replace(whole, encoder=Tuned(whole.encoder.base, deltas))


def _apart(labels: Sequence[str], recipe: Recipe) -> set[int]:
    """Places of the images set apart: at least one of each class that has two."""
    rng = np.random.default_rng([recipe.seed, 4])
    found: set[int] = set()
    for name in sorted(set(labels)):
        mine = rng.permutation([i for i, label in enumerate(labels) if label == name])
        found.update(mine[: max(1, len(mine) // _HELD_OUT)].tolist() if len(mine) > 1 else ())
    if not found:
        raise InputError(
            "the weight of the tuning cannot be chosen: no class has two images; give it, such as "
            "weight=1"
        )
    return found


def _rows(
    images: Sequence[ImageRef], labels: Sequence[str], rows: Sequence[int]
) -> tuple[list[ImageRef], list[str]]:
    return [images[i] for i in rows], [labels[i] for i in rows]


def _loss(
    trained: Trained,
    weight: float,
    images: Sequence[ImageRef],
    labels: Sequence[str],
    text: ClassPrompts,
    store: FeatureStore | None,
) -> float:
    """Mean cross-entropy of the images, at a weight."""
    tuned = trained.encoder
    at = Tuned(tuned.base, {n: d.scaled(weight) for n, d in tuned.deltas.items()})
    spoken = ClassPrompts(text.classes, text.names, trained.templates)
    classes = prompts.read(at, spoken)
    found = features(at, images, store)
    logits = (at.scale * found.features.values @ classes.weights.T).astype(np.float32)
    column = {name: i for i, name in enumerate(text.classes)}
    targets = np.array([column[labels[i]] for i in found.kept])
    return _cross_entropy(logits, targets)


def _cross_entropy(logits: Array, targets: Any) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return float((log_sum - logits[np.arange(len(targets)), targets]).mean())
