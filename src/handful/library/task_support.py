"""The support set of one task and its class statistics, for routing and open-set rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TaskSupport:
    """The support set of one task, encoded by the library's frozen encoder.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` class indices.
        units: `[N]` what belongs together (`handful.selection.groups`), from 0; None: each image
            alone.
    """

    features: Array
    targets: Indices
    units: Indices | None = None

    def evenly_spaced_units(self, most: int) -> tuple[Indices, Indices]:
        """Rows of at most `most` units, spread evenly, ascending, and the units of these rows."""
        each = np.arange(len(self.targets)) if self.units is None else self.units
        rows = np.flatnonzero(np.isin(each, evenly_spaced(int(each.max()) + 1, most)))
        return rows, each[rows]

    def class_means(self) -> tuple[Values, Values, Indices]:
        """`[C, D]` means and `[C]` counts of the classes that have images, `[N]` rows into them."""
        classes, rows = np.unique(self.targets, return_inverse=True)
        counts = np.bincount(rows).astype(np.float64)
        sums = np.zeros((len(classes), self.features.shape[1]))
        np.add.at(sums, rows, self.features.astype(np.float64))
        return sums / counts[:, None], counts, rows

    def scatter(self) -> Values:
        """`[D, D]` sum of outer products of the images less their class means."""
        means, _, rows = self.class_means()
        return _outer(self.features - means.astype(np.float32)[rows])

    def total_scatter(self) -> Values:
        """`[D, D]` the same about the mean of all images."""
        return _outer(self.features - self.features.mean(0))


def evenly_spaced(count: int, most: int) -> Indices:
    """At most `most` of `count` indices, spread evenly.

    >>> evenly_spaced(7, 3).tolist()
    [0, 3, 6]
    """
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)


def _outer(residuals: Array) -> Values:
    # a product of float32 is twice as fast as one of float64 and exact enough for a covariance
    return np.asarray(residuals.T @ residuals, dtype=np.float64)
