"""Exact answers of Gaussian discriminant analysis to units left out, without refits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.selection._parts import Parts, Remaining
from handful.selection.gda import Precision, precision, shares
from handful.selection.modality_gap import ClassMeans
from handful.selection.units import blocks, slices

_CHUNK = 1024  # samples at once: [1024, C] in float64


def gda_leave_one_out(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    prior: float = 0.0,
    shrinkage: float | None = None,
    units: Tensor | None = None,
) -> Tensor:
    """`[N, C]` float64 discriminants `x Wᵀ + b`, each row by `gda_weights` without its unit.

    Exact: the unit leaves the means of its classes, the scatter (a downdate of as many rows as it
    has samples, by the Woodbury identity), its trace and the ridge made of it, the count, and what
    the text of every class suggests. One eigendecomposition of the scatter serves all units, since
    a ridge of their own costs nothing in its basis; the rest is matrix products, `O(N C D)`.

    Args:
        features: `[N, D]` unit rows, of two units at least.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        prior: as for `gda_weights`.
        shrinkage: as for `gda_weights`.
        units: `[N]` units from 0; None: each sample alone.
    """
    order = torch.arange(len(targets)) if units is None else torch.argsort(units, stable=True)
    if units is not None:  # the samples of a unit after each other, so that chunks are slices
        features, targets, units = features[order], targets[order], units[order]
    given, parts = ClassMeans.of(features, targets, len(text)), Parts.of(targets, units)
    values, basis = torch.linalg.eigh(given.residuals.T @ given.residuals)
    values = values.clamp(min=0)  # rounding makes tiny ones negative
    without, rows = Remaining.of(given, parts, text), features.double()
    downdate = _downdate(given.residuals, parts, without)
    own = _own_means(parts, without, text, prior)
    by_images, by_text = shares(given.counts, prior)
    turned = _LeftOut(
        parts,
        rows @ basis,
        downdate @ basis,
        own @ basis,
        without.offset @ basis,
        without.gain[:, None],
        _precisions(values, rows, downdate, parts, shrinkage),
    )
    means = _Means(
        by_images[:, None] * (given.means @ basis),
        by_text,
        by_text[:, None] * (text.double() @ basis),
    )
    result = rows.new_empty(len(rows), len(text))
    for at in slices(len(rows), units, _CHUNK):
        result[order[at]] = _discriminants(turned.at(at), means, values)
    return result


@dataclass(frozen=True, eq=False)
class _Means:
    """Means of classes in the scatter's basis: `images_c + share_c offset + gain text_c`.

    Args:
        images: `[C, D]` mean of the images, times their share.
        share: `[C]` the text's share.
        text: `[C, D]` text, times its share.
    """

    images: Tensor
    share: Tensor
    text: Tensor


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """Units left out, in the scatter's basis, the samples in the order of their units.

    Args:
        parts: of the units.
        rows: `[N, D]` the samples.
        downdate: `[N, D]` what leaves the scatter with unit B is `F_Bᵀ F_B` of its rows F_B.
        own: `[P, D]` means of the classes of a unit, without it.
        offset: `[U, D]` and
        gain: `[U, 1]`, the modality gap without each unit.
        p: inverse covariance without each unit.
    """

    parts: Parts
    rows: Tensor
    downdate: Tensor
    own: Tensor
    offset: Tensor
    gain: Tensor
    p: Precision

    def at(self, samples: slice) -> _LeftOut:
        """Some units alone, all of their samples."""
        parts, of, u = self.parts.at(samples)
        p = Precision(self.p.factor[u], self.p.share[u], self.p.ridge[u])
        rows, downdate = self.rows[samples], self.downdate[samples]
        return _LeftOut(parts, rows, downdate, self.own[of], self.offset[u], self.gain[u], p)


def _downdate(residuals: Tensor, parts: Parts, without: Remaining) -> Tensor:
    """`[N, D]` rows F; what leaves the scatter with unit B is `F_Bᵀ F_B`.

    Without m of a class's images, whose residuals R add up to s, the others scatter about another
    mean: `M - Rᵀ R - s sᵀ / left = M - Fᵀ F`, `F = (I + k 11ᵀ) R` with `2 k + m k² = 1 / left`.
    """
    m, left = parts.sizes, without.counts
    k = torch.where(left > 0, ((1 + m / left.clamp(min=1)).sqrt() - 1) / m, 0.0)
    return residuals + (k[:, None] * without.sums)[parts.part]


def _own_means(parts: Parts, without: Remaining, text: Tensor, prior: float) -> Tensor:
    """`[P, D]` the mean of each part's class without the part."""
    by_images, by_text = (s[:, None] for s in shares(without.counts, prior))
    suggested = without.gain[parts.unit][:, None] * text.double()[parts.column]
    suggested += without.offset[parts.unit]
    return by_images * without.means + by_text * suggested


