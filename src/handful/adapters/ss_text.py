"""SS-Text: the shots of a class pull its text towards them; no training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.adapters import Adapter, LinearHead, number, scalar
from handful.contracts import ClassText


@dataclass(eq=False, repr=False)
class SsText(Adapter):
    """SS-Text (training-free): the exact minimiser of the linear part of cross-entropy, tied to T.

    `logits = scale * x n(W)ᵀ`, `w_c = t_c + strength * (N_c / N) * scale * sum_{i in c} f_i`

    Cross-entropy of `f_i · w / tau` is `-f_i · w_{y_i} / tau` plus a log-sum over classes. Keep the
    first part, average over the N shots, and tie each row to its text with `lambda_c / 2`:

    `min_W -1/N sum_i f_i · w_{y_i} / tau + sum_c lambda_c / 2 |w_c - t_c|²`

    Its gradient is zero at `w_c = t_c + sum_{i in c} f_i / (N lambda_c tau)`. Here
    `tau = 1 / scale` and `lambda_c = 1 / N_c`, N_c the shots of the class: the more shots, the
    weaker the tie, and a class without shots stays at its text. With K shots in each of C classes
    the pull is `K * scale / C` times the class mean: few classes leave the text early, many stay
    near it.

    With `repel`, the log-sum counts as well, by its lower bound `log C + mean_c f_i · w_c / tau`
    (exact where all classes are equally likely): `sum_{i in c} f_i` becomes
    `sum_{i in c} (f_i - repel * m)`, m the mean over classes of their means, and what all images
    share no longer counts for a class.

    Args:
        strength: factor on the pull of the shots; 0 is zero-shot.
        repel: 0 to 1, how much of the common mean is taken away.

    Source: Silva-Rodriguez et al., "Full Conformal Adaptation of Medical Vision-Language Models",
    IPMI 2025, and with `lambda_c = 1 / N_c` and a repel step as SS-Text+ in "Few-Shot, Now for
    Real: Medical VLMs Adaptation without Balanced Sets or Validation", MICCAI 2025. The published
    code repels by a unit step against `2 w_c - mean(w)` after the solution, which minimises nothing
    that we could find; ours is the bound above.
    """

    title = "SS-Text"
    head = LinearHead
    neutral = {"strength": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter
    variants = ({"repel": 0.0}, {"repel": 1.0})

    strength: float = 1.0
    repel: float = 0.0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        strength, repel = number("strength", self.strength, 0), number("repel", self.repel, 0, 1)
        weights = torch.from_numpy(text.weights)
        sums = torch.zeros_like(weights, dtype=torch.float64)
        sums.index_add_(0, targets, features.double())
        counts = torch.bincount(targets, minlength=len(weights))[:, None]
        seen = counts[:, 0] > 0
        common = (sums[seen] / counts[seen]).mean(0)
        pull = text.scale / len(features) * counts * (sums - repel * counts * common)
        # w_c = t_c + strength scale N_c / N sum_i (f_i - repel m); sums in float64, they may cancel
        rows = normalize(weights + strength * pull, dim=1).float()
        return LinearHead(weights=rows, scale=scalar(text.scale))
