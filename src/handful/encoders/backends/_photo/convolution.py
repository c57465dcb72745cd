"""Convolutions with TensorFlow's SAME padding, and their fused form for inference on x86.

Small convolutions wait for memory. oneDNN can add ReLU6 or the residual while a result is still in
the cache, and takes weights in a layout of its own; both together are four times as fast as torch's
separate steps on two cores, with the same numbers to 1e-6. torch has these operators for its
compiler; a module that is trained, hooked, wrapped or elsewhere than on an x86 CPU takes the plain
way.
"""

from __future__ import annotations

import math
from typing import TypeGuard, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

_Step = tuple[str, list[float], str]  # operation, its settings, its variant
_RELU6: _Step = ("hardtanh", [0.0, 6.0], "")
_NOTHING: _Step = ("none", [], "")
# conv -> (its weight, the version of that weight, the size of x, the weight in oneDNN's layout);
# beside the modules, since an opaque tensor in them could not be copied
_packed: WeakKeyDictionary[nn.Module, tuple[Tensor, int, list[int], Tensor]] = WeakKeyDictionary()


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME pads: more at the end where it does not divide."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', ceil(H / stride), ceil(W / stride)]`."""
        x, padding = self.pad(x)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def pad(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The picture with what is lacking on one side only, and what both sides still need."""
        lack = [
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        ]
        if any(n % 2 for n in lack):  # an even lack needs no copy of the picture
            height, width = lack
            sides = (width // 2, width - width // 2, height // 2, height - height // 2)
            return functional.pad(x, sides), (0, 0)
        return x, (lack[0] // 2, lack[1] // 2)


def is_fusable(conv: nn.Module, x: Tensor) -> TypeGuard[SameConv2d]:
    """Whether `fused` gives what the module's own call would, without a gradient."""
    return (
        type(conv) is SameConv2d
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == conv.weight.dtype
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_autocast_enabled("cpu")
        and not conv._forward_hooks
        and not conv._forward_pre_hooks
        and "forward" not in vars(conv)
        and x.numel() > 0
        and available()
    )


def fused(conv: SameConv2d, x: Tensor, *, relu6: bool = False, add: Tensor | None = None) -> Tensor:
    """The convolution, then ReLU6 or a sum, in one pass over memory.

    Args:
        conv: where `is_fusable`.
        x: `[N, C, H, W]`, channels last.
        relu6: clip the result to 0..6.
        add: `[N, C', H', W']` to be added to the result.
    """
    x, padding = conv.pad(x)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = _weight(conv, x, padding)
    facts = (weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups)
    kernel = torch.ops.mkldnn._convolution_pointwise
    if add is not None:
        return cast(Tensor, kernel.binary(x, add, *facts, "add", None, None, [], None))
    return cast(Tensor, kernel(x, *facts, *(_RELU6 if relu6 else _NOTHING)))


def _weight(conv: SameConv2d, x: Tensor, padding: tuple[int, int]) -> Tensor:
    """The weight in oneDNN's layout for pictures of this size, packed when first used."""
    size, version = list(x.shape[1:]), conv.weight._version
    known = _packed.get(conv)
    if known is None or known[0] is not conv.weight or known[1:3] != (version, size):
        packed = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight.detach(),
            padding, conv.stride, conv.dilation, conv.groups, list(x.shape),
        )  # fmt: skip
        known = (conv.weight, version, size, packed)
        _packed[conv] = known
    return known[3]


def available() -> bool:
    """Whether this torch has the operators, on a processor where they are worth it."""
    return (
        hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and bool(torch.backends.mkldnn.enabled)
        and "AVX" in torch.backends.cpu.get_cpu_capability()
    )
