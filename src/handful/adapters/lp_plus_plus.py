"""LP++: a linear probe in which every class learns the weight of its text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from handful.adapters import Adapter, Head, class_means, number, whole
from handful.adapters._training import few_threads
from handful.contracts import ClassText

_MOMENTUM = 0.9
_ALPHA_EVERY = 10  # updates of W for one of alpha


class LpPlusPlusHead(Head):
    """`logits = x (W + diag(alpha) T)ᵀ`, with no temperature: alpha carries the scale.

    Args:
        weights: W, `[C, D]`, learned from the images.
        text: T, `[C, D]` unit rows.
        alpha: `[C]`, the weight of each class's text.
    """

    weights: Tensor
    text: Tensor
    alpha: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return x @ (self.weights + self.alpha[:, None] * self.text).T


@dataclass(eq=False, repr=False)
class LpPlusPlus(Adapter):
    """LP++: image weights and text multipliers by descent in steps that the data set.

    `logits = x (W + diag(alpha) T)ᵀ`. W starts at the class means, alpha at
    `init * mean_c mean_{i in c} f_i · t_c` in every class. With momentum 0.9,
    `W -= 4 N / eigmax(FᵀF) * v`; at every tenth step also
    `alpha -= N / (4 max_c sum_i (f_i · t_c)²) * gradient`. The loss is the mean cross-entropy.

    Args:
        init: factor of the first alpha.
        steps: updates of W, fixed in advance.

    Source: Huang et al., "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP", CVPR 2024;
    300 steps, the factor 250 and both step sizes are theirs. Their code never clears the gradient
    of alpha, so that every tenth step applies the sum of all gradients so far; ours applies the one
    of that step. It starts W at class sums, where the paper has feature means; means do not
    depend on how many images a class has. It keeps a bias that starts at random and that the paper
    does not have; there is none here. It returns the epoch that is best on a validation set; here
    the last step is the answer. As in the code one alpha starts all classes. A class without shots
    starts at W = 0, its text alone.
    """

    title = "LP++"
    head = LpPlusPlusHead

    init: float = 250.0
    steps: int = 300

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        init, steps = number("init", self.init), whole("steps", self.steps)
        rows = torch.from_numpy(text.weights)
        head = LpPlusPlusHead(
            weights=nn.Parameter(class_means(features, targets, len(rows))),
            text=rows,
            alpha=nn.Parameter(initial_alpha(features, targets, rows, init)),
        )
        rate, alpha_rate = step_sizes(features, rows)
        velocity = torch.zeros_like(head.weights)
        with few_threads(len(features) * rows.numel()):
            for step in range(1, steps + 1):
                loss = cross_entropy(head(features), targets)
                by_weights, by_alpha = torch.autograd.grad(loss, (head.weights, head.alpha))
                with torch.no_grad():
                    # v = 0.9 v + g; W = W - rate v
                    head.weights.sub_(velocity.mul_(_MOMENTUM).add_(by_weights), alpha=rate)
                    if step % _ALPHA_EVERY == 0:
                        head.alpha.sub_(by_alpha, alpha=alpha_rate)
        return head.frozen()


def initial_alpha(features: Tensor, targets: Tensor, text: Tensor, init: float) -> Tensor:
    """`[C]`, the same number in every class: `init` times how well texts match their images."""
    matches = (features * text[targets]).sum(1, keepdim=True)
    seen = torch.bincount(targets, minlength=len(text)) > 0
    mean = class_means(matches, targets, len(text))[seen].mean()
    return (init * mean).expand(len(text)).clone()


def step_sizes(features: Tensor, text: Tensor) -> tuple[float, float]:
    """Step sizes of W and of alpha, from bounds of the curvature of the loss along each.

    0 where features are all zero, and nothing is to be learned.
    """
    count = len(features)
    # both losses are smooth: a step of 1 / L cannot increase them, L the bound of the curvature
    top = torch.linalg.eigvalsh(features.double().T @ features.double())[-1].item()
    match = (features.double() @ text.double().T).square().sum(0).max().item()
    return (4 * count / top if top > 0 else 0.0, count / (4 * match) if match > 0 else 0.0)
