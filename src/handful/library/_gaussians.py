"""Gaussian groups of images with one covariance, and what each says of an image left out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array

Values = NDArray[np.float64]
Rows = NDArray[np.int64]

_FLOOR = 1e-10  # squared distances of unit rows below this are float32's rounding


@dataclass(frozen=True, eq=False)
class Gaussians:
    """`d_g(x) = x P m_g - 1/2 m_g P m_g`, P the inverse of `(1 - rho) S + rho tr(S) / D I`.

    Args:
        means: `[G, D]`.
        counts: `[G]` images of each group.
        precision: P, `[D, D]`.
        share: how much of the scatter around the means P's inverse holds.
    """

    means: Values
    counts: Values
    precision: Values
    share: float

    @classmethod
    def of(cls, means: Values, counts: Values, scatter: Values, rho: float) -> Gaussians:
        """From `[G, D]` means, `[G]` counts and the `[D, D]` scatter around the means."""
        freedom = max(float(counts.sum()) - 1, 1.0)
        width, trace = len(scatter), float(np.trace(scatter)) / freedom
        if trace <= _FLOOR:  # no group has two different images
            return cls(means, counts, np.eye(width), 0.0)
        share = (1 - rho) / freedom
        shrunk: Values = share * scatter
        shrunk[np.diag_indices(width)] += rho * trace / width
        return cls(means, counts, np.asarray(np.linalg.inv(shrunk), dtype=np.float64), share)

    def linear(self) -> tuple[Array, Array]:
        """`[G, D]` weights and `[G]` biases less their mean, float32."""
        weights = self.means @ self.precision
        bias = -0.5 * (weights * self.means).sum(1)
        middle = (weights - weights.mean(0), bias - bias.mean())
        return middle[0].astype(np.float32), middle[1].astype(np.float32)

    def left_out(self, rows: Array, groups: Rows) -> Values:
        """`[n, G]` discriminants of images of the groups, each by a fit without it.

        The image leaves the mean of its group and the scatter, a rank-one downdate; the ridge and
        the count of all images stay, which moves nothing that can be seen. A group whose only image
        is left out has `-inf`.

        Args:
            rows: `[n, D]` images that the groups were made of.
            groups: `[n]` of which group each is.
        """
        x, at = rows.astype(np.float64), np.arange(len(rows))
        weights = self.means @ self.precision
        between = weights @ self.means.T  # [G, G]
        counts = self.counts[groups]
        rest = x - self.means[groups]
        on_rest = rest @ self.precision
        form = (on_rest * rest).sum(1)
        gone = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 0.0) * self.share
        gone = gone / np.maximum(1 - gone * form, _FLOOR)
        along = x @ weights.T  # [n, G]: x P m
        to_rest = along - between[groups]
        straight = (on_rest * x).sum(1)
        result: Values = along + (gone * straight)[:, None] * to_rest
        result -= 0.5 * (np.diag(between) + gone[:, None] * to_rest**2)
        own = self.means[groups] - rest / np.maximum(counts - 1, 1)[:, None]
        turned = own @ self.precision
        touched = (on_rest * own).sum(1)
        value = (turned * x).sum(1) + gone * straight * touched
        value -= 0.5 * ((turned * own).sum(1) + gone * touched**2)
        result[at, groups] = np.where(counts > 1, value, -np.inf)
        return result
