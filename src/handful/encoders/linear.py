"""`x W^T + b` in float32 through oneDNN, with a gradient.

torch hands float32 products on a CPU to MKL, which on processors that are not Intel's takes a slow
path; oneDNN picks its kernels by what the processor can do. The operator that reaches oneDNN knows
no gradient, so it is told here: all three products of a layer go the same way. Same numbers to
1e-6.
"""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`[..., in]` to `[..., out]`; torch's own product for other types, no rows, or under autocast.

    Args:
        x: `[..., in]`.
        weight: `[out, in]`.
        bias: `[out]`, or None.
    """
    given = (x, weight) if bias is None else (x, weight, bias)
    plain = any(t.dtype != torch.float32 for t in given)
    if plain or not x.numel() or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(t.requires_grad for t in given):
        return cast(Tensor, _Product.apply(x, weight, bias))  # type: ignore[no-untyped-call]
    return _product(x, weight, bias)


class OneDnnLinear(nn.Linear):
    """`nn.Linear` through oneDNN: same weights, same numbers to 1e-6."""

    product = staticmethod(linear)  # for whoever multiplies by parts of the weights

    @classmethod
    def of(cls, plain: nn.Linear) -> Self:
        """One that stands in for a layer; the weights stay the same objects."""
        made = cls(plain.in_features, plain.out_features, device="meta")
        made.weight, made.bias = plain.weight, plain.bias
        return made

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.Linear`, with its gradient."""
        return linear(x, self.weight, self.bias)


class _Product(torch.autograd.Function):
    """Forward and backward of `linear`; differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        learns, moves = ctx.needs_input_grad[1], ctx.needs_input_grad[0]
        ctx.save_for_backward(x if learns else None, weight if moves else None)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = cast(Any, ctx).saved_tensors
        moves, learns, shifts = cast(Any, ctx).needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        dx = _product(grad, weight.t(), None) if moves else None
        dw = _product(rows.t(), x.reshape(-1, x.shape[-1]).t(), None) if learns else None
        return dx, dw, rows.sum(dim=0) if shifts else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
