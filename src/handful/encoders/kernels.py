"""Float32 products through oneDNN on x86 CPUs, as stand-ins for two layers of torch.

torch hands float32 products on a CPU to MKL, which takes a slow path on processors that are not
Intel's; oneDNN chooses its kernels by what the processor can do. The numbers agree to 1e-6.

`nn.MultiheadAttention` multiplies by its own weights without calling a layer, so replacing
`nn.Linear` does not reach it; it has a stand-in of its own. Weights stay the same objects.
"""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional


def use_onednn(model: nn.Module, device: torch.device) -> None:
    """Replace the layers of a model on an x86 CPU with AVX, in place; elsewhere do nothing."""
    available = hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.backends.mkldnn.enabled
    x86 = "AVX" in torch.backends.cpu.get_cpu_capability()
    if device.type != "cpu" or not available or not x86:
        return
    for name, module in list(model.named_modules()):
        if type(module) is nn.MultiheadAttention and is_plain_attention(module):
            model.set_submodule(name, OneDnnAttention(module))
        elif type(module) is nn.Linear:
            model.set_submodule(name, OneDnnLinear.of(module))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b` with its gradient; torch's own for other types, no rows, or under autocast.

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
    """`nn.Linear` through oneDNN."""

    product = staticmethod(linear)  # for callers that multiply by parts of the weights

    @classmethod
    def of(cls, plain: nn.Linear) -> Self:
        """The stand-in for a layer; it shares the weights."""
        # "meta" allocates nothing: the constructor's own weights are replaced at once
        made = cls(plain.in_features, plain.out_features, device="meta")
        made.weight, made.bias = plain.weight, plain.bias
        return made

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        return linear(x, self.weight, self.bias)


class OneDnnAttention(nn.MultiheadAttention):
    """Self-attention through oneDNN; torch's own path in every other case.

    Args:
        plain: the module to stand in for.
    """

    product = staticmethod(linear)  # for callers that multiply by parts of the weights

    def __init__(self, plain: nn.MultiheadAttention) -> None:
        super().__init__(plain.embed_dim, plain.num_heads, batch_first=True, device="meta")
        self.in_proj_weight, self.in_proj_bias = plain.in_proj_weight, plain.in_proj_bias
        self.out_proj = cast(Any, OneDnnLinear.of(plain.out_proj))
        self.train(plain.training)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """`[N, L, W]` to `[N, L, W]`."""
        if args or not _is_self_attention(query, key, value, kwargs):
            return super().forward(query, key, value, *args, **kwargs)
        qkv = linear(query, self.in_proj_weight, self.in_proj_bias)
        return self.out_proj(attend(qkv, self.num_heads, kwargs.get("attn_mask"))), None


def is_plain_attention(module: nn.Module) -> bool:
    """Whether a module is attention of one width, with biases and the batch first."""
    return (
        type(module) in (nn.MultiheadAttention, OneDnnAttention)
        and bool(module.batch_first)
        and bool(module._qkv_same_embed_dim)
        and module.in_proj_bias is not None
        and module.bias_k is None
        and not module.add_zero_attn
    )


def attend(qkv: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """`[N, L, 3W]` queries, keys and values to `[N, L, W]`, before the output projection."""
    count, length, triple = qkv.shape
    width = triple // 3
    q, k, v = qkv.view(count, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(count, length, width)


def _is_self_attention(query: Tensor, key: Tensor, value: Tensor, settings: dict[str, Any]) -> bool:
    """Whether this is float32 self-attention without dropped weights or padding masks."""
    # `need_weights` is True by default in torch, so False has to be given
    known = settings.keys() <= {"attn_mask", "need_weights"} and not settings.get("need_weights")
    mask = settings.get("attn_mask")
    masked = mask is None or (mask.ndim == 2 and mask.dtype == torch.float32)
    same = query is key and key is value and query.ndim == 3 and query.dtype == torch.float32
    return known and "need_weights" in settings and masked and same


class _Product(torch.autograd.Function):
    """Forward and backward of `linear`; differentiable once.

    The oneDNN operator has no gradient in torch. For Y = X W^T: dX = dY W and dW = dY^T X.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        needs_x, needs_weight, _ = ctx.needs_input_grad
        # each gradient needs the other operand: a frozen layer keeps no input
        ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = cast(Any, ctx).saved_tensors
        needs_x, needs_weight, needs_bias = cast(Any, ctx).needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        dx = _product(grad, weight.t(), None) if needs_x else None
        dw = _product(rows.t(), x.reshape(-1, x.shape[-1]).t(), None) if needs_weight else None
        return dx, dw, rows.sum(dim=0) if needs_bias else None


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
