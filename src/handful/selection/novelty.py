"""Novelty detection: which images show none of the classes.

Learned by leaving classes out of the support set: the images of each class in turn, seen by a fit
on the others, are unknown ones of the same kind as the known classes. No method is known here and
none is fitted again; everything is in closed form from features, labels and text.

Over 250 lines: the scorer's error rates rest on how `fit_novelty_detector` left classes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection.novelty_signals import FLOOR, SIGNAL_NAMES, NoveltySignals, Values
from handful.selection.units import stratified_folds

_FIRST_WEIGHTS = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 1.0])  # weights before anything is known
_ONE_SHOT_WEIGHTS = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 1.0])  # where nothing more can be known
_PULL = 20.0  # how strongly they are held, divided by the square of the classes left out
_FEWEST = 8  # classes; below, what images of a class have in common cannot be estimated
_ROUNDS = 16  # classes are left out one by one up to here, then several together
_ENOUGH = 19  # reserved images, for a rate of 1 / (19 + 1)
_FOLDS = 8


@dataclass(frozen=True, eq=False)
class NoveltyScorer:
    """A weighted sum of signals, and the error rates of a threshold on it.

    Args:
        middle: `[S]` mean of each signal over unknown images.
        spread: `[S]` their spread.
        weights: `[S]`, none negative; the score is the weighted sum of standardised signals.
        left_out: `[U]` scores of support images whose class was left out.
        groups: `[U]` their classes.
        known: scores of support images, each by a fit without it; empty at one shot.
        reserved: `[R]` scores of the reserved images.
    """

    middle: Values
    spread: Values
    weights: Values
    left_out: Values
    groups: NDArray[np.int64]
    known: Values
    reserved: Values

    def scores(self, signals: Values) -> Values:
        """`[M]` scores of `[M, S]` signals; high for images like the support set."""
        result: Values = ((signals - self.middle) / self.spread) @ self.weights
        return result

    def rates(self, scores: Values) -> Values:
        """`[M]` share of unknown images with a score as high as this, or higher.

        To accept what has a rate of at most r is to accept at most the share r of unknowns, on
        average over classes drawn like the left-out ones. The larger of two estimates is given:
        `(1 + #{left out >= s}) / (U + 1)`, exact if images were drawn one by one, and Student's t
        for a class not seen before, `m + t_r sqrt(v_b (1 + 1/C) + v_w)`, v_b and v_w the variances
        between and within the C left-out classes: images come in classes, and C of them are few.

        Reserved images are examples of what is unknown here: from 19 on, enough for a rate of 5 %,
        the first estimate over them alone is the answer; fewer can only raise the others.
        """
        if self.uses_reserved:
            return _share(self.reserved, scores)
        parts = [_share(self.left_out, scores), self._new_class_rates(scores)]
        if len(self.reserved):
            parts.append(_share(self.reserved, scores) - 1 / (len(self.reserved) + 1))
        return np.asarray(np.max(parts, axis=0))

    @property
    def uses_reserved(self) -> bool:
        """Whether rates are over the reserved images, not over classes that were left out."""
        return len(self.reserved) >= _ENOUGH or not len(self.left_out)

    @property
    def effective_count(self) -> float:
        """Independent images that the left-out ones are worth: from C (classes) to U (images).

        `U / (1 + (U / C - 1) v_b / (v_b + v_w))`; of fewer than eight classes just C.
        """
        if self.uses_reserved:
            return float(len(self.reserved))
        between, within, count, _ = self._variances()
        size = len(self.left_out) / count
        total = between + within
        alike = between / total if total > 0 else 0.0
        if count < _FEWEST:
            alike = 1.0
        return len(self.left_out) / (1 + (size - 1) * alike)

    @property
    def smallest_rate(self) -> float:
        """The smallest false-accept rate that so few images can guarantee: `1 / (n + 1)`."""
        return 1 / (self.effective_count + 1)

    def _variances(self) -> tuple[float, float, int, Values]:
        """Between and within classes, how many classes, their means."""
        classes = np.unique(self.groups)
        parts = [self.left_out[self.groups == c] for c in classes]
        means = np.array([p.mean() for p in parts])
        inside = sum(float(((p - p.mean()) ** 2).sum()) for p in parts)
        within = inside / max(len(self.left_out) - len(classes), 1)
        size = len(self.left_out) / len(classes)
        between = max(float(means.var(ddof=1)) - within / size, 0.0) if len(means) > 1 else 0.0
        return between, within, len(classes), means

    def _new_class_rates(self, scores: Values) -> Values:
        """`[M]` Student's t of the scores for a class not seen before; see `rates`."""
        from scipy.special import stdtr  # a part of what scipy.stats would import

        between, within, count, means = self._variances()
        size, total = len(self.left_out) / count, between * (1 + 1 / count) + within
        if count < 2 or total <= 0:
            return np.zeros(len(scores))
        # degrees of freedom after Satterthwaite: the classes' where they differ, else the images'
        first = (between + within / size) * (1 + 1 / count)
        second = within * (1 - 1 / size)
        inside = max(len(self.left_out) - count, 1)
        free = (first + second) ** 2 / (first**2 / (count - 1) + second**2 / inside)
        return np.asarray(stdtr(free, -(scores - means.mean()) / np.sqrt(total)))


