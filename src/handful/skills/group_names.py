"""Names of groups that were found and not stated: `near:1`, `near:2`, ... of one support set.

A stated name means the same group everywhere. One with this prefix is a number within its support
set and means nothing elsewhere, so the prefix is no good beginning for a stated name.
"""

from __future__ import annotations

_PREFIX = "near:"


def near_name(number: int) -> str:
    """The name of a group of near copies, by its number from 1."""
    return f"{_PREFIX}{number}"


def is_near(name: str) -> bool:
    """Whether a group was found as near copies.

    >>> is_near(near_name(3)), is_near("nearly"), is_near("")
    (True, False, False)
    """
    return name.startswith(_PREFIX)
