"""A covariance `share * M + ridge * I` of few images in many dimensions, never inverted.

The scatter is `M = Fᵀ F` for K rows F. Where K is smaller than the width D, everything is done with
the K x K products `F Fᵀ` (the Woodbury identity), which is exact too and takes `O(K² D)` in place
of `O(D³)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_FLAT = 1e-12  # variances of M below this share of all are rounding


@dataclass(frozen=True, eq=False)
class ShrunkCovariance:
    """`Sigma = share * Fᵀ F + ridge * I`.

    Args:
        rows: F, `[K, D]`, in float64.
        share: `[]`, not negative.
        ridge: `[]`, positive.
    """

    rows: Tensor
    share: Tensor
    ridge: Tensor

    @property
    def _few(self) -> bool:
        return len(self.rows) < self.rows.shape[1]

    def solve(self, x: Tensor) -> Tensor:
        """`[M, D]` x to `x Sigma⁻¹`."""
        if not self._few:
            return torch.cholesky_solve(x.T, torch.linalg.cholesky(self._matrix())).T
        # (a Fᵀ F + r I)⁻¹ = (I - a Fᵀ (r I + a F Fᵀ)⁻¹ F) / r
        inner = self.share * self.rows @ self.rows.T
        inner.diagonal().add_(self.ridge)
        inside = torch.cholesky_solve(self.rows @ x.T, torch.linalg.cholesky(inner))
        return (x - self.share * inside.T @ self.rows) / self.ridge

    def whitening(self) -> Whitening:
        """A map of rows in which Euclidean distances are Mahalanobis distances of Sigma."""
        if not self._few:
            return Whitening(torch.linalg.cholesky(self._matrix()), None, self.ridge)
        # M has the eigenvectors V = Fᵀ U / sqrt(l), U and l those of F Fᵀ, and zero elsewhere
        values, basis = torch.linalg.eigh(self.rows @ self.rows.T)
        kept = values > _FLAT * values.sum()
        axes = (basis[:, kept] / values[kept].sqrt()).T @ self.rows  # [k, D]
        lengths = (self.ridge / (self.share * values[kept] + self.ridge)).sqrt()
        return Whitening(axes, lengths, self.ridge)

    def _matrix(self) -> Tensor:
        matrix: Tensor = self.share * self.rows.T @ self.rows
        matrix.diagonal().add_(self.ridge)
        return matrix


@dataclass(frozen=True, eq=False)
class Whitening:
    """`[M, D]` rows x to `x W`, `W Wᵀ = Sigma⁻¹`.

    Args:
        axes: `[k, D]` orthonormal axes; `[D, D]` the lower Cholesky factor without `lengths`.
        lengths: `[k]`, what Sigma leaves of an axis beside the ridge, or None.
        ridge: `[]`, the variance in all other directions.
    """

    axes: Tensor
    lengths: Tensor | None
    ridge: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`[M, D]` white rows."""
        if self.lengths is None:
            white: Tensor = torch.linalg.solve_triangular(self.axes, x.T, upper=False).T
            return white.contiguous()
        return (x + (x @ self.axes.T * (self.lengths - 1)) @ self.axes) / self.ridge.sqrt()
