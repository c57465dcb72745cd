"""The score of a novelty detector, and the error rates of a threshold on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.selection.novelty_signals import Values

_FEWEST = 8  # classes; below, what images of a class have in common cannot be estimated
_ENOUGH = 19  # reserved images, for a rate of 1 / (19 + 1)
SOME = 12  # reserved images that say what is unknown where the classes are worth fewer


@dataclass(frozen=True, eq=False)
class NoveltyScorer:
    """A weighted sum of signals, and the error rates of a threshold on it.

    Images of one unit (a burst, a patient, copies) are not independent: together they count as one,
    by weights of one over the size of the unit. Without weights each image is one.

    Args:
        middle: `[S]` mean of each signal over unknown images.
        spread: `[S]` their spread.
        weights: `[S]`, none negative; the score is the weighted sum of standardised signals.
        left_out: `[U]` scores of support images whose class was left out.
        groups: `[U]` their classes.
        known: scores of support images, each by a fit without it; empty at one shot.
        reserved: `[R]` scores of the reserved images.
        left_out_weights: `[U]` what each counts for.
        known_weights: `[K]` likewise.
        reserved_weights: `[R]` likewise.
    """

    middle: Values
    spread: Values
    weights: Values
    left_out: Values
    groups: NDArray[np.int64]
    known: Values
    reserved: Values
    left_out_weights: Values | None = None
    known_weights: Values | None = None
    reserved_weights: Values | None = None

    def scores(self, signals: Values) -> Values:
        """`[M]` scores of `[M, S]` signals; high for images like the support set."""
        result: Values = ((signals - self.middle) / self.spread) @ self.weights
        return result

    def rates(self, scores: Values) -> Values:
        """`[M]` share of unknown images with a score as high as this, or higher.

        To accept what has a rate of at most r is to accept at most the share r of unknowns, on
        average over classes drawn like the left-out ones. The larger of two estimates is given:
        `(1 + #{left out >= s}) / (U + 1)`, exact if units were drawn one by one, and Student's t
        for a class not seen before, `m + t_r sqrt(v_b (1 + 1/C) + v_w)`, v_b and v_w the variances
        between and within the C left-out classes: images come in classes, and C of them are few.

        Reserved images are examples of what is unknown here: from 19 on, enough for a rate of 5 %,
        the first estimate over them alone is the answer, and from 12 on where they are more than
        the left-out images are worth. Fewer can only raise the others.
        """
        if self.uses_reserved:
            return _share(self.reserved, self._reserved_weights, scores)
        left_out = _share(self.left_out, self._left_out_weights, scores)
        parts = [left_out, self._new_class_rates(scores)]
        if len(self.reserved):
            weights = self._reserved_weights
            parts.append(_share(self.reserved, weights, scores) - 1 / (weights.sum() + 1))
        return np.asarray(np.max(parts, axis=0))

    @property
    def uses_reserved(self) -> bool:
        """Whether rates are over the reserved images, not over classes that were left out."""
        reserved = self._reserved_weights.sum() + 0.5  # units, whose weights hardly sum to them
        if reserved > _ENOUGH or not len(self.left_out):
            return True
        return bool(reserved > SOME and reserved - 1 > self._left_out_count)

    def accepted(self, rate: float) -> float | None:
        """Share of left-out support images with a rate of at most `rate`; None where none were."""
        if not len(self.known):
            return None
        weights = _weights_or_ones(self.known_weights, self.known)
        return float(weights @ (self.rates(self.known) <= rate) / weights.sum())

    @property
    def _left_out_weights(self) -> Values:
        return _weights_or_ones(self.left_out_weights, self.left_out)

    @property
    def _reserved_weights(self) -> Values:
        return _weights_or_ones(self.reserved_weights, self.reserved)

    @property
    def effective_count(self) -> float:
        """Independent images that the left-out ones are worth: from C (classes) to U (units).

        `U / (1 + (U / C - 1) v_b / (v_b + v_w))`; of fewer than eight classes just C.
        """
        if self.uses_reserved:
            return float(self._reserved_weights.sum())
        return self._left_out_count

    @property
    def _left_out_count(self) -> float:
        """Independent images that those of left-out classes are worth; see `effective_count`."""
        between, within, count, _ = self._variances()
        units = float(self._left_out_weights.sum())
        size = units / count
        total = between + within
        alike = between / total if total > 0 else 0.0
        if count < _FEWEST:
            alike = 1.0
        return units / (1 + (size - 1) * alike)

    @property
    def smallest_rate(self) -> float:
        """The smallest false-accept rate that so few images can guarantee: `1 / (n + 1)`."""
        return 1 / (self.effective_count + 1)

    def _variances(self) -> tuple[float, float, int, Values]:
        """Between and within classes, how many classes, their means."""
        classes, weights = np.unique(self.groups), self._left_out_weights
        parts = [(self.left_out[rows], weights[rows]) for rows in self.groups == classes[:, None]]
        means = np.array([w @ p / w.sum() for p, w in parts])
        inside = sum(float(w @ (p - w @ p / w.sum()) ** 2) for p, w in parts)
        units = float(weights.sum())
        within = inside / max(units - len(classes), 1)
        size = units / len(classes)
        between = max(float(means.var(ddof=1)) - within / size, 0.0) if len(means) > 1 else 0.0
        return between, within, len(classes), means

    def _new_class_rates(self, scores: Values) -> Values:
        """`[M]` Student's t of the scores for a class not seen before; see `rates`."""
        from scipy.special import stdtr  # a part of what scipy.stats would import

        between, within, count, means = self._variances()
        units = float(self._left_out_weights.sum())
        size, total = units / count, between * (1 + 1 / count) + within
        if count < 2 or total <= 0:
            return np.zeros(len(scores))
        # degrees of freedom after Satterthwaite: the classes' where they differ, else the images'
        first = (between + within / size) * (1 + 1 / count)
        second = within * (1 - 1 / size)
        inside = max(units - count, 1)
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


def _share(of: Values, weights: Values, scores: Values) -> Values:
    """`[M]` `(1 + #{of >= s}) / (n + 1)`, the weights summed in place of `#` and n."""
    order = np.argsort(of, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    above = below[-1] - below[np.searchsorted(of[order], scores, side="left")]
    return np.asarray((1 + above) / (below[-1] + 1))


def _weights_or_ones(weights: Values | None, of: Values) -> Values:
    return np.ones(len(of)) if weights is None else weights
