"""A block of a pre-norm transformer (Xiong et al. 2020, arXiv:2002.04745) over padded texts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention


class Attention(nn.Module):
    """Self-attention, `[N, L, W]` to `[N, L, W]`.

    Args:
        width: W.
        heads: it is divided into.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """As above.

        Args:
            hidden: `[N, L, W]`.
            mask: `[N, 1, 1, L]`, true where a token may be attended to.
        """
        count, length, width = hidden.shape
        query, key, value = (
            p(hidden).view(count, length, self.heads, -1).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(count, length, width))
        return out


class MLP(nn.Module):
    """Two linear maps with GELU between, `[N, L, W]` to `[N, L, W]`.

    Args:
        width: W.
        inner: width between the two maps.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """As above."""
        out: Tensor = self.fc2(gelu(self.fc1(hidden)))
        return out


class Block(nn.Module):
    """One block of a pre-norm transformer, `[N, L, W]` to `[N, L, W]`.

    Args:
        width: W.
        heads: of the attention.
        inner: width inside the MLP.
    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), MLP(width, inner)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """See `Attention`."""
        hidden = hidden + self.attention(self.norm1(hidden), mask)
        out: Tensor = hidden + self.mlp(self.norm2(hidden))
        return out
