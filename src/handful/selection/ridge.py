"""Ridge regression and its exact predictions for units left out, without refits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from handful.errors import InputError
from handful.selection.units import blocks, slices

_CHUNK = 1024  # samples at once against all N


def kernel_ridge(
    kernel: Tensor, residuals: Tensor, penalty: float, *, overwrite: bool = False
) -> Tensor:
    """`[N, C]` coefficients `A = (K + lambda I)⁻¹ R` of kernel ridge regression.

    Args:
        kernel: K, `[N, N]`, symmetric, no negative eigenvalues.
        residuals: R, `[N, C]`, what is to be explained.
        penalty: lambda, positive.
        overwrite: work in the kernel's memory and leave nothing of it: half of what is needed.
    """
    return _solve(_factor(kernel, penalty, overwrite), residuals)


def kernel_ridge_leave_one_out(
    kernel: Tensor,
    residuals: Tensor,
    penalty: float,
    units: Tensor | None = None,
    *,
    overwrite: bool = False,
) -> Tensor:
    """`[N, C]` predictions of `kernel_ridge` for each unit B by all others: `R_B - G_BB⁻¹ A_B`.

    `G = (K + lambda I)⁻¹`. For a sample alone it is the textbook's `r_i / (1 - H_ii)`, `H = K G`,
    without the difference that cancels.

    Args:
        kernel: K, `[N, N]`.
        residuals: R, `[N, C]`.
        penalty: lambda, positive.
        units: `[N]` units; None: each sample alone. Where the samples do not come in the order of
            their units, the kernel is copied.
        overwrite: as for `kernel_ridge`.

    >>> kernel = torch.tensor([[1.0, 0.5], [0.5, 1.0]])  # 0.5 * 2 / 2 and 0.5 * 1 / 2
    >>> kernel_ridge_leave_one_out(kernel, torch.tensor([[1.0], [2.0]]), 1.0)
    tensor([[0.5000],
            [0.2500]])
    """
    order = None if units is None else torch.argsort(units, stable=True)
    if order is None or units is None or bool((units.diff() >= 0).all()):
        return _leave_out_neighbours(kernel, residuals, penalty, units, overwrite)
    given = kernel[order][:, order], residuals[order], penalty, units[order]
    result = torch.empty_like(residuals)
    result[order] = _leave_out_neighbours(*given, True)
    return result


def _leave_out_neighbours(
    kernel: Tensor, residuals: Tensor, penalty: float, units: Tensor | None, overwrite: bool
) -> Tensor:
    """The same where the samples of a unit follow each other."""
    factor = _factor(kernel, penalty, overwrite)
    solved = _solve(factor, residuals)
    for start, columns in _inverse_factor(factor, slices(len(factor), units, _CHUNK)):
        end = start + columns.shape[1]
        here = solved[start:end]
        if units is None:
            here /= columns.square().sum(0)[:, None]
            continue
        for at in blocks(units[start:end]):
            part = columns[:, at].movedim(0, 2)  # [u, m, n]; G_BB is its product with itself
            here[at] = torch.linalg.solve(part @ part.mT, here[at])
    return residuals - solved


def kernel_ridge_path(
    kernel: Tensor, residuals: Tensor, penalties: Sequence[float], units: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Both of the above for many penalties, by one eigendecomposition: `[L, N, C]` each.

    Args:
        kernel: K, `[N, N]`.
        residuals: R, `[N, C]`.
        penalties: L values of lambda, all positive.
        units: `[N]` units; None: each sample alone.
    """
    _check(*penalties)
    values, basis = torch.linalg.eigh(kernel)
    values = values.clamp(min=0)
    # in the eigenbasis V: A = V (L + lambda)⁻¹ Vᵀ R and G_BB = V_B (L + lambda)⁻¹ V_Bᵀ
    turned, products = basis.T @ residuals, _UnitProducts(basis, units)
    coefficients, left_out = [], []
    for penalty in penalties:
        inverse = 1 / (values + penalty)
        a = basis @ (inverse[:, None] * turned)
        coefficients.append(a)
        left_out.append(residuals - products.solve(inverse, a))
    return torch.stack(coefficients), torch.stack(left_out)


