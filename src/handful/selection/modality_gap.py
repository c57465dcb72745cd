"""The gap between image and text features: where the images of a class lie, by its text alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NO_DIRECTION = 1e-6  # a mean of unit rows that is shorter than this has no direction


@dataclass(frozen=True)
class ClassMeans:
    """Class means of a support set, in float64, and what each sample adds to its own.

    Args:
        means: `[C, D]`, zero for a class without shots.
        counts: `[C]` images, or the sum of their weights.
        residuals: `[N, D]`, each sample minus the mean of its class.
    """

    means: Tensor
    counts: Tensor
    residuals: Tensor

    @classmethod
    def of(
        cls, features: Tensor, targets: Tensor, classes: int, weights: Tensor | None = None
    ) -> ClassMeans:
        """From `[N, D]` features, `[N]` columns and `[N]` weights of the samples, all 1 if None."""
        rows = features.double()
        images = torch.bincount(targets, minlength=classes)
        counts = images.double()
        parts = rows
        if weights is not None:
            counts = torch.zeros_like(counts).index_add_(0, targets, weights)
            parts = weights[:, None] * rows
        sums = rows.new_zeros(classes, rows.shape[1]).index_add_(0, targets, parts)
        means = sums / torch.where(counts > 0, counts, 1.0)[:, None]
        alone = (images == 1)[targets]  # exactly zero then, where rounding would leave a direction
        residuals = torch.where(alone[:, None], 0.0, rows - means[targets])
        return cls(means, counts, residuals)


def unit_means(means: Tensor, text: Tensor) -> Tensor:
    """`[n, D]` means scaled to length one; where opposite images cancel, the class's text."""
    norms = means.norm(dim=1, keepdim=True)
    return torch.where(norms > NO_DIRECTION, means / norms.clamp(min=NO_DIRECTION), text)


def modality_gap(means: Tensor, counts: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """`[D]` offset h and `[]` gain g: the image mean that a class's text suggests is `h + g T_c`.

    Images and texts lie apart. With `x` the mean of the class means, `t` that of their texts,
    `g = sum_c <T_c - t, mean_c - x> / sum_c |T_c - t|²` over the classes that have shots (0 where
    text and images disagree) and `h = x - g t`.

    Args:
        means: `[C, D]` class means, zero for a class without shots.
        counts: `[C]` shots.
        text: `[C, D]` unit rows.
    """
    found = sums(means, counts, text)
    return line(found.classes, found.image, found.text, found.squares, found.products)


@dataclass(frozen=True)
class Sums:
    """Sums over the classes with shots: 1, mean_c, T_c, |T_c|² and <mean_c, T_c>."""

    classes: Tensor
    image: Tensor
    text: Tensor
    squares: Tensor
    products: Tensor


def sums(means: Tensor, counts: Tensor, text: Tensor) -> Sums:
    """Of `[C, D]` class means, `[C]` shots and `[C, D]` texts."""
    seen = counts > 0
    x, t = means[seen].double(), text[seen].double()
    return Sums(seen.sum().double(), x.sum(0), t.sum(0), (t * t).sum(), (x * t).sum())


def line(
    classes: Tensor, image: Tensor, text: Tensor, squares: Tensor, products: Tensor
) -> tuple[Tensor, Tensor]:
    """Offset and gain from sums over the classes with shots; one row, or one a unit left out."""
    # sum_c <T_c - t, mean_c - x> = sum_c <T_c, mean_c> - <sum T_c, sum mean_c> / C, and likewise
    spread = squares - (text * text).sum(-1, keepdim=text.ndim > 1) / classes
    shared = products - (text * image).sum(-1, keepdim=text.ndim > 1) / classes
    known = spread > 1e-9 * classes  # texts that are all the same suggest nothing
    gain = torch.where(known, shared / torch.where(known, spread, 1.0), 0.0).clamp(min=0)
    offset = (image - gain * text) / classes
    return offset, gain.squeeze(-1) if gain.ndim else gain
