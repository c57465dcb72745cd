"""Near copies: whether two photos are one picture, seen after a small move of the camera.

Features alone cannot tell: independent photos of a narrow domain (the sea from above) are more
alike to an encoder than two frames of a burst elsewhere. So features only name candidates, and the
pictures decide: the middle of one is laid on the other at several scales, angles and places, and
the details have to agree. Details are what is left after a blurred picture is taken away, so that
two shirts that hang in the same place differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from handful.selection.links import Links

SIDE = 64  # pixels of a side of the pictures that are compared
# Similarity from which two pictures are one. Independent photos of 10 classes of clothes, of which
# many hang on one wall, reach 0.82, and satellite photos 0.45; frames that were cut by up to 15 %,
# turned by up to 3 degrees and stored anew have 0.8 to 0.95 (bench/near_copies.py).
SAME = 0.84
_NEIGHBOURS = 8  # candidates a photo
_MIDDLE = 0.7  # of the side, what is laid on the other picture
_SCALES = (0.84, 0.89, 0.945, 1.0, 1.06, 1.12, 1.19)
_ANGLES = (-2.0, 0.0, 2.0)  # degrees
_FINE, _COARSE = 0.8, 3.0  # deviations of the two blurs, whose difference is the detail
_FIRST = 0.5  # similarity at half the size below which a pair is not looked at closer
_BATCH = 64
# Mean square a pixel of the details. JPEG leaves noise of about that much, which makes pictures of
# little detail, a forest from above, less alike than they are; below the least is nothing to see.
_NOISE, _LEAST = 1.5, 1.5
# Share of a picture that its details fill. Below it one small thing on plain ground, or a camera's
# strip of text, would stand for the picture, and two drawings of a star would be one.
_SPREAD = 0.2


def candidate_pairs(features: NDArray[Any], most: int) -> NDArray[np.int64]:
    """`[P, 2]` pairs of rows that may be near copies, the most alike first.

    Args:
        features: `[N, D]` unit rows.
        most: pairs at most.
    """
    count = len(features)
    k = min(_NEIGHBOURS, count - 1)
    if k < 1:
        return np.zeros((0, 2), dtype=np.int64)
    found: dict[tuple[int, int], float] = {}
    for start in range(0, count, 1024):  # [N, N] may not fit
        cosines = features[start : start + 1024] @ features.T
        own = np.arange(len(cosines))
        cosines[own, own + start] = -2
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        for row, columns in enumerate(nearest.tolist()):
            i = row + start
            found |= {(min(i, j), max(i, j)): float(cosines[row, j]) for j in columns}
    ranked = sorted(found, key=lambda pair: (-found[pair], pair))[:most]
    return np.array(ranked, dtype=np.int64).reshape(-1, 2)


def are_one_picture(
    pictures: NDArray[np.uint8], pairs: NDArray[np.int64], same: float = SAME
) -> NDArray[np.bool_]:
    """`[P]` whether two pictures are one, or are linked by others that are.

    Args:
        pictures: `[N, SIDE, SIDE, 3]`.
        pairs: `[P, 2]` positions among them; the likeliest first, for what is linked by them is
            not compared again.
        same: similarity from which they are one.
    """
    result = np.zeros(len(pairs), dtype=np.bool_)
    planes = torch.from_numpy(pictures).movedim(3, 1).float()
    full, half = _details(planes), _details(functional.avg_pool2d(planes, 2))
    links = Links(len(pictures))
    spread = _spread(full).numpy() >= _SPREAD
    told = spread[pairs[:, 0]] & spread[pairs[:, 1]]
    for start in range(0, len(pairs), _BATCH):
        batch = range(start, min(start + _BATCH, len(pairs)))
        roots = [tuple(map(links.root, pairs[p].tolist())) for p in batch]
        result[start : start + len(roots)] = [i == j for i, j in roots]
        todo = np.array([p for p in batch if told[p] and not result[p]], dtype=np.int64)
        todo = todo[_similarity(half, pairs[todo], angles=(0.0,)) >= _FIRST]
        for p in todo[_similarity(full, pairs[todo]) >= same]:
            result[p] = True
            links.join(*pairs[p].tolist())
    return result


def picture_similarity(
    pictures: NDArray[np.uint8], pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    """`[P]` similarity of pairs of pictures at the best scale, angle and place.

    `2 a·b / (a·a + b·b)` of the details, a those of the first picture's middle and b of what lies
    under it, in all three colours: 1 for the same picture, and less for another contrast too.
    Then times `1 + noise / e`, e the mean square of a and b: what noise has taken of it is given
    back. 0 where there is no detail.

    Args:
        pictures: `[N, SIDE, SIDE, 3]`.
        pairs: `[P, 2]` positions among them.
    """
    return _similarity(_details(torch.from_numpy(pictures).movedim(3, 1).float()), pairs)


def _details(pictures: Tensor) -> Tensor:
    """`[N, 3, S, S]` to the same: a slight blur less a stronger one."""
    planes = pictures.flatten(0, 1)[:, None]
    return (_blurred(planes, _FINE) - _blurred(planes, _COARSE)).view(pictures.shape)


def _spread(details: Tensor) -> Tensor:
    """`[N]` share of the blocks that hold the details, `(sum e)² / (blocks · sum e²)`."""
    energy = functional.avg_pool2d(details.pow(2).mean(dim=1), details.shape[-1] // 8).flatten(1)
    blocks = energy.shape[1]
    return energy.sum(dim=1) ** 2 / (blocks * energy.pow(2).sum(dim=1)).clamp_min(1e-12)


def _blurred(planes: Tensor, deviation: float) -> Tensor:
    reach = math.ceil(3 * deviation)
    weights = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * deviation**2))
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    padded = functional.pad(planes, (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights), weights.movedim(3, 2))


def _similarity(
    details: Tensor, pairs: NDArray[np.int64], angles: tuple[float, ...] = _ANGLES
) -> NDArray[np.float32]:
    found = [_of_batch(details, batch, angles) for batch in _batches(torch.from_numpy(pairs))]
    return torch.cat(found).numpy() if found else np.zeros(0, dtype=np.float32)


def _batches(pairs: Tensor) -> Iterator[Tensor]:
    return (pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH))


def _of_batch(details: Tensor, pairs: Tensor, angles: tuple[float, ...]) -> Tensor:
    first, second = details[pairs[:, 0]], details[pairs[:, 1]]
    count, colours, side = first.shape[:3]
    size = round(_MIDDLE * side)
    turns = [_turn(scale, angle, size / side) for scale, angle in product(_SCALES, angles)]
    middles = []
    for turn in turns:
        grid = functional.affine_grid(turn.expand(count, 2, 3), [count, colours, size, size], False)
        middle = functional.grid_sample(first, grid, padding_mode="reflection", align_corners=False)
        middles.append(middle - middle.mean(dim=(2, 3), keepdim=True))
    laid = torch.stack(middles, dim=1)  # [B, T, 3, size, size]
    moved = functional.conv2d(
        second.reshape(1, count * colours, side, side), laid.flatten(0, 1), groups=count
    )
    products = moved.view(count, len(turns), *moved.shape[2:])
    mean, square = functional.avg_pool2d(second, size, 1), functional.avg_pool2d(second**2, size, 1)
    under = ((square - mean**2).clamp_min(0) * size**2).sum(dim=1)[:, None]
    energy = laid.flatten(2).pow(2).sum(dim=2)[:, :, None, None]
    energy = (energy + under) / (2 * colours * size**2)
    alike = products / (energy.clamp_min(_LEAST) * colours * size**2) * (1 + _NOISE / energy)
    return torch.where(energy < _LEAST, 0.0, alike).flatten(1).amax(dim=1)


def _turn(scale: float, angle: float, part: float) -> Tensor:
    """`[2, 3]` of `affine_grid`: the middle part of a picture, enlarged and turned."""
    turned = torch.tensor(math.radians(angle))
    c, s = torch.cos(turned) / scale * part, torch.sin(turned) / scale * part
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0]])
