"""Exact leave-one-out predictions of caches and class means, without refits."""

from __future__ import annotations

import torch
from torch import Tensor

from handful.selection._parts import Parts, Remaining
from handful.selection.modality_gap import NO_DIRECTION, ClassMeans, unit_means

_CHUNK = 1024  # samples at once against all N


def cache_leave_one_out(
    features: Tensor, targets: Tensor, classes: int, beta: float, units: Tensor | None = None
) -> Tensor:
    """`[N, C]` votes of a cache model, the keys of each sample's unit left out.

    `sum over the other keys j of class c of exp(-beta * (1 - x_i · x_j))`

    Args:
        features: `[N, D]` unit rows, the keys.
        targets: `[N]` columns.
        classes: C.
        beta: sharpness of the affinity.
        units: `[N]` units; None: each sample alone.
    """
    votes = []
    for at in torch.split(torch.arange(len(features)), _CHUNK):
        affinity = (beta * (features[at] @ features.T - 1)).exp_()
        if units is None:
            affinity[torch.arange(len(at)), at] = 0
        else:
            affinity.masked_fill_(units[at][:, None] == units, 0)
        empty = affinity.new_zeros(len(at), classes)
        votes.append(empty.index_add_(1, targets, affinity))
    return torch.cat(votes)


def class_means_leave_one_out(
    features: Tensor, targets: Tensor, text: Tensor, units: Tensor | None = None
) -> Tensor:
    """`[N, C]` float64 cosines with the class means, each sample's unit left out of them.

    A class without other images stands where its text suggests (`modality_gap`).

    Args:
        features: `[N, D]` unit rows, of two units at least.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        units: `[N]` units from 0; None: each sample alone.
    """
    given, parts = ClassMeans.of(features, targets, len(text)), Parts.of(targets, units)
    rows, words = features.double(), text.double()
    without = Remaining.of(given, parts, words)
    unseen = given.counts == 0
    cosines = rows @ unit_means(given.means, words).T
    if unseen.any():
        offsets, gains = without.offset[parts.units], without.gain[parts.units][:, None]
        cosines[:, unseen] = _text_cosines(rows, offsets, gains, words[unseen])
    own = words[parts.column]
    suggested = without.offset[parts.unit] + without.gain[parts.unit][:, None] * own
    known = (without.counts > 0)[:, None]
    parts.set_own(cosines, rows, unit_means(torch.where(known, without.means, suggested), own))
    return cosines


def _text_cosines(rows: Tensor, offsets: Tensor, gains: Tensor, text: Tensor) -> Tensor:
    """`[N, U]` cosines of each row with `h_i + g_i T_u`, without a tensor `[N, U, D]`."""
    # |h + g T|² = |h|² + 2 g <h, T> + g², since T has length one
    squares = offsets.square().sum(1, keepdim=True) + 2 * gains * (offsets @ text.T) + gains**2
    inner = (rows * offsets).sum(1, keepdim=True) + gains * (rows @ text.T)
    short = squares <= NO_DIRECTION**2
    return torch.where(short, rows @ text.T, inner / torch.where(short, 1.0, squares).sqrt())
