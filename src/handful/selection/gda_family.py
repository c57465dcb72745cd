"""Text-prior GDA at several strengths at once: one scatter for all, in few dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handful.selection.gda import posterior_means
from handful.selection.modality_gap import ClassMeans, modality_gap

_NOTHING = 1e-10  # squared distances of unit rows below this, a sample, are float32's rounding


@dataclass(frozen=True)
class Strength:
    """How strongly text-prior GDA holds on to the text, and to a sphere.

    Args:
        prior: images that the text counts for in the mean of its class.
        shrinkage: 0 to 1, how far the covariance is drawn to a sphere.
        deviation: images that each class mean's distance from its text counts for in the scatter.
    """

    prior: float
    shrinkage: float
    deviation: float


def gda_family(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    strengths: Sequence[Strength],
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`[J, C, D]` weights and `[J, C]` biases of `gda_weights_with_text_prior` at J strengths.

    The same answers, but for a constant a row that no softmax sees. The discriminants differ only
    in the span of the centred images and texts, so with few images all is computed there.

    Args:
        features: `[N, D]` rows.
        targets: `[N]` columns.
        text: `[C, D]` rows.
        strengths: J of them; those of one deviation share the scatter.
        weights: `[N]` images that each sample counts for, all 1 if None.
    """
    span = _Span.of(features, text)
    solved, bias = _fits(span.rows, targets, span.text, strengths, span.width, weights)
    if span.basis is None:
        return solved, bias
    solved = solved @ span.basis.T
    return solved, bias - solved @ span.offset


def gda_family_left_out(
    features: Tensor,
    targets: Tensor,
    text: Tensor,
    strengths: Sequence[Strength],
    folds: Tensor,
    asked: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """`[J, n, C]` float32 logits of samples by fits without their fold.

    Args:
        features: as for `gda_family`.
        targets: as for `gda_family`.
        text: as for `gda_family`.
        strengths: as for `gda_family`.
        folds: `[N]` fold of each sample, from 0.
        asked: `[N]` true for the n samples whose logits are wanted; all of them if None.
        weights: as for `gda_family`.
    """
    span = _Span.of(features, text)
    asked = torch.ones_like(targets, dtype=torch.bool) if asked is None else asked
    logits = torch.empty(len(strengths), int(asked.sum()), len(text))
    place = asked.cumsum(0) - 1
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        wanted = out & asked
        if not wanted.any():
            continue
        heavy = None if weights is None else weights[~out]
        fit = _fits(span.rows[~out], targets[~out], span.text, strengths, span.width, heavy)
        rows = span.rows[wanted]
        for j, (solved, bias) in enumerate(zip(*fit, strict=True)):
            logits[j, place[wanted]] = torch.addmm(bias, rows, solved.T).float()
    return logits


@dataclass(frozen=True)
class _Span:
    """Rows and texts in float64, `[N, r]` and `[C, r]`, and the way back to `[D]`.

    Args:
        rows: the images, less `offset`, in the basis.
        text: the texts, less their mean, in the basis.
        offset: `[D]`, the mean image.
        basis: `[D, r]` orthonormal, or None where nothing is gained by one.
        width: D.
    """

    rows: Tensor
    text: Tensor
    offset: Tensor
    basis: Tensor | None
    width: int

    @classmethod
    def of(cls, features: Tensor, text: Tensor) -> _Span:
        rows, words, width = features.double(), text.double(), features.shape[1]
        offset, words = rows.mean(0), words - words.mean(0)
        if len(rows) + len(words) >= width:
            return cls(rows, words, offset, None, width)
        rows = rows - offset
        basis = torch.linalg.qr(torch.cat([rows, words]).T)[0]
        return cls(rows @ basis, words @ basis, offset, basis, width)


def _fits(
    rows: Tensor,
    targets: Tensor,
    text: Tensor,
    strengths: Sequence[Strength],
    width: int,
    weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """`[J, C, r]` weights and `[J, C]` biases, less their mean over the classes."""
    given = ClassMeans.of(rows, targets, len(text), weights)
    offset, gain = modality_gap(given.means, given.counts, text)
    suggested = offset + gain * text
    off = torch.where(given.counts[:, None] > 0, given.means - suggested, 0.0)
    heavy = given.residuals if weights is None else weights[:, None] * given.residuals
    inside, between = heavy.T @ given.residuals, off.T @ off
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for shrinkage, deviation in {(s.shrinkage, s.deviation) for s in strengths}:
        scatter = inside + deviation * between
        factor = torch.linalg.cholesky(_covariance(scatter, len(rows), shrinkage, width))
        same = [
            i
            for i, s in enumerate(strengths)
            if (s.shrinkage, s.deviation) == (shrinkage, deviation)
        ]
        means = torch.stack([posterior_means(given, suggested, strengths[i].prior) for i in same])
        solved = torch.cholesky_solve(means.flatten(0, 1).T, factor).T.view_as(means)
        bias = -0.5 * (solved * means).sum(2)
        solved, bias = solved - solved.mean(1, keepdim=True), bias - bias.mean(1, keepdim=True)
        found |= {i: (w, b) for i, w, b in zip(same, solved, bias, strict=True)}
    parts = [found[i] for i in range(len(strengths))]
    return torch.stack([w for w, _ in parts]), torch.stack([b for _, b in parts])


def _covariance(scatter: Tensor, count: int, shrinkage: float, width: int) -> Tensor:
    """`[r, r]` `(1 - rho) M D / tr(M) + rho I`, of mean variance 1; I where M of N images is zero.

    Args:
        scatter: M, `[r, r]`.
        count: N.
        shrinkage: rho.
        width: D.
    """
    trace = scatter.trace()
    if trace <= _NOTHING * count:
        return torch.eye(len(scatter), dtype=torch.float64)
    covariance: Tensor = (1 - shrinkage) * width / trace * scatter
    covariance.diagonal().add_(shrinkage)
    return covariance
