"""GDA: Gaussian classes with one covariance, blended with zero-shot; closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, AffineHead, number, number_or_by_shots
from handful.contracts import ClassText
from handful.selection import gda_leave_one_out, gda_weights

# The published search for GDA's alpha on validation sets (11 data sets, 3 seeds) ended, in the
# geometric mean, at these values: the best alpha is nearly a function of the shots alone.
ALPHA_BY_SHOTS: Mapping[int, float] = {1: 0.002, 2: 0.04, 4: 0.25, 8: 1.0, 16: 7.0}
_MOST = 1e6  # an inverse covariance may be 1e20: more would leave float32


@dataclass(eq=False, repr=False)
class Gda(Adapter):
    """Gaussian discriminant analysis beside zero-shot.

    `logits = scale * x Tᵀ + alpha * (x Wᵀ + b)`, `W = mu P`, `b = -1/2 diag(mu P muᵀ)`, mu the
    class means and P the inverse of the covariance that all classes share, W and b less their
    mean over the classes (the same answer, and exact in float32).

    Where no class has two different images, as at one shot, nothing is known of the scatter within
    classes: the covariance is then the variance of all images about their mean, the same in every
    direction. A class without shots has the mean that its text suggests
    (`handful.selection.modality_gap`).

    Args:
        alpha: weight against zero-shot; None takes it from the images a class, by a fixed table.
        prior: images that a class's text counts for in the class's mean. 0, as published, leaves
            the means to the images.
        shrinkage: 0 to 1, how far the covariance is drawn to a sphere of equal trace; None is the
            published ridge, `P = D ((n - 1) S + tr(S) I)⁻¹`.

    Source: Wang et al., "A Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation", ICLR
    2024. Their code chooses alpha on the full validation set (for ImageNet on the test set), and
    at one shot takes the scatter from ten augmented views. Here alpha needs no validation set; hand
    augmented views in as more rows of `X` to do the same.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> X = [[0.8, 0.6], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    >>> Gda().fit(X, ["cat", "cat", "dog", "dog"], text).predict([[0.9, 0.4]])
    array(['cat'], dtype='<U3')
    """

    title = "GDA"
    head = AffineHead
    neutral = {"alpha": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter
    variants = ({}, {"prior": 1.0, "shrinkage": 0.5})

    alpha: float | None = None
    prior: float = 0.0
    shrinkage: float | None = None

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        weights = torch.from_numpy(text.weights)
        alpha, prior, shrinkage = self._numbers(targets)
        discriminant = gda_weights(features, targets, weights, prior, shrinkage)
        return blended_head(text.scale * weights, alpha, *discriminant)

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        """Exact for the alpha of the whole support set."""
        weights = torch.from_numpy(text.weights)
        alpha, prior, shrinkage = self._numbers(targets)
        discriminants = gda_leave_one_out(features, targets, weights, prior, shrinkage, units)
        logits = text.scale * features.double() @ weights.double().T + alpha * discriminants
        return logits.float()

    def _numbers(self, targets: Tensor) -> tuple[float, float, float | None]:
        """Alpha, prior and shrinkage."""
        alpha = number_or_by_shots("alpha", self.alpha, ALPHA_BY_SHOTS, targets, -_MOST, _MOST)
        prior, rho = number("prior", self.prior, 0), self.shrinkage
        return alpha, prior, None if rho is None else number("shrinkage", rho, 0, 1)


def blended_head(zero_shot: Tensor, alpha: float, weights: Tensor, bias: Tensor) -> AffineHead:
    """`x zero_shotᵀ + alpha * (x Wᵀ + b)` as one head.

    Args:
        zero_shot: `[C, D]` scaled class texts.
        alpha: weight of the discriminant.
        weights: W, `[C, D]` float64.
        bias: b, `[C]` float64.
    """
    # added in float64: W can be 1e20 times larger than the text
    return AffineHead(weights=(zero_shot + alpha * weights).float(), bias=(alpha * bias).float())
