"""Sets of things that are linked, directly or through others (union-find)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Links:
    """Sets of N rows, each known by its first row; at the start each row is alone.

    >>> links = Links(4)
    >>> links.join(1, 3)
    >>> [links.root(i) for i in range(4)]
    [0, 1, 2, 1]
    """

    def __init__(self, count: int) -> None:
        self._home = list(range(count))

    def root(self, i: int) -> int:
        """The first row of the set that a row is in."""
        while self._home[i] != i:
            self._home[i] = self._home[self._home[i]]
            i = self._home[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Make one set of those of two rows."""
        a, b = self.root(i), self.root(j)
        self._home[max(a, b)] = min(a, b)


def linked_units(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`[N]` for each of N rows the first of those that it is linked with, itself if with none.

    Args:
        pairs: `[P, 2]` rows that are linked.
        count: N.

    >>> linked_units(np.array([[0, 2], [2, 3]]), 5).tolist()
    [0, 1, 0, 0, 4]
    """
    links = Links(count)
    for i, j in pairs.tolist():
        links.join(i, j)
    return np.array([links.root(i) for i in range(count)], dtype=np.int64)
