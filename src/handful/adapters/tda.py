"""TDA: queues of confident and of uncertain queries, filled as the stream goes by; no training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, Head, number, scalar, whole
from handful.contracts import ClassText

_CHUNK = 256  # rows looked at together


class TdaHead(Head):
    """`logits = scale * x Tᵀ + alpha phi(x P) Y - negative_alpha psi(x N) Z`, P and N as of now.

    `phi(z) = exp(-beta * (1 - z))`, psi the same with its own sharpness. P are the rows in the
    positive queues, Y their pseudo-labels, one-hot; N the rows in the negative queues, Z the
    classes that each of them may be, 0 or 1. Both hold rows up to and including x.

    Args:
        weights: T, `[C, D]` unit rows.
        scale: `[]`, the encoder's `exp(logit_scale)`.
        alpha: `[]`, weight of the positive queues.
        beta: `[]`, sharpness of phi.
        capacity: `[]` int64, rows a class in the positive queues.
        negative_alpha: `[]`, weight of the negative queues.
        negative_beta: `[]`, sharpness of psi.
        negative_capacity: `[]` int64, rows a class in the negative queues.
        window: `[2]`, a row between these two shares of the largest entropy is uncertain.
        floor: `[]`, a class more probable than this is one that a uncertain row may be.
    """

    weights: Tensor
    scale: Tensor
    alpha: Tensor
    beta: Tensor
    capacity: Tensor
    negative_alpha: Tensor
    negative_beta: Tensor
    negative_capacity: Tensor
    window: Tensor
    floor: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows, one stream in this order, to `[M, C]` logits."""
        logits = self.scale * x @ self.weights.T
        logs = logits.log_softmax(1)
        chances = logs.exp()
        entropy = -(chances * logs).sum(1) / math.log(len(self.weights))
        answers = logits.argmax(1)
        low, high = self.window
        uncertain = (entropy > low) & (entropy < high)
        always = torch.ones_like(uncertain)
        sure = queue_intervals(answers, entropy, always, int(self.capacity))
        unsure = queue_intervals(answers, entropy, uncertain, int(self.negative_capacity))
        labels = nn.functional.one_hot(answers, len(self.weights)).to(x.dtype)
        maybe = ((chances > self.floor) & (chances < 1)).to(x.dtype)
        return (
            logits
            + self.alpha * _votes(x, *sure, labels, self.beta)
            - self.negative_alpha * _votes(x, *unsure, maybe, self.negative_beta)
        )


def queue_intervals(
    answers: Tensor, entropy: Tensor, allowed: Tensor, capacity: int
) -> tuple[Tensor, Tensor]:
    """Which rows enter a queue and when each leaves it, which the entropies alone decide.

    A class's queue takes a row while it has room; then a row of lower entropy than the highest in
    the queue takes that one's place.

    Args:
        answers: `[M]`, the class of the queue that a row may enter.
        entropy: `[M]`.
        allowed: `[M]` true where a row may enter at all.
        capacity: rows a queue.

    Returns:
        `[E]` rows that enter, ascending; `[E]` rows at which they are gone, M where never.
    """
    answer, entropies = answers.tolist(), entropy.tolist()
    queues: dict[int, list[int]] = {}
    leaves: dict[int, int] = {}
    for row in allowed.nonzero()[:, 0].tolist() if capacity else []:
        queue = queues.setdefault(answer[row], [])
        if len(queue) == capacity:
            worst = max(queue, key=entropies.__getitem__)
            if not entropies[row] < entropies[worst]:
                continue
            queue.remove(worst)
            leaves[worst] = row
        queue.append(row)
        leaves[row] = len(answer)
    enter = sorted(leaves)
    until = [leaves[row] for row in enter]
    return answers.new_tensor(enter), answers.new_tensor(until)  # int64, also where empty


def _votes(x: Tensor, enter: Tensor, leave: Tensor, values: Tensor, beta: Tensor) -> Tensor:
    """`[M, C]` sums over the rows that are in a queue when each row of x comes."""
    keys, values = x[enter], values[enter]
    now = torch.arange(len(x), device=x.device)
    parts = []
    for rows, times in zip(torch.split(x, _CHUNK), torch.split(now, _CHUNK), strict=True):
        # row t counts the keys that entered by t and have not left: the stream in one product
        there = (enter <= times[:, None]) & (times[:, None] < leave)
        parts.append((torch.addmm(-beta, beta * rows, keys.T).exp() * there) @ values)
    return torch.cat(parts)


@dataclass(eq=False, repr=False)
class Tda(Adapter):
    """TDA (stream): zero-shot that learns from the test images in their order; no labels used.

    `logits = scale * x Tᵀ + alpha phi(x P) Y - negative_alpha psi(x N) Z`

    An answer depends on the images that came before it: each call of `logits` is one stream and
    begins with empty queues, so cutting a stream into calls changes its answers, and so does
    another order. Every row comes with zero-shot's label for it. P holds, for each class, the
    `capacity` rows of lowest entropy so far; N those that are uncertain, which count against
    the classes that they may be. **The support images are not used**, and seed no queue: the
    method is the same at every number of shots.

    Args:
        alpha: weight of the positive queues.
        beta: sharpness of their affinity.
        capacity: rows a class in the positive queues.
        negative_alpha: weight of the negative queues.
        negative_beta: sharpness of their affinity.
        negative_capacity: rows a class in the negative queues.
        low: a row is uncertain from this share of the largest possible entropy, `ln C`, on.
        high: and up to this one.
        floor: a class more probable than this is one that a uncertain row may be.

    Source: Karmanov et al., "Efficient Test-Time Adaptation of Vision-Language Models", CVPR 2024.
    The published code has a file of settings for each data set, tuned with labels, which a method
    without labels cannot have; here everybody gets the ones published for ImageNet. The code
    divides an entropy in nats by the largest one in bits, so that its window of 0.2 to 0.5 is one
    of 0.29 to 0.72 of the largest; here low and high are shares of the largest, as the paper says.
    """

    title = "TDA"
    head = TdaHead
    neutral = {"alpha": 0.0, "negative_alpha": 0.0}  # noqa: RUF012  # declared ClassVar in Adapter
    semantics = "stream"

    alpha: float = 2.0
    beta: float = 5.0
    capacity: int = 3
    negative_alpha: float = 0.117
    negative_beta: float = 1.0
    negative_capacity: int = 2
    low: float = 0.2
    high: float = 0.5
    floor: float = 0.03

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        low, high = number("low", self.low, 0, 1), number("high", self.high, 0, 1)
        return TdaHead(
            weights=torch.from_numpy(text.weights),
            scale=scalar(text.scale),
            alpha=scalar(number("alpha", self.alpha)),
            beta=scalar(number("beta", self.beta, 0)),
            capacity=torch.tensor(whole("capacity", self.capacity), device="cpu"),
            negative_alpha=scalar(number("negative_alpha", self.negative_alpha)),
            negative_beta=scalar(number("negative_beta", self.negative_beta, 0)),
            negative_capacity=torch.tensor(
                whole("negative_capacity", self.negative_capacity), device="cpu"
            ),
            window=torch.stack([scalar(low), scalar(high)]),
            floor=scalar(number("floor", self.floor, 0, 1)),
        )

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        """`[N, C]` logits of the support set as one stream: no fit has seen a label of it."""
        answer: Tensor = self._fit(features, targets, text)(features)
        return answer
