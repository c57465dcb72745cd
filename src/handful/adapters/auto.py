"""Auto: a blend of methods, weighted by their leave-one-out logits; nothing to tune."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, KernelHead, check_is_fitted, number, scalar, whole
from handful.adapters._blend_explanation import explanation
from handful.adapters._blend_members import Blend, choose
from handful.contracts import ClassText
from handful.selection import unfitted_inverse_temperature


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

    `logits = sum_j w_j Z_j`, Z_j the logits of text-prior GDA (`text_gda`) at several strengths,
    from one that two images outvote the text in to one where it takes 64, and, where training it
    five times does not take long, of a linear probe that starts at the text. All of them are affine
    in the image, so the blend is one matrix and one bias, whatever was chosen. The weights maximise
    the likelihood of the support images under leave-one-out logits, drawn to fixed weights the
    more, the fewer shots there are (`handful.selection.stacking`). With one image in every class
    there is nothing to leave out, and the fixed weights are used.

    How far the text can be trusted is learned, at one shot too, and never taken from the encoder's
    logit scale. In text-prior GDA the text says where the images of a class lie by a regression of
    their means on the texts (`handful.selection.modality_gap`): where texts do not go with images
    its slope is zero and the images alone decide. The probe starts at the text times the factor
    at which zero-shot, which has seen none of the support images, is likeliest for them
    (`handful.selection.unfitted_inverse_temperature`). Images are taken relative to their mean, so
    a constant added to all of them changes nothing.

    A class without shots takes no part in this. Zero-shot, times that factor, gives the probability
    that an image is of the classes with shots, and that of each other class; the blend divides the
    former among its classes (`AutoHead`).

    Args:
        pull: how strongly the weights are drawn to the fixed ones, divided by the shots.
        seed: of the member that is trained.

    Source: ours; stacking by Breiman, "Stacked Regressions", 1996.
    """

    title = "Auto"
    head = AutoHead
    calibrated = True

    pull: float = 3.0
    seed: int = 0

    def explain(self) -> dict[str, Any]:
        """Why: `reason`, one sentence, and `ranking`, the members by what they got right unseen.

        Each member has its `method`, `title`, `params`, `weight`, its `share` of the blend's
        spread (they add up to 1) and its `accuracy` on left-out images, None at one shot.
        """
        check_is_fitted(self)
        return self.explanation_

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return self._fit_units(features, targets, text, None)

    def _fit_units(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> nn.Module:
        seen, columns, words = _with_shots(targets, text)
        blend = self._blend(features, columns, words, units)
        with torch.no_grad():
            self.explanation_ = explanation(blend, features, columns, words)
            weights, bias = blend.summed()
            return _for_all_classes(
                weights,
                bias,
                _text_rows(features, columns, words, text, blend.members.counted),
                seen,
            )

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        """By the weights of the whole support set."""
        seen, columns, words = _with_shots(targets, text)
        blend = self._blend(features, columns, words, units)
        logits = blend.summed_left_out()
        if seen.all():
            return logits
        wide = logits.new_zeros(len(logits), len(seen))
        wide[:, seen] = logits
        rows = _text_rows(features, columns, words, text, blend.members.counted)
        return combine_unseen(wide, features @ rows.T, seen)

    def _blend(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Blend:
        pull, seed = number("pull", self.pull, 0), whole("seed", self.seed)
        return choose(features, targets, text, units, pull, seed)


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


def _text_rows(
    features: Tensor, columns: Tensor, words: ClassText, text: ClassText, counted: Tensor | None
) -> Tensor:
    """`[C, D]` texts of all classes, times the factor at which the images believe them.

    Args:
        features: `[N, D]`.
        columns: `[N]` among the classes of `words`.
        words: the classes with shots.
        text: all classes.
        counted: `[N]` images that each counts for, all 1 if None.
    """
    zero_shot = features @ torch.from_numpy(words.weights).T
    factor = unfitted_inverse_temperature(zero_shot, columns, counted)
    return factor * torch.from_numpy(text.weights)


def _for_all_classes(weights: Tensor, bias: Tensor, text: Tensor, seen: Tensor) -> AutoHead:
    """The head of all classes from weights and biases of those with shots; no kernel term."""
    rows, shift = torch.zeros_like(text), text.new_zeros(len(seen))
    rows[seen], shift[seen] = weights.float(), bias.float()
    kernel = {"keys": rows[:1] * 0, "coefficients": shift[None] * 0, "beta": scalar(0)}
    return AutoHead(weights=rows, bias=shift, **kernel, text=text, seen=seen)
