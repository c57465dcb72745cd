"""Fused attention split into query, key and value projections, so that each can be changed.

`nn.MultiheadAttention` and many vision towers hold all three in one matrix and, on their fast
paths, never call the layer that holds it; a LoRA on that layer would be trained and have no effect.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from handful.errors import InputError

QKV = ("q_proj", "k_proj", "v_proj")


def split_qkv(fused: nn.Module, name: str) -> nn.Module:
    """A replacement with `q_proj`, `k_proj` and `v_proj`, on the same weights.

    Raises:
        InputError: a kind of layer that cannot be split.
    """
    if isinstance(fused, nn.MultiheadAttention):
        return SplitAttention(fused)
    if isinstance(fused, nn.Linear) and fused.out_features % 3 == 0:
        return SplitQKVLinear(fused)
    raise InputError(
        f"{name}: query, key and value cannot be told apart in a {type(fused).__name__}; "
        "use the tuner block or norm for this encoder"
    )


class SplitQKVLinear(nn.Module):
    """An `nn.Linear` to query, key and value at once, as three projections.

    Args:
        fused: `[3 W, W]`.
    """

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = fused.in_features, fused.out_features
        for index, name in enumerate(QKV):
            setattr(self, name, _QKVSlice(fused, "", index))

    def forward(self, x: Tensor) -> Tensor:
        """`[..., W]` to `[..., 3 W]`."""
        return torch.cat([getattr(self, name)(x) for name in QKV], dim=-1)

    @property
    def weight(self) -> Tensor:
        """`[3 W, W]` with the changes, for towers that multiply by it themselves (EVA)."""
        return torch.cat([_merged_weight(getattr(self, name)) for name in QKV])

    @property
    def bias(self) -> Tensor | None:
        """`[3 W]`."""
        parts = [_innermost(getattr(self, name)).bias for name in QKV]
        return None if parts[0] is None else torch.cat(parts)


class SplitAttention(nn.Module):
    """`nn.MultiheadAttention` of one width, with three projections that can be replaced.

    Args:
        fused: batch first; keys and values as wide as queries, without extra keys.
    """

    def __init__(self, fused: nn.MultiheadAttention) -> None:
        super().__init__()
        if fused.in_proj_weight is None or fused.bias_k is not None or not fused.batch_first:
            raise InputError("expected attention of one width, batch first, without extra keys")
        self.heads, self.batch_first = fused.num_heads, True
        self.dropout, self.out_proj = fused.dropout, fused.out_proj
        # Attached after `model.eval()` was called, so the mode has to be copied.
        self.training = fused.training
        for index, name in enumerate(QKV):
            setattr(self, name, _QKVSlice(fused, "in_proj_", index))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """`[N, L, W]` to `([N, L, W], None)`; the attention weights are not returned."""
        count, length, width = query.shape
        q, k, v = (
            _heads(getattr(self, name)(x), self.heads)
            for name, x in zip(QKV, (query, key, value), strict=True)
        )
        mask = _additive(attn_mask, q.dtype)
        padding = _additive(key_padding_mask, q.dtype)
        if mask is not None and mask.dim() == 3:  # `nn.MultiheadAttention` takes [N * heads, L, S]
            mask = mask.reshape(count, self.heads, *mask.shape[1:])
        if padding is not None:
            padding = padding[:, None, None, :]  # [N, S], the same for all heads and queries
            mask = padding if mask is None else mask + padding
        dropout = self.dropout if self.training else 0.0
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        joined = out.transpose(1, 2).reshape(count, length, width)
        result: Tensor = self.out_proj(joined)
        return result, None


def _heads(x: Tensor, heads: int) -> Tensor:
    """`[N, L, W]` to `[N, heads, L, W / heads]`."""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


class _QKVSlice(nn.Linear):
    """A linear layer on one third of a fused layer's weights.

    The weights are looked up at each use, for another delta may change the fused layer.
    """

    _source: tuple[Any, str, int]

    def __init__(self, fused: nn.Module, prefix: str, index: int) -> None:
        nn.Module.__init__(self)
        object.__setattr__(self, "_source", (fused, prefix, index))  # not a submodule
        self.out_features, self.in_features = self.weight.shape

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """`[W, W]`."""
        return cast(Tensor, self._slice("weight"))

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """`[W]`."""
        return self._slice("bias")

    def forward(self, x: Tensor) -> Tensor:
        """`[..., W]` to `[..., W]`, with the kernel of the fused layer."""
        product = getattr(self._source[0], "product", linear)
        return cast(Tensor, product(x, self.weight, self.bias))

    def _slice(self, name: str) -> Tensor | None:
        fused, prefix, index = self._source
        whole = getattr(fused, f"{prefix}{name}")
        return None if whole is None else whole.chunk(3)[index]


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """The mask as a term of the scores; True of a boolean mask means: not attended to."""
    if mask is None or mask.is_floating_point():
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


def _innermost(layer: Any) -> Any:
    """The layer below all LoRA layers."""
    while hasattr(layer, "base_layer"):
        layer = layer.base_layer
    return layer


def _merged_weight(layer: Any) -> Tensor:
    """The weights of a layer plus `(alpha / r) * B A` of each LoRA on it."""
    if not hasattr(layer, "base_layer"):
        weight: Tensor = layer.weight
        return weight
    total = _merged_weight(layer.base_layer)
    for name in layer.active_adapters:
        total = total + layer.get_delta_weight(name)
    return total
