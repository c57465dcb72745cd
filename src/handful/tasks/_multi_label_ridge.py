"""Ridge regression for several labels an image: one yes/no decision a class, in closed form."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from handful.adapters import Estimator, Head, check_is_fitted, number
from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.selection.groups import unit_weights
from handful.selection.platt import platt_scaling
from handful.selection.thresholds import (
    enough_examples,
    f1_thresholds,
    ridge_path_with_offset,
)
from handful.tasks._multi_label_inputs import checked, unit_rows, units_in_order

PENALTIES = tuple(float(p) for p in np.geomspace(0.01, 100, 13))
_PLAIN = (4.0, -2.0)  # a prediction of 0 is the logit -2 and one of 1 is 2: no, rather, and yes
_OWN = "its own left-out images, drawn to all classes"
_SHARED = "all classes; with one positive, or no negative, its own images cannot tell"
_HALF = "one half; no class has the two positives and the negative that it takes to learn one"


class MultiLabelHead(Head):
    """`logits = x Wᵀ + b + g softmax(x Tᵀ)^(1/4)`, and a yes from `thresholds` on.

    A threshold belongs to the skill like a weight. The softmax compares the classes with each
    other, which a cosine alone does not; its fourth root lets several classes show on one image.

    Args:
        weights: W, `[C, D]`.
        bias: b, `[C]`.
        text: T, `[C, D]`, unit rows times the encoder's `exp(logit_scale)`.
        gain: g, `[]`.
        thresholds: `[C]` smallest probability, the sigmoid of the logit, that is a yes.
    """

    weights: Tensor
    bias: Tensor
    text: Tensor
    gain: Tensor
    thresholds: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return torch.addmm(self.bias, x, self.weights.T) + self.gain * text_scores(x, self.text)


def text_scores(x: Tensor, text: Tensor) -> Tensor:
    """`[M, C]`, 0 to 1: `softmax(x Tᵀ)^(1/4)`, how well each class text fits each image."""
    return ((x @ text.T).log_softmax(dim=1) / 4).exp()


class MultiLabelRidge(Estimator):
    """Independent yes/no questions, each a ridge regression on top of its text; closed form.

    `min |Y - g softmax(X Tᵀ)^(1/4) - X Wᵀ - b|² + penalty |W|²` for all classes at once. What it
    predicts for left-out images, exact for a given penalty, decides the rest: the penalty (smallest
    squared error), the slope and offset that make logits of the scores (Platt's regression, one for
    all classes), and each class's threshold (`handful.selection.thresholds.f1_thresholds`).

    Args:
        penalty: lambda; None takes one of 13 between 0.01 and 100 by leave-one-out.
        pool: positives that all classes together count for in each class's threshold.

    Attributes:
        module_: the fitted head, `[M, D] -> [M, C]`.
        classes_: `[C]` names in the order of the columns.
        thresholds_: `[C]` probability from which on a class is answered.
        left_out_: `[N, C]` logits of the support images, each predicted without itself.

    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 10.0)
    >>> X = [[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0], [0.7, 0.7], [-0.7, -0.7]]
    >>> Y = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]]
    >>> MultiLabelRidge().fit(X, Y, text).predict([[0.7, 0.7], [-0.7, -0.7]])
    array([[ True,  True],
           [False, False]])
    """

    title: ClassVar[str] = "Multi-label ridge"
    head: ClassVar[type[nn.Module]] = MultiLabelHead
    semantics: ClassVar[str] = "inductive"

    def __init__(self, penalty: float | None = None, pool: float = 8.0) -> None:
        self.penalty = penalty
        self.pool = pool

    def fit(
        self, X: ArrayLike, Y: ArrayLike, text: ClassText, groups: ArrayLike | None = None
    ) -> Self:
        """Learn from the support set.

        Args:
            X: `[N, D]` support features.
            Y: `[N, C]`, 1 where the image shows the class, else 0; a row of zeros shows none.
            text: class names and text features.
            groups: `[N]` names or integers, as for `handful.adapters.Adapter.fit`: images of one
                group are left out together and count as one. Where all are of one, nothing can be
                left out: the penalty is 1 and the thresholds are one half.

        Raises:
            InputError: NaN, wrong shapes, less than two images, a class that no image shows,
                groups that are not one for each image.
        """
        rows, truth = checked(X, Y, text)
        pool = number("pool", self.pool, 0)
        tried = PENALTIES if self.penalty is None else (number("penalty", self.penalty, 1e-9),)
        # the order of the images must not show, not even in the last bit
        order = np.lexsort(np.concatenate([truth.T, rows.T]))
        units = units_in_order(groups, order)
        features, labels = torch.from_numpy(rows[order]), truth[order]
        # the scale goes into T, so that the head needs no tensor for it
        words = torch.from_numpy(text.weights) * text.scale
        together = None if units is None else torch.from_numpy(units)
        given = features, torch.from_numpy(labels), text_scores(features, words), tried
        weights, bias, gain, predicted = ridge_path_with_offset(*given, together)
        # `[L, N, C]` left-out predictions, one table for each penalty
        counted = np.ones(len(rows)) if units is None else unit_weights(units)
        errors = (predicted - torch.from_numpy(labels)).square().mean(2)
        best = int((errors @ torch.from_numpy(counted)).argmin())
        self.apart_ = units is None or bool(units.any())
        if not self.apart_:
            best = len(tried) // 2
        unseen, enough = predicted[best].numpy(), enough_examples(labels, units)
        each = np.repeat(counted[:, None], enough.sum(), axis=1)
        line = platt_scaling(unseen[:, enough], labels[:, enough], each)
        # one slope for all classes: a class of few shots alone cannot fix two numbers
        slope, offset = line or _PLAIN
        logits = slope * unseen + offset
        self.penalty_, self.calibrated_ = tried[best], line is not None
        self.given_ = f1_thresholds(logits, labels, pool, units)
        # slope and offset go into W, b and g: the saved head has the formula above and no more
        self.module_ = MultiLabelHead(
            weights=(slope * weights[best]).float(),
            bias=(slope * bias[best] + offset).float(),
            text=words,
            gain=(slope * gain).float(),
            thresholds=torch.from_numpy(self.given_.values).float(),
        )
        self.module_.eval().requires_grad_(False)
        self.left_out_ = np.empty(logits.shape, dtype=np.float32)
        # back in the order of the caller
        self.left_out_[order] = logits
        self.classes_, self.n_features_in_ = np.array(text.classes), rows.shape[1]
        self.positives_, self.shown_ = truth.sum(0).astype(np.int64), truth > 0
        return self

    @property
    def thresholds_(self) -> Array:
        """`[C]` probabilities."""
        check_is_fitted(self)
        return cast(Array, self.module_.thresholds.numpy())

    def logits(self, X: ArrayLike) -> Array:
        """`[M, D]` features to `[M, C]` logits."""
        check_is_fitted(self)
        rows = unit_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise InputError(f"expected features [M, {self.n_features_in_}], got {[*rows.shape]}")
        with torch.inference_mode():
            return cast(Array, self.module_(torch.from_numpy(rows)).numpy())

    def predict_proba(self, X: ArrayLike) -> Array:
        """`[M, C]` probabilities, each of its own; they do not add up to one."""
        return cast(Array, torch.from_numpy(self.logits(X)).double().sigmoid().float().numpy())

    def predict(self, X: ArrayLike) -> NDArray[np.bool_]:
        """`[M, C]`: which classes each image shows, by their thresholds."""
        return self.predict_proba(X) >= self.thresholds_

    def stated(self) -> dict[str, Any]:
        """The thresholds for the manifest of a skill, in the order of the classes."""
        none = not self.given_.own.any()
        # a threshold hardly depends on any one answer: it is half of the best F1 of all of them
        chances = torch.from_numpy(self.left_out_).double().sigmoid().numpy()
        answered, shown = chances >= self.thresholds_, self.shown_
        rows = [
            {
                "threshold": round(float(self.thresholds_[c]), 4),
                "positives": int(self.positives_[c]),
                "from": _HALF if none else _OWN if self.given_.own[c] else _SHARED,
            }
            for c in range(len(self.classes_))
        ]
        found = {
            "thresholds": rows,
            "shared": round(self.given_.shared, 4),
            "penalty": self.penalty_,
            "calibrated": self.calibrated_,
        }
        if not self.apart_:  # all images are of one group: none was left out
            return found
        left_out = {
            "answered": int(answered.sum()),
            "shown": int(shown.sum()),
            "right": int((answered & shown).sum()),
        }
        return found | {"left_out": left_out}
