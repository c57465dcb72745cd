"""Auto: the best answer that the support set allows, blended from methods it has not seen fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from handful.adapters._arguments import check_memory, number, whole
from handful.adapters._base import Adapter
from handful.adapters._blend_members import BlendChoice, BlendMember, explanation
from handful.adapters._head import KernelHead, scalar
from handful.contracts import ClassText
from handful.selection import capped_inverse_temperature, stacking_weights

_KERNEL_UP_TO = 8192  # images: kernel ridge takes N² memory and N³ time
_WORK = 1e8  # N C D up to which a probe may be trained five times while someone waits
_BYTES = 100  # a left-out logit of all members, with what the search for weights makes of it
_BELIEF = 1.0  # weight of `_WITHOUT_TEXT` where zero-shot deserves no trust at all


# Weights and settings were chosen on playground draws that no reported number uses and on made
# features; see docs/methods.md.
_WITHOUT_TEXT = BlendMember("text_gda", 0.2)
_MEMBERS = (
    BlendMember("zero_shot", 0.0),
    BlendMember("proker", 0.2, images=_KERNEL_UP_TO),
    BlendMember("cross_modal", 0.6, shots=(0, 4)),
    BlendMember("zs_lp", 0.1, shots=(4, math.inf), work=_WORK),
    _WITHOUT_TEXT,
    BlendMember("text_gda", 0.1, {"prior": 1.0, "shrinkage": 0.5}),
    BlendMember("text_gda", 0.1, {"prior": 8.0, "shrinkage": 0.8}),
    BlendMember("text_gda", 0.1, {"prior": 64.0, "shrinkage": 0.95}),
)


class AutoHead(KernelHead):
    """`logits = B`, `B = x Wᵀ + b + phi(x Fᵀ) A`; other than that where a class has no shots.

    Then, with `z = x Tᵀ` and S the classes that have some, `logits = log p`:
    `p_c = softmax(z)_c` outside S, and `p_c = softmax_S(B)_c * sum_S softmax(z)` in it.

    Args:
        text: T, `[C, D]` class texts, times their scale and how far they are believed.
        seen: `[C]` true where a class has shots.
    """

    text: Tensor
    seen: Tensor

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__(**tensors)
        self._all = bool(self.seen.all())

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        answers = super().forward(x)
        return answers if self._all else share_out(answers, x @ self.text.T, self.seen)


@dataclass(eq=False, repr=False)
class Auto(Adapter):
    """Blend methods by what each says of support images it has not seen; nothing to tune.

    `logits = sum_j w_j Z_j`, Z_j the logits of zero-shot, ProKeR, text-prior GDA at four strengths
    of its prior, and one trained probe: cross-modal below four shots, then ZS-LP (not where
    training it several times would take long). All of them are linear in the image or in its
    affinities to the support, so the blend is one matrix and one kernel term, whatever was chosen.
    The weights maximise the likelihood of the support images under leave-one-out logits, drawn to
    fixed weights the more, the fewer shots there are (`handful.selection.stacking`). Zero-shot is a
    member: where the images teach nothing it wins.

    With one image in every class there is nothing to leave out, since its class would then be
    known by text alone. The fixed weights are used, and text-prior GDA, which can do without the
    text, takes over as far as zero-shot, which has seen none of the support images, is wrong about
    them (`handful.selection.capped_inverse_temperature`).

    A class without shots takes no part in this. Zero-shot says how likely it is that an image shows
    one of the classes with shots, and how likely each of the others is; the blend shares out the
    former (`AutoHead`).

    Args:
        pull: how strongly the weights are drawn to the fixed ones, divided by the shots.
        seed: of the members that are trained.

    Source: ours; stacking by Breiman, "Stacked Regressions", 1996.
    """

    title = "Auto"
    head = AutoHead
    calibrated = True

    pull: float = 8.0
    seed: int = 0

    def explain(self) -> dict[str, Any]:
        """Why: `reason`, one sentence, and `ranking`, the members by what they got right unseen.

        Each member has its `method`, `title`, `params`, `weight`, its `share` of the blend's
        spread (they add up to 1) and its `accuracy` on left-out images, None at one shot.
        """
        check_is_fitted(self)
        return self.explanation_

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        seen, within, words = _with_shots(targets, text)
        chosen = self._choose(features, within, words)
        heads = [m.build(self.seed)._fit(features, within, words) for m in chosen.members]
        with torch.no_grad():
            spread = torch.stack([h(features[:2048]).std(dim=1).mean() for h in heads]).double()
            self.explanation_ = explanation(chosen, spread, within)
            blend = _sum(heads, chosen.weights)
        return _spread_out(blend, _believed(chosen, text), seen)

    def _left_out(self, features: Tensor, targets: Tensor, text: ClassText) -> Tensor:
        """By the weights of the whole support set."""
        seen, within, words = _with_shots(targets, text)
        chosen = self._choose(features, within, words)
        left_out = chosen.left_out
        if left_out is None:
            left_out = _left_out(chosen.members, self.seed, features, within, words)
        blend = torch.einsum("j,jnc->nc", chosen.weights.float(), left_out)
        if seen.all():
            return blend
        answers = blend.new_zeros(len(blend), len(seen))
        answers[:, seen] = blend
        return share_out(answers, features @ _believed(chosen, text).T, seen)

    def _choose(self, features: Tensor, targets: Tensor, text: ClassText) -> BlendChoice:
        pull, seed = number("pull", self.pull, 0), whole("seed", self.seed)
        counts = torch.bincount(targets, minlength=len(text.classes))
        shots = len(targets) / int(counts.count_nonzero())
        members = [m for m in _MEMBERS if m.suits(counts, features.shape[1])]
        size = _BYTES * len(targets) * len(counts)
        check_memory(size, f"auto: comparing methods on {len(targets)} x {len(counts)} logits")
        with torch.no_grad():
            zero_shot = _MEMBERS[0].build(seed)._fit(features, targets, text)(features)
        believed = capped_inverse_temperature(zero_shot, targets)
        first = believed * torch.tensor([m.weight for m in members], dtype=torch.float64)
        first[members.index(_WITHOUT_TEXT)] += (1 - believed) * _BELIEF
        known = counts[targets] > 1
        if known.sum() < 2:
            return BlendChoice(members, first, None, known, believed)
        left_out = _left_out(members, seed, features, targets, text)
        weights = stacking_weights(left_out[:, known], targets[known], first, pull / shots)
        return BlendChoice(members, weights, left_out, known, believed)


def share_out(answers: Tensor, words: Tensor, seen: Tensor) -> Tensor:
    """`[M, C]` log-probabilities where some classes have no shots; see `AutoHead`.

    Args:
        answers: `[M, C]` logits of the blend, of use where `seen`.
        words: `[M, C]` logits of zero-shot.
        seen: `[C]` true where a class has shots.
    """
    told = words.log_softmax(1)
    mass = told.masked_fill(~seen, -math.inf).logsumexp(1, keepdim=True)
    inside = answers.masked_fill(~seen, -math.inf).log_softmax(1)
    return torch.where(seen, inside + mass, told)


def _with_shots(targets: Tensor, text: ClassText) -> tuple[Tensor, Tensor, ClassText]:
    """`[C]` which classes take part, `[N]` columns among them, and their text.

    Those that have shots; all of them where that is a single one, from which nothing is told apart.
    """
    seen = torch.bincount(targets, minlength=len(text.classes)) > 0
    if seen.all() or seen.sum() < 2:
        return torch.ones_like(seen), targets, text
    names = tuple(n for n, there in zip(text.classes, seen.tolist(), strict=True) if there)
    words = ClassText(text.embeddings[seen.numpy()], names, text.scale)
    return seen, (seen.cumsum(0) - 1)[targets], words


def _believed(chosen: BlendChoice, text: ClassText) -> Tensor:
    """`[C, D]` class texts, times their scale and how far they are believed."""
    return chosen.believed * text.scale * torch.from_numpy(text.weights)


def _spread_out(blend: KernelHead, zero_shot: Tensor, seen: Tensor) -> AutoHead:
    """The head of all classes from that of the classes with shots."""
    rows = torch.zeros_like(zero_shot)
    bias, coefficients = rows.new_zeros(len(seen)), rows.new_zeros(len(blend.keys), len(seen))
    rows[seen], bias[seen], coefficients[:, seen] = blend.weights, blend.bias, blend.coefficients
    return AutoHead(
        weights=rows,
        bias=bias,
        keys=blend.keys,
        coefficients=coefficients,
        beta=blend.beta,
        text=zero_shot,
        seen=seen,
    )


def _left_out(
    members: Sequence[BlendMember], seed: int, features: Tensor, targets: Tensor, text: ClassText
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
