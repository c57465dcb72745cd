"""The interface of an adapter: a scikit-learn classifier whose formula is one torch module.

A new method is one file in this folder: a `Head` (an `nn.Module` whose constructor takes exactly
the tensors it saves) and an `Adapter` that fits it. Nothing else has to be touched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from handful.adapters._estimator import Classifier, check_is_fitted
from handful.adapters._inputs import (
    canonical_order,
    check_text,
    check_width,
    checked_units,
    columns,
    is_plain,
    is_plain_column,
    refusal,
    text_from_means,
    unit_or_zero,
)
from handful.adapters._training import few_threads
from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.selection import stratified_folds
from handful.selection.groups import find_units

_CHUNK = 256  # queries at once: [256, 16000] affinities are 16 MB, and no size was faster


class Adapter(Classifier, ABC):
    """A few-shot classifier over frozen features: fit on `[N, D]`, answer for `[M, D]`.

    The constructor only keeps its arguments; `fit` makes everything else. Rows are scaled to
    length one here, once, for fitting and answering alike.

    Attributes:
        title: what tables and cards call the method.
        head: the module class that states the formula.
        neutral: constructor arguments at which the method equals zero-shot by design, or None.
        variants: sets of constructor arguments that the conformance suite tries.
        semantics: `inductive`: an answer depends on its own row alone; `batch`: on all rows handed
            in together; `stream`: on the rows before it. Only inductive numbers are comparable
            with each other.
        calibrated: its probabilities are the likeliest for left-out images as they are.
        folds: fits that stand in for leaving out each image, where there is no closed form.
        module_: the fitted head, `[M, D] -> [M, C]`.
        classes_: `[C]` labels in the order of the columns.
        n_features_in_: D.
    """

    n_features_in_: int

    plugin: ClassVar[bool] = True
    title: ClassVar[str]
    head: ClassVar[type[nn.Module]]
    neutral: ClassVar[Mapping[str, Any] | None] = None
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    semantics: ClassVar[str] = "inductive"
    folds: ClassVar[int] = 8
    calibrated: ClassVar[bool] = False

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        text: ClassText | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn from the support set.

        Args:
            X: `[N, D]` support features.
            y: `[N]` labels: names from `text.classes`, or integers that are positions in it.
            text: class names and text features; a class without shots keeps its column. Without
                it, normalised class means stand in for text and the classes are those of `y`.
            groups: `[N]` names or integers: images of one group (a burst, a patient, copies of one
                picture) are not independent, and what a method chooses by left-out answers it
                chooses by leaving out whole groups. `""` and None, for an image or for all: each
                image alone.

        Raises:
            InputError: NaN, wrong shapes, fewer than two classes, a label not among the classes,
                groups that are not one for each image.
        """
        with self._support_set(X, y, text, groups) as (features, targets, words, units, _):
            head = self._fit_units(features, targets, words, units)
            self.module_ = head.eval().requires_grad_(False)
        return self

    def leave_one_out(
        self, X: ArrayLike, y: ArrayLike, text: ClassText, groups: ArrayLike | None = None
    ) -> Array:
        """`[N, C]` logits of every support image, each from a fit that has not seen its group.

        Answers to images that a fit has seen are no measure of it; these are. In closed form where
        the method has one, else over `folds`. A class whose images are all of one group is known by
        its text alone when that is left out; without groups, so is a class with one image.

        Args:
            X: `[N, D]` support features.
            y: `[N]` labels, as for `fit`.
            text: class names and text features.
            groups: `[N]`, as for `fit`.

        Raises:
            InputError: as `fit` does; fewer than two images, or images that are all of one group.
        """
        check_text(text)  # class means in its place would have seen the image left out
        with self._support_set(X, y, text, groups) as (features, targets, words, units, order):
            if len(features) < 2:
                raise InputError("leaving one image out needs at least two images, got 1")
            if units is not None and not units.any():
                raise InputError(
                    f"leaving one group out needs at least two, and all {len(units)} images are "
                    "of one"
                )
            logits = self._leave_units_out(features, targets, words, units)
        result = np.empty(logits.shape, dtype=np.float32)
        result[order] = logits.numpy()
        return result

    @contextmanager
    def _support_set(
        self, X: ArrayLike, y: ArrayLike, text: ClassText | None, groups: ArrayLike | None
    ) -> Iterator[tuple[Tensor, Tensor, ClassText, Tensor | None, list[int]]]:
        """`[N, D]` unit rows, `[N]` columns, the text, `[N]` units, and the order they were put in.

        All are checked. Units count from 0 in this order; None where each image is alone. Inside,
        torch is ready for training, on as many threads as the size is worth.
        """
        if text is not None:
            check_text(text)
        X, y = self._checked_support(X, y)
        self.classes_, targets = columns(y, text)
        rows = unit_or_zero(X)
        names = np.array(text.classes if text else self.classes_)
        units = checked_units(groups, len(rows))
        order = canonical_order(rows, names[targets], units)
        size = len(rows) * len(self.classes_) * rows.shape[1]
        # a caller's inference mode would make tensors that no gradient can pass
        with torch.inference_mode(False), torch.enable_grad(), few_threads(size):
            features, labels = torch.from_numpy(rows[order]), torch.from_numpy(targets[order])
            text = text or text_from_means(features, labels, self.classes_)
            check_width(text, features)
            ordered = None if units is None else torch.from_numpy(find_units(units[order].tolist()))
            yield features, labels, text, ordered, order

    @abstractmethod
    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        """Make the head from `[N, D]` unit rows, `[N]` columns of the classes, and the text."""

    def _fit_units(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> nn.Module:
        """As `_fit`; a method that chooses by left-out answers, or counts units, overrides.

        Args:
            features: `[N, D]` unit rows.
            targets: `[N]` columns.
            text: of the classes.
            units: `[N]` numbers of what belongs together (`handful.selection.groups`), or None
                where each image is alone.
        """
        return self._fit(features, targets, text)

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        """`[N, C]` logits, each row by a fit without its unit; here, by fits without its fold.

        A method with a closed form overrides. Arguments as for `_fit_units`.
        """
        folds = stratified_folds(targets, self.folds, units)
        logits = features.new_zeros(len(features), len(text.classes))
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            kept = None if units is None else units[~out]
            head = self._fit_units(features[~out], targets[~out], text, kept)
            logits[out] = head.requires_grad_(False)(features[out])
        return logits

    def logits(self, X: ArrayLike) -> Array:
        """`[M, D]` features to `[M, C]` logits, columns in the order of `classes_`."""
        check_is_fitted(self)
        rows = torch.from_numpy(unit_or_zero(self._checked(X)))
        # a batch or stream method has to see all rows at once
        chunk = _CHUNK if self.semantics == "inductive" else len(rows)
        with torch.inference_mode():
            return torch.cat([self.module_(r) for r in torch.split(rows, chunk)]).numpy()

    def _checked_support(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, NDArray[Any]]:
        """`[N, D]` features as float32 and `[N]` labels, or an error by scikit-learn's rules."""
        if is_plain(X) and is_plain_column(y, len(X)):
            self.n_features_in_ = X.shape[1]
            vars(self).pop("feature_names_in_", None)  # of a former fit
            return X, y
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        try:
            X, y = validate_data(self, X, y, dtype=np.float32)
            if np.asarray(y).dtype.kind == "f":  # it warns of whole numbers with few of each
                check_classification_targets(y)
        except ValueError as error:
            raise InputError(refusal(error)) from error
        return np.asarray(X), np.asarray(y)

    def _checked(self, X: ArrayLike) -> Array:
        """`[M, D]` features to answer for, as float32, or an error by scikit-learn's rules."""
        named = hasattr(self, "feature_names_in_")  # fitted on a frame, whose columns have names
        if is_plain(X, self.n_features_in_) and not named:
            return X  # what a skill's own features are; no reason to import scikit-learn
        from sklearn.utils.validation import validate_data

        try:
            return np.asarray(validate_data(self, X, reset=False, dtype=np.float32))
        except ValueError as error:
            raise InputError(refusal(error)) from error

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
