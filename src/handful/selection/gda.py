"""Gaussian discriminant analysis, one covariance for all classes, and its exact leave-one-out.

Over 250 lines: the closed forms of a fit and of all fits without one sample share their steps, and
a change of one is a change of the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.selection._shrunk_covariance import ShrunkCovariance
from handful.selection.modality_gap import ClassMeans, modality_gap, modality_gap_leave_one_out

_NOTHING = 1e-10  # squared distances of unit rows below this, a sample, are float32's rounding
_MIN_SHRINKAGE = 1e-6  # a covariance has to be inverted, whatever the shrinkage
_CHUNK = 1024  # samples at once: [1024, C] in float64


def gda_weights(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    prior: float = 0.0,
    shrinkage: float | None = None,
) -> tuple[Tensor, Tensor]:
    """`[C, D]` weights and `[C]` biases of linear discriminant analysis, in float64.

    `W = mu P`, `b = -1/2 diag(mu P muᵀ)`, both less their mean over the classes, which changes
    neither the order nor the softmax and keeps float32 exact. With M the scatter of the images
    around their class means and n images, P is

    - `D (M + tr(M) / (n - 1) I)⁻¹` without `shrinkage`;
    - `((1 - rho) S + rho tr(S) / D I)⁻¹`, `S = M / (n - 1)`, with `shrinkage` rho;
    - the inverse of the total variance (about the mean of all images) times I, where no class has
      two different images and M is zero.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        prior: images that the text counts for in the mean of its class (`modality_gap`). A class
            without shots has the mean that its text suggests, whatever this is.
        shrinkage: rho, 0 to 1, or None.
    """
    given = ClassMeans.of(features, targets, len(text))
    offset, gain = modality_gap(given.means, given.counts, text)
    means = posterior_means(given, offset + gain * text, prior)
    inside = given.residuals.square().sum()  # the trace of the scatter
    total = (features.double() - features.double().mean(0)).square().sum()
    p = _precision(inside, total, len(features), features.shape[1], shrinkage)
    # W = mu P: P itself is never needed
    weights = p.factor * ShrunkCovariance(given.residuals, p.share, p.ridge).solve(means)
    return _centred(weights, means)


def gda_weights_with_text_prior(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    prior: float,
    shrinkage: float,
    deviation: float,
) -> tuple[Tensor, Tensor]:
    """`[C, D]` weights and `[C]` biases like `gda_weights`'s, in float64, usable from one shot on.

    Two things differ. How far the class means lie from where their texts suggest (`modality_gap`)
    counts as scatter too, `M + deviation * sum_c d_c d_cᵀ`: directions in which the text errs are
    noisy ones, and at one shot nothing else is known of the noise. And the covariance is scaled to
    a mean variance of 1, `P = ((1 - rho) M D / tr(M) + rho I)⁻¹`, since from so few images its
    direction can be estimated, but its size only with far too much confidence.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        prior: images that the text counts for in the mean of its class.
        shrinkage: rho, 0 to 1.
        deviation: images that each class mean's distance from its text counts for.
    """
    given = ClassMeans.of(features, targets, len(text))
    offset, gain = modality_gap(given.means, given.counts, text)
    suggested = offset + gain * text.double()
    means = posterior_means(given, suggested, prior)
    off = torch.where(given.counts[:, None] > 0, given.means - suggested, 0.0)
    rows = torch.cat([given.residuals, deviation**0.5 * off])  # M = rowsᵀ rows
    covariance = scaled_covariance(rows, len(features), max(shrinkage, _MIN_SHRINKAGE))
    return _centred(covariance.solve(means), means)


def scaled_covariance(rows: Tensor, count: int, shrinkage: float) -> ShrunkCovariance:
    """`(1 - rho) M D / tr(M) + rho I`, of mean variance 1; I where M of N images is zero.

    Args:
        rows: F, `[K, D]`, of the scatter `M = Fᵀ F`.
        count: N.
        shrinkage: rho.
    """
    trace, one = rows.square().sum(), torch.ones((), dtype=torch.float64)
    if trace <= _NOTHING * count:
        return ShrunkCovariance(rows[:0], 0 * one, one)
    return ShrunkCovariance(rows, (1 - shrinkage) * rows.shape[1] / trace, shrinkage * one)


def gda_leave_one_out(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    prior: float = 0.0,
    shrinkage: float | None = None,
) -> Tensor:
    """`[N, C]` float64 discriminants `x Wᵀ + b`, each row by `gda_weights` without that sample.

    Exact: the sample leaves the mean of its class, the scatter (a rank-one downdate), its trace
    and the ridge made of it, the count, and what the text of every class suggests. One
    eigendecomposition of the scatter serves all samples, since a ridge of their own costs nothing
    in its basis; the rest is matrix products, `O(N C D)`.

    Args:
        features: `[N, D]` unit rows, N at least 2.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        prior: as for `gda_weights`.
        shrinkage: as for `gda_weights`.
    """
    given = ClassMeans.of(features, targets, len(text))
    values, basis = torch.linalg.eigh(given.residuals.T @ given.residuals)
    values = values.clamp(min=0)  # rounding makes tiny ones negative
    # without sample i of a class of n: M_-i = M - n / (n - 1) r_i r_iᵀ, r_i its residual
    counts = given.counts[targets]
    downdate = torch.where(counts > 1, counts / (counts - 1).clamp(min=1), 0.0)[:, None]
    n, rows = len(features), features.double()
    squares = (rows - rows.mean(0)).square().sum(1, keepdim=True)
    trace = values.sum() - downdate * given.residuals.square().sum(1, keepdim=True)
    total = squares.sum() - n / (n - 1) * squares
    p = _precision(trace, total, n - 1, len(values), shrinkage)
    offsets, gains = modality_gap_leave_one_out(given, targets, text)
    turned = ClassMeans(given.means @ basis, given.counts, given.residuals @ basis)
    rows, offsets, words = rows @ basis, offsets @ basis, text.double() @ basis
    parts = []
    for at in torch.split(torch.arange(n), _CHUNK):
        one = _Precision(p.factor[at], p.share[at], p.ridge[at])
        inverse = 1 / (one.share * values + one.ridge)
        out = _LeftOut(rows[at], turned.residuals[at], offsets[at], gains[at][:, None], targets[at])
        parts.append(_discriminants(out, turned, words, prior, inverse, one, downdate[at]))
    return torch.cat(parts)


@dataclass(frozen=True)
class _LeftOut:
    """Samples left out: `[n, D]` rows, residuals and offsets, `[n, 1]` gains, `[n]` columns."""

    rows: Tensor
    residuals: Tensor
    offset: Tensor
    gain: Tensor
    targets: Tensor


def _discriminants(
    out: _LeftOut,
    given: ClassMeans,
    text: Tensor,
    prior: float,
    inverse: Tensor,
    p: _Precision,
    downdate: Tensor,
) -> Tensor:
    """`[n, C]`, centred, by products in the scatter's basis, where B = `inverse` is diagonal.

    The mean of class c without sample i is `u_c + s_c (h_i + g_i T_c)`, s the text's share; forms
    in it expand to products of `[n, D]` and `[D, C]`.
    """
    by_images, by_text = _shares(given.counts, prior)
    u, v = by_images[:, None] * given.means, by_text[:, None] * text
    own = _own_means(out, given, text, prior)
    at = torch.arange(len(own))
    texts_matter = bool((by_text > 0).any())  # else half of the products are zero

    def linear(left: Tensor) -> Tensor:
        """`[n, C]`: left B mean_c."""
        weighted = left * inverse
        result = weighted @ u.T
        if texts_matter:
            result += by_text * (weighted * out.offset).sum(1, keepdim=True)
            result += out.gain * (weighted @ v.T)
        result[at, out.targets] = (weighted * own).sum(1)
        return result

    # mean_c B mean_c, the square of the sum above
    squares = inverse @ u.square().T
    if texts_matter:
        weighted = out.offset * inverse
        squares += out.gain * (inverse @ (2 * u * v).T) + out.gain**2 * (inverse @ (v * v).T)
        squares += 2 * by_text * (weighted @ u.T + out.gain * (weighted @ v.T))
        squares += by_text**2 * (weighted * out.offset).sum(1, keepdim=True)
    squares[at, out.targets] = (inverse * own * own).sum(1)

    # Sherman-Morrison: (A - c r rᵀ)⁻¹ = B + c' B r rᵀ B with c' = c / (1 - c rᵀ B r)
    weighted = out.residuals * inverse
    change = p.share * downdate
    change = change / (1 - change * (weighted * out.residuals).sum(1, keepdim=True))
    on_residual = linear(out.residuals)
    result = linear(out.rows)
    result = result + change * (weighted * out.rows).sum(1, keepdim=True) * on_residual
    result -= 0.5 * (squares + change * on_residual.square())
    result *= p.factor
    return result - result.mean(1, keepdim=True)


def _own_means(out: _LeftOut, given: ClassMeans, text: Tensor, prior: float) -> Tensor:
    """`[n, D]` the mean of each sample's class without it."""
    left = given.counts[out.targets] - 1
    by_images, by_text = (s[:, None] for s in _shares(left, prior))
    images = given.means[out.targets] - out.residuals / left.clamp(min=1)[:, None]
    return by_images * images + by_text * (out.offset + out.gain * text[out.targets])


