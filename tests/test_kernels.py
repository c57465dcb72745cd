"""Products through oneDNN: the numbers and the gradients are torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from handful.encoders import kernels

pytestmark = pytest.mark.skipif(
    not (hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.backends.mkldnn.enabled),
    reason="this torch has no oneDNN",
)
NEAR = {"rtol": 1e-5, "atol": 1e-5}


def tensors(*shape: int, bias: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x, weight = torch.randn(*shape, 24), torch.randn(40, 24)
    return x, weight, torch.randn(40) if bias else None


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 7), (2, 3, 4), (0,), (2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_torchs(shape, bias):
    given = [t.requires_grad_(True) if t is not None else None for t in tensors(*shape, bias=bias)]
    wanted = functional.linear(*given)
    got = kernels.linear(*given)
    torch.testing.assert_close(got, wanted, **NEAR)
    towards = torch.randn_like(wanted)
    leaves = [t for t in given if t is not None]
    for own, other in zip(
        torch.autograd.grad(got, leaves, towards),
        torch.autograd.grad(wanted, leaves, towards),
        strict=True,
    ):
        torch.testing.assert_close(own, other, **NEAR)


@pytest.mark.parametrize("wants", range(8))
def test_only_what_wants_a_gradient_gets_one(wants):
    given = tensors(2, 7)
    for i, t in enumerate(given):
        t.requires_grad_(bool(wants >> i & 1))
    out = kernels.linear(*given)
    assert out.requires_grad == bool(wants)
    if wants:
        out.sum().backward()
    assert [t.grad is not None for t in given] == [bool(wants >> i & 1) for i in range(3)]


def test_strided_input_and_gradient():
    x, weight, bias = tensors(7, 2)
    x = x.transpose(0, 1).requires_grad_(True)
    towards = torch.randn(40, 7, 2).permute(2, 1, 0)
    wanted, got = functional.linear(x, weight, bias), kernels.linear(x, weight, bias)
    for own, other in (
        (got, wanted),
        (torch.autograd.grad(got, x, towards)[0], torch.autograd.grad(wanted, x, towards)[0]),
        # a gradient that is the same number everywhere, as a mean's is
        (
            torch.autograd.grad(kernels.linear(x, weight, bias).mean(), x)[0],
            torch.autograd.grad(functional.linear(x, weight, bias).mean(), x)[0],
        ),
    ):
        torch.testing.assert_close(own, other, **NEAR)


def test_what_a_layer_keeps_for_the_way_back_is_what_it_needs():
    held: list[torch.Size] = []
    x, weight, bias = tensors(5)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.shape) or t, lambda t: t):
        kernels.linear(x.requires_grad_(True), weight, bias)
    assert held == [weight.shape]  # a frozen layer needs no input


def test_other_types_and_autocast_are_torchs_own():
    x, weight, bias = tensors(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kernels.linear(x, weight, bias).dtype == torch.bfloat16
    wide = kernels.linear(x.double(), weight.double(), bias.double())
    assert wide.dtype == torch.float64


def test_checkpointing_and_a_second_derivative():
    x, weight, bias = tensors(5)
    x.requires_grad_(True)
    checkpoint(kernels.linear, x, weight, bias, use_reentrant=False).square().sum().backward()
    wanted = torch.autograd.grad(functional.linear(x, weight, bias).square().sum(), x)[0]
    torch.testing.assert_close(x.grad, wanted, rtol=1e-5, atol=1e-3)
    (first,) = torch.autograd.grad(
        kernels.linear(x, weight, bias).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_layers_of_an_encoder_learn_as_the_librarys():
    torch.manual_seed(0)
    plain = nn.TransformerEncoderLayer(64, 4, 128, 0.0, batch_first=True, norm_first=True)
    multihead = nn.MultiheadAttention(64, 4, batch_first=True)
    for before in (plain.linear1, multihead):
        model = nn.ModuleDict({"inner": before})
        kernels.use_onednn(model, torch.device("cpu"))
        if "AVX" not in torch.backends.cpu.get_cpu_capability():
            pytest.skip("the plain layers stay on this processor")
        own = model["inner"]
        assert type(own) in (kernels.OneDnnLinear, kernels.OneDnnAttention)
        x = torch.randn(3, 7, 64, requires_grad=True)
        given = (x,) if before is plain.linear1 else (x, x, x)
        extra = {} if before is plain.linear1 else {"need_weights": False}
        parameters = [x, *before.parameters()]
        results = []
        for module in (before, own):
            out = module(*given, **extra)
            out = out[0] if isinstance(out, tuple) else out
            results.append(torch.autograd.grad(out.square().mean(), parameters))
        for got, wanted in zip(results[1], results[0], strict=True):
            torch.testing.assert_close(got, wanted, **NEAR)
