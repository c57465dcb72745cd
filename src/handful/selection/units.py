"""Units (`handful.selection.groups`) for tensors; None stands for units of one image each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from handful.selection.groups import find_units, group_folds, left_out_units, unit_weights


def stratified_folds(targets: Tensor, most: int, units: Tensor | None = None) -> Tensor:
    """`[N]` fold of each sample, of up to `most`: the units of a class are dealt out in turn.

    See `group_folds`. Without units each sample is one, and folds differ by one image at most.

    >>> stratified_folds(torch.tensor([0, 0, 0, 1, 1]), 2)
    tensor([0, 1, 0, 1, 0])
    """
    each = np.arange(len(targets)) if units is None else units.numpy()
    return torch.from_numpy(group_folds(targets.numpy(), each, most))


def has_others(targets: Tensor, units: Tensor | None = None) -> Tensor:
    """`[N]` whether the class of each sample is known by other units than the sample's own.

    See `left_out_units`.
    """
    if units is None:
        return torch.bincount(targets)[targets] > 1
    return torch.from_numpy(left_out_units(targets.numpy(), units.numpy()))


def weights_in_class(targets: Tensor, units: Tensor | None) -> Tensor | None:
    """`[N]` float64 weights: the images of a unit that are of one class count as one together.

    None without units: each image counts as one.

    >>> weights_in_class(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 0])).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    if units is None:
        return None
    parts = find_units(list(zip(units.tolist(), targets.tolist(), strict=True)))
    return torch.from_numpy(unit_weights(parts))


def one_each(targets: Tensor, units: Tensor | None) -> Tensor:
    """`[P]` columns, the images of a unit that are of one class once: what there is to count shots.

    >>> one_each(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 0])).tolist()
    [0, 0, 1]
    """
    if units is None:
        return targets
    pairs = dict.fromkeys(zip(units.tolist(), targets.tolist(), strict=True))
    return torch.tensor(sorted(column for _, column in pairs))


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """`[...]` mean over the last dimension of `[..., N]` values, by `[N]` weights."""
    if weights is None:
        return values.mean(-1)
    return values @ weights.to(values) / weights.sum().to(values)


def blocks(units: Tensor) -> list[Tensor]:
    """Samples of each unit: `[u, m]` positions of the u units of m samples, for each m there is.

    >>> blocks(torch.tensor([0, 1, 1, 2]))
    [tensor([[0],
            [3]]), tensor([[1, 2]])]
    """
    sizes = torch.bincount(units)
    order, starts = torch.argsort(units, stable=True), sizes.cumsum(0) - sizes
    found = []
    for size in sorted(set(sizes.tolist()) - {0}):
        first = starts[sizes == size][:, None]
        found.append(order[first + torch.arange(size)])
    return found


def slices(count: int, units: Tensor | None, most: int) -> list[slice]:
    """Samples in parts of about so many, no unit torn apart.

    Args:
        count: N.
        units: `[N]`, ascending; None: each sample alone.
        most: samples a part, but for the rest of its last unit.

    >>> slices(5, torch.tensor([0, 0, 1, 1, 2]), 1)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    firsts: Sequence[int] = range(count)
    if units is not None:
        firsts = [0, *(torch.nonzero(units.diff())[:, 0] + 1).tolist()]
    bounds = [0]
    for first in firsts:
        if first - bounds[-1] >= most:
            bounds.append(first)
    return [slice(*pair) for pair in pairwise([*bounds, count])]
