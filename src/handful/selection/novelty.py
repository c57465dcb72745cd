"""Novelty detection: which images show none of the classes.

Learned by leaving classes out of the support set: the images of each class in turn, seen by a fit
on the others, are unknown ones of the same kind as the known classes. No method is known here and
none is fitted again; everything is in closed form from features, labels and text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.groups import Units, left_out_units, unit_weights
from handful.selection.novelty_scorer import NoveltyScorer
from handful.selection.novelty_signals import FLOOR, SIGNAL_NAMES, NoveltySignals, Values
from handful.selection.units import stratified_folds

_FIRST_WEIGHTS = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 1.0])  # weights before anything is known
_ONE_SHOT_WEIGHTS = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 1.0])  # where nothing more can be known
_PULL = 20.0  # how strongly they are held, divided by the square of the classes left out
_ROUNDS = 16  # classes are left out one by one up to here, then several together
_FOLDS = 8


def fit_novelty_detector(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    reserved: Tensor,
    units: Units | None = None,
    reserved_units: Units | None = None,
) -> tuple[NoveltySignals, NoveltyScorer] | None:
    """Signals and scorer from the support set alone; None where nothing can be left out.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        reserved: `[R, D]` unit rows of images that show no class, R may be 0.
        units: `[N]` what belongs together (`handful.selection.groups`); each image alone when not
            given. Left out together, and one in all that is counted. A unit with images of several
            classes is one in each, and those of other classes stay while a class is left out.
        reserved_units: `[R]` likewise.
    """
    units = np.arange(len(features)) if units is None else units
    none_of = np.arange(len(reserved)) if reserved_units is None else reserved_units
    extract = NoveltySignals.of(features, targets, text, reserved)
    there = torch.unique(targets)
    of_classes, rows = _classes_left_out(features, targets, text, reserved, there)
    groups = targets.numpy()[rows]
    of_reserved = extract(reserved, own=none_of) if len(reserved) else of_classes[:0]
    unknown = np.concatenate([of_classes, of_reserved])
    own_weights, reserved_weights = _shares(groups, units[rows]), _shares(none_of)
    unknown_weights = np.concatenate([own_weights, reserved_weights])
    if unknown_weights.sum() < 1.5:
        return None
    known, known_rows = _images_left_out(features, targets, text, reserved, units)
    known_weights = _shares(units[known_rows])
    middle = np.average(unknown, axis=0, weights=unknown_weights)
    variance = np.average((unknown - middle) ** 2, axis=0, weights=unknown_weights)
    spread = np.maximum(np.sqrt(variance), FLOOR)
    weights = _ONE_SHOT_WEIGHTS[: unknown.shape[1]]
    if len(known):
        first = _FIRST_WEIGHTS[: unknown.shape[1]]
        pull = _PULL / min(len(there), _ROUNDS) ** 2
        signals = (known - middle) / spread, (unknown - middle) / spread
        weights = _weights(*signals, known_weights, unknown_weights, first, pull)
    empty = np.zeros(0)
    scorer = NoveltyScorer(middle, spread, weights, empty, groups, empty, empty)
    return extract, replace(
        scorer,
        left_out_weights=own_weights,
        known_weights=known_weights,
        reserved_weights=reserved_weights,
        left_out=scorer.scores(of_classes),
        known=scorer.scores(known),
        reserved=scorer.scores(of_reserved),
    )


def _classes_left_out(
    features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor, there: Tensor
) -> tuple[Values, NDArray[np.int64]]:
    """`[U, S]` signals of images by fits without their classes, and `[U]` their rows."""
    found = [_no_rows(reserved)]
    asked = [np.zeros(0, dtype=np.int64)]
    rounds = min(len(there), _ROUNDS) if len(there) > 2 else 0  # one class left is no choice
    for turn in range(rounds):
        out = torch.isin(targets, there[turn::rounds])
        kept = torch.ones(len(text), dtype=torch.bool)
        kept[there[turn::rounds]] = False
        column = torch.cumsum(kept.long(), 0) - 1
        part = NoveltySignals.of(features[~out], column[targets[~out]], text[kept], reserved)
        found.append(part(features[out]))
        asked.append(np.flatnonzero(out.numpy()))
    return np.concatenate(found), np.concatenate(asked)


def _images_left_out(
    features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor, units: Units
) -> tuple[Values, NDArray[np.int64]]:
    """`[K, S]` signals of images by fits without their units, and `[K]` their rows.

    Of classes that have other units.
    """
    folds = stratified_folds(targets, _FOLDS, torch.from_numpy(units))
    several = torch.from_numpy(left_out_units(targets.numpy(), units))
    found = [_no_rows(reserved)]
    asked = [np.zeros(0, dtype=np.int64)]
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        if (out & several).any():
            part = NoveltySignals.of(features[~out], targets[~out], text, reserved)
            found.append(part(features[out & several]))
            asked.append(np.flatnonzero((out & several).numpy()))
    return np.concatenate(found), np.concatenate(asked)


def _no_rows(reserved: Tensor) -> Values:
    """`[0, S]` signals; without reserved images there is one signal less."""
    return np.zeros((0, len(SIGNAL_NAMES) - (not len(reserved))))


def _weights(
    known: Values,
    unknown: Values,
    known_weights: Values,
    unknown_weights: Values,
    first: Values,
    pull: float,
) -> Values:
    """`min_w mean CE over both kinds + pull |w - first|²`, w >= 0: logistic regression."""
    from scipy.optimize import minimize  # slow to import, and answering needs none of it

    rows = np.concatenate([known, unknown])
    side = np.repeat([1.0, -1.0], [len(known), len(unknown)])
    # both kinds count for half, whatever their numbers
    share = np.concatenate([0.5 * w / w.sum() for w in (known_weights, unknown_weights)])

    def objective(p: Values) -> tuple[float, Values]:
        w, bias = p[:-1], p[-1]
        lead = side * (rows @ w + bias)
        slope = -side * share * np.exp(-np.logaddexp(0, lead))
        loss = share @ np.logaddexp(0, -lead) + pull * ((w - first) ** 2).sum()
        return float(loss), np.append(rows.T @ slope + 2 * pull * (w - first), slope.sum())

    bounds: list[Any] = [*[(0, None)] * len(first), (None, None)]
    found = minimize(objective, np.append(first, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1])


def _shares(*columns: Units) -> Values:
    """`[n]` one over how many rows have the same numbers in all columns."""
    _, cells = np.unique(np.stack(columns), axis=1, return_inverse=True)
    return unit_weights(cells.ravel())
