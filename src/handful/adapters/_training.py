"""The training loop of all adapters that learn: minibatches, cosine schedule, no global state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from handful.adapters._arguments import number, whole
from handful.adapters._head import Head
from handful.errors import InputError

H = TypeVar("H", bound=Head)

_WORTH_SHARING = 100_000_000  # multiplications a step, some 5 ms of one core


@dataclass(frozen=True)
class Recipe:
    """How to train: a fixed number of steps, so that nothing has to be looked up on other data.

    Args:
        steps: updates; 0 leaves the head as it was.
        learning_rate: at the start; it falls to zero along half a cosine, step by step.
        batch: samples a step, drawn without replacement until all have been used.
        weight_decay: decoupled (AdamW), relative to the learning rate.
        epsilon: AdamW's, the gradient below which steps shrink.
        seed: of the order of the samples.
        momentum: plain gradient descent with this momentum; None takes AdamW.

    Raises:
        InputError: an argument that is no number or out of range.
    """

    steps: int
    learning_rate: float
    batch: int = 256
    weight_decay: float = 0.01
    epsilon: float = 1e-8
    seed: int = 0
    momentum: float | None = None

    def __post_init__(self) -> None:
        whole("steps", self.steps)
        whole("batch", self.batch, 1)
        whole("seed", self.seed)
        number("learning_rate", self.learning_rate, 0)
        number("weight_decay", self.weight_decay, 0)
        if self.momentum is not None:
            number("momentum", self.momentum, 0, 1)


def train(
    head: H,
    features: Tensor,
    targets: Tensor,
    recipe: Recipe,
    penalty: Callable[[H], Tensor] | None = None,
    weights: Tensor | None = None,
) -> H:
    """Minimise the mean cross-entropy over the `nn.Parameter`s of `head`; return a frozen copy.

    Args:
        head: its logits are trained as they will be used.
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        recipe: how long and how fast.
        penalty: `[]`, added to the loss of every step; it may hold further samples.
        weights: `[N]` images that each sample counts for in the mean, all 1 if None.

    Raises:
        InputError: the loss left the finite numbers; nothing is returned half-trained.
    """
    optimiser = _optimiser(list(head.parameters()), recipe)
    work = min(recipe.batch, len(features)) * sum(p.numel() for p in optimiser.parameters)
    with torch.enable_grad(), few_threads(work):
        for step, rows in enumerate(islice(batches(len(features), recipe), recipe.steps)):
            loss = _loss(head(features[rows]), targets[rows], weights, rows)
            if penalty is not None:
                loss = loss + penalty(head)
            if not math.isfinite(loss.item()):
                raise InputError(
                    f"training diverged at step {step + 1} of {recipe.steps} (loss {loss.item()}); "
                    f"lower learning_rate={recipe.learning_rate}"
                )
            gradients = torch.autograd.grad(loss, optimiser.parameters)
            # half a cosine from the full rate to zero
            rate = recipe.learning_rate * (1 + math.cos(math.pi * step / recipe.steps)) / 2
            optimiser.step(gradients, rate)
    return head.frozen()


def _loss(logits: Tensor, targets: Tensor, weights: Tensor | None, rows: Tensor) -> Tensor:
    """`[]` mean cross-entropy of the samples at `rows`."""
    if weights is None:
        return cross_entropy(logits, targets)
    counted = weights[rows].to(logits)
    return cross_entropy(logits, targets, reduction="none") @ counted / counted.sum()


@contextmanager
def few_threads(work: int) -> Iterator[None]:
    """One thread where a step of `work` multiplications is too small to share.

    On a busy machine threads that wait for each other at every small product cost a hundred times
    what they gain; on an idle one a single thread is as fast. The count is restored.
    """
    before = torch.get_num_threads()
    if work < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(count: int, recipe: Recipe) -> Iterator[Tensor]:
    """Rows of one step after another, for ever: all of them in an order drawn anew, in parts."""
    shuffle = torch.Generator().manual_seed(recipe.seed)
    while True:
        yield from torch.split(torch.randperm(count, generator=shuffle), recipe.batch)


def _optimiser(parameters: list[Tensor], recipe: Recipe) -> AdamW | Descent:
    if recipe.momentum is None:
        return AdamW(parameters, recipe.weight_decay, recipe.epsilon)
    return Descent(parameters, recipe.weight_decay, recipe.momentum)


class Descent:
    """Gradient descent with momentum: `v = momentum * v + g`, `p = p - rate * v`."""

    def __init__(self, parameters: list[Tensor], weight_decay: float, momentum: float) -> None:
        self.parameters = parameters
        self._decay, self._momentum = weight_decay, momentum
        self._velocity = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rate: float) -> None:
        """Move every parameter once; `gradients` in the order of `parameters`."""
        for p, g, v in zip(self.parameters, gradients, self._velocity, strict=True):
            p.mul_(1 - rate * self._decay)
            v.mul_(self._momentum).add_(g)
            p.sub_(v, alpha=rate)


class AdamW:
    """AdamW as `torch.optim.AdamW` computes it, without the second its first import costs.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    def __init__(self, parameters: list[Tensor], weight_decay: float, epsilon: float) -> None:
        self.parameters = parameters
        self._decay, self._epsilon = weight_decay, epsilon
        self._mean = [torch.zeros_like(p) for p in parameters]
        self._square = [torch.zeros_like(p) for p in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rate: float) -> None:
        """Move every parameter once; `gradients` in the order of `parameters`."""
        self._steps += 1
        # m and v start at zero: divided by these they are unbiased
        first, second = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        for p, g, m, v in zip(self.parameters, gradients, self._mean, self._square, strict=True):
            p.mul_(1 - rate * self._decay)
            # m = 0.9 m + 0.1 g, v = 0.999 v + 0.001 g², p -= rate m^ / (sqrt(v^) + epsilon)
            m.lerp_(g, 0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            denominator = (v.sqrt() / math.sqrt(second)).add_(self._epsilon)
            p.addcdiv_(m, denominator, value=-rate / first)
