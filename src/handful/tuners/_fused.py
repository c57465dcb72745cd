"""Fused attention taken apart, so that query, key and value can be changed one by one.

`nn.MultiheadAttention` and many vision towers hold all three in one matrix and, on their fast
paths, never call the layers that hold it; a delta on those layers would be learned and ignored.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from handful.errors import InputError

NAMES = ("q_proj", "k_proj", "v_proj")


def apart(fused: nn.Module, name: str) -> nn.Module:
    """A stand-in with `q_proj`, `k_proj` and `v_proj`, on the same weights.

    Raises:
        InputError: a kind of layer that is not known here.
    """
    if isinstance(fused, nn.MultiheadAttention):
        return SplitAttention(fused)
    if isinstance(fused, nn.Linear) and fused.out_features % 3 == 0:
        return SplitLinear(fused)
    raise InputError(
        f"{name}: query, key and value cannot be told apart in a {type(fused).__name__}; "
        "use the tuner block or norm for this encoder"
    )


class SplitLinear(nn.Module):
    """An `nn.Linear` to query, key and value at once, as three; `weight` includes what they gain.

    Args:
        fused: `[3 W, W]`.
    """

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = fused.in_features, fused.out_features
        for place, name in enumerate(NAMES):
            setattr(self, name, _Third(fused, "", place))

    def forward(self, x: Tensor) -> Tensor:
        """`[..., W]` to `[..., 3 W]`."""
        return torch.cat([getattr(self, name)(x) for name in NAMES], dim=-1)

    @property
    def weight(self) -> Tensor:
        """`[3 W, W]`, for towers that multiply by it themselves (EVA)."""
        return torch.cat([_whole(getattr(self, name)) for name in NAMES])

    @property
    def bias(self) -> Tensor | None:
        """`[3 W]`."""
        parts = [_base(getattr(self, name)).bias for name in NAMES]
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
        self.training = fused.training  # nobody switches a stand-in, and dropout asks it
        for place, name in enumerate(NAMES):
            setattr(self, name, _Third(fused, "in_proj_", place))

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
        """`[N, L, W]` to `([N, L, W], None)`; the weights of the attention are not told."""
        count, length, width = query.shape
        q, k, v = (
            _heads(getattr(self, name)(x), self.heads)
            for name, x in zip(NAMES, (query, key, value), strict=True)
        )
        mask = _additive(attn_mask, q.dtype)
        padding = _additive(key_padding_mask, q.dtype)
        if mask is not None and mask.dim() == 3:  # torch wants [N * heads, L, S]
            mask = mask.reshape(count, self.heads, *mask.shape[1:])
        if padding is not None:
            padding = padding[:, None, None, :]
            mask = padding if mask is None else mask + padding
        dropout = self.dropout if self.training else 0.0
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        joined = out.transpose(1, 2).reshape(count, length, width)
        result: Tensor = self.out_proj(joined)
        return result, None


def _heads(x: Tensor, heads: int) -> Tensor:
    """`[N, L, W]` to `[N, heads, L, W / heads]`."""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


class _Third(nn.Linear):
    """A layer on a third of another's weights, looked up at each use: they may be changed too."""

    _source: tuple[Any, str, int]

    def __init__(self, fused: nn.Module, prefix: str, place: int) -> None:
        nn.Module.__init__(self)
        object.__setattr__(self, "_source", (fused, prefix, place))  # not a module of this one
        self.out_features, self.in_features = self.weight.shape

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """`[W, W]`."""
        return cast(Tensor, self._part("weight"))

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """`[W]`."""
        return self._part("bias")

    def forward(self, x: Tensor) -> Tensor:
        """`[..., W]` to `[..., W]`, with the kernel of the layer it is a part of."""
        product = getattr(self._source[0], "product", linear)
        return cast(Tensor, product(x, self.weight, self.bias))

    def _part(self, what: str) -> Tensor | None:
        fused, prefix, place = self._source
        whole = getattr(fused, f"{prefix}{what}")
        return None if whole is None else whole.chunk(3)[place]


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A mask that is added to the scores; true of a yes-or-no mask means shut out."""
    if mask is None or mask.is_floating_point():
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))


def _base(layer: Any) -> Any:
    while hasattr(layer, "base_layer"):
        layer = layer.base_layer
    return layer


def _whole(layer: Any) -> Tensor:
    """The weights of a layer with what each LoRA on it adds to them."""
    if not hasattr(layer, "base_layer"):
        weight: Tensor = layer.weight
        return weight
    total = _whole(layer.base_layer)
    for name in layer.active_adapters:
        total = total + layer.get_delta_weight(name)
    return total
