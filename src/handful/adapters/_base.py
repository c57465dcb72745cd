"""What every adapter is: a scikit-learn classifier whose formula is one torch module.

A new method is one file in this folder: a `Head` (an `nn.Module` whose constructor takes exactly
the tensors it saves) and an `Adapter` that fits it. Nothing else has to be touched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from handful.adapters._training import few_threads
from handful.contracts import Array, ClassText
from handful.errors import InputError

CLIP_SCALE = 100.0  # CLIP's exp(logit_scale), where class means stand in for text
_CHUNK = 256  # queries at once: [256, 16000] affinities are 16 MB, and no size was faster


class Adapter(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is untyped
    """A few-shot classifier over frozen features: fit on `[N, D]`, answer for `[M, D]`.

    The constructor only remembers its arguments; `fit` makes everything else. Rows are scaled to
    length one here, once, for fitting and answering alike.

    Attributes:
        title: what tables and cards call the method.
        head: the module class that states the formula.
        neutral: constructor arguments at which the method says it equals zero-shot, or None.
        variants: sets of constructor arguments that the conformance suite tries.
        semantics: `inductive`: an answer depends on its own row alone; `batch`: on all rows handed
            in together; `stream`: on the rows before it. Only inductive numbers are comparable
            with each other.
        calibrated: its probabilities are the likeliest for left-out images as they are.
        folds: fits that stand in for leaving out each image, where there is no closed form.
        module_: the fitted head, `[M, D] -> [M, C]`.
        classes_: `[C]` labels in the order of the columns.
    """

    plugin: ClassVar[bool] = True
    title: ClassVar[str]
    head: ClassVar[type[nn.Module]]
    neutral: ClassVar[Mapping[str, Any] | None] = None
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    semantics: ClassVar[str] = "inductive"
    folds: ClassVar[int] = 8
    calibrated: ClassVar[bool] = False

    def fit(self, X: ArrayLike, y: ArrayLike, text: ClassText | None = None) -> Self:
        """Learn from the support set.

        Args:
            X: `[N, D]` support features.
            y: `[N]` labels: names from `text.classes`, or integers that are positions in it.
            text: class names and text features; a class without shots keeps its column. Without
                it, normalised class means stand in for text and the classes are those of `y`.

        Raises:
            InputError: NaN, wrong shapes, fewer than two classes, a label not among the classes.
        """
        rows, targets, order, text = self._prepare(X, y, text)
        # a caller's inference mode would make tensors that no gradient can pass
        size = len(rows) * len(self.classes_) * rows.shape[1]
        with torch.inference_mode(False), torch.enable_grad(), few_threads(size):
            features, labels = torch.from_numpy(rows[order]), torch.from_numpy(targets[order])
            text = _fitting(text or _text_from_means(features, labels, self.classes_), features)
            self.module_ = self._fit(features, labels, text).eval().requires_grad_(False)
        return self

    def leave_one_out(self, X: ArrayLike, y: ArrayLike, text: ClassText) -> Array:
        """`[N, C]` logits of every support image, each from a fit that has not seen it.

        What a method says of its own support set is worth nothing; this is worth something. In
        closed form where the method has one, else over `folds`. With one image a class, the
        class of an image left out is known by its text alone.

        Args:
            X: `[N, D]` support features.
            y: `[N]` labels, as for `fit`.
            text: class names and text features.

        Raises:
            InputError: as `fit` does.
        """
        rows, targets, order, given = self._prepare(X, y, text)
        if len(rows) < 2:
            raise InputError("leaving one image out needs at least two images, got 1")
        size = len(rows) * len(self.classes_) * rows.shape[1]
        with torch.inference_mode(False), torch.enable_grad(), few_threads(size):
            features, labels = torch.from_numpy(rows[order]), torch.from_numpy(targets[order])
            logits = self._left_out(features, labels, _fitting(given or text, features))
        result = np.empty(logits.shape, dtype=np.float32)
        result[order] = logits.numpy()
        return result

    def _prepare(
        self, X: ArrayLike, y: ArrayLike, text: ClassText | None
    ) -> tuple[Array, NDArray[np.int64], list[int], ClassText | None]:
        """Checked: `[N, D]` unit rows, `[N]` columns, an order of the samples, the text."""
        if text is not None and not isinstance(text, ClassText):
            raise InputError(
                f"expected a ClassText, got {type(text).__name__}; "
                "build one with ClassText(embeddings, classes, scale)"
            )
        try:
            X, y = validate_data(self, X, y, dtype=np.float32)
            if np.asarray(y).dtype.kind == "f":  # it warns of whole numbers with few of each
                check_classification_targets(y)
        except ValueError as error:
            raise InputError(_told(error)) from error
        self.classes_, targets = _targets(np.asarray(y), text)
        rows = unit_or_zero(np.asarray(X))
        order = canonical_order(rows, np.array(text.classes if text else self.classes_)[targets])
        return rows, targets, order, text

    @abstractmethod
    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        """Make the head from `[N, D]` unit rows, `[N]` columns of the classes, and the text."""

    def _left_out(self, features: Tensor, targets: Tensor, text: ClassText) -> Tensor:
        """`[N, C]` logits, each row by a fit without it; a method with a closed form overrides."""
        folds = _folds(targets, self.folds)
        logits = features.new_zeros(len(features), len(text.classes))
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            head = self._fit(features[~out], targets[~out], text).requires_grad_(False)
            logits[out] = head(features[out])
        return logits

    def logits(self, X: ArrayLike) -> Array:
        """`[M, D]` features to `[M, C]` logits, columns in the order of `classes_`."""
        check_is_fitted(self)
        try:
            X = validate_data(self, X, reset=False, dtype=np.float32)
        except ValueError as error:
            raise InputError(_told(error)) from error
        rows = torch.from_numpy(unit_or_zero(np.asarray(X)))
        chunk = _CHUNK if self.semantics == "inductive" else len(rows)
        with torch.inference_mode():
            return torch.cat([self.module_(r) for r in torch.split(rows, chunk)]).numpy()

    def predict_proba(self, X: ArrayLike) -> Array:
        """`[M, C]` probabilities: the softmax of `logits`."""
        logits = torch.from_numpy(self.logits(X))
        return cast(Array, logits.double().softmax(dim=1).float().numpy())

    def decision_function(self, X: ArrayLike) -> Array:
        """`[M, C]` logits; for two classes `[M]`, the second's lead (scikit-learn's convention)."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """`[M]` labels."""
        best = self.logits(X).argmax(axis=1)  # before classes_: it checks that we are fitted
        return cast(NDArray[Any], self.classes_[best])


def unit_or_zero(rows: Array) -> Array:
    """`[N, D]` rows scaled to length one; a row of zeros stays: it speaks for no class."""
    squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)  # float32 overflows above 1e19
    norms = np.sqrt(squares)[:, None]
    result = np.empty(rows.shape, dtype=np.float32)
    return np.divide(rows, np.where(norms > 0, norms, 1), out=result, casting="same_kind")


def class_means(features: Tensor, targets: Tensor, classes: int) -> Tensor:
    """`[C, D]` means of the rows of each class; zero for a class without rows."""
    sums = features.new_zeros(classes, features.shape[1]).index_add_(0, targets, features)
    counts = torch.bincount(targets, minlength=classes).clamp(min=1)
    return sums / counts[:, None]


def _told(error: ValueError) -> str:
    """What scikit-learn refuses, without its advice for other estimators and the whole array."""
    full = str(error)
    first = full.split("\n")[0].rstrip(":.")
    if "Reshape your data" in full:
        return f"{first}. Reshape your data to rows of features, [N, D]"
    if "contains NaN" in first or "contains infinity" in first:
        return f"{first}; encode the images again"
    return first


def _targets(y: NDArray[Any], text: ClassText | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The labels of the columns, and `[N]` columns of the samples."""
    if text is None:
        classes, targets = np.unique(y, return_inverse=True)
    elif np.issubdtype(y.dtype, np.integer):
        classes, targets = np.arange(len(text.classes)), y
        outside = np.unique(y[(y < 0) | (y >= len(classes))])
        if len(outside):
            raise InputError(
                f"labels {outside[:5].tolist()} are not among the classes; "
                f"expected positions 0 to {len(classes) - 1}"
            )
    else:
        column = {name: i for i, name in enumerate(text.classes)}
        unknown = sorted({str(label) for label in y} - column.keys())
        if unknown:
            raise InputError(
                f"labels {unknown[:5]} are not among the {len(column)} classes; "
                "add them to the class names or correct them"
            )
        classes, targets = np.array(text.classes), np.array([column[str(label)] for label in y])
    if len(classes) < 2:
        raise InputError(
            f"a classifier needs at least two classes, got 1 class: {classes.tolist()}"
        )
    return classes, targets.astype(np.int64)


