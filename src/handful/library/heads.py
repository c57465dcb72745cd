"""Linear heads of many skills as one batched product, whatever methods they came from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handful.packs.restore import REFUSALS

BLOCK = 4  # columns; a skill's rows are padded to a multiple
CHUNK = 256  # images at once, as an adapter has them
_PROBES = 3
_KNOWN = 64  # images of the support set, about, that the matrix is tried on
_CLOSE = 1e-5  # of the largest logit: float32's rounding of two ways to the same number


class Stack:
    """`logits = x Wᵀ + b` for the rows of all linear heads at once, in blocks of four.

    A head begins in a block of its own and all blocks have one shape, so what a head answers does
    not depend on which others stand beside it: not even the last bit changes when one is added.

    Args:
        parts: `[C, D]` weights and `[C]` biases of each head.
    """

    def __init__(self, parts: Sequence[tuple[Tensor, Tensor]]) -> None:
        width = parts[0][0].shape[1] if parts else 1
        counts = [-(-len(weights) // BLOCK) for weights, _ in parts]
        self._weights = torch.zeros(sum(counts), BLOCK, width)  # [B, 4, D]
        self._bias = torch.zeros(sum(counts), 1, BLOCK)
        self._columns: list[slice] = []
        flat, shift, at = self._weights.view(-1, width), self._bias.view(-1), 0
        for (weights, bias), blocks in zip(parts, counts, strict=True):
            here = slice(at, at + len(weights))
            flat[here], shift[here] = weights, bias
            self._columns.append(here)
            at += BLOCK * blocks

    def __call__(self, x: Tensor) -> list[Tensor]:
        """`[M, D]` unit rows to one `[M, C]` of each head."""
        if not self._columns:
            return []
        blocks = len(self._weights)
        many = x.expand(blocks, *x.shape)
        found = torch.baddbmm(self._bias, many, self._weights.transpose(1, 2))  # [B, M, 4]
        flat = found.transpose(0, 1).reshape(len(x), blocks * BLOCK)
        return [flat[:, here] for here in self._columns]

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._weights.nbytes + self._bias.nbytes


def linear(head: nn.Module, seen: Tensor) -> tuple[Tensor, Tensor] | None:
    """`[C, D]` weights and `[C]` bias of a head that is affine; None of one that is not.

    Found by asking, so no method has to be known: an affine head says of `a + b` what it says of a
    and b together, and tells its matrix when asked with unit vectors. That matrix then has to say
    of images that it was taught with what the head says: a narrow kernel says nothing of anything
    else, and would pass for affine.

    Args:
        head: `[M, D]` to `[M, C]`.
        seen: `[N, D]` unit rows, of its support set.
    """
    width = seen.shape[1]
    known = seen[:: max(1, len(seen) // _KNOWN)]
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, _PROBES, width, generator=generator) / width**0.5
    try:
        with torch.inference_mode():
            zero = head(torch.zeros(1, width))
            together = head(a + b)
            apart = head(a) + head(b) - zero
            size = float(together.abs().max())
            if not float((together - apart).abs().max()) <= _CLOSE * max(size, _CLOSE):
                return None
            weights = (head(torch.eye(width)) - zero).T.contiguous()
            rows, wanted = torch.cat([a + b, known]), torch.cat([together, head(known)])
            said = torch.addmm(zero[0], rows, weights.T)
            size = max(size, float(wanted.abs().max()), _CLOSE)
            close = float((said - wanted).abs().max()) <= _CLOSE * size
    except REFUSALS:  # a head of somebody else's that takes unit rows only
        return None
    return (weights.clone(), zero[0].clone()) if close else None