def _precisions(
    values: Tensor, rows: Tensor, downdate: Tensor, parts: Parts, shrinkage: float | None
) -> Precision:
    """Inverse covariances without each of U units: `[U, 1]` numbers.

    Args:
        values: `[D]` of the scatter.
        rows: `[N, D]`.
        downdate: `[N, D]`, see `_downdate`.
        parts: of the units.
        shrinkage: as for `gda_weights`.
    """

    def lost(summed: Tensor) -> Tensor:
        return parts.of_units(parts.total(summed))

    left = len(rows) - parts.of_units(parts.sizes)[:, None]
    trace = values.sum() - lost(downdate.square().sum(1))[:, None]
    # about the mean of all, which moves too: T - sum_B |z|² - |sum_B z|² / (n - m)
    apart = rows - rows.mean(0)
    squares = apart.square().sum(1)
    total = squares.sum() - lost(squares)[:, None]
    total = total - lost(apart).square().sum(1, keepdim=True) / left
    return precision(trace, total, left, len(values), shrinkage)


def _discriminants(out: _LeftOut, given: _Means, values: Tensor) -> Tensor:
    """`[n, C]`, centred, by products in the scatter's basis, where B = `inverse` is diagonal.

    The mean of class c without unit u is `images_c + share_c h_u + g_u text_c`; forms in it expand
    to products of `[n, D]` and `[D, C]`.

    Args:
        out: n samples of u units.
        given: of C classes.
        values: `[D]` of the scatter.
    """
    inverse = 1 / (out.p.share * values + out.p.ridge)  # [u, D]
    units, parts = out.parts.units, out.parts
    u, v, by_text = given.images, given.text, given.share
    texts_matter = bool((by_text > 0).any())  # else half of the products are zero
    metric, offset, gain = inverse[units], out.offset[units], out.gain[units]

    def linear(weighted: Tensor) -> Tensor:
        """`[n, C]`: (left B) mean_c."""
        result = weighted @ u.T
        if texts_matter:
            result += by_text * (weighted * offset).sum(1, keepdim=True)
            result += gain * (weighted @ v.T)
        parts.set_own(result, weighted, out.own)
        return result

    # mean_c B mean_c, the square of the sum above
    squares = inverse @ u.square().T
    if texts_matter:
        weighted = out.offset * inverse
        squares += out.gain * (inverse @ (2 * u * v).T) + out.gain**2 * (inverse @ (v * v).T)
        squares += 2 * by_text * (weighted @ u.T + out.gain * (weighted @ v.T))
        squares += by_text**2 * (weighted * out.offset).sum(1, keepdim=True)
    squares[parts.unit, parts.column] = (inverse[parts.unit] * out.own * out.own).sum(1)

    # Woodbury: (A - a Fᵀ F)⁻¹ = B + a B Fᵀ (I - a F B Fᵀ)⁻¹ F B
    weighted = out.downdate * metric
    on_downdate = linear(weighted)
    result = linear(out.rows * metric)
    result -= 0.5 * squares[units]
    for at in blocks(units):
        change = out.p.share[units[at[:, 0]]][:, :, None]
        f, rows, means = weighted[at], out.rows[at], on_downdate[at]  # [k, m, D] and [k, m, C]
        if at.shape[1] == 1:
            solved = means / (1 - change * (f * out.downdate[at]).sum(2, keepdim=True))
            across = (rows * f).sum(2, keepdim=True) * solved
        else:
            inner = torch.eye(at.shape[1], dtype=f.dtype) - change * (f @ out.downdate[at].mT)
            solved = torch.linalg.solve(inner, means)
            across = (rows @ f.mT) @ solved
        result[at] += change * (across - 0.5 * (means * solved).sum(1, keepdim=True))
    result *= out.p.factor[units]
    return result - result.mean(1, keepdim=True)
