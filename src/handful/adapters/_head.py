"""Heads: a formula as a torch module over exactly the tensors that it saves."""

from __future__ import annotations

import inspect
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from handful.adapters._arguments import number
from handful.errors import InputError


class Head(nn.Module):
    """A formula over named tensors: annotate each as `Tensor` and write `forward`.

    `Head(**tensors)` takes exactly the annotated tensors and `state_dict()` gives exactly them
    back, so `type(h)(**h.state_dict())` answers bit for bit like `h`. Numbers are 0-d tensors
    (`scalar`). An `nn.Parameter` stays one, so the formula that is trained is the one that is used.

    Raises:
        InputError: a tensor too few or too many.

    >>> class Scaled(Head):
    ...     scale: Tensor
    ...     def forward(self, x: Tensor) -> Tensor:
    ...         return self.scale * x
    >>> Scaled(scale=scalar(2))(torch.ones(1, 2))
    tensor([[2., 2.]])
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        meant = ("Tensor", "torch.Tensor", Tensor)  # texts under postponed annotations
        own = (n for n, kind in inspect.get_annotations(cls).items() if kind in meant)
        cls.names = (*cls.names, *own)

    def __init__(self, **tensors: Tensor) -> None:
        super().__init__()
        if tensors.keys() != set(self.names):
            raise InputError(
                f"{type(self).__name__}: expected the tensors {sorted(self.names)}, "
                f"got {sorted(tensors)}"
            )
        for name in self.names:
            tensor = tensors[name]
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:  # contiguous, as it will be when it comes back from disk: same layout, same bits
                self.register_buffer(name, tensor.detach().contiguous())

    def frozen(self) -> Self:
        """The same formula and values, with nothing left to train."""
        return type(self)(**{n: t.detach().clone() for n, t in self.state_dict().items()})


class LinearHead(Head):
    """`logits = scale * x Wᵀ`: one row of weights a class, wherever the rows come from.

    Args:
        weights: W, `[C, D]`, of any length.
        scale: `[]`, the encoder's `exp(logit_scale)`.
    """

    weights: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return self.scale * x @ self.weights.T


class AffineHead(Head):
    """`logits = x Wᵀ + b`: one row of weights and one bias a class, all scales multiplied in.

    Args:
        weights: W, `[C, D]`.
        bias: b, `[C]`.
    """

    weights: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        return torch.addmm(self.bias, x, self.weights.T)


class KernelHead(Head):
    """`logits = x Wᵀ + b + phi(x Fᵀ) A`, `phi(z) = exp(-beta * (1 - z))`; all scales multiplied in.

    Args:
        weights: W, `[C, D]`.
        bias: b, `[C]`.
        keys: F, `[N, D]` unit rows.
        coefficients: A, `[N, C]`, votes of each key for each class.
        beta: `[]`, sharpness of the affinity.
    """

    weights: Tensor
    bias: Tensor
    keys: Tensor
    coefficients: Tensor
    beta: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[M, D]` unit rows to `[M, C]` logits."""
        # exp(beta z - beta), as one fused product
        affinity = torch.addmm(-self.beta, self.beta * x, self.keys.T).exp()
        return torch.addmm(self.bias, x, self.weights.T) + affinity @ self.coefficients


def scalar(value: float) -> Tensor:
    """A number as a head keeps it: `[]` float32, whatever torch's defaults are.

    Raises:
        InputError: it does not fit float32.
    """
    return torch.tensor(
        number("a number of a head", float(value)), dtype=torch.float32, device="cpu"
    )
