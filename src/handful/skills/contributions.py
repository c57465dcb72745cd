"""Contributions: the logits of one image as sums over the support images and the texts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot

from handful.adapters import KernelHead, canonical_order, class_means, unit_or_zero
from handful.adapters.tip import TipHead
from handful.packs.support import Support

Doubles = NDArray[np.float64]
_RIDGE = 0.3  # of the mean diagonal: less, and images cancel each other in thousands of logits
_SPHERE = 0.5  # how far the covariance of the images is shrunk to a multiple of the identity
_NOTHING = 1e-10  # squared distances of unit rows below this are rounding


class ExactTerms(NamedTuple):
    """What a kernel or cache adds for each support image, and what stands beside it.

    Args:
        terms: `[N, C]` of the logits, rows as in the support set.
        weights: `[C, D]` weights of the head beside its kernel.
    """

    terms: Tensor
    weights: Tensor


def with_double_precision(head: nn.Module) -> nn.Module:
    """A copy of a head in float64, so that contributions add up to its logits."""
    tensors: dict[str, Any] = {
        name: t.double() if t.is_floating_point() else t.clone()
        for name, t in head.state_dict().items()
    }
    return type(head)(**tensors).eval().requires_grad_(False)


def gradient(head: nn.Module, query: Tensor) -> Tensor:
    """`[C, D]` derivatives of the logits by the features, at `query` `[D]`."""

    def logits(x: Tensor) -> Tensor:
        result: Tensor = head(x[None])[0]
        return result

    with torch.enable_grad():
        slope: Tensor = torch.autograd.functional.jacobian(logits, query)  # type: ignore[no-untyped-call]
    return slope


def exact_terms(head: nn.Module, query: Tensor, support: Support) -> ExactTerms | None:
    """The terms of a kernel or cache with one key for each support image; None without one.

    Key j has the affinity `a_j = exp(beta (f_j·x - 1))` and adds `a_j A_jc` to logit c of a
    `KernelHead`, and `alpha a_j` to the logit of its own class in a `TipHead`.
    """
    if not isinstance(head, KernelHead | TipHead) or len(head.keys) != len(support.ids):
        return None
    # `Adapter.fit` sorts the support set by content: row of the support set for each key
    rows = np.array(canonical_order(unit_or_zero(support.features), np.array(support.labels)))
    affinity = (head.beta * (head.keys @ query - 1)).exp()
    if isinstance(head, KernelHead):
        if not np.allclose(head.keys.numpy(), support.features[rows], atol=1e-5):
            return None  # keys in another order than ours, or other keys than the support images
        terms, weights = affinity[:, None] * head.coefficients, head.weights
    else:
        # keys of a cache stand in blocks of one class, and may have been trained
        rows = rows[np.argsort(support.targets[rows], kind="stable")]
        if not np.array_equal(head.labels.numpy(), support.targets[rows]):
            return None
        labels = one_hot(head.labels, len(head.weights)).double()
        terms, weights = head.alpha * affinity[:, None] * labels, head.scale * head.weights
    in_order = torch.empty_like(terms)
    in_order[torch.from_numpy(rows)] = terms
    return ExactTerms(in_order, weights)


def mixture_terms(weights: Tensor, query: Tensor, support: Support) -> tuple[float, Tensor]:
    """Take weights apart into the texts and a mixture of the support images.

    With W the weights and T the texts times their scale, both less their mean over the classes,
    S the shrunk covariance within classes, P its inverse, and F the support images less their mean
    f, `b = <W, T>_S / <T, T>_S` is the share of the text, and

        A = (W - b T) Fᵀ (F P Fᵀ + lambda I)⁻¹      [C, N]

    makes `A F P` the mixture nearest to `W - b T` in the metric of S while A stays short (ridge
    regression). Image i adds `A_ci (f_i P)·(x - f)` to logit c: it adds to its class where x
    differs from the mean as it does itself.

    Args:
        weights: `[C, D]`.
        query: x, `[D]`.
        support: N images of C classes.

    Returns:
        b and the `[N, C]` terms of the images.
    """
    classes = len(support.text.classes)
    F = torch.from_numpy(support.features).double()
    targets = torch.from_numpy(support.targets)
    deviations = F - class_means(F, targets, classes)[targets]
    noise, trace = torch.eye(F.shape[1], dtype=torch.float64), float(deviations.square().sum())
    if trace > _NOTHING * len(F):  # with one image a class there is no scatter: S is the identity
        noise *= _SPHERE
        noise += (1 - _SPHERE) * (len(noise) / trace) * deviations.T @ deviations
    texts = support.text.scale * torch.from_numpy(support.text.weights).double()
    # what all classes share decides nothing
    W, T = weights - weights.mean(0), texts - texts.mean(0)
    both, whole = ((W @ noise) * T).sum(), ((T @ noise) * T).sum()
    text_share = max(0.0, float(both / whole)) if whole > 0 else 0.0
    mean = F.mean(0)
    centred = F - mean
    whitened = torch.linalg.solve(noise, centred.T).T  # rows f_i P
    # lambda relative to the mean of the diagonal of F P Fᵀ
    ridge = _RIDGE * max(float((centred * whitened).sum(1).mean()), _NOTHING)
    # Aᵀ = F (Fᵀ F + lambda S)⁻¹ S (W - b T)ᵀ (push-through identity): one system [D, D] instead
    # of [N, N], smaller where N is large
    system = centred.T @ centred + ridge * noise
    mixture = centred @ torch.linalg.solve(system, noise @ (W - text_share * T).T)
    return text_share, mixture * (whitened @ (query - mean))[:, None]
