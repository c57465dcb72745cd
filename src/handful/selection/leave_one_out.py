"""Exact leave-one-out predictions of ridge regression, caches and class means, without refits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from handful.errors import InputError
from handful.selection.groups import group_folds, left_out_units
from handful.selection.modality_gap import (
    NO_DIRECTION,
    ClassMeans,
    modality_gap_leave_one_out,
    unit_means,
)

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
    kernel: Tensor, residuals: Tensor, penalty: float, *, overwrite: bool = False
) -> Tensor:
    """`[N, C]` predictions of `kernel_ridge` for each sample by all others: `R_i - A_i / G_ii`.

    `G = (K + lambda I)⁻¹`. It is the textbook's `r_i / (1 - H_ii)`, `H = K G`, without the
    difference that cancels.

    Args:
        kernel: K, `[N, N]`.
        residuals: R, `[N, C]`.
        penalty: lambda, positive.
        overwrite: as for `kernel_ridge`.

    >>> kernel = torch.tensor([[1.0, 0.5], [0.5, 1.0]])  # 0.5 * 2 / 2 and 0.5 * 1 / 2
    >>> kernel_ridge_leave_one_out(kernel, torch.tensor([[1.0], [2.0]]), 1.0)
    tensor([[0.5000],
            [0.2500]])
    """
    factor = _factor(kernel, penalty, overwrite)
    return residuals - _solve(factor, residuals) / _inverse_diagonal(factor)[:, None]


def kernel_ridge_path(
    kernel: Tensor, residuals: Tensor, penalties: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Both of the above for many penalties, by one eigendecomposition: `[L, N, C]` each.

    Args:
        kernel: K, `[N, N]`.
        residuals: R, `[N, C]`.
        penalties: L values of lambda, all positive.
    """
    _check(*penalties)
    values, basis = torch.linalg.eigh(kernel)
    values = values.clamp(min=0)
    # in the eigenbasis V: A = V (L + lambda)⁻¹ Vᵀ R and G_ii = sum_k V_ik² / (L_k + lambda)
    turned, squares = basis.T @ residuals, basis.square()
    coefficients, left_out = [], []
    for penalty in penalties:
        inverse = 1 / (values + penalty)
        a = basis @ (inverse[:, None] * turned)
        coefficients.append(a)
        left_out.append(residuals - a / (squares @ inverse)[:, None])
    return torch.stack(coefficients), torch.stack(left_out)