def posterior_means(given: ClassMeans, suggested: Tensor, prior: float) -> Tensor:
    """`[C, D]` `(n_c mean_c + prior suggested_c) / (n_c + prior)`."""
    by_images, by_text = _shares(given.counts, prior)
    return by_images[:, None] * given.means + by_text[:, None] * suggested


def _shares(counts: Tensor, prior: float) -> tuple[Tensor, Tensor]:
    """How much of each class's mean is its images', and how much its text's; they add up to 1."""
    total = counts + prior
    by_text = torch.where(counts > 0, prior / torch.where(total > 0, total, 1.0), 1.0)
    return 1 - by_text, by_text


def _centred(weights: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and `b = -1/2 diag(W muᵀ)`, both less their mean over the classes."""
    bias = -0.5 * (weights * means).sum(1)
    return weights - weights.mean(0), bias - bias.mean()


@dataclass(frozen=True)
class _Precision:
    """`inverse covariance = factor * (share * M + ridge * I)⁻¹`, M the `[D, D]` scatter.

    All three are `[]` for a fit, or `[N, 1]`, one for each sample left out.
    """

    factor: Tensor
    share: Tensor
    ridge: Tensor


def _precision(
    trace: Tensor, total: Tensor, n: int, width: int, shrinkage: float | None
) -> _Precision:
    """See `gda_weights`; `trace` of the scatter within classes, `total` about the mean of all."""
    inside, around = trace > _NOTHING * n, total > _NOTHING * n
    freedom = float(max(n - 1, 1))
    if shrinkage is None:
        share, factor, ridge = 1.0, float(width), trace / freedom
    else:
        rho = max(shrinkage, _MIN_SHRINKAGE)
        share, factor, ridge = 1 - rho, freedom, rho * trace / width
    # no scatter within classes: a sphere of the total variance, or of any where all are alike
    sphere = torch.where(around, total, 1.0)
    sphere_factor = torch.where(around, width * freedom, torch.zeros_like(total))
    return _Precision(
        torch.where(inside, factor, sphere_factor),
        torch.where(inside, share, torch.zeros_like(trace)),
        torch.where(inside, ridge, sphere),
    )
