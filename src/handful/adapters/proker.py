"""ProKeR: kernel ridge regression of what zero-shot leaves unexplained; closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from handful.adapters import Adapter, KernelHead, check_memory, number, number_or_by_shots, scalar
from handful.contracts import ClassText
from handful.selection import kernel_ridge, kernel_ridge_leave_one_out

# Averages over seeds of the best values on ImageNet, published with the code of ProKeR.
_BETA: Mapping[int, float] = {1: 3.0, 2: 2.6, 4: 1.5, 8: 1.66, 16: 1.7}
_PENALTY: Mapping[int, float] = {1: 0.05, 2: 0.05, 4: 0.05, 8: 0.07, 16: 0.1}
_MOST = 1e6  # coefficients may be 1e8: more would leave float32


@dataclass(eq=False, repr=False)
class Proker(Adapter):
    """Kernel ridge regression towards zero-shot (ProKeR, training-free).

    `logits = scale * (x Tᵀ + weight * k(x, F) A)`, `A = (K + penalty I)⁻¹ (Y - F Tᵀ)`,
    `k(x, f) = exp(-beta * (1 - x · f))`

    Inside the fit the text's cosines are unscaled, as published; the scale multiplies the whole
    answer, which changes no order and makes the softmax a sensible probability.

    Args:
        beta: sharpness of the kernel; None takes it from the images a class, by a fixed table.
        penalty: the paper's lambda, positive; None likewise.
        weight: of the correction; None is `penalty`: the published code solves with
            `(K / lambda + I)⁻¹`, which is `lambda (K + lambda I)⁻¹`, and so damps the ridge
            regression by lambda once more. 1 is the undamped ridge regression.

    Source: Bendou et al., "ProKeR: A Kernel Perspective on Few-Shot Adaptation of Large
    Vision-Language Models", CVPR 2025. Their code searches beta and lambda on a validation set or
    takes ImageNet's; the tables here are the latter.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> Proker().fit([[0.8, 0.6], [0.6, 0.8]], ["cat", "dog"], text).predict([[0.9, 0.1]])
    array(['cat'], dtype='<U3')
    """

    title = "ProKeR"
    head = KernelHead
    neutral = {"weight": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter
    variants = ({}, {"penalty": 1.0, "weight": 1.0})

    beta: float | None = None
    penalty: float | None = None
    weight: float | None = None

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        beta, penalty, weight = self._numbers(targets)
        weights = torch.from_numpy(text.weights)
        kernel, residuals = _regression(features, targets, weights, beta)
        solved = kernel_ridge(kernel, residuals, penalty, overwrite=True)
        return KernelHead(
            weights=text.scale * weights,
            bias=torch.zeros(len(weights)),
            keys=features,
            coefficients=(text.scale * weight * solved).float(),
            beta=scalar(beta),
        )

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        """Exact for the beta, penalty and weight of the whole support set."""
        beta, penalty, weight = self._numbers(targets)
        weights = torch.from_numpy(text.weights)
        order = torch.arange(len(targets)) if units is None else torch.argsort(units, stable=True)
        ordered = None if units is None else units[order]
        kernel, residuals = _regression(features[order], targets[order], weights, beta)
        left = kernel_ridge_leave_one_out(kernel, residuals, penalty, ordered, overwrite=True)
        correction = torch.empty_like(left)
        correction[order] = left
        cosines = features.double() @ weights.double().T
        return (text.scale * (cosines + weight * correction)).float()

    def _numbers(self, targets: Tensor) -> tuple[float, float, float]:
        """Beta, penalty and weight."""
        beta = number_or_by_shots("beta", self.beta, _BETA, targets, 0)
        penalty = number_or_by_shots("penalty", self.penalty, _PENALTY, targets, 1e-6)
        weight = penalty if self.weight is None else number("weight", self.weight, -_MOST, _MOST)
        return beta, penalty, weight


def _regression(
    features: Tensor, targets: Tensor, weights: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """`[N, N]` kernel and `[N, C]` residuals `Y - F Tᵀ` of zero-shot, in float64.

    At a penalty of 0.05 the kernel of near duplicates is close to singular: float32 is not enough.
    """
    n = len(features)
    # the kernel, in whose memory all else is done; blocks of 1024 rows, residuals and answers
    check_memory(8 * n * (n + 3 * 1024 + 4 * len(weights)), f"a kernel of {n} images")
    rows = features.double()
    # exp(-beta (1 - x . f)), in place: at thousands of images a copy is gigabytes
    kernel = (rows @ rows.T).sub_(1).mul_(beta).exp_()
    residuals = one_hot(targets, len(weights)).double() - rows @ weights.double().T
    return kernel, residuals
