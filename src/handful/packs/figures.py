"""The pictures beside a card, drawn from the manifest alone, so that they change when it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import report
from handful.packs.format import CONFUSION


def files(manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Name to content; nothing where nothing was measured.

    Args:
        manifest: the skill's; of a stranger's, what cannot be drawn is left out.
    """
    found = confusion(manifest)
    if found is None:
        return {}
    return {CONFUSION: report.png(report.matrix_figure(*found))}


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
