"""Which test images a fitted method has right: a bit each, for intervals."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.protocols.episodes import QuerySet
from handful.protocols.task import Indices, Mask


@dataclass(frozen=True, eq=False)
class Correctness:
    """The answers of one fitted method to one query set.

    Args:
        bits: `[ceil(M / 8)]`, eight images a byte.
        units: `[M]`, equal for images that belong together, among the test images of `source`.
        source: digest of the data set.
    """

    bits: NDArray[np.uint8]
    units: Indices
    source: str

    @classmethod
    def of(cls, right: object, queries: QuerySet) -> Correctness | None:
        """From names of query sets to what `pack` made; None where this one has no such text."""
        text = right.get(queries.name) if isinstance(right, Mapping) else None
        if not isinstance(text, str):
            return None
        try:
            bits = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
        except (binascii.Error, ValueError):
            return None
        if len(bits) != -(-len(queries.images) // 8):
            return None
        return cls(bits, queries.units, queries.task.test_digest)

    @property
    def right(self) -> Mask:
        """`[M]`."""
        return np.unpackbits(self.bits, count=len(self.units)).astype(bool)


def pack(right: Mask) -> str:
    """`[M]` yes or no as base64 text, a bit each.

    >>> pack(np.array([True, False, True]))
    'oA=='
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")
