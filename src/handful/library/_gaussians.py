"""Gaussian discriminants with one shared covariance, and their exact leave-one-out values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handful.contracts import Array
from handful.library.task_support import Indices, Values

_FLOOR = 1e-10  # squared distances of unit rows below this are float32's rounding


@dataclass(frozen=True, eq=False)
class Gaussians:
    """`d_g(x) = x P m_g - 1/2 m_g P m_g`, P the inverse of `(1 - rho) S + rho tr(S) / D I`.

    Args:
        means: `[G, D]`.
        counts: `[G]` images of each group.
        precision: P, `[D, D]`.
        scatter_weight: what the scatter matrix is multiplied by in P's inverse.
    """

    means: Values
    counts: Values
    precision: Values
    scatter_weight: float

    @classmethod
    def fit(cls, means: Values, counts: Values, scatter: Values, rho: float) -> Gaussians:
        """From `[G, D]` means, `[G]` counts and the `[D, D]` scatter around the means."""
        freedom = max(float(counts.sum()) - 1, 1.0)
        width, trace = len(scatter), float(np.trace(scatter)) / freedom
        if trace <= _FLOOR:  # no group has two different images
            return cls(means, counts, np.eye(width), 0.0)
        weight = (1 - rho) / freedom
        shrunk: Values = weight * scatter
        shrunk[np.diag_indices(width)] += rho * trace / width
        return cls(means, counts, np.asarray(np.linalg.inv(shrunk), dtype=np.float64), weight)

    def linear(self) -> tuple[Array, Array]:
        """`[G, D]` weights and `[G]` biases less their mean, float32."""
        weights = self.means @ self.precision
        bias = -0.5 * (weights * self.means).sum(1)
        # softmax ignores a common offset; without it float32 keeps more digits
        return (weights - weights.mean(0)).astype(np.float32), (bias - bias.mean()).astype(
            np.float32
        )

    def leave_one_out(self, rows: Array, groups: Indices) -> Values:
        """`[n, G]` discriminants of images of the groups, each by a fit without it.

        The image leaves the mean of its group and the scatter, a rank-one downdate of P's inverse
        (Sherman-Morrison); the ridge and the count of all images stay, which changes nothing
        visible. A group whose only image is left out has `-inf`.

        Args:
            rows: `[n, D]` images that the groups were made of.
            groups: `[n]` of which group each is.
        """
        x = rows.astype(np.float64)
        weights = self.means @ self.precision
        mean_products = weights @ self.means.T  # [G, G]: m_g P m_h
        counts = self.counts[groups]
        # with r = x - m_g the scatter loses n / (n - 1) r r', so P gains step * (P r)(P r)'
        residuals = x - self.means[groups]
        p_residuals = residuals @ self.precision
        squared_length = (p_residuals * residuals).sum(1)
        step = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 0.0) * self.scatter_weight
        step = step / np.maximum(1 - step * squared_length, _FLOOR)
        x_means = x @ weights.T  # [n, G]: x P m
        r_means = x_means - mean_products[groups]  # [n, G]: r P m
        r_x = (p_residuals * x).sum(1)
        result: Values = x_means + (step * r_x)[:, None] * r_means
        result -= 0.5 * (np.diag(mean_products) + step[:, None] * r_means**2)
        # the image's own group: its mean moves as well, to m - r / (n - 1)
        own_means = self.means[groups] - residuals / np.maximum(counts - 1, 1)[:, None]
        p_own = own_means @ self.precision
        r_own = (p_residuals * own_means).sum(1)
        own = (p_own * x).sum(1) + step * r_x * r_own
        own -= 0.5 * ((p_own * own_means).sum(1) + step * r_own**2)
        result[np.arange(len(x)), groups] = np.where(counts > 1, own, -np.inf)
        return result
