"""Inputs of the multi-label ridge, checked and brought into one form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.adapters import checked_units
from handful.contracts import Array, ClassText, unit
from handful.errors import InputError
from handful.selection.groups import Units, find_units


def units_in_order(groups: ArrayLike | None, order: NDArray[np.int64]) -> Units | None:
    """`[N]` units in the given order, from 0, or None where each image is alone.

    Raises:
        InputError: see `MultiLabelRidge.fit`.
    """
    units = checked_units(groups, len(order))
    return None if units is None else find_units(units[order].tolist())


def unit_rows(X: ArrayLike) -> Array:
    """`[N, D]` unit rows."""
    try:
        rows = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected features [N, D] of numbers ({error})") from error
    if rows.ndim != 2 or not rows.shape[1]:
        raise InputError(f"expected features [N, D], got {[*rows.shape]}")
    return unit(rows)


def checked(X: ArrayLike, Y: ArrayLike, text: ClassText) -> tuple[Array, NDArray[np.float64]]:
    """`[N, D]` unit rows and `[N, C]` labels of 0 and 1.

    Raises:
        InputError: see `MultiLabelRidge.fit`.
    """
    if not isinstance(text, ClassText):
        raise InputError(
            f"expected a ClassText, got {type(text).__name__}; "
            "build one with ClassText(embeddings, classes, scale)"
        )
    rows, truth = unit_rows(X), np.asarray(Y)
    if truth.shape != (len(rows), len(text.classes)):
        raise InputError(
            f"expected labels [N, C] = [{len(rows)}, {len(text.classes)}], one column a class, "
            f"got {[*truth.shape]}"
        )
    if truth.dtype.kind not in "biuf" or not np.isin(truth, (0, 1)).all():
        raise InputError("expected labels of 0 and 1 only: whether an image shows a class")
    if len(rows) < 2:
        raise InputError(f"yes/no questions need at least two images, got {len(rows)}")
    if text.embeddings.shape[2] != rows.shape[1]:
        raise InputError(
            f"expected features of the text's width {text.embeddings.shape[2]}, got "
            f"{rows.shape[1]}; image and text features must come from one encoder"
        )
    empty = [text.classes[c] for c in np.flatnonzero((truth > 0).sum(0) == 0)]
    if empty:
        raise InputError(
            f"no image shows {', '.join(empty[:5])}; add images of it or take it off the classes"
        )
    return rows, truth.astype(np.float64)
