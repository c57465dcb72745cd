"""Measures of the images of a support set: labels, influence, distances, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handful import plugins
from handful.packs.support import Support
from handful.selection.groups import left_out_units, unit_weights
from handful.selection.label_errors import estimate_label_errors, ridge_influence

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]

SUSPECT = 0.5  # probability of a wrong label from which an image is named
FAR = 3.5  # robust deviations; the usual bound of Iglewicz and Hoaglin, 1993
# How far from a threshold a verdict is called near. The numbers move when the encoder computes in
# bfloat16 instead of float32, the probability of a wrong label most, since one rate and one
# temperature are found for all images. What is said has to hold in both precisions, so no image
# may be named in one and not mentioned in the other: measured by bench/doctor_precision.py
# (docs/benchmarks.md, "The doctor in another precision").
NEAR_WRONG = 0.3
NEAR_DEVIATIONS = 0.3
SMALL = 32  # pixels of the shorter side; encoders see at least 7 times as many
_SMALL_SHARE = 0.25  # of the median shorter side, below `_SMALL_BELOW` pixels
_SMALL_BELOW = 128
_AT_LEAST = 3  # images of a class before one of them can be far from it
_INFLUENCE_UP_TO = 2048  # images: exact influence takes N² C time and N² memory
_BETA, _PENALTY = 1.5, 0.1  # of the kernel ridge regression that stands for all methods there
_NORMAL = 1.4826  # times the median absolute deviation: the standard deviation of a normal
LEFT_OUT, TEXT_ALONE = "leave-one-out", "text alone"


@dataclass(frozen=True, eq=False)
class JudgedLabels:
    """How likely each label is wrong.

    Args:
        wrong: `[N]` probability that the label is wrong.
        probabilities: `[N, C]` of the classes, by a fit without the image.
        rate: share of labels expected to be wrong; None where nothing could be left out.
        by_others: `[N]` whether other images of its class judged it; else the text alone did.
        left_out: `[N, C]` leave-one-out logits of `auto`; None where nothing could be left out.
    """

    wrong: Doubles
    probabilities: Doubles
    rate: float | None
    by_others: Flags
    left_out: torch.Tensor | None


def judge_labels(support: Support, notes: list[str]) -> JudgedLabels:
    """Judge labels by `auto` without the image, and by zero-shot the only images of their class."""
    targets = torch.from_numpy(support.targets)
    by_others = left_out_units(support.targets, support.units)
    left_out = _left_out(_create("auto"), support) if by_others.any() else None
    wrong = np.zeros(len(targets))
    probabilities = np.zeros((len(targets), len(support.text.classes)))
    rate = None
    if not by_others.all():
        by_text = estimate_label_errors(_zero_shot(support), targets)
        wrong[~by_others] = by_text.wrong.numpy()[~by_others]
        probabilities[~by_others] = by_text.probabilities.numpy()[~by_others]
        lone = int((~by_others).sum())
        bursts = (np.bincount(support.targets)[support.targets[~by_others]] > 1).any()
        notes.append(
            f"{lone} image{'s are the only ones' if lone > 1 else ' is the only one'} of "
            f"{'their' if lone > 1 else 'its'} class{' or all of one group' * bool(bursts)}, so "
            "nothing can be left out there; "
            f"{'their labels were' if lone > 1 else 'its label was'} judged by the text alone, "
            "which is a weaker witness"
        )
    if left_out is not None:
        weights = torch.from_numpy(unit_weights(support.units[by_others]))
        judged = estimate_label_errors(left_out[by_others], targets[by_others], weights)
        wrong[by_others] = judged.wrong.numpy()
        probabilities[by_others] = judged.probabilities.numpy()
        rate = judged.rate
    return JudgedLabels(wrong, probabilities, rate, by_others, left_out)


def answered_right(support: Support, adapter: Any, auto: torch.Tensor | None) -> Flags:
    """`[N]` whether the skill's own method gives each label without having seen the image.

    Args:
        support: the support set.
        adapter: the method.
        auto: `[N, C]` leave-one-out logits of `auto` with its defaults, which may be the method.
    """
    if auto is None:
        return np.zeros(len(support.ids), dtype=np.bool_)
    usual = _create("auto")
    unfitted = type(adapter)(**adapter.get_params(deep=False))
    # the default method is `auto`, whose left-out logits are there already
    same = type(unfitted) is type(usual) and unfitted.get_params() == usual.get_params()
    logits = auto if same else _left_out(unfitted, support)
    return np.asarray(logits.argmax(dim=1).numpy() == support.targets)


def influence(support: Support, notes: list[str]) -> Doubles:
    """`[N]` nats a sample by which the others are predicted better without each image's unit.

    NaN where it is not computed.

    Kernel ridge regression on what zero-shot leaves: the residuals `onehot(y) - x Tᵀ` with the
    kernel `exp(beta (x·f - 1))` of Tip-Adapter, because its influence has a closed form.
    """
    n = len(support.ids)
    one_each = not left_out_units(support.targets, support.units).any()
    if one_each or n > _INFLUENCE_UP_TO:
        why = "one image a class" if one_each else f"more than {_INFLUENCE_UP_TO} images"
        notes.append(f"whether an image hurts the others was not computed ({why})")
        return np.full(n, np.nan)
    # in float64: influences are small differences of losses
    rows = torch.from_numpy(support.features).double()
    base = rows @ torch.from_numpy(support.text.weights).double().T
    targets = torch.from_numpy(support.targets)
    goal = torch.nn.functional.one_hot(targets, base.shape[1]).double()
    kernel = (_BETA * (rows @ rows.T - 1)).exp()
    found = ridge_influence(kernel, goal - base, base, targets, _PENALTY, support.units)
    return np.asarray(found.numpy())


def harm(influences: Doubles) -> Doubles:
    """`[N]` robust deviations of the influences above their median; NaN where not positive."""
    if np.isnan(influences).all():
        return influences
    middle = np.median(influences)
    spread = _NORMAL * np.median(np.abs(influences - middle))
    # never by less than rounding, where all images are alike
    deviations = (influences - middle) / max(float(spread), 1e-9)
    return np.where(influences > 0, deviations, np.nan)


def near(values: Doubles, threshold: float, margin: float) -> Flags:
    """`[N]` whether a value is so near a threshold that another precision may pass it."""
    return np.asarray(np.abs(values - threshold) <= margin)  # False for NaN


def class_distances(support: Support) -> Doubles:
    """`[N]` `(d - median of the class) / (1.4826 MAD)`, d the distance to the mean of the others.

    The others are those of other units. The deviations of all classes share one MAD: a few images
    of a class give no reliable one. NaN for classes of fewer than 3 units.
    """
    away = np.full(len(support.ids), np.nan)
    for c in np.unique(support.targets):
        rows = np.flatnonzero(support.targets == c)
        _, units, sizes = np.unique(support.units[rows], return_inverse=True, return_counts=True)
        if len(sizes) < _AT_LEAST:
            continue
        own = support.features[rows].astype(np.float64)
        sums = np.zeros((len(sizes), own.shape[1]))
        np.add.at(sums, units, own)
        # mean of the class without each image's unit
        others = (own.sum(axis=0) - sums[units]) / (len(rows) - sizes[units])[:, None]
        d = np.linalg.norm(own - others, axis=1)
        away[rows] = d - np.median(d)
    if np.isnan(away).all():
        return away
    spread = _NORMAL * float(np.nanmedian(np.abs(away)))
    return np.asarray(away / max(spread, 1e-9))


def too_small(
    sizes: Sequence[tuple[int, int] | None] | None, count: int, notes: list[str]
) -> Flags:
    """`[N]` whether the shorter side is below 32 pixels, or a quarter of the usual and 128."""
    if sizes is None:
        notes.append(
            "the sizes of the pictures are not known from features; hand in the pictures "
            "(--images FOLDER) to find those too small to help"
        )
        return np.zeros(count, dtype=np.bool_)
    if None in sizes:
        missing = sum(size is None for size in sizes)
        notes.append(f"{missing} of {count} pictures were not found, nor measured")
    sides = np.array([min(size) if size else np.nan for size in sizes])
    known = sides[~np.isnan(sides)]
    usual = float(np.median(known)) if len(known) else 0.0
    least = max(SMALL, min(_SMALL_SHARE * usual, _SMALL_BELOW))
    return np.asarray(sides < least)  # False where the size is not known


def _create(name: str) -> Any:
    return plugins.get("adapters", name)()


def _left_out(adapter: Any, support: Support) -> torch.Tensor:
    """`[N, C]` logits by fits without the unit of each image."""
    X, y, text = support.features, support.targets, support.text
    return torch.from_numpy(adapter.leave_one_out(X, y, text, support.units))


def _zero_shot(support: Support) -> torch.Tensor:
    """`[N, C]` logits of zero-shot, which has seen none of the images."""
    X = support.features
    adapter = _create("zero_shot").fit(X, support.targets, support.text)
    return torch.from_numpy(adapter.logits(X))