def detection_errors(known: Values, unknown: Values, at: Sequence[float]) -> dict[str, Any]:
    """How well the rates separate images with and without a class.

    `auroc`, and under `at`, for each false-accept rate that was stated, what was measured:
    `false_accept`, the share of images without a class that are taken for known, and
    `false_reject`, the share of images of known classes that are called unknown.

    Args:
        known: `[K]` rates (`NoveltyScorer.rates`) of images of known classes.
        unknown: `[M]` rates of images of none.
        at: rates that were stated.

    >>> detection_errors(np.array([0.0, 0.2]), np.array([0.5, 0.1]), [0.1])["at"]
    {'0.1': {'false_accept': 0.5, 'false_reject': 0.5}}
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and answering needs none of it

    side = np.repeat([1, 0], [len(known), len(unknown)])
    return {
        "known": len(known),
        "unknown": len(unknown),
        "auroc": float(roc_auc_score(side, -np.concatenate([known, unknown]))),
        "at": {
            f"{rate:g}": {
                "false_accept": float((unknown <= rate).mean()),
                "false_reject": float((known > rate).mean()),
            }
            for rate in at
        },
    }


def fit_novelty_detector(
    features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor
) -> tuple[NoveltySignals, NoveltyScorer] | None:
    """Signals and scorer from the support set alone; None where nothing can be left out.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        reserved: `[R, D]` unit rows of images that show no class, R may be 0.
    """
    extract = NoveltySignals.of(features, targets, text, reserved)
    there = torch.unique(targets)
    of_classes, groups = _classes_left_out(features, targets, text, reserved, there)
    of_reserved = extract(reserved, own=True) if len(reserved) else of_classes[:0]
    unknown = np.concatenate([of_classes, of_reserved])
    if len(unknown) < 2:
        return None
    known = _images_left_out(features, targets, text, reserved)
    middle, spread = unknown.mean(0), np.maximum(unknown.std(0), FLOOR)
    weights = _ONE_SHOT_WEIGHTS[: unknown.shape[1]]
    if len(known):
        first = _FIRST_WEIGHTS[: unknown.shape[1]]
        pull = _PULL / min(len(there), _ROUNDS) ** 2
        weights = _weights((known - middle) / spread, (unknown - middle) / spread, first, pull)
    empty = np.zeros(0)
    scorer = NoveltyScorer(middle, spread, weights, empty, groups, empty, empty)
    return extract, replace(
        scorer,
        left_out=scorer.scores(of_classes),
        known=scorer.scores(known),
        reserved=scorer.scores(of_reserved),
    )


def _classes_left_out(
    features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor, there: Tensor
) -> tuple[Values, NDArray[np.int64]]:
    """`[U, S]` signals of images by fits without their classes, and `[U]` their classes."""
    found = [_no_rows(reserved)]
    groups = [np.zeros(0, dtype=np.int64)]
    rounds = min(len(there), _ROUNDS) if len(there) > 2 else 0  # one class left is no choice
    for turn in range(rounds):
        out = torch.isin(targets, there[turn::rounds])
        kept = torch.ones(len(text), dtype=torch.bool)
        kept[there[turn::rounds]] = False
        column = torch.cumsum(kept.long(), 0) - 1
        part = NoveltySignals.of(features[~out], column[targets[~out]], text[kept], reserved)
        found.append(part(features[out]))
        groups.append(targets[out].numpy())
    return np.concatenate(found), np.concatenate(groups)


def _images_left_out(features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor) -> Values:
    """`[K, S]` signals of images by fits without them, of classes that have others."""
    folds = stratified_folds(targets, _FOLDS)
    several = torch.bincount(targets)[targets] > 1
    found = [_no_rows(reserved)]
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        if (out & several).any():
            part = NoveltySignals.of(features[~out], targets[~out], text, reserved)
            found.append(part(features[out & several]))
    return np.concatenate(found)


def _no_rows(reserved: Tensor) -> Values:
    """`[0, S]` signals; without reserved images there is one signal less."""
    return np.zeros((0, len(SIGNAL_NAMES) - (not len(reserved))))


def _weights(known: Values, unknown: Values, first: Values, pull: float) -> Values:
    """`min_w mean CE over both kinds + pull |w - first|²`, w >= 0: logistic regression."""
    from scipy.optimize import minimize  # slow to import, and answering needs none of it

    rows = np.concatenate([known, unknown])
    side = np.repeat([1.0, -1.0], [len(known), len(unknown)])
    # both kinds count for half, whatever their numbers
    share = np.repeat([0.5 / len(known), 0.5 / len(unknown)], [len(known), len(unknown)])

    def objective(p: Values) -> tuple[float, Values]:
        w, bias = p[:-1], p[-1]
        lead = side * (rows @ w + bias)
        slope = -side * share * np.exp(-np.logaddexp(0, lead))
        loss = share @ np.logaddexp(0, -lead) + pull * ((w - first) ** 2).sum()
        return float(loss), np.append(rows.T @ slope + 2 * pull * (w - first), slope.sum())

    bounds: list[Any] = [*[(0, None)] * len(first), (None, None)]
    found = minimize(objective, np.append(first, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1])


def _share(of: Values, scores: Values) -> Values:
    """`[M]` `(1 + #{of >= s}) / (n + 1)`."""
    above = len(of) - np.searchsorted(np.sort(of), scores, side="left")
    return np.asarray((1 + above) / (len(of) + 1))
