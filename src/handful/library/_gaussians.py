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

    def leave_one_out(self, rows: Array, groups: Indices, units: Indices | None = None) -> Values:
        """`[n, G]` discriminants of images of the groups, each by a fit without its unit.

        An image leaves the mean of its group and the scatter, a rank-one downdate of P's inverse
        (Sherman-Morrison); the ridge and the count of all images stay, which changes nothing
        visible. A group whose only image is left out has `-inf`.

        Args:
            rows: `[n, D]` images that the groups were made of.
            groups: `[n]` of which group each is.
            units: `[n]` what is left out together; the rows hold all images of each. None: each
                image alone.
        """
        if units is not None and units.max() + 1 < len(units):
            return self._leave_units_out(rows, groups, units)
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

    def _leave_units_out(self, rows: Array, groups: Indices, units: Indices) -> Values:
        """As `leave_one_out`, where some units have several images.

        From a group of n, k images with residuals r leave: its mean moves by `-s / (n - k)`, s
        their sum, and the scatter loses `sum r r' + s s' / (n - k)`: columns of a matrix V, by
        which P gains `P V (I / w - V' P V)⁻¹ V' P` (Woodbury).
        """
        weights = self.means @ self.precision
        lengths = (weights * self.means).sum(1)
        result: Values = np.zeros((len(rows), len(self.means)))
        order = np.argsort(units, kind="stable")
        for at in np.split(order, np.flatnonzero(np.diff(units[order])) + 1):
            x, own = rows[at].astype(np.float64), np.unique(groups[at])
            columns, moved = [], []
            for g in own:
                residuals = x[groups[at] == g] - self.means[g]
                left = self.counts[g] - len(residuals)
                total = residuals.sum(0)
                moved.append(self.means[g] - total / max(left, 1))
                columns.append(residuals)
                if left:  # a group that leaves as a whole takes all its scatter
                    columns.append(total[None] / np.sqrt(left))
            v = np.vstack(columns)
            p_v = v @ self.precision
            core = self._gain(v @ p_v.T)
            x_v, m_v = x @ p_v.T @ core, self.means @ p_v.T
            values = x @ weights.T + x_v @ m_v.T - 0.5 * (lengths + ((m_v @ core) * m_v).sum(1))
            new = np.array(moved)
            n_v, p_new = new @ p_v.T, new @ self.precision
            inside = (p_new * new).sum(1) + ((n_v @ core) * n_v).sum(1)
            values[:, own] = x @ p_new.T + x_v @ n_v.T - 0.5 * inside
            gone = [np.sum(groups[at] == g) >= self.counts[g] for g in own]
            values[:, own[gone]] = -np.inf
            result[at] = values
        return result

    def _gain(self, products: Values) -> Values:
        """`(I / w - V' P V)⁻¹` from `V' P V`; zero where no scatter is known."""
        if not self.scatter_weight:
            return np.zeros_like(products)
        return np.asarray(np.linalg.pinv(np.eye(len(products)) / self.scatter_weight - products))
