"""The methods that `auto` blends: which take part, with what weights, and the reasons in words."""

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
        """The adapter, with the seed where it takes one."""
        adapter: Adapter = plugins.get("adapters", self.name)(**self.params)
        return adapter.set_params(seed=seed) if "seed" in adapter.get_params() else adapter

    def suits(self, counts: Tensor, width: int) -> bool:
        """Whether it takes part with these `[C]` images a class, of this feature width."""
        count, classes = int(counts.sum()), len(counts)
        return (
            self.shots[0] <= count / int(counts.count_nonzero()) < self.shots[1]
            and count <= self.images
            and count * classes * width <= self.work
        )


@dataclass(frozen=True)
class Blend:
    """Methods and their weights, chosen on a support set.

    Args:
        members: J methods that take part.
        weights: `[J]`.
        left_out: `[J, N, C]` logits of each image by a fit without it; None at one shot.
        known: `[N]` true where the image's class has others.
        trust: 0 to 1, how far zero-shot can be trusted on these images.
    """

    members: Sequence[BlendMember]
    weights: Tensor
    left_out: Tensor | None
    known: Tensor
    trust: float


def explanation(blend: Blend, spread: Tensor, targets: Tensor) -> dict[str, Any]:
    """See `handful.adapters.auto.Auto.explain`; `spread` is `[J]`, how far logits lie apart."""
    shares = blend.weights * spread
    shares = shares / shares.sum() if shares.sum() > 0 else shares
    accuracies: list[float | None] = [None] * len(blend.members)
    if blend.left_out is not None:
        right = blend.left_out[:, blend.known].argmax(2) == targets[blend.known]
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
            blend.members, blend.weights, shares, accuracies, strict=True
        )
    ]
    ranking.sort(key=lambda row: (-(row["accuracy"] or 0), -row["share"]))
    return {"reason": _reason(blend, ranking), "ranking": ranking}


def _reason(blend: Blend, ranking: Sequence[Mapping[str, Any]]) -> str:
    parts: dict[str, float] = {}
    for row in ranking:
        parts[row["title"]] = parts.get(row["title"], 0.0) + row["share"]
    shares_text = ", ".join(
        f"{100 * share:.0f} % {title}"
        for title, share in sorted(parts.items(), key=lambda p: -p[1])
        if share >= 0.005
    )
    if blend.left_out is None:
        return (
            "With one image a class nothing can be left out, so the weights are fixed ones "
            f"and the text is believed at {blend.trust:.2f} (1 is fully): {shares_text}."
        )
    left_out = f"Leaving out each of {int(blend.known.sum())} support images in turn, "
    if float(blend.weights.sum()) < 0.01:
        return (
            f"{left_out}no method was better than guessing; "
            f"the answers are as good as unsure: {shares_text}."
        )
    best = ranking[0]
    return (
        f"{left_out}{best['title']} alone was right on {100 * best['accuracy']:.1f} % "
        f"and the likeliest blend is {shares_text}."
    )
