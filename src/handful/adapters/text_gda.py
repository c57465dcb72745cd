"""Text-prior GDA: Gaussian classes with the text as prior of means and noise; closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, AffineHead, number, number_or_by_shots
from handful.adapters._inputs import CLIP_SCALE
from handful.contracts import ClassText
from handful.selection import gda_weights_with_text_prior, one_each, weights_in_class

# Chosen on the playground and on made features, where more shots needed less shrinkage.
_SHRINKAGE: Mapping[int, float] = {1: 0.8, 2: 0.8, 4: 0.5}


@dataclass(eq=False, repr=False)
class TextGda(Adapter):
    """Gaussian discriminant analysis with the text as a conjugate prior; ours, for few shots.

    `logits = 100 * (x Wᵀ + b)`, `W = mu P`, `b = -1/2 diag(mu P muᵀ)`, with
    `mu_c = (n_c mean_c + prior (h + g T_c)) / (n_c + prior)`: the images' mean drawn to where the
    class's text suggests that its images lie (`handful.selection.modality_gap`). P is the inverse
    of a covariance in which the distance between a class's images and its text counts as noise
    (`handful.selection.gda_weights_with_text_prior`). There is no zero-shot term: the text comes in
    through the means, without the gap between the two modalities. Where text and images have
    nothing in common, g is zero and the images alone decide. The images of a group count as one.

    Args:
        prior: images that a class's text counts for in the class's mean.
        shrinkage: 0 to 1, how far the covariance is drawn to a sphere; None takes it from the shots
            by a fixed table.
        deviation: images that a class's distance from its text counts for in the covariance.

    Source: linear discriminant analysis with a conjugate prior; the classifier of Wang et al., "A
    Hard-to-Beat Baseline for Training-Free CLIP-Based Adaptation", ICLR 2024 (`gda`), takes both
    means and covariance from the images alone and adds zero-shot to it. The published one needs
    augmented views at one shot; this one does not.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> TextGda().fit([[0.8, 0.6], [0.6, 0.8]], ["cat", "dog"], text).predict([[0.9, 0.4]])
    array(['cat'], dtype='<U3')
    """

    title = "Text-prior GDA"
    head = AffineHead
    variants = ({}, {"prior": 16.0, "shrinkage": 0.3, "deviation": 1.0})

    prior: float = 2.0
    shrinkage: float | None = None
    deviation: float = 0.1

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return self._fit_units(features, targets, text, None)

    def _fit_units(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> nn.Module:
        shots = one_each(targets, units)
        weights, bias = gda_weights_with_text_prior(
            features,
            targets,
            torch.from_numpy(text.weights),
            number("prior", self.prior, 0),
            number_or_by_shots("shrinkage", self.shrinkage, _SHRINKAGE, shots, 0, 1),
            number("deviation", self.deviation, 0),
            weights_in_class(targets, units),
        )
        return AffineHead(weights=(CLIP_SCALE * weights).float(), bias=(CLIP_SCALE * bias).float())
