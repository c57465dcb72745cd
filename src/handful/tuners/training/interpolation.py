"""Weight interpolation (WiSE-FT): the share of a learned change to keep, from the support set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import plugins
from handful.contracts import ImageRef, at_home
from handful.data import holdout
from handful.encoders import prompts
from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.errors import ImageError, InputError
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.selection import calibration
from handful.selection.groups import find_units
from handful.tuners._base import BaseTuner
from handful.tuners._tuned_encoder import TunedEncoder
from handful.tuners.training.fit import Trained, fit

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
TRIAL = "trial"  # the folder in the checkpoint's for the training that only chooses the weight
_HELD_OUT = 0.25  # of the images of a class

Labelled = tuple[list[ImageRef], list[str]]


def fit_interpolated(
    tuners: Sequence[BaseTuner],
    encoder: Tunable | TunedEncoder,
    images: Sequence[ImageRef],
    labels: Sequence[str],
    text: ClassPrompts,
    *,
    weight: float | None = None,
    head: Callable[[], Any] | None = None,
    features_in: FeatureStore | None = None,
    groups: Sequence[str] | None = None,
    **settings: Any,
) -> Trained:
    """`fit`, and then only `weight` of the change (`Delta.scaled`).

    Half of its 65 lines are arguments and their description.

    Without a weight, about a quarter of each class is set apart, groups and copies whole; the rest
    is trained on. At each of `WEIGHTS` the head is fitted on features of the rest and asked about
    the images set apart; the weight with the lowest cross-entropy is taken. Unless it is 0, all
    images are trained on then, so this takes nearly twice as long. Weight 0 is the frozen encoder
    (with a soft prompt's contexts as they began): on a handful of images tuning can do harm.
    Wortsman et al. (CVPR 2022) fix 0.5 or look at test data; nothing but the support set is looked
    at here.

    Args:
        tuners: as for `fit`.
        encoder: as for `fit`; deltas that it has already keep their strength.
        images: as for `fit`.
        labels: as for `fit`.
        text: as for `fit`.
        weight: 0 to 1; None chooses.
        head: creates an unfitted adapter, the one that will stand on the encoder; zero-shot when
            not given.
        features_in: where features are kept.
        groups: N names of what belongs together (a burst, a patient), "" for none.
        settings: as for `fit`.

    Raises:
        InputError: as `fit`.
    """
    facts: dict[str, Any] = {}
    if weight is None:
        seed = (settings.get("recipe") or tuners[0].recipe).seed
        try:
            kept, apart = holdout(labels, _units(images, groups), _HELD_OUT, seed)
        except InputError:
            weight, facts["weight_why"] = 1.0, "no class has images that could be set apart"
    if weight is None:
        rest, held_out = _select(images, labels, kept), _select(images, labels, apart)
        trial = fit(tuners, encoder, *rest, text, **_trial_settings(settings))
        make = head or plugins.get("adapters", "zero_shot")
        losses = [
            _losses(_interpolated(trial, encoder, a), rest, held_out, text, make, features_in)
            for a in WEIGHTS
        ]
        if len(losses[0]):
            curve = {f"{a:g}": float(each.mean()) for a, each in zip(WEIGHTS, losses, strict=True)}
            # ascending, so of equal losses the smaller change is kept
            weight = min(WEIGHTS, key=lambda a: curve[f"{a:g}"])
            facts |= {"held_out": len(losses[0]), "held_out_loss": curve}
            if not weight:  # nothing would be left of a training on all images
                return _interpolated(trial, encoder, weight, facts)
        else:
            weight, facts["weight_why"] = 1.0, "no image that was set apart can be read"
    trained = fit(tuners, encoder, images, labels, text, **settings)
    return _interpolated(trained, encoder, weight, facts)


def _units(images: Sequence[ImageRef], groups: Sequence[str] | None) -> list[str] | None:
    """N names of what belongs together: images of a group, and copies of one; None: nothing."""
    ids = []
    for image in images:
        try:
            ids.append(image.digest())
        except ImageError:  # unreadable ones are reported where they are encoded
            ids.append("")
    units = find_units(ids, groups or [""] * len(ids)).tolist()
    return [*map(str, units)] if len({*units}) < len(units) else None


def _trial_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the training that only chooses the weight: not logged, a checkpoint of its own."""
    trial = {k: v for k, v in settings.items() if k != "callbacks"}
    if trial.get("checkpoint") is not None:
        trial["checkpoint"] = at_home(trial["checkpoint"]) / TRIAL
    return trial


def _interpolated(
    trained: Trained, before: Any, weight: float, facts: Mapping[str, Any] | None = None
) -> Trained:
    """What was learned now at a weight; deltas of the encoder `before` stay as they are."""
    old = getattr(before, "deltas", {})
    deltas = dict(trained.encoder.deltas)
    for name in deltas.keys() - old.keys():
        delta = deltas[name].scaled(weight)
        deltas[name] = replace(delta, facts={**delta.facts, **(facts or {})})
    return replace(trained, encoder=TunedEncoder(trained.encoder.base, deltas), weight=weight)


def _select(images: Sequence[ImageRef], labels: Sequence[str], rows: Sequence[int]) -> Labelled:
    return [images[i] for i in rows], [labels[i] for i in rows]


def _losses(
    trained: Trained,
    support: Labelled,
    held_out: Labelled,
    text: ClassPrompts,
    head: Callable[[], Any],
    store: FeatureStore | None,
) -> NDArray[np.floating[Any]]:
    """Cross-entropy of each readable image set apart, by a head fitted on the others.

    After temperature scaling on the images set apart: a head on features that were trained on its
    own images is overconfident, which is no evidence of how well it separates the classes.
    """
    encoder = trained.encoder
    class_text = prompts.encode_prompts(
        encoder, ClassPrompts(text.classes, text.names, trained.templates)
    )
    known = extract_features(encoder, support[0], store)
    new = extract_features(encoder, held_out[0], store)
    # every image set apart is unreadable
    if not new.kept:
        return np.zeros(0)
    labels = np.array([support[1][i] for i in known.kept])
    adapter = head().fit(known.features.values, labels, class_text)
    targets = np.array([text.classes.index(held_out[1][i]) for i in new.kept])
    logits = adapter.logits(new.features.values)
    return _cross_entropy(calibration.inverse_temperature(logits, targets) * logits, targets)


def _cross_entropy(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]
) -> NDArray[np.floating[Any]]:
    """`[M]` of logits `[M, C]`: log of the sum of exponentials, minus the true class's logit."""
    top = logits.max(axis=1, keepdims=True)  # subtracted first, or the exponentials overflow
    log_sum: NDArray[np.floating[Any]] = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    own: NDArray[np.floating[Any]] = logits[np.arange(len(targets)), targets]
    return log_sum - own
