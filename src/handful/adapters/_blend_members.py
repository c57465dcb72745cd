"""Who takes part in a blend, what they were given, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from handful import plugins
from handful.adapters._base import Adapter


@dataclass(frozen=True)
class BlendMember:
    """A method in the blend.

    Args:
        name: of the adapter.
        weight: before anything is known of the task.
        params: of the adapter, where they are not its defaults.
        shots: from how many images a class it takes part, and below how many.
        images: up to how many in all.
        work: up to how many images times classes times width.
    """

    name: str
    weight: float
    params: Mapping[str, Any] = field(default_factory=dict)
    shots: tuple[float, float] = (0, math.inf)
    images: float = math.inf
    work: float = math.inf

    def build(self, seed: int) -> Adapter:
        adapter: Adapter = plugins.get("adapters", self.name)(**self.params)
        return adapter.set_params(seed=seed) if "seed" in adapter.get_params() else adapter

    def suits(self, counts: Tensor, width: int) -> bool:
        """Does it take part with these `[C]` images a class?"""
        count, classes = int(counts.sum()), len(counts)
        return (
            self.shots[0] <= count / int(counts.count_nonzero()) < self.shots[1]
            and count <= self.images
            and count * classes * width <= self.work
        )


@dataclass(frozen=True)
class BlendChoice:
    """What the support set said.

    Args:
        members: J methods that take part.
        weights: `[J]`.
        left_out: `[J, N, C]` logits of each image by a fit without it; None at one shot.
        known: `[N]` true where the image's class has others.
        believed: 0 to 1, how far zero-shot can be trusted on these images.
    """

    members: Sequence[BlendMember]
    weights: Tensor
    left_out: Tensor | None
    known: Tensor
    believed: float


def explanation(chosen: BlendChoice, spread: Tensor, targets: Tensor) -> dict[str, Any]:
    """See `handful.adapters.auto.Auto.explain`; `spread` is `[J]`, how far logits lie apart."""
    shares = chosen.weights * spread
    shares = shares / shares.sum() if shares.sum() > 0 else shares
    accuracies: list[float | None] = [None] * len(chosen.members)
    if chosen.left_out is not None:
        right = chosen.left_out[:, chosen.known].argmax(2) == targets[chosen.known]
        accuracies = right.double().mean(1).tolist()
    ranking = [
        {
            "method": member.name,
            "title": plugins.get("adapters", member.name).title,
            "params": dict(member.params),
            "weight": round(float(weight), 4),
            "share": round(float(share), 4),
            "accuracy": None if accuracy is None else round(accuracy, 4),
        }
        for member, weight, share, accuracy in zip(
            chosen.members, chosen.weights, shares, accuracies, strict=True
        )
    ]
    ranking.sort(key=lambda row: (-(row["accuracy"] or 0), -row["share"]))
    return {"reason": _reason(chosen, ranking), "ranking": ranking}


def _reason(chosen: BlendChoice, ranking: Sequence[Mapping[str, Any]]) -> str:
    parts: dict[str, float] = {}
    for row in ranking:
        parts[row["title"]] = parts.get(row["title"], 0.0) + row["share"]
    told = ", ".join(
        f"{100 * share:.0f} % {title}"
        for title, share in sorted(parts.items(), key=lambda p: -p[1])
        if share >= 0.005
    )
    if chosen.left_out is None:
        return (
            "With one image a class nothing can be left out, so the weights are fixed ones "
            f"and the text is believed at {chosen.believed:.2f} (1 is fully): {told}."
        )
    best = ranking[0]
    if float(chosen.weights.sum()) < 0.01:
        return (
            f"Leaving out each of {int(chosen.known.sum())} support images in turn, no method was "
            f"better than guessing; the answers are as good as unsure: {told}."
        )
    return (
        f"Leaving out each of {int(chosen.known.sum())} support images in turn, "
        f"{best['title']} alone was right on {100 * best['accuracy']:.1f} % "
        f"and the likeliest blend is {told}."
    )
