"""GDA: Gaussian classes with one covariance, blended with zero-shot; closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters._arguments import interpolate_by_shots, number
from handful.adapters._base import Adapter
from handful.adapters._head import AffineHead
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
        words, alpha = torch.from_numpy(text.weights), self._alpha(targets)
        weights, bias = gda_weights(features, targets, words, *self._checked())
        weights = text.scale * words + alpha * weights
        return AffineHead(weights=weights.float(), bias=(alpha * bias).float())

    def _left_out(self, features: Tensor, targets: Tensor, text: ClassText) -> Tensor:
        """Exact for the alpha of the whole support set."""
        words, alpha = torch.from_numpy(text.weights), self._alpha(targets)
        discriminants = gda_leave_one_out(features, targets, words, *self._checked())
        logits = text.scale * features.double() @ words.double().T + alpha * discriminants
        return logits.float()

    def _alpha(self, targets: Tensor) -> float:
        if self.alpha is None:
            return interpolate_by_shots(ALPHA_BY_SHOTS, targets)
        return number("alpha", self.alpha, -_MOST, _MOST)

    def _checked(self) -> tuple[float, float | None]:
        rho = self.shrinkage
        return (
            number("prior", self.prior, 0),
            None if rho is None else number("shrinkage", rho, 0, 1),
        )
