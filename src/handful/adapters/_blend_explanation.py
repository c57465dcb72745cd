"""Why `auto` answers as it does: its members by what they got right unseen, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from handful import plugins
from handful.adapters._blend_members import Blend
from handful.contracts import ClassText
from handful.selection import weighted_mean


def explanation(blend: Blend, features: Tensor, targets: Tensor, text: ClassText) -> dict[str, Any]:
    """See `handful.adapters.auto.Auto.explain`."""
    members = blend.members.all
    logits = torch.einsum("nd,jcd->jnc", features[:2048].double(), blend.rows) + blend.bias[:, None]
    shares = blend.weights * logits.std(dim=2).mean(1)
    shares = shares / shares.sum() if shares.sum() > 0 else shares
    accuracies: list[float | None] = [None] * len(members)
    counted = blend.members.counted
    if blend.left_out is not None:
        right = (blend.left_out.argmax(2) == targets[blend.asked]).double()
        some = None if counted is None else counted[blend.asked]
        accuracies = weighted_mean(right, some).tolist()
    ranking = [
        {
            "method": member.name,
            "title": plugins.get("adapters", member.name).title,
            "params": {name: float(f"{value:.3g}") for name, value in member.params.items()},
            "weight": round(float(weight), 4),
            "share": round(float(share), 4),
            "accuracy": None if accuracy is None else round(accuracy, 4),
        }
        for member, weight, share, accuracy in zip(
            members, blend.weights, shares, accuracies, strict=True
        )
    ]
    ranking.sort(key=lambda row: (-(row["accuracy"] or 0), -row["share"]))
    zero_shot = features @ torch.from_numpy(text.weights).T
    known = float(weighted_mean((zero_shot.argmax(1) == targets).double(), counted))
    return {"reason": _reason(blend, ranking, known), "ranking": ranking}


def _reason(blend: Blend, ranking: Sequence[Mapping[str, Any]], zero_shot: float) -> str:
    parts: dict[str, float] = {}
    for row in ranking:
        parts[_words(row)] = parts.get(_words(row), 0.0) + row["share"]
    shares_text = ", ".join(
        f"{100 * share:.0f} % {title}"
        for title, share in sorted(parts.items(), key=lambda p: -p[1])
        if share >= 0.005
    )
    by_text = f"By text alone {100 * zero_shot:.0f} % of the support images would be right. "
    if blend.left_out is None:
        one = "image" if blend.members.units is None else "group of images"
        return (
            f"{by_text}With one {one} a class nothing can be left out, so the weights are "
            f"fixed ones: {shares_text}."
        )
    left_out = f"{by_text}Leaving out each of {_asked(blend)} in turn, "
    if float((blend.weights * blend.rows.abs().amax((1, 2))).sum()) < 0.01:
        return (
            f"{left_out}no method was better than guessing; "
            f"the answers are as good as unsure: {shares_text}."
        )
    best = ranking[0]
    return (
        f"{left_out}{_words(best)} alone was right on {100 * best['accuracy']:.1f} % "
        f"and the likeliest blend is {shares_text}."
    )


def _asked(blend: Blend) -> str:
    """What was left out, one at a time."""
    if blend.members.units is None:
        return f"{int(blend.asked.sum())} support images"
    groups = set(blend.members.units[blend.asked].tolist())
    return f"{len(groups)} groups of support images"


def _words(row: Mapping[str, Any]) -> str:
    """A member's title, and how strongly it holds on to the text."""
    prior = row["params"].get("prior")
    return row["title"] if prior is None else f"{row['title']} (prior {prior:g})"