def linear_ridge_path(
    features: Tensor, residuals: Tensor, penalties: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """`[L, C, D]` weights `((XᵀX + lambda I)⁻¹ XᵀR)ᵀ` and `[L, N, C]` left-out predictions.

    Through the `[N, N]` or the `[D, D]` products, whichever is smaller.

    Args:
        features: X, `[N, D]`.
        residuals: R, `[N, C]`.
        penalties: L values of lambda, all positive.
    """
    _check(*penalties)
    n, width = features.shape
    if n <= width:
        coefficients, left_out = kernel_ridge_path(features @ features.T, residuals, penalties)
        return coefficients.mT @ features, left_out
    values, basis = torch.linalg.eigh(features.T @ features)
    values = values.clamp(min=0)
    turned = features @ basis
    target, squares = turned.T @ residuals, turned.square()
    weights, left = [], []
    for penalty in penalties:
        inverse = 1 / (values + penalty)
        inner = inverse[:, None] * target
        weights.append((basis @ inner).T)
        # r_i / (1 - H_ii): in [0, 1), and 0 to rounding where the sample alone fixes its answer
        remaining = (1 - squares @ inverse).clamp(min=torch.finfo(values.dtype).tiny)[:, None]
        left.append(residuals - (residuals - turned @ inner) / remaining)
    return torch.stack(weights), torch.stack(left)


def stratified_folds(targets: Tensor, most: int, units: Tensor | None = None) -> Tensor:
    """`[N]` fold of each sample, of up to `most`: the units of a class are dealt out in turn.

    See `handful.selection.groups.group_folds`. Without units each sample is one, and folds differ
    by one image at most.

    >>> stratified_folds(torch.tensor([0, 0, 0, 1, 1]), 2)
    tensor([0, 1, 0, 1, 0])
    """
    each = np.arange(len(targets)) if units is None else units.numpy()
    return torch.from_numpy(group_folds(targets.numpy(), each, most))


def has_others(targets: Tensor, units: Tensor | None = None) -> Tensor:
    """`[N]` whether the class of each sample is known by other units than the sample's own.

    See `handful.selection.groups.left_out_units`. Without units each sample is one.
    """
    if units is None:
        return torch.bincount(targets)[targets] > 1
    return torch.from_numpy(left_out_units(targets.numpy(), units.numpy()))


def cache_leave_one_out(features: Tensor, targets: Tensor, classes: int, beta: float) -> Tensor:
    """`[N, C]` votes of a cache model, each sample's own key left out.

    `sum over the other keys j of class c of exp(-beta * (1 - x_i · x_j))`

    Args:
        features: `[N, D]` unit rows, the keys.
        targets: `[N]` columns.
        classes: C.
        beta: sharpness of the affinity.
    """
    votes = []
    for at in torch.split(torch.arange(len(features)), _CHUNK):
        affinity = (beta * (features[at] @ features.T - 1)).exp_()
        affinity[torch.arange(len(at)), at] = 0
        empty = affinity.new_zeros(len(at), classes)
        votes.append(empty.index_add_(1, targets, affinity))
    return torch.cat(votes)


def class_means_leave_one_out(features: Tensor, targets: Tensor, text: Tensor) -> Tensor:
    """`[N, C]` float64 cosines with the class means, each sample left out of its class's.

    A class without other images stands where its text suggests (`modality_gap`).

    Args:
        features: `[N, D]` unit rows, N at least 2.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
    """
    given = ClassMeans.of(features, targets, len(text))
    rows, words = features.double(), text.double()
    offsets, gains = modality_gap_leave_one_out(given, targets, words)
    unseen, left = given.counts == 0, given.counts[targets] - 1
    cosines = rows @ unit_means(given.means, words).T
    if unseen.any():
        cosines[:, unseen] = _text_cosines(rows, offsets, gains[:, None], words[unseen])
    images = given.means[targets] - given.residuals / left.clamp(min=1)[:, None]
    suggested = offsets + gains[:, None] * words[targets]
    own = unit_means(torch.where((left > 0)[:, None], images, suggested), words[targets])
    cosines[torch.arange(len(rows)), targets] = (own * rows).sum(1)
    return cosines


def _text_cosines(rows: Tensor, offsets: Tensor, gains: Tensor, text: Tensor) -> Tensor:
    """`[N, U]` cosines of each row with `h_i + g_i T_u`, without a tensor `[N, U, D]`."""
    # |h + g T|² = |h|² + 2 g <h, T> + g², since T has length one
    squares = offsets.square().sum(1, keepdim=True) + 2 * gains * (offsets @ text.T) + gains**2
    inner = (rows * offsets).sum(1, keepdim=True) + gains * (rows @ text.T)
    short = squares <= NO_DIRECTION**2
    return torch.where(short, rows @ text.T, inner / torch.where(short, 1.0, squares).sqrt())


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


def _inverse_diagonal(factor: Tensor) -> Tensor:
    """`[N]` diagonal of `(L Lᵀ)⁻¹`: squares in the columns of L⁻¹, a block of columns at a time.

    Forward substitution in blocks, because torch copies a slice of L that it is to solve with.
    """
    n = len(factor)
    starts = range(0, n, _CHUNK)
    inverse = factor.new_empty(n, min(n, _CHUNK))
    result = factor.new_empty(n)
    for left in starts:
        columns = inverse[:, : min(_CHUNK, n - left)]
        for top in starts[left // _CHUNK :]:
            at = slice(top, min(top + _CHUNK, n))
            if top == left:
                target = torch.eye(columns.shape[1], dtype=factor.dtype)
            else:
                target = -(factor[at, left:top] @ columns[left:top])
            columns[at] = torch.linalg.solve_triangular(factor[at, at], target, upper=False)
        result[left : left + columns.shape[1]] = columns[left:].square().sum(0)
    return result
