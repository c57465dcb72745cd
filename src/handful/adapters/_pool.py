"""Photos without labels that help a fit: EM of Gaussian classes with the method's answers as prior.

`fit_with_pool` leaves an adapter whose head is a formula of one row, as without a pool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from handful import plugins
from handful.adapters._arguments import check_memory
from handful.adapters._base import Adapter
from handful.adapters._head import KernelHead
from handful.adapters._inputs import unit_or_zero
from handful.adapters._pool_rows import CHUNK, Discriminant, PoolRows
from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.selection import (
    capped_inverse_temperature,
    has_others,
    stacking_weights,
)

# Chosen, as those of PoolRows, on halves of clothing, eurosat, WHU-RS19 and draws of the playground
# that no reported number uses; see docs/unlabelled.md.
_FOLDS = 4
_MOST = 4.0  # trust times shots
_LEAST = 0.1  # of the method's own weight, where trust is a ratio
_SURROGATE = "text_gda"  # stands in for the method in fits on a part of the support set


@dataclass(frozen=True, eq=False)
class PoolFit:
    """What a pool did to a fit.

    Args:
        images: M photos without labels.
        trust: weight of what they add, 0 to 4; 1 counts as much as the method itself.
        left_out: `[N, C]` logits of the support images by fits without their labels, in the order
            of `X`; None where every class has one image, or where they were not asked for.
    """

    images: int
    trust: float
    left_out: Array | None


def fit_with_pool(
    adapter: Adapter,
    X: ArrayLike,
    y: ArrayLike,
    text: ClassText,
    pool: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    left_out: bool = True,
) -> PoolFit:
    """Fit an adapter on `[N, D]` labelled and `[M, D]` unlabelled features.

    `logits = t (B + r G)`: B those of the method itself, `G = x Wᵀ + b` a linear discriminant whose
    means and covariance take in the pool. Over a few rounds, every photo of the pool belongs to
    class c by `z_c = softmax(B + r G)_c`, and G is fitted anew to labels and z, at the spread of B.
    The shares of the classes in the pool are not assumed to be even. How far G is to be trusted, r,
    is learned where classes have several images. In up to four folds some images lose their label
    and join the pool, text-prior GDA fitted on the others standing in for the method; the likeliest
    blend of its answers and G's for the images without label gives r, drawn to one over the shots
    (`handful.selection.stacking_weights`), and at most four over the shots. At one shot r is 1. A
    pool that is small beside the support set has less of a say: both bounds are times M / (M + N).
    The temperature t is the likeliest of the blend for the same answers over that of the stand-in
    alone, at most 1; at one shot it is 1 / (1 + r).

    Args:
        adapter: `auto`, or another whose head is a `KernelHead`; it is fitted here.
        X: `[N, D]` support features.
        y: `[N]` labels, as for `Adapter.fit`.
        text: class names and text features.
        pool: `[M, D]` features of the same encoder, of photos like those to be asked about.
        groups: `[N]`, as for `Adapter.fit`; those of one group lose their labels together.
        left_out: compute left-out answers too, which takes longer than all the rest.

    Raises:
        InputError: as `Adapter.fit` does; an empty pool, one of another width or not finite.

    Source: EM with labels for some, Nigam et al., "Text Classification from Labeled and Unlabeled
    Documents using EM", 2000; for CLIP, Zanella et al., "Boosting Vision-Language Models with
    Transduction", 2024. Here the prior is `auto`, there is no graph, and trust is learned.
    """
    with adapter._support_set(X, y, text, groups) as (features, targets, words, units, order):
        rows = _checked_pool(pool, features.shape[1])
        head = adapter._fit_units(features, targets, words, units)
        if not isinstance(head, KernelHead):
            raise InputError(
                f"{type(adapter).__name__}: photos without labels help the method auto alone"
            )
        with torch.no_grad():
            fit = PoolRows.of(head, features, targets, words, rows, units)
            trust, temperature, alone, others = _learn_trust(fit, units)
            if trust > 0:
                found = fit.discriminant(fit.base, fit.known, trust)
                head = _with_discriminant(head, found, fit.mean, fit.seen, trust, temperature)
            answers = None
            if left_out and alone is not None:
                own = adapter._leave_units_out(features, targets, words, units)
                own[:, fit.seen] += trust * others.float()
                answers = (temperature * own).numpy()[np.argsort(order)]
    adapter.module_ = head.eval().requires_grad_(False)
    return PoolFit(len(rows), trust, answers)


def _learn_trust(
    given: PoolRows, units: Tensor | None
) -> tuple[float, float, Tensor | None, Tensor]:
    """r, t, and `[N, C]` left-out logits of the surrogate (None at one shot) and of G."""
    classes, photos = len(given.text.classes), len(given.pool)
    images = given.counted.sum().item()
    shots, said = images / classes, photos / (photos + images)
    folds, asked = _folds(given.targets, units), has_others(given.targets, units)
    none = torch.zeros(len(given.targets), classes, dtype=torch.float64)
    if classes < 2 or not given.base.std() > 0:
        return 0.0, 1.0, None, none
    if not asked.any():
        trust = said
        return trust, 1 / (1 + trust), None, none
    alone, others = none, none.clone()
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        alone[out], others[out] = _fold(given, out, units)
    first = torch.tensor([1.0, 1 / shots], dtype=torch.float64)
    both = torch.stack([alone, others])[:, asked]
    counted = None if units is None else given.counted[asked]
    weights = stacking_weights(both, given.targets[asked], first, 1 / shots, counted)
    trust = float(weights[1] / weights[0].clamp(min=_LEAST))
    trust = min(trust, _MOST * said / shots)
    if not trust > 0:
        return 0.0, 1.0, alone, others
    # the method is calibrated as it is: what counts is how the blend changes that
    sure, alone_sure = (
        capped_inverse_temperature(logits[asked], given.targets[asked], counted)
        for logits in (alone + trust * others, alone)
    )
    return trust, min(1.0, sure / alone_sure), alone, others


def _fold(given: PoolRows, out: Tensor, units: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits of the surrogate and of the discriminant for support images without label."""
    stand_in = plugins.get("adapters", _SURROGATE)()
    kept = None if units is None else units[~out]
    head = stand_in._fit_units(given.support[~out], given.targets[~out], given.text, kept)
    asked = torch.cat([given.support[out], given.pool])
    base = torch.cat([head(part) for part in torch.split(asked, CHUNK)]).double()
    base = base - base.mean(1, keepdim=True)
    order = torch.cat([torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]])
    images = len(order)
    rows = torch.cat([given.rows[:images][order], given.rows[images:]])
    turned = replace(given, rows=rows, counted=given.counted[order])
    base = base * given.base.std() / turned.spread(base).clamp(min=1e-12)
    found = turned.discriminant(base, given.known[~out], 1.0)
    logits = given.rows[:images][out].double() @ found.weights.T + found.bias
    return base[: int(out.sum())], logits - logits.mean(1, keepdim=True)