def _folds(targets: Tensor, most: int) -> Tensor:
    """`[N]` fold of each sample: the images of a class are dealt out in turn, classes staggered."""
    order = torch.argsort(targets, stable=True)
    folds = torch.empty_like(targets)
    folds[order] = torch.arange(len(targets)) % min(most, len(targets))
    return folds


def _fitting(text: ClassText, features: Tensor) -> ClassText:
    """The text, if it is as wide as the features.

    Raises:
        InputError: it is not.
    """
    if text.embeddings.shape[2] != features.shape[1]:
        raise InputError(
            f"expected features of the text's width {text.embeddings.shape[2]}, "
            f"got {features.shape[1]}; image and text features must come from one encoder"
        )
    return text


def canonical_order(rows: Array, labels: NDArray[Any]) -> list[int]:
    """An order that depends on the samples alone, so that shuffling them changes no answer."""
    keys = [(row.tobytes(), str(label)) for row, label in zip(rows, labels, strict=True)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _text_from_means(features: Tensor, targets: Tensor, classes: NDArray[Any]) -> ClassText:
    means = class_means(features, targets, len(classes))
    zero = means.norm(dim=1, keepdim=True) == 0
    means = torch.where(zero, torch.ones_like(means), means)  # opposite shots: any will do
    return ClassText(means[:, None].numpy(), tuple(map(repr, classes.tolist())), CLIP_SCALE)
