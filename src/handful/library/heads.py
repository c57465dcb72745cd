"""Linear heads of many skills as one batched product, whatever methods they came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from handful.contracts import Array
from handful.packs.head import REFUSALS

BLOCK = 4  # columns; a skill's rows are padded to a multiple
CHUNK = 256  # images at once, as an adapter has them
_PROBES = 3
_MAX_SUPPORT = 64  # images of the support set, about, that the matrix is tried on
_TOLERANCE = 1e-5  # of the largest logit: float32's rounding of two ways to the same number


class StackedHeads:
    """`logits = x Wᵀ + b` for the rows of all linear heads at once, in blocks of four.

    A head begins in a block of its own and all blocks have one shape, so what a head answers does
    not depend on which others stand beside it: not even the last bit changes when one is added.

    Args:
        heads: `[C, D]` weights and `[C]` biases of each.
    """

    def __init__(self, heads: Sequence[tuple[Tensor, Tensor]]) -> None:
        width = heads[0][0].shape[1] if heads else 1
        blocks = [-(-len(weights) // BLOCK) for weights, _ in heads]  # rounded up
        self._weights = torch.zeros(sum(blocks), BLOCK, width)  # [B, 4, D]
        self._bias = torch.zeros(sum(blocks), 1, BLOCK)
        self._columns: list[slice] = []
        flat_weights, flat_bias, start = self._weights.view(-1, width), self._bias.view(-1), 0
        for (weights, bias), count in zip(heads, blocks, strict=True):
            columns = slice(start, start + len(weights))
            flat_weights[columns], flat_bias[columns] = weights, bias
            self._columns.append(columns)
            start += BLOCK * count

    def __call__(self, x: Tensor) -> list[Tensor]:
        """`[M, D]` unit rows to one `[M, C]` of each head."""
        if not self._columns:
            return []
        blocks = len(self._weights)
        # one matrix product over all columns would pick its kernel, and so the order of its sums,
        # by their number; a batch of equal blocks does not
        repeated = x.expand(blocks, *x.shape)
        logits = torch.baddbmm(self._bias, repeated, self._weights.transpose(1, 2))  # [B, M, 4]
        flat = logits.transpose(0, 1).reshape(len(x), blocks * BLOCK)
        return [flat[:, columns] for columns in self._columns]


def affine_form(head: nn.Module, support: Tensor) -> tuple[Tensor, Tensor] | None:
    """`[C, D]` weights and `[C]` bias of a head that is affine; None of one that is not.

    Found by probing, so no method has to be known: an affine head answers `a + b` with the sum of
    its answers to a and b, and unit vectors read off its matrix. That matrix then has to answer
    support images as the head does: a narrow kernel is zero far from its support set, and random
    probes alone would take it for affine.

    Args:
        head: `[M, D]` to `[M, C]`.
        support: `[N, D]` unit rows, of its support set.
    """
    width = support.shape[1]
    images = support[:: max(1, len(support) // _MAX_SUPPORT)]
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, _PROBES, width, generator=generator) / width**0.5
    try:
        with torch.inference_mode():
            bias = head(torch.zeros(1, width))
            of_sum = head(a + b)
            sum_of = head(a) + head(b) - bias
            size = float(of_sum.abs().max())
            # `not ... <=` also refuses NaN
            if not float((of_sum - sum_of).abs().max()) <= _TOLERANCE * max(size, _TOLERANCE):
                return None
            weights = (head(torch.eye(width)) - bias).T.contiguous()
            expected = torch.cat([of_sum, head(images)])
            logits = torch.addmm(bias[0], torch.cat([a + b, images]), weights.T)
            size = max(size, float(expected.abs().max()), _TOLERANCE)
            close = float((logits - expected).abs().max()) <= _TOLERANCE * size
    except REFUSALS:  # a plug-in's head may take unit rows only
        return None
    return (weights.clone(), bias[0].clone()) if close else None


def unit_rows(X: Array) -> Array:
    """`[N, D]` rows scaled to length one, as adapters make them; zero stays zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", X, X, dtype=np.float64))[:, None]
    return np.divide(X, np.where(norms > 0, norms, 1), dtype=np.float32, casting="same_kind")