def _folds(targets: Tensor, units: Tensor | None) -> Tensor:
    """`[N]` fold in which an image loses its label with its unit; -1 for the only unit of a class.

    A unit with images of several classes is dealt out with the first that has other units.
    """
    each = torch.arange(len(targets)) if units is None else units
    found: dict[int, int] = {}
    for c in range(int(targets.max()) + 1):
        here = list(dict.fromkeys(each[targets == c].tolist()))
        if len(here) > 1:
            for i, unit in enumerate(here):
                found.setdefault(unit, i % min(_FOLDS, len(here)))
    return torch.tensor([found.get(unit, -1) for unit in each.tolist()])


def _with_discriminant(
    head: KernelHead,
    found: Discriminant,
    mean: Tensor,
    seen: Tensor,
    trust: float,
    temperature: float,
) -> KernelHead:
    """`t (B + r ((x - mean) Wᵀ + b))` as one head; classes without shots stay as they are."""
    tensors = {name: t.detach().clone() for name, t in head.state_dict().items()}
    rows, bias = tensors["weights"].double(), tensors["bias"].double()
    rows[seen] += trust * found.weights
    bias[seen] += trust * (found.bias - found.weights @ mean.double())
    tensors["weights"] = (temperature * rows).float()
    tensors["bias"] = (temperature * bias).float()
    tensors["coefficients"] = temperature * tensors["coefficients"]
    return type(head)(**tensors)


def _checked_pool(pool: ArrayLike, width: int) -> Tensor:
    """`[M, D]` unit rows.

    Raises:
        InputError: none, of another width, not finite, or more than memory holds.
    """
    rows = np.asarray(pool, dtype=np.float32)
    if rows.ndim != 2 or not len(rows):
        raise InputError(f"the pool: expected rows [M, D] of features, got {list(rows.shape)}")
    if rows.shape[1] != width:
        raise InputError(
            f"the pool: expected {width} numbers a row, as the support set has, got "
            f"{rows.shape[1]}; take both from the same encoder"
        )
    if not np.isfinite(rows).all():
        raise InputError("the pool: expected finite numbers, got NaN or infinity")
    check_memory(12 * rows.size + 24 * width**2, f"a pool of {len(rows)} photos")
    return torch.from_numpy(unit_or_zero(rows))
