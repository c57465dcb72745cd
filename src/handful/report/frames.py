"""Tables of numbers as data frames, for those who have pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from handful.errors import MissingExtraError

if TYPE_CHECKING:
    from pandas import DataFrame


def to_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> DataFrame:
    """A `pandas.DataFrame` with these columns.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("pandas", None, "a table as a data frame") from error
    return pd.DataFrame([*rows], columns=[*columns])