def linear_ridge_path(
    features: Tensor, residuals: Tensor, penalties: Sequence[float], units: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`[L, C, D]` weights `((XᵀX + lambda I)⁻¹ XᵀR)ᵀ` and `[L, N, C]` left-out predictions.

    Through the `[N, N]` or the `[D, D]` products, whichever is smaller.

    Args:
        features: X, `[N, D]`.
        residuals: R, `[N, C]`.
        penalties: L values of lambda, all positive.
        units: `[N]` units; None: each sample alone.
    """
    _check(*penalties)
    n, width = features.shape
    if n <= width:
        kernel = features @ features.T
        coefficients, left_out = kernel_ridge_path(kernel, residuals, penalties, units)
        return coefficients.mT @ features, left_out
    values, basis = torch.linalg.eigh(features.T @ features)
    values = values.clamp(min=0)
    turned = features @ basis
    target, products = turned.T @ residuals, _UnitProducts(turned, units)
    weights, left = [], []
    for penalty in penalties:
        inverse = 1 / (values + penalty)
        inner = inverse[:, None] * target
        weights.append((basis @ inner).T)
        # (I - H_BB)⁻¹ r_B
        unexplained = residuals - turned @ inner
        left.append(residuals - products.solve(inverse, unexplained, from_one=True))
    return torch.stack(weights), torch.stack(left)


class _UnitProducts:
    """`P_B = F_B diag(inverse) F_Bᵀ` of the rows F of each unit B, to be solved with.

    Args:
        rows: F, `[N, K]`.
        units: `[N]`, or None.
    """

    def __init__(self, rows: Tensor, units: Tensor | None) -> None:
        self.rows = rows
        self.squares = rows.square() if units is None else None
        self.blocks = [] if units is None else blocks(units)

    def solve(self, inverse: Tensor, values: Tensor, *, from_one: bool = False) -> Tensor:
        """`[N, C]` `P_B⁻¹ values_B`, or `(I - P_B)⁻¹ values_B`, for each unit."""
        if self.squares is not None:
            diagonal = self.squares @ inverse
            if from_one:  # in [0, 1), and 0 to rounding where the sample alone fixes its answer
                diagonal = (1 - diagonal).clamp(min=torch.finfo(values.dtype).tiny)
            return values / diagonal[:, None]
        solved = torch.empty_like(values)
        for at in self.blocks:
            rows = self.rows[at]
            product = (rows * inverse) @ rows.mT
            if from_one:
                product = torch.eye(at.shape[1], dtype=product.dtype) - product
            solved[at] = torch.linalg.solve(product, values[at])
        return solved


def _check(*penalties: float) -> None:
    """Refuse what has no solution where two samples are alike."""
    wrong = [p for p in penalties if not 0 < p < math.inf]
    if wrong:
        raise InputError(f"expected penalties above 0 and finite, got {wrong[0]}")


def _factor(kernel: Tensor, penalty: float, overwrite: bool) -> Tensor:
    """`[N, N]` lower L, `L Lᵀ = K + lambda I`."""
    _check(penalty)
    matrix = kernel if overwrite else kernel.clone()
    matrix.diagonal().add_(penalty)
    columns = matrix.mT  # the same matrix, in the order that LAPACK works in without a copy
    factor: Tensor = torch.linalg.cholesky(columns, out=columns)
    return factor


def _solve(factor: Tensor, residuals: Tensor) -> Tensor:
    """`(L Lᵀ)⁻¹ R`; torch's own `cholesky_solve` copies L."""
    half = torch.linalg.solve_triangular(factor, residuals, upper=False)
    answers: Tensor = torch.linalg.solve_triangular(factor.mT, half, upper=True)
    return answers


def _inverse_factor(factor: Tensor, spans: list[slice]) -> Iterator[tuple[int, Tensor]]:
    """Columns of `L⁻¹`, block after block: where each begins, and `[n, k]` all that is not zero.

    Forward substitution in blocks, because torch copies a slice of L that it is to solve with. The
    memory of the columns is used again for the next block.
    """
    inverse = factor.new_empty(len(factor), max(at.stop - at.start for at in spans))
    for i, left in enumerate(spans):
        columns = inverse[:, : left.stop - left.start]
        for at in spans[i:]:
            if at == left:
                target = torch.eye(columns.shape[1], dtype=factor.dtype)
            else:
                before = slice(left.start, at.start)
                target = -(factor[at, before] @ columns[before])
            columns[at] = torch.linalg.solve_triangular(factor[at, at], target, upper=False)
        yield left.start, columns[left.start :]
