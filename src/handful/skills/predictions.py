"""Answers of many images: `Predictions`, a list of `Prediction`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from handful.skills.answer_table import Schema
from handful.skills.prediction import Prediction

if TYPE_CHECKING:
    from pandas import DataFrame

PredictionT = TypeVar("PredictionT", bound=Prediction)


class Predictions(list[PredictionT]):
    """Answers in the order of the images; a list with `to_frame`.

    Args:
        predictions: one an image.
        schema: what was asked for, and which skill answered; it decides the columns.
    """

    def __init__(self, predictions: Iterable[PredictionT] = (), schema: Schema | None = None):
        super().__init__(predictions)
        self.schema = Schema() if schema is None else schema

    def to_frame(self, top_k: int | None = None) -> DataFrame:
        """A row an image, with the columns of `handful predict --out answers.csv`.

        An image that could not be read has its reason in `error` and no label.

        Args:
            top_k: answers in columns (`label`, `label_2`, ...); as many as were asked of
                `predict`, or the best alone where all were.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from handful.report import to_frame

        shown = self.schema if top_k is None else replace(self.schema, shown=top_k)
        return to_frame(shown.columns, [shown.cells(shown.row(p)) for p in self])
