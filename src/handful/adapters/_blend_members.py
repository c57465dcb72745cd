"""The methods that `auto` blends: which take part, and with what weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handful import plugins
from handful.adapters._arguments import check_memory
from handful.adapters._inputs import CLIP_SCALE
from handful.contracts import ClassText
from handful.selection import (
    ClassMeans,
    Strength,
    gda_family,
    gda_family_left_out,
    has_others,
    stacking_weights,
    stratified_folds,
    unfitted_inverse_temperature,
    weighted_mean,
    weights_in_class,
)

_WORK = 1e8  # N C D up to which a probe may be trained five times in a few seconds
_FOLDS, _PROBE_FOLDS = 8, 4  # fits that stand in for leaving out each image; a probe's cost more
_COMPARED = 4e6  # left-out logits of a member that its weight is chosen on: thousands of images
_BYTES = 60  # a left-out logit of all members, with what the search for weights makes of it

# Images that the text counts for, how many times the scatter outweighs a sphere, and the weight
# before anything is known; see docs/methods.md on how they were chosen.
_GRID = (
    (2.0, 0.01, 0.0),
    (2.0, 0.3, 0.0),
    (2.0, 3.0, 0.8),
    (2.0, 30.0, 0.0),
    (16.0, 0.3, 0.4),
    (16.0, 3.0, 0.0),
    (64.0, 0.3, 0.0),
    (1024.0, 0.01, 0.0),
)
_PROBE = 0.8  # weight of the probe, where zero-shot's sureness is 1 or more; it starts at the text
_TEXT = 0.2  # weight of the last one, the text alone, for each unit of zero-shot's sureness
_ONE_SHOT = 0.15, 0.27  # factor on the weights at one shot, and what zero-shot's sureness adds


@dataclass(frozen=True)
class BlendMember:
    """A method in the blend.

    Args:
        name: of the adapter.
        weight: before anything is known of the task, on logits of spread 1.
        params: of the adapter, where they are not its defaults.
    """

    name: str
    weight: float
    params: Mapping[str, float]


class Members:
    """The members that suit a support set, fitted on it or on parts of it.

    Args:
        features: `[N, D]`, a constant added to all of them changes nothing.
        targets: `[N]` columns, every class has images.
        text: of the classes; its scale is not used.
        units: `[N]` what belongs together, is left out together, and counts as one image of its
            class; None: each image alone.
        seed: of the probe.
    """

    def __init__(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None, seed: int
    ) -> None:
        self.features, self.targets, self.units, self.seed = features, targets, units, seed
        self.words, self.classes = torch.from_numpy(text.weights), text.classes
        self.counted = weights_in_class(targets, units)
        count, width = features.shape
        self.count = count if self.counted is None else self.counted.sum().item()
        check_memory(
            _BYTES * count * len(self.words),
            f"auto: comparing methods on {count} x {len(self.words)} logits",
        )
        # N images spread in N - 1 directions; the sphere is of the mean variance in those
        ranks = max(1, min(self.count - 1, width))
        self.strengths = [
            Strength(prior, width / (width + ratio * ranks), 1.0) for prior, ratio, _ in _GRID
        ]
        # from where images lie to where texts lie: a probe that starts at the text finds them there
        means = ClassMeans.of(features, targets, len(self.words), self.counted).means
        self.shift = (self.words.double().mean(0) - means.mean(0)).float()
        zero_shot = (features + self.shift) @ self.words.T
        factor = unfitted_inverse_temperature(zero_shot, targets, self.counted)
        self.sureness = factor * weighted_mean(zero_shot.std(dim=1), self.counted).item()
        weights = [weight for _, _, weight in _GRID]
        weights[-1] = _TEXT * self.sureness
        self.all = [
            BlendMember("text_gda", weight, vars(strength))
            for weight, strength in zip(weights, self.strengths, strict=True)
        ]
        self.start = ClassText(text.embeddings, text.classes, factor) if factor > 0 else None
        if self.start is not None and count * len(self.words) * width <= _WORK:
            self.all.append(BlendMember("linear", _PROBE * min(1.0, self.sureness), {}))

    def fit(self) -> tuple[Tensor, Tensor]:
        """`[J, C, D]` weights and `[J, C]` biases, float64."""
        given = self.features, self.targets, self.words, self.strengths
        rows, bias = gda_family(*given, self.counted)
        rows, bias = CLIP_SCALE * rows, CLIP_SCALE * bias
        if len(self.all) > len(self.strengths):
            probe, offset = self._probe(torch.ones_like(self.targets, dtype=torch.bool))
            rows, bias = torch.cat([rows, probe[None]]), torch.cat([bias, offset[None]])
        return rows, bias

    def left_out(self, asked: Tensor | None = None) -> Tensor:
        """`[J, n, C]` float32 logits of images by fits without them; of those where `asked`."""
        if asked is None:
            asked = torch.ones_like(self.targets, dtype=torch.bool)
        given = self.features, self.targets, self.words, self.strengths
        logits = CLIP_SCALE * gda_family_left_out(*given, self._folds(_FOLDS), asked, self.counted)
        if len(self.all) == len(self.strengths):
            return logits
        folds = self._folds(_PROBE_FOLDS)
        probed = self.features.new_zeros(len(self.features), len(self.words))
        for fold in range(int(folds.max()) + 1):
            out = folds == fold
            rows, bias = self._probe(~out)
            probed[out] = (self.features[out].double() @ rows.T + bias).float()
        return torch.cat([logits, probed[None, asked]])

    def _folds(self, most: int) -> Tensor:
        """`[N]`; dealt out by the classes' names, so that the order of the classes is no matter."""
        rank = {name: place for place, name in enumerate(sorted(self.classes))}
        ranks = torch.tensor([rank[name] for name in self.classes])
        return stratified_folds(ranks[self.targets], most, self.units)

    def _probe(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """`[C, D]` weights and `[C]` biases of a linear probe on a part of the images."""
        adapter: Any = plugins.get("adapters", "linear")(seed=self.seed)
        units = None if self.units is None else self.units[kept]
        given = self.features[kept] + self.shift, self.targets[kept], self.start
        head = adapter._fit_units(*given, units)
        rows = (head.scale * head.weights).double()
        return rows, rows @ self.shift.double()


@dataclass(frozen=True)
class Blend:
    """Methods and their weights, chosen on a support set.

    Args:
        members: J methods that take part.
        weights: `[J]`.
        rows: `[J, C, D]` float64, each member's weights on an image.
        bias: `[J, C]` float64.
        left_out: `[J, n, C]` logits of images by fits without them; None at one shot.
        asked: `[N]` true for those n images: the class of each has others, and they are not too
            many.
    """

    members: Members
    weights: Tensor
    rows: Tensor
    bias: Tensor
    left_out: Tensor | None
    asked: Tensor

    def summed(self) -> tuple[Tensor, Tensor]:
        """`[C, D]` weights and `[C]` biases of the blend."""
        return torch.einsum("j,jcd->cd", self.weights, self.rows), self.weights @ self.bias

    def summed_left_out(self) -> Tensor:
        """`[N, C]` left-out logits of the blend."""
        found = self.left_out
        every = found if found is not None and self.asked.all() else self.members.left_out()
        return torch.einsum("j,jnc->nc", self.weights.float(), every)


def choose(
    features: Tensor,
    targets: Tensor,
    text: ClassText,
    units: Tensor | None,
    pull: float,
    seed: int,
) -> Blend:
    """The blend of `handful.adapters.auto.Auto`, where every class has images."""
    members = Members(features, targets, text, units, seed)
    rows, bias = members.fit()
    # the only unit of a class, left out, is known by text alone: it would favour zero-shot
    asked = has_others(targets, units)
    first = torch.tensor([m.weight for m in members.all], dtype=torch.float64)
    if asked.sum() < 2:
        fitted = torch.einsum("nd,jcd->jnc", features.double(), rows) + bias[:, None]
        size = _ONE_SHOT[0] + _ONE_SHOT[1] * members.sureness
        weights = size * first / _spread(fitted, targets, members.counted)
        return Blend(members, weights, rows, bias, None, asked)
    asked = _some(asked, int(max(2, _COMPARED // len(members.words))))
    left_out = members.left_out(asked)
    counted = None if members.counted is None else members.counted[asked]
    spread = _spread(left_out, targets[asked], counted)
    left_out = left_out / spread[:, None, None].float()
    shots = members.count / len(members.words)
    weights = stacking_weights(left_out, targets[asked], first, pull / shots, counted) / spread
    left_out = left_out * spread[:, None, None].float()
    return Blend(members, weights, rows, bias, left_out, asked)


def _some(asked: Tensor, most: int) -> Tensor:
    """`[N]` up to so many of the images where `asked`, evenly spread over them."""
    places = torch.nonzero(asked)[:, 0]
    if len(places) <= most:
        return asked
    chosen = torch.zeros_like(asked)
    chosen[places[torch.linspace(0, len(places) - 1, most).long()]] = True
    return chosen


def _spread(logits: Tensor, targets: Tensor, counted: Tensor | None) -> Tensor:
    """`[J]` standard deviation over the classes that an image is not of, the mean over images.

    A fit has seen its images, and what it says of their own class tells nothing of new ones.

    Args:
        logits: `[J, N, C]`.
        targets: `[N]`.
        counted: `[N]` images that each counts for, all 1 if None.
    """
    members, images, classes = logits.shape
    others = torch.ones(images, classes, dtype=torch.bool)
    if classes > 2:
        others[torch.arange(images), targets] = False
    apart = logits[:, others].view(members, images, -1).double().std(dim=2)
    apart = weighted_mean(apart, counted)
    return torch.where(apart > 0, apart, 1.0)
