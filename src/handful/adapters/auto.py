"""Auto: the best answer that the support set allows, blended from methods it has not seen fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from handful import plugins
from handful.adapters._base import Adapter
from handful.adapters._head import KernelHead, number, scalar, whole
from handful.contracts import ClassText
from handful.selection import stack, trust

_KERNEL_UP_TO = 8192  # images: kernel ridge takes N² memory and N³ time
_WORK = 1e8  # N C D up to which a probe may be trained five times while someone waits
_BELIEF = 1.0  # weight of `_WITHOUT_TEXT` where zero-shot deserves no trust at all


@dataclass(frozen=True)
class _Member:
    """A method in the blend.

    Args:
        name: of the adapter.
        weight: before anything is known of the task.
        params: of the adapter, where they are not its defaults.
        shots: from how many images a class it takes part, and below how many.
        images: up to how many in all.
        work: up to how many images times classes times width.
        counts_absence: takes it as evidence against a class that it has no shots.
    """

    name: str
    weight: float
    params: Mapping[str, Any] = field(default_factory=dict)
    shots: tuple[float, float] = (0, math.inf)
    images: float = math.inf
    work: float = math.inf
    counts_absence: bool = False

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
            and not (self.counts_absence and counts.min() == 0)
        )


@dataclass(frozen=True)
class _Choice:
    """What the support set said.

    Args:
        members: J methods that take part.
        weights: `[J]`.
        left_out: `[J, N, C]` logits of each image by a fit without it; None at one shot.
        known: `[N]` true where the image's class has others.
        believed: 0 to 1, how far zero-shot can be trusted on these images.
    """

    members: Sequence[_Member]
    weights: Tensor
    left_out: Tensor | None
    known: Tensor
    believed: float


# Weights and settings were chosen on playground draws that no reported number uses and on made
# features; see docs/methods.md.
_WITHOUT_TEXT = _Member("text_gda", 0.2)
_MEMBERS = (
    _Member("zero_shot", 0.0),
    _Member("proker", 0.2, images=_KERNEL_UP_TO, counts_absence=True),
    _Member("cross_modal", 0.6, shots=(0, 4), counts_absence=True),
    _Member("zs_lp", 0.1, shots=(4, math.inf), work=_WORK, counts_absence=True),
    _WITHOUT_TEXT,
    _Member("text_gda", 0.1, {"prior": 1.0, "shrinkage": 0.5}),
    _Member("text_gda", 0.1, {"prior": 8.0, "shrinkage": 0.8}),
    _Member("text_gda", 0.1, {"prior": 64.0, "shrinkage": 0.95}),
)


class Auto(Adapter):
    """Blend methods by what each says of support images it has not seen; nothing to tune.

    `logits = sum_j w_j Z_j`, Z_j the logits of zero-shot, ProKeR, text-prior GDA at four strengths
    of its prior, and one trained probe: cross-modal below four shots, then ZS-LP (not where
    training it several times would take long). All of them are linear in the image or in its
    affinities to the support, so the blend is one matrix and one kernel term, whatever was chosen.
    The weights maximise the likelihood of the support images under leave-one-out logits, drawn to
    fixed weights the more, the fewer shots there are (`handful.selection.stack`). Zero-shot is a
    member: where the images teach nothing it wins.

    With one image in every class there is nothing to leave out, since its class would then be
    known by text alone. The fixed weights are used, and text-prior GDA, which can do without the
    text, takes over as far as zero-shot, which has seen none of the support images, is wrong about
    them (`handful.selection.trust`).

    A class without shots leaves only members that do not take that for evidence against it.

    Args:
        pull: how strongly the weights are drawn to the fixed ones, divided by the shots.
        seed: of the members that are trained.

    Source: ours; stacking by Breiman, "Stacked Regressions", 1996.
    """

    title = "Auto"
    head = KernelHead

    def __init__(self, pull: float = 8.0, seed: int = 0) -> None:
        self.pull = pull
        self.seed = seed

    def explain(self) -> dict[str, Any]:
        """Why: `reason`, one sentence, and `ranking`, the members by what they got right unseen.

        Each member has its `method`, `title`, `params`, `weight`, its `share` of the blend's
        spread (they add up to 1) and its `accuracy` on left-out images, None at one shot.
        """
        check_is_fitted(self)
        return self.explanation_

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        chosen = self._choose(features, targets, text)
        heads = [m.build(self.seed)._fit(features, targets, text) for m in chosen.members]
        with torch.no_grad():
            spread = torch.stack([h(features[:2048]).std(dim=1).mean() for h in heads]).double()
            self.explanation_ = _explanation(chosen, spread, targets)
            return _sum(heads, chosen.weights)

    def _left_out(self, features: Tensor, targets: Tensor, text: ClassText) -> Tensor:
        """By the weights of the whole support set."""
        chosen = self._choose(features, targets, text)
        left_out = chosen.left_out
        if left_out is None:
            left_out = _left_out(chosen.members, self.seed, features, targets, text)
        return torch.einsum("j,jnc->nc", chosen.weights.float(), left_out)

    def _choose(self, features: Tensor, targets: Tensor, text: ClassText) -> _Choice:
        pull, seed = number("pull", self.pull, 0), whole("seed", self.seed)
        counts = torch.bincount(targets, minlength=len(text.classes))
        shots = len(targets) / int(counts.count_nonzero())
        members = [m for m in _MEMBERS if m.suits(counts, features.shape[1])]
        with torch.no_grad():
            zero_shot = _MEMBERS[0].build(seed)._fit(features, targets, text)(features)
        believed = trust(zero_shot, targets)
        first = believed * torch.tensor([m.weight for m in members], dtype=torch.float64)
        first[members.index(_WITHOUT_TEXT)] += (1 - believed) * _BELIEF
        known = counts[targets] > 1
        if known.sum() < 2:
            return _Choice(members, first, None, known, believed)
        left_out = _left_out(members, seed, features, targets, text)
        weights = stack(left_out[:, known], targets[known], first, pull / shots)
        return _Choice(members, weights, left_out, known, believed)


def _left_out(
    members: Sequence[_Member], seed: int, features: Tensor, targets: Tensor, text: ClassText
) -> Tensor:
    """`[J, N, C]`."""
    return torch.stack([m.build(seed)._left_out(features, targets, text) for m in members])


def _sum(heads: Sequence[nn.Module], weights: Tensor) -> KernelHead:
    """One head that says `sum_j w_j Z_j`, with a kernel of nothing where no member has one."""
    first = heads[0].get_buffer("weights")
    rows, bias = torch.zeros_like(first), torch.zeros(len(first))
    kernel = {"keys": first[:1] * 0, "coefficients": bias[None].clone(), "beta": scalar(0)}
    for head, weight in zip(heads, weights.tolist(), strict=True):
        if isinstance(head, KernelHead):
            part, shift = head.weights, head.bias
            kernel = {"keys": head.keys, "coefficients": weight * head.coefficients}
            kernel["beta"] = head.beta
        else:  # asked with unit vectors, a linear head tells its matrix
            shift = head(torch.zeros_like(first[:1]))[0]
            part = (head(torch.eye(first.shape[1])) - shift).T
        rows, bias = rows + weight * part.double(), bias + weight * shift.double()
    return KernelHead(weights=rows.float(), bias=bias.float(), **kernel)


def _explanation(chosen: _Choice, spread: Tensor, targets: Tensor) -> dict[str, Any]:
    """See `Auto.explain`."""
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


def _reason(chosen: _Choice, ranking: Sequence[Mapping[str, Any]]) -> str:
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
    return (
        f"Leaving out each of {int(chosen.known.sum())} support images in turn, "
        f"{best['title']} alone was right on {100 * best['accuracy']:.1f} % "
        f"and the likeliest blend is {told}."
    )
