"""The pictures beside a card, drawn from the manifest alone, so that they change when it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import report
from handful.packs.format import CONFUSION

MOST = 40  # classes in a figure; more and no name can be read


def files(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Name to content; nothing where nothing was measured.

    Args:
        manifest: of the skill, untrusted; what cannot be drawn is left out.
    """
    found = confusion(manifest)
    if found is None:
        return {}
    return {CONFUSION: report.png(report.matrix_figure(*shown(*found)))}


def caption(manifest: Mapping[str, Any]) -> str:
    """The caption of the figure on the card; "" where there is none."""
    found = confusion(manifest)
    if found is None:
        return ""
    text = "Confusion matrix: a row is a true class, a column an answer, a cell counts images"
    size = len(found[1])
    if size <= MOST:
        return text
    return (
        f"{text}; the {MOST - 1} of {size} classes with most mistakes, and all others together, "
        "of which mistakes for one another stand in the last column"
    )


def shown(matrix: NDArray[np.int64], names: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Of many classes those with most mistakes, in their order, and all others as one.

    Then there is a column more than rows: images of the others that were taken for another of them.

    >>> matrix, names = shown(np.eye(50, dtype=np.int64), [str(i) for i in range(50)])
    >>> matrix.shape, matrix.sum(), names[-2:]
    ((40, 41), np.int64(50), ['11 others', 'another of those'])
    """
    size = len(names)
    if size <= MOST:
        return matrix, names
    wrong = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[: MOST - 1])
    place = np.full(size, MOST - 1)
    place[kept] = np.arange(MOST - 1)
    small = np.zeros((MOST, MOST + 1), dtype=np.int64)
    np.add.at(small, (place[:, None], place[None, :]), matrix)
    others = place == MOST - 1
    right = matrix.diagonal()[others].sum()
    small[-1, -1], small[-1, -2] = small[-1, -2] - right, right
    return small, [*(names[i] for i in kept), f"{size - MOST + 1} others", "another of those"]


def confusion(manifest: Mapping[str, Any]) -> tuple[NDArray[np.int64], list[str]] | None:
    """`[C, C]` counts, rows true classes, columns answers, and C names; None where there are none.

    >>> confusion({"evaluation": None}) is None
    True
    """
    numbers = manifest["evaluation"] or {}
    names, counts = numbers.get("classes"), numbers.get("confusion")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    size = len(names)
    rows = counts if isinstance(counts, list) else []
    right = len(rows) == size > 0 and all(isinstance(r, list) and len(r) == size for r in rows)
    if not right or any(type(n) is not int or not 0 <= n < 1 << 53 for r in rows for n in r):
        return None
    return np.array(rows, dtype=np.int64), names
