"""Remarks on pictures that are read although something about them may surprise."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]


def silent(_: str) -> None:
    """Drop a remark."""
