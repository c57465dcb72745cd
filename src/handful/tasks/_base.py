"""The interface of a task: how data are read, what is fitted, what an answer is, how it is scored.

A task is one file in `tasks/` (or in `tasks/` of a plug-in folder), named by its file. `fit`,
`predict`, `evaluate`, packs and the command line refer to it by that name alone and call the
methods below. A task has no access to an encoder, a pack or the terminal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from handful import plugins
from handful.contracts import Array
from handful.data import LabelledImages, Source
from handful.errors import InputError

Manifest: TypeAlias = Mapping[str, Any]
Words: TypeAlias = Mapping[str, str] | None  # class name to its words in a prompt


@dataclass(frozen=True)
class Table:
    """Rows of text for the screen.

    Args:
        headers: names of the columns.
        rows: one text a column.
        right: positions of the columns that are aligned to the right.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()


class Measured(Protocol):
    """Numbers of an evaluation, such as `handful.metrics.Evaluation`."""

    def as_dict(self) -> dict[str, Any]:
        """The same as numbers, lists and texts, ready for JSON."""
        ...


class Task(ABC):
    """One kind of question that a skill answers about images.

    Class attributes:
        title: its name in tables and messages.
        answers: what a skill answers with, in the words of errors.
        exclusive: an image is of exactly one class, so that scores are one softmax: they can be
            calibrated, and sets of classes and the answer `unknown` are defined.
        keeps_support: the skill keeps its support set as features, so that it can be edited,
            examined and explained.
        default_method: what is fitted when no method is named.
        default_top_k: answers an image shown by the command line; None for all that apply.
        estimators: methods of the task's own, name to class; where empty, adapters are its methods.
    """

    plugin: ClassVar[bool] = True
    title: ClassVar[str]
    answers: ClassVar[str] = "something else than one label an image"
    exclusive: ClassVar[bool] = False
    keeps_support: ClassVar[bool] = False
    default_method: ClassVar[str]
    default_top_k: ClassVar[int | None] = None
    estimators: ClassVar[Mapping[str, type]] = {}

    # Data

    def suits(self, source: Source) -> bool:
        """Whether data are of this task by their form alone, so that `--task` can be left out."""
        return False

    @abstractmethod
    def load(self, source: Source) -> LabelledImages:
        """Labelled images from a path, or the given ones.

        Raises:
            InputError: the data cannot be read, or are of another task.
        """

    def separate(
        self,
        dataset: LabelledImages,
        words: Words = None,
        known: Sequence[str] = (),
    ) -> tuple[LabelledImages, LabelledImages]:
        """Images of the classes, and images stated to show none of them (none by default).

        Args:
            dataset: labelled images.
            words: class names that were stated, with their words.
            known: classes of a skill that exists already.
        """
        return dataset, dataset.subset([])

    @abstractmethod
    def class_words(self, dataset: LabelledImages, words: Words) -> dict[str, str]:
        """Class name to its words in a prompt, in the order of the logit columns."""

    @abstractmethod
    def draw(
        self, dataset: LabelledImages, classes: Sequence[str], shots: int, seed: int
    ) -> list[int]:
        """Positions of a support set of `shots` images a class."""

    @abstractmethod
    def targets(self, dataset: LabelledImages, classes: Sequence[str]) -> NDArray[Any]:
        """What `fit` of an estimator takes as `y`, one entry or row an image.

        Raises:
            InputError: a label that is not among the classes.
        """

    @abstractmethod
    def counts(self, targets: NDArray[Any], classes: Sequence[str]) -> dict[str, int]:
        """Images of each class."""

    # Fit

    def estimator(self, method: str) -> Any:
        """The class of a method.

        Raises:
            UnknownNameError: neither an adapter nor a method of this task.
            InputError: a method of another task.
        """
        if not self.estimators:
            return plugins.get("adapters", method)
        if method not in self.estimators:
            raise InputError(
                f"the method {method} does not answer the task {self.title}; its methods: "
                f"{', '.join(self.estimators)}"
            )
        return self.estimators[method]

    def create(
        self, method: str | None, seed: int = 0, params: Mapping[str, Any] | None = None
    ) -> Any:
        """An estimator that is not fitted yet.

        Raises:
            InputError: a method or a parameter that there is not.
        """
        from handful.adapters import create_estimator  # imports torch; reading a skill needs none

        name = method or self.default_method
        return create_estimator(self.estimator(name), name, seed, params)

    def facts(self, targets: NDArray[Any]) -> dict[str, Any]:
        """More facts of a fit for `training` in `pack.json`."""
        return {}

    def statements(self, estimator: Any) -> dict[str, Any]:
        """More entries of `pack.json` about a fitted estimator."""
        return {}

    # Answers

    def answered(self, estimator: Any, probabilities: Array) -> NDArray[np.bool_]:
        """`[M, C]` probabilities to `[M, C]`: the classes that are answered, all by default."""
        return np.ones(probabilities.shape, dtype=np.bool_)

    @abstractmethod
    def evaluate(
        self,
        probabilities: Array,
        answered: NDArray[np.bool_],
        targets: NDArray[Any],
        classes: Sequence[str],
        units: NDArray[np.int64] | None = None,
    ) -> Measured:
        """Measure answers to images that the skill has not seen.

        Args:
            probabilities: `[M, C]`.
            answered: `[M, C]`, the classes that are answered.
            targets: M entries or rows, as `targets` makes them.
            classes: C names.
            units: `[M]`, equal for images that belong together; each image alone when not given.
        """

    # Texts for users

    @abstractmethod
    def fit_summary(self, manifest: Manifest) -> list[str | Table]:
        """What `handful fit` prints of a new skill: sentences and tables.

        The first sentence ends without a full stop; seconds and images encoded follow it.
        """

    def expected(self, manifest: Manifest) -> dict[str, Any] | None:
        """How good answers to new images will be, by support images left out of the fit.

        None where the skill does not state it; an entry `cannot` says why there is no estimate.
        """
        return None

    def expectation(self, manifest: Manifest) -> str:
        """The same in one sentence for people who know no statistics; "" for None."""
        return ""

    def fit_warnings(self, manifest: Manifest) -> list[str]:
        """What a user should know of a new skill, one sentence each."""
        return []

    def fit_json(self, manifest: Manifest) -> dict[str, Any]:
        """More entries of `handful fit --json`."""
        return {}

    @abstractmethod
    def evaluation_summary(self, result: Any) -> list[str | Table]:
        """What `handful evaluate` prints of the result of `evaluate`: sentences and tables."""

    @abstractmethod
    def description(self, classes: int) -> str:
        """The first sentence of a skill's card."""

    def limits(self) -> list[str] | None:
        """Sentences of the card's limits instead of those on one class an image."""
        return None

    def card_table(self, manifest: Manifest) -> tuple[str, Table] | None:
        """A further section of a skill's card: heading with text, and a table."""
        return None
