"""scikit-learn's estimator interface by delegation, so that a fitted head can be used without it.

Importing scikit-learn takes most of a second, and answering for an image needs none of it. So
methods do not inherit from `sklearn.base.BaseEstimator`: they have its interface (parameters, tags,
`clone`, `score`, all of `check_estimator`), and its functions are imported where they are needed.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

from numpy.typing import ArrayLike


class Estimator:
    """A scikit-learn estimator: the constructor stores its arguments and does nothing else."""

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Arguments of the constructor, sorted, as scikit-learn has it."""
        if cls.__init__ is object.__init__:  # no argument, but the signature says any
            return []
        return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor as they are now, by name.

        Args:
            deep: also those of arguments that are estimators, as `argument__name`.
        """
        params = {name: getattr(self, name) for name in self._get_param_names()}
        if deep and any(hasattr(value, "get_params") for value in params.values()):
            from sklearn.base import BaseEstimator

            params = BaseEstimator.get_params(self)
        return params

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; `fit` has to be called again.

        Raises:
            ValueError: an argument that there is not.
        """
        if params.keys() <= set(self._get_param_names()):
            for name, value in params.items():
                setattr(self, name, value)
            return self
        from sklearn.base import BaseEstimator  # arguments of arguments, and the refusal

        BaseEstimator.set_params(self, **params)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_tags__(self)

    def __repr__(self) -> str:
        """The constructor's call, with the arguments that are not the defaults."""
        defaults = inspect.signature(type(self)).parameters
        given = {name: getattr(self, name, None) for name in self._get_param_names()}
        shown = [f"{n}={v!r}" for n, v in given.items() if repr(v) != repr(defaults[n].default)]
        return f"{type(self).__name__}({', '.join(shown)})"


class Classifier(Estimator):
    """A scikit-learn classifier: `predict` gives one of `classes_`."""

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        tags.target_tags.required = True
        return tags

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean accuracy on `[M, D]` features and `[M]` labels."""
        from sklearn.base import ClassifierMixin

        return float(ClassifierMixin.score(self, X, y, sample_weight))


def check_is_fitted(estimator: Any, attribute: str = "module_") -> None:
    """Refuse an estimator that is not fitted.

    Raises:
        NotFittedError: scikit-learn's.
    """
    if not hasattr(estimator, attribute):
        from sklearn.utils import validation

        validation.check_is_fitted(estimator, attribute)
