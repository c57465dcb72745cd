"""Gaussian discriminant analysis, one covariance for all classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.selection._shrunk_covariance import ShrunkCovariance
from handful.selection.modality_gap import ClassMeans, modality_gap

_NOTHING = 1e-10  # squared distances of unit rows below this, a sample, are float32's rounding
_MIN_SHRINKAGE = 1e-6  # a covariance has to be inverted, whatever the shrinkage


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
    count = torch.tensor(float(len(features)), dtype=torch.float64)
    p = precision(inside, total, count, features.shape[1], shrinkage)
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
    weights: Tensor | None = None,
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
        weights: `[N]` images that each sample counts for, all 1 if None.
    """
    given = ClassMeans.of(features, targets, len(text), weights)
    offset, gain = modality_gap(given.means, given.counts, text)
    suggested = offset + gain * text.double()
    means = posterior_means(given, suggested, prior)
    off = torch.where(given.counts[:, None] > 0, given.means - suggested, 0.0)
    inside = given.residuals if weights is None else weights.sqrt()[:, None] * given.residuals
    rows = torch.cat([inside, deviation**0.5 * off])  # M = rowsᵀ rows
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


def posterior_means(given: ClassMeans, suggested: Tensor, prior: float) -> Tensor:
    """`[C, D]` `(n_c mean_c + prior suggested_c) / (n_c + prior)`."""
    by_images, by_text = shares(given.counts, prior)
    return by_images[:, None] * given.means + by_text[:, None] * suggested


def shares(counts: Tensor, prior: float) -> tuple[Tensor, Tensor]:
    """How much of each class's mean is its images', and how much its text's; they add up to 1."""
    total = counts + prior
    by_text = torch.where(counts > 0, prior / torch.where(total > 0, total, 1.0), 1.0)
    return 1 - by_text, by_text


def _centred(weights: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and `b = -1/2 diag(W muᵀ)`, both less their mean over the classes."""
    bias = -0.5 * (weights * means).sum(1)
    return weights - weights.mean(0), bias - bias.mean()


@dataclass(frozen=True)
class Precision:
    """`inverse covariance = factor * (share * M + ridge * I)⁻¹`, M the `[D, D]` scatter.

    All three are `[]` for a fit, or `[U, 1]`, one for each unit left out.
    """

    factor: Tensor
    share: Tensor
    ridge: Tensor


def precision(
    trace: Tensor, total: Tensor, n: Tensor, width: int, shrinkage: float | None
) -> Precision:
    """See `gda_weights`; `trace` of the scatter within classes, `total` about the mean of all.

    Args:
        trace: `[]`, or `[U, 1]` as `total` and n.
        total: likewise.
        n: images, likewise.
        width: D.
        shrinkage: rho, or None.
    """
    inside, around = trace > _NOTHING * n, total > _NOTHING * n
    freedom = (n - 1).clamp(min=1)
    if shrinkage is None:
        share, factor, ridge = 1.0, torch.full_like(freedom, width), trace / freedom
    else:
        rho = max(shrinkage, _MIN_SHRINKAGE)
        share, factor, ridge = 1 - rho, freedom, rho * trace / width
    # no scatter within classes: a sphere of the total variance, or of any where all are alike
    sphere = torch.where(around, total, 1.0)
    sphere_factor = torch.where(around, width * freedom, torch.zeros_like(total))
    return Precision(
        torch.where(inside, factor, sphere_factor),
        torch.where(inside, share, torch.zeros_like(trace)),
        torch.where(inside, ridge, sphere),
    )
