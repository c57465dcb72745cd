"""EfficientNet-Lite0, the image tower of `photo`, with timm's names for its modules.

Tan & Le 2019 (arXiv:1905.11946), and the Lite variant of the same authors: no
squeeze-and-excitation, ReLU6 in place of swish, stem and head not scaled. Convolutions pad as
TensorFlow's SAME does: under a stride of two, an even picture gets its odd row and column of zeros
at its end. The tower is frozen, so each batch norm is folded into the convolution before it when
the weights are read; `fold` is the only place that knows of batch norms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from handful.encoders.backends._photo.convolution import SameConv2d, fused, is_fusable
from handful.errors import InputError

WIDTH = 1280
"""Width of the pooled features."""
_EPSILON = 1e-3  # of the published batch norms
# repeats, kernel, stride, expansion, channels out: table 1 of the paper
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STAGE_WIDTHS = tuple(stage[-1] for stage in STAGES)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; added to its input where the shapes are the same.

    Args:
        inside: channels in.
        outside: channels out.
        kernel: side of the depthwise kernel.
        stride: of the depthwise convolution.
        expansion: how many times wider the middle is; with 1 there is no first convolution.
    """

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inside * expansion
        self.conv_pw: nn.Module | None = SameConv2d(inside, middle, 1) if expansion > 1 else None
        self.conv_dw = SameConv2d(middle, middle, kernel, stride, groups=middle)
        self.conv_pwl = SameConv2d(middle, outside, 1)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C', H', W']`, in the type of the weights."""
        x = x.to(self.conv_dw.weight.dtype)
        y = x if self.conv_pw is None else _conv_relu6(self.conv_pw, x)
        y = _conv_relu6(self.conv_dw, y)
        if is_fusable(self.conv_pwl, y):
            return fused(self.conv_pwl, y, add=x if self.residual else None)
        y = cast(Tensor, self.conv_pwl(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Pictures to pooled features `[N, 1280]`; the classifier of ImageNet is left out.

    Args:
        stages: repeats, kernel, stride, expansion, channels of each; others for its larger sisters.
    """

    def __init__(self, stages: Sequence[tuple[int, int, int, int, int]] = STAGES) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, 2)
        made, inside = [], self.conv_stem.out_channels
        for repeats, kernel, stride, expansion, outside in stages:
            blocks = []
            for place in range(repeats):
                step = 1 if place else stride
                blocks.append(InvertedResidual(inside, outside, kernel, step, expansion))
                inside = outside
            made.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*made)
        self.conv_head = SameConv2d(inside, WIDTH, 1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """`[N, 3, 224, 224]` to `[N, 1280]`: the mean over places after the last ReLU6."""
        x = self.blocks(self.stem(pixel_values)).to(self.conv_head.weight.dtype)
        return _conv_relu6(self.conv_head, x).float().mean(dim=(2, 3))

    def stem(self, pixel_values: Tensor) -> Tensor:
        """`[N, 3, 224, 224]` to `[N, 32, 112, 112]`, what enters the first stage."""
        # oneDNN's convolutions are fastest with the channels last
        x = pixel_values.contiguous(memory_format=torch.channels_last)
        return _conv_relu6(self.conv_stem, x)

    def fold(self, published: Mapping[str, Tensor]) -> None:
        """Take published weights, each batch norm folded into the convolution before it.

        Args:
            published: the tensors of a file in the order of computation. Their names are not used:
                the same tensors go by other names in every library.

        Raises:
            InputError: they are not those of this network.
        """
        values = iter([v for v in published.values() if v.is_floating_point()])
        with torch.no_grad():
            for conv in self._convolutions():
                parts = list(islice(values, 5))
                shapes = [tuple(v.shape) for v in parts]
                wanted = [tuple(conv.weight.shape), *[(conv.out_channels,)] * 4]
                if shapes != wanted:
                    raise InputError(f"not EfficientNet-Lite0: expected {wanted}, got {shapes}")
                weight, gamma, beta, mean, variance = parts
                factor = gamma / torch.sqrt(variance + _EPSILON)
                conv.weight.copy_(weight * factor[:, None, None, None])
                cast(Tensor, conv.bias).copy_(beta - mean * factor)

    def units(self) -> list[nn.Module]:
        """Stem, inverted residuals and head, in the order of computation."""
        inner = [block for stage in self.blocks for block in cast("Iterable[nn.Module]", stage)]
        return [self.conv_stem, *inner, self.conv_head]

    def _convolutions(self) -> Iterator[SameConv2d]:
        yield from (m for m in self.modules() if isinstance(m, SameConv2d))


def _conv_relu6(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution and ReLU6, in one pass over memory where that can be done."""
    return fused(conv, x, relu6=True) if is_fusable(conv, x) else functional.relu6(conv(x))
