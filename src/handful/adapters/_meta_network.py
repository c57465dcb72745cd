"""The network of Meta-Adapter: learned once over many tasks, so that a new one needs no gradient.

The inputs of its small perceptrons are cosines, shares and counts, never features. So the weights
depend neither on the width of an encoder nor on its directions.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

_SHOT, _TASK, _CLASS = 3, 6, 2  # inputs of an image, of a task, of a class beside its task
_TINY = 1e-8


class MetaNetwork(nn.Module):
    """Support set and text to the weights of an affine head, in one forward pass.

    Images attend to their class's text and mean: `p_c = sum_i softmax(e(i)) f_i`. The class lies
    between them and where its text suggests, `m_c = (n_c p_c + k_c q_c) / (n_c + k_c)` with
    `q_c = mu + l_c (t_c - tau)`; a Gaussian classifier with the shrunk covariance
    `(1 - r) S + r I` and the zero-shot classifier add up, each through a gate. e, k, l, r and the
    gates are small perceptrons of cosines and counts.

    Args:
        hidden: width of the perceptrons' hidden layer.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.shot = _perceptron(_SHOT, hidden, 1)
        self.task = _perceptron(_TASK, hidden, 3)
        self.each = _perceptron(_TASK + _CLASS, hidden, 2)

    def forward(
        self, features: Tensor, targets: Tensor, text: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Weights `[C, D]` and bias `[C]` of a head.

        Args:
            features: `[N, D]` unit rows.
            targets: `[N]` columns.
            text: `[C, D]` unit rows.
            scale: what zero-shot multiplies a cosine by.
        """
        classes = len(text)
        shots = one_hot(targets, classes).to(features.dtype)  # [N, C]
        counts = shots.sum(dim=0)
        seen = counts > 0
        means = shots.T @ features / counts.clamp(min=1)[:, None]
        middle, tau = means[seen].mean(dim=0), text.mean(dim=0)
        words, images = _unit(text - tau), _unit(features - middle)
        agree = images @ words.T  # [N, C]
        own = agree.gather(1, targets[:, None])[:, 0]
        others = agree.masked_fill(shots.bool(), -1).amax(dim=1)
        typical = (images * _unit(means - middle)[targets]).sum(dim=1)
        inputs = torch.stack([own, typical, own - others], dim=1)
        # p_c = sum_i softmax(e(i)) f_i over the images of each class
        attention = self._attend(self.shot(inputs)[:, 0], targets, classes)
        points = (shots * attention[:, None]).T @ features  # [C, D], zero without shots
        points = torch.where(seen[:, None], points, middle)
        aligned = (_unit(points - middle) * words).sum(dim=1) * seen
        spread = features - points[targets]
        facts = self._facts(features, counts, spread, own, aligned, text, targets, scale, middle)
        shrink, visual, textual = self.task(facts)
        each = torch.cat(
            [facts.expand(classes, -1), torch.log1p(counts)[:, None], aligned[:, None]], dim=1
        )
        prior, pull = self.each(each).clamp(-6, 6).exp().unbind(1)
        length = (points - middle)[seen].norm(dim=1).mean() + _TINY
        # q_c = mu + l_c (t_c - tau): the text as a direction, the length from the images
        suggested = middle + pull[:, None] * length * words
        # m_c = (n_c p_c + k_c q_c) / (n_c + k_c)
        centres = (counts[:, None] * points + prior[:, None] * suggested) / (counts + prior)[
            :, None
        ]
        weights, bias = _gaussian(centres, spread, counts, torch.sigmoid(shrink))
        # of unit rows in the mean, so that a gate means the same whatever the covariance
        norm = weights.norm(dim=1).mean() + _TINY
        strong = visual.clamp(-4, 4).exp() * scale / norm
        zero_shot = textual.clamp(-4, 4).exp() * scale * text
        return zero_shot + strong * weights, strong * bias

    @staticmethod
    def _attend(scores: Tensor, targets: Tensor, classes: int) -> Tensor:
        """`[N]` weights that add up to one in each class."""
        # softmax over each class; the clamp keeps the sum of every class above zero
        exponent = (scores - scores.max()).clamp(min=-30).exp()
        sums = exponent.new_zeros(classes).index_add(0, targets, exponent)
        return exponent / sums[targets]

    @staticmethod
    def _facts(
        features: Tensor,
        counts: Tensor,
        spread: Tensor,
        own: Tensor,
        aligned: Tensor,
        text: Tensor,
        targets: Tensor,
        scale: float,
        middle: Tensor,
    ) -> Tensor:
        """`[6]` inputs of a task: shots, classes, agreement of text and images, spread."""
        sure = (scale * features @ text.T).softmax(dim=1).gather(1, targets[:, None]).mean()
        within = spread.square().sum() / ((features - middle).square().sum() + _TINY)
        several = (counts > 1).float().mean()
        return torch.stack(
            [
                torch.log(counts[counts > 0].mean()),
                torch.log(torch.tensor(float(len(counts)))),
                own.mean(),
                sure,
                within * several,
                aligned.sum() / (counts > 0).sum(),
            ]
        )


def _gaussian(
    centres: Tensor, spread: Tensor, counts: Tensor, shrink: Tensor
) -> tuple[Tensor, Tensor]:
    """`W = d S^-1` and `b = -W mean - diag(W d^T) / 2` of d = centres less their mean."""
    width = centres.shape[1]
    identity = torch.eye(width, dtype=centres.dtype)
    covariance = spread.T @ spread
    trace = covariance.trace()
    if bool(counts.max() > 1) and bool(trace > _TINY):
        covariance = (1 - shrink) * covariance * (width / trace) + shrink * identity
    else:
        covariance = identity
    mean = centres.mean(dim=0)
    apart = centres - mean
    weights = cast(Tensor, torch.linalg.solve(covariance, apart.T)).T
    return weights, -weights @ mean - (weights * apart).sum(dim=1) / 2


def _unit(rows: Tensor) -> Tensor:
    lengths: Tensor = rows.norm(dim=-1, keepdim=True)
    return rows / (lengths + _TINY)


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Of one hidden layer; the last starts at zero, so that training starts at plain means."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), last)
