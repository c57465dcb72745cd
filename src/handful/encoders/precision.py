"""In which precision an encoder computes on this machine: float32 or bfloat16.

In bfloat16 only the matrix products inside the image tower's blocks are rounded. The residual
stream, LayerNorm, softmax, the patch embedding and the last projection stay in float32, and so does
the whole text tower: texts are few, and their error would be added to every image's. That is as
fast as a bfloat16 model and more than ten times closer to float32; `bench/precision.py` measures
both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from handful.contracts import Array
from handful.encoders.kernels import OneDnnLinear, attend, is_plain_attention
from handful.errors import InputError

# The lowest cosine between bfloat16 and float32 features that `auto` accepts; 0.999 is what we
# promise. A skill fitted here must give the same probabilities to 0.01 elsewhere: a turn of 0.01
# (this cosine), spread over 512 directions, moves the difference of two logits at scale 100 by
# about 100 * 0.01 * 0.8 / sqrt(512) = 0.035, and with it a probability by at most 0.009.
AGREEMENT = 0.99995
_BLOCKS = re.compile(r"\.(layers|layer|resblocks|blocks)\.\d+\.")
_WORTHWHILE = 256  # products narrower than this spend more time on casting than they save


class HalfLinear(nn.Module):
    """A matrix product on bfloat16 operands; the sum inside is float32.

    Args:
        linear: the layer to stand in for; its weights are rounded to bfloat16.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self.register_buffer("weight", linear.weight.detach().bfloat16(), persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` of any type to `[..., out]` bfloat16; adding it to float32 gives float32."""
        weight, bias = cast(Tensor, self.weight), cast("Tensor | None", self.bias)
        return functional.linear(x.bfloat16(), weight, bias)


class HalfAttention(nn.Module):
    """Self-attention on bfloat16 operands, softmax included.

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
        qkv = functional.linear(query.bfloat16(), weights["in_weight"], weights["in_bias"])
        mask = kwargs.get("attn_mask")
        mixed = attend(qkv, self.num_heads, None if mask is None else mask.bfloat16())
        return functional.linear(mixed, weights["out_weight"], weights["out_bias"]), None


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively; emulation is slower than float32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.version.hip is not None or major >= 8
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):  # torch >= 2.11
        found = torch.cpu.get_capabilities()
        return any(found.get(k) for k in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def choose(encoder: Any, tower: nn.Module, precision: str) -> tuple[str, float]:
    """Switch an encoder to bfloat16 if requested, or under `auto` if it is faster and safe.

    Args:
        encoder: loaded in float32; it encodes two generated images as a probe.
        tower: the image tower of its model, changed in place.
        precision: `auto`, `float32` or `bfloat16`.

    Returns:
        The precision from now on, and the lowest cosine to the float32 features.

    Raises:
        InputError: bfloat16 is asked for and applies to nothing here.
    """
    force = precision == "bfloat16"
    if precision == "float32" or not (force or has_bfloat16(encoder.device)):
        return "float32", 1.0
    reference = _probe(encoder)
    found = to_bfloat16(tower, lambda: cosine(reference, _probe(encoder)), force=force)
    if force and found is None:
        raise InputError(f"{encoder.name}: has no layers that bfloat16 applies to; use float32")
    return ("float32", 1.0) if found is None else ("bfloat16", found)


def to_bfloat16(tower: nn.Module, agreement: Callable[[], float], *, force: bool) -> float | None:
    """Round the matrix products of the blocks to bfloat16 if the features stay the same.

    Args:
        tower: the image tower, changed in place, or restored if the features differ.
        agreement: computes the lowest cosine between the probe's features now and in float32.
        force: keep bfloat16 whatever the agreement.

    Returns:
        The agreement, or None where the tower stays in float32.
    """
    # timm multiplies by the weight of `qkv` itself where query and value have biases of their own
    bypassed = {
        f"{name}.qkv"
        for name, module in tower.named_modules()
        if getattr(module, "q_bias", None) is not None
    }
    wide = [
        (name, module)
        for name, module in tower.named_modules()
        if _BLOCKS.search(f".{name}.")
        and name not in bypassed
        and (is_plain_attention(module) or type(module) in (nn.Linear, OneDnnLinear))
        and (force or _width(module) >= _WORTHWHILE)
    ]
    if not wide:
        return None
    for name, module in wide:
        half = HalfLinear(module) if isinstance(module, nn.Linear) else HalfAttention(module)
        tower.set_submodule(name, half)
    found = agreement()
    if force or found >= AGREEMENT:
        return found
    for name, module in wide:
        tower.set_submodule(name, module)
    return None


def _width(module: Any) -> int:
    """The smaller dimension of a layer's weights, which decides whether bfloat16 is faster."""
    if isinstance(module, nn.MultiheadAttention):
        return int(module.embed_dim)
    return min(int(module.in_features), int(module.out_features))


def _probe(encoder: Any) -> Array:
    """Features of two generated images, one portrait and one landscape, `[2, D]`."""
    rng = np.random.default_rng(0)
    made = [
        Image.fromarray(rng.integers(0, 256, (rows, 8, 3), dtype=np.uint8)).resize(
            (320, 40 * rows), Image.Resampling.BICUBIC
        )
        for rows in (6, 10)
    ]
    found: Array = encoder.images([encoder.prepare(image) for image in made])
    return found


def cosine(a: Array, b: Array) -> float:
    """The lowest cosine between rows of `[N, D]` unit rows; 0 where one is not finite."""
    return float(np.nan_to_num((a * b).sum(axis=1), nan=0.0).min())
