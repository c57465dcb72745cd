"""`nn.MultiheadAttention` with the kernels and the precision that `_precision` chooses.

That module multiplies by its own weights without calling a layer, so a layer that stands in for
another never sees it. Whole modules stand in for it here; its weights stay the same objects.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from handful.encoders import linear


class OneDnnAttention(nn.MultiheadAttention):
    """Self-attention through oneDNN's float32 kernel; torch's own path in every other case.

    Args:
        plain: the module to stand in for.
    """

    product = staticmethod(linear.linear)  # for whoever multiplies by parts of the weights

    def __init__(self, plain: nn.MultiheadAttention) -> None:
        super().__init__(plain.embed_dim, plain.num_heads, batch_first=True, device="meta")
        self.in_proj_weight, self.in_proj_bias = plain.in_proj_weight, plain.in_proj_bias
        self.out_proj = cast(Any, linear.OneDnnLinear.of(plain.out_proj))
        self.train(plain.training)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """`[N, L, W]` to `[N, L, W]`, with its gradient."""
        if args or not _quick(query, key, value, kwargs):
            return super().forward(query, key, value, *args, **kwargs)
        inner = linear.linear(query, self.in_proj_weight, self.in_proj_bias)
        mixed = _attend(inner, self.num_heads, kwargs.get("attn_mask"))
        return self.out_proj(mixed), None


class HalfAttention(nn.Module):
    """Self-attention on bfloat16 operands; adding its answer to float32 gives float32.

    Args:
        plain: the module to stand in for; its weights are rounded to bfloat16.
    """

    def __init__(self, plain: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = plain.num_heads
        parts = {
            "in_weight": plain.in_proj_weight,
            "in_bias": plain.in_proj_bias,
            "out_weight": plain.out_proj.weight,
            "out_bias": plain.out_proj.bias,
        }
        for name, part in parts.items():
            self.register_buffer(name, part.detach().bfloat16(), persistent=False)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *_args: Any, **kwargs: Any
    ) -> tuple[Tensor, None]:
        """`[N, L, W]` of any type to `[N, L, W]` bfloat16."""
        weights = cast("dict[str, Tensor]", self._buffers)
        inner = functional.linear(query.bfloat16(), weights["in_weight"], weights["in_bias"])
        mask = kwargs.get("attn_mask")
        mixed = _attend(inner, self.num_heads, None if mask is None else mask.bfloat16())
        return functional.linear(mixed, weights["out_weight"], weights["out_bias"]), None


def can_stand_in(module: nn.Module) -> bool:
    """Whether a module is attention of the plain kind: one width, biases, batch first."""
    return (
        type(module) in (nn.MultiheadAttention, OneDnnAttention)
        and bool(module.batch_first)
        and bool(module._qkv_same_embed_dim)
        and module.in_proj_bias is not None
        and module.bias_k is None
        and not module.add_zero_attn
    )


def _quick(query: Tensor, key: Tensor, value: Tensor, settings: dict[str, Any]) -> bool:
    known = settings.keys() <= {"attn_mask", "need_weights"} and not settings.get("need_weights")
    mask = settings.get("attn_mask")
    masked = mask is None or (mask.ndim == 2 and mask.dtype == torch.float32)
    same = query is key and key is value and query.ndim == 3 and query.dtype == torch.float32
    return known and "need_weights" in settings and masked and same


def _attend(inner: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """`[N, L, 3W]` queries, keys and values to `[N, L, W]`."""
    count, length, triple = inner.shape
    width = triple // 3
    q, k, v = inner.view(count, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(count, length, width)
