"""Inputs of `fit`, checked and brought into one form: unit rows, columns, canonical order."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.selection.groups import Units, find_units

CLIP_SCALE = 100.0  # CLIP's exp(logit_scale), where class means stand in for text


def unit_or_zero(rows: Array) -> Array:
    """`[N, D]` rows scaled to length one; a row of zeros stays zero, equally far from all."""
    squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)  # float32 overflows above 1e19
    norms = np.sqrt(squares)[:, None]
    result = np.empty(rows.shape, dtype=np.float32)
    return np.divide(rows, np.where(norms > 0, norms, 1), out=result, casting="same_kind")


def is_plain(X: object, width: int | None = None) -> TypeGuard[Array]:
    """Whether X is `[M, D]` float32, finite, of this width, which needs no further check."""
    return (
        type(X) is np.ndarray
        and X.dtype == np.float32
        and X.ndim == 2
        and X.size > 0
        and width in (None, X.shape[1])
        and bool(np.isfinite(X).all())
    )


def is_plain_column(y: object, count: int) -> TypeGuard[NDArray[np.integer[Any]]]:
    """Whether y is `[N]` whole numbers, which need no further check."""
    return type(y) is np.ndarray and y.dtype.kind in "iu" and y.shape == (count,)


def columns(y: NDArray[Any], text: ClassText | None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """`[C]` labels of the logit columns, and the `[N]` column of each sample.

    Raises:
        InputError: a label that is not among the classes, or fewer than two classes.
    """
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


def checked_units(groups: ArrayLike | None, count: int) -> Units | None:
    """`[N]` units of the images by the groups' names, or None where each image is alone.

    Raises:
        InputError: not one group for each image, or one that is neither a name nor an integer.
    """
    if groups is None:
        return None
    given = groups if isinstance(groups, np.ndarray) else np.array(groups, dtype=object)
    if given.shape != (count,):
        raise InputError(
            f"groups: expected one for each of {count} images, [{count}], got {[*given.shape]}"
        )
    names = given.tolist()
    wrong = [n for n in names if not (n is None or isinstance(n, str | int | np.integer))]
    if wrong:
        raise InputError(
            f"groups: expected names or integers (an empty name or None: alone), got {wrong[0]!r}"
        )
    units = find_units(names)
    return units if units.max() + 1 < count else None


def canonical_order(rows: Array, labels: NDArray[Any], units: Units | None = None) -> list[int]:
    """An order that depends on the samples alone, so that shuffling them changes no answer.

    Equal samples of different units are told apart by what else their units hold, and never by the
    units' numbers or names.
    """
    keys = [(row.tobytes(), str(label)) for row, label in zip(rows, labels, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if units is None:
        return order
    rank, last = [0] * len(order), 0
    for before, i in zip([order[0], *order], order, strict=False):
        last += keys[before] != keys[i]
        rank[i] = last
    members: dict[int, list[int]] = {}
    for i in order:
        members.setdefault(int(units[i]), []).append(rank[i])
    return sorted(order, key=lambda i: (rank[i], members[int(units[i])], int(units[i])))


def check_text(text: object) -> None:
    """Refuse what is no `ClassText`."""
    if not isinstance(text, ClassText):
        raise InputError(
            f"expected a ClassText, got {type(text).__name__}; "
            "build one with ClassText(embeddings, classes, scale)"
        )


def check_width(text: ClassText, features: Tensor) -> None:
    """Refuse a text that is not as wide as the `[N, D]` features."""
    if text.embeddings.shape[2] != features.shape[1]:
        raise InputError(
            f"expected features of the text's width {text.embeddings.shape[2]}, "
            f"got {features.shape[1]}; image and text features must come from one encoder"
        )


def refusal(error: ValueError) -> str:
    """The check of scikit-learn, with a message without its advice and without the whole array."""
    full = str(error)
    first = full.split("\n")[0].rstrip(":.")
    if "Reshape your data" in full:
        return f"{first}. Reshape your data to rows of features, [N, D]"
    if "contains NaN" in first or "contains infinity" in first:
        return f"{first}; encode the images again"
    return first


def class_means(features: Tensor, targets: Tensor, classes: int) -> Tensor:
    """`[C, D]` means of the rows of each class; zero for a class without rows."""
    sums = features.new_zeros(classes, features.shape[1]).index_add_(0, targets, features)
    counts = torch.bincount(targets, minlength=classes).clamp(min=1)
    return sums / counts[:, None]


def text_from_means(features: Tensor, targets: Tensor, classes: NDArray[Any]) -> ClassText:
    """Class means in place of text, where there is none."""
    means = class_means(features, targets, len(classes))
    # opposite images cancel, and a text needs a direction: any will do
    zero = means.norm(dim=1, keepdim=True) == 0
    means = torch.where(zero, torch.ones_like(means), means)
    return ClassText(means[:, None].numpy(), tuple(map(repr, classes.tolist())), CLIP_SCALE)
