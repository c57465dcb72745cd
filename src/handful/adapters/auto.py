"""Auto: a blend of methods, weighted by their leave-one-out logits; nothing to tune."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, KernelHead, check_memory, number, scalar, whole
from handful.adapters._blend_members import Blend, BlendMember, explanation
from handful.adapters._estimator import check_is_fitted
from handful.contracts import ClassText
from handful.selection import capped_inverse_temperature, stacking_weights

_KERNEL_UP_TO = 8192  # images: kernel ridge takes N² memory and N³ time
_WORK = 1e8  # N C D up to which a probe may be trained five times in a few seconds
_BYTES = 100  # a left-out logit of all members, with what the search for weights makes of it


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
        text: T, `[C, D]` class texts, times their scale and how far zero-shot is trusted.
        seen: `[C]` true where a class has shots.
    """

    text: Tensor
    seen: Tensor

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__(**tensors)
        self._all = bool(self.seen.all())

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        blend = super().forward(x)
        return blend if self._all else combine_unseen(blend, x @ self.text.T, self.seen)


@dataclass(eq=False, repr=False)
class Auto(Adapter):
    """Blend methods by their logits of support images that they have not seen; nothing to tune.

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

    A class without shots takes no part in this. Zero-shot gives the probability that an image is of
    the classes with shots, and that of each other class; the blend divides the former among
    its classes (`AutoHead`).

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
        seen, columns, words = _with_shots(targets, text)
        blend = self._blend(features, columns, words)
        heads = [m.build(self.seed)._fit(features, columns, words) for m in blend.members]
        with torch.no_grad():
            spread = torch.stack([h(features[:2048]).std(dim=1).mean() for h in heads]).double()
            self.explanation_ = explanation(blend, spread, columns)
            head = _sum(heads, blend.weights)
        return _for_all_classes(head, _zero_shot_rows(blend, text), seen)

    def _left_out(self, features: Tensor, targets: Tensor, text: ClassText) -> Tensor:
        """By the weights of the whole support set."""
        seen, columns, words = _with_shots(targets, text)
        blend = self._blend(features, columns, words)
        left_out = blend.left_out
        if left_out is None:
            left_out = _left_out(blend.members, self.seed, features, columns, words)
        logits = torch.einsum("j,jnc->nc", blend.weights.float(), left_out)
        if seen.all():
            return logits
        wide = logits.new_zeros(len(logits), len(seen))
        wide[:, seen] = logits
        return combine_unseen(wide, features @ _zero_shot_rows(blend, text).T, seen)

    def _blend(self, features: Tensor, targets: Tensor, text: ClassText) -> Blend:
        """The members that suit this support set, and their weights."""
        pull, seed = number("pull", self.pull, 0), whole("seed", self.seed)
        counts = torch.bincount(targets, minlength=len(text.classes))
        shots = len(targets) / int(counts.count_nonzero())
        members = [m for m in _MEMBERS if m.suits(counts, features.shape[1])]
        size = _BYTES * len(targets) * len(counts)
        check_memory(size, f"auto: comparing methods on {len(targets)} x {len(counts)} logits")
        with torch.no_grad():
            zero_shot = _MEMBERS[0].build(seed)._fit(features, targets, text)(features)
        trust = capped_inverse_temperature(zero_shot, targets)
        # what zero-shot is not trusted with goes to the member that needs no text
        first = trust * torch.tensor([m.weight for m in members], dtype=torch.float64)
        first[members.index(_WITHOUT_TEXT)] += 1 - trust
        known = counts[targets] > 1
        if known.sum() < 2:
            return Blend(members, first, None, known, trust)
        left_out = _left_out(members, seed, features, targets, text)
        # an only image of its class, left out, is known by text alone: it would favour zero-shot
        weights = stacking_weights(left_out[:, known], targets[known], first, pull / shots)
        return Blend(members, weights, left_out, known, trust)


def combine_unseen(blend: Tensor, zero_shot: Tensor, seen: Tensor) -> Tensor:
    """`[M, C]` log-probabilities where some classes have no shots; see `AutoHead`.

    Args:
        blend: `[M, C]` logits of the blend, of use where `seen`.
        zero_shot: `[M, C]` logits of zero-shot.
        seen: `[C]` true where a class has shots.
    """
    by_text = zero_shot.log_softmax(1)
    # log(softmax_S(B) * mass), in logarithms: probabilities far from the best underflow
    mass = by_text.masked_fill(~seen, -math.inf).logsumexp(1, keepdim=True)
    inside = blend.masked_fill(~seen, -math.inf).log_softmax(1)
    return torch.where(seen, inside + mass, by_text)


def _with_shots(targets: Tensor, text: ClassText) -> tuple[Tensor, Tensor, ClassText]:
    """`[C]` which classes take part, `[N]` columns among them, and their text.

    Those that have shots; all of them where that is a single one, since one class is no choice.
    """
    seen = torch.bincount(targets, minlength=len(text.classes)) > 0
    if seen.all() or seen.sum() < 2:
        return torch.ones_like(seen), targets, text
    names = tuple(n for n, there in zip(text.classes, seen.tolist(), strict=True) if there)
    words = ClassText(text.embeddings[seen.numpy()], names, text.scale)
    return seen, (seen.cumsum(0) - 1)[targets], words


def _zero_shot_rows(blend: Blend, text: ClassText) -> Tensor:
    """`[C, D]` class texts, times their scale and how far zero-shot is trusted."""
    return blend.trust * text.scale * torch.from_numpy(text.weights)


def _for_all_classes(head: KernelHead, zero_shot: Tensor, seen: Tensor) -> AutoHead:
    """The head of all classes from that of the classes with shots."""
    rows = torch.zeros_like(zero_shot)
    bias, coefficients = rows.new_zeros(len(seen)), rows.new_zeros(len(head.keys), len(seen))
    rows[seen], bias[seen], coefficients[:, seen] = head.weights, head.bias, head.coefficients
    tensors = {"weights": rows, "bias": bias, "coefficients": coefficients}
    return AutoHead(**tensors, keys=head.keys, beta=head.beta, text=zero_shot, seen=seen)


def _left_out(
    members: Sequence[BlendMember], seed: int, features: Tensor, targets: Tensor, text: ClassText
) -> Tensor:
    """`[J, N, C]`."""
    return torch.stack([m.build(seed)._left_out(features, targets, text) for m in members])


def _sum(heads: Sequence[nn.Module], weights: Tensor) -> KernelHead:
    """`sum_j w_j Z_j` as one head, with a kernel of one zero key where no member has any."""
    first = heads[0].get_buffer("weights")
    rows, bias = torch.zeros_like(first), torch.zeros(len(first))
    kernel = {"keys": first[:1] * 0, "coefficients": bias[None].clone(), "beta": scalar(0)}
    for head, weight in zip(heads, weights.tolist(), strict=True):
        if isinstance(head, KernelHead):
            part, shift = head.weights, head.bias
            kernel = {"keys": head.keys, "coefficients": weight * head.coefficients}
            kernel["beta"] = head.beta
        else:  # an affine head's bias is its answer to zero, its matrix that to unit vectors
            shift = head(torch.zeros_like(first[:1]))[0]
            part = (head(torch.eye(first.shape[1])) - shift).T
        rows, bias = rows + weight * part.double(), bias + weight * shift.double()
    return KernelHead(weights=rows.float(), bias=bias.float(), **kernel)
