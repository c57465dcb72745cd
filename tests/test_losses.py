"""The losses of tuning: values worked out by hand, gradients, and safety at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from handful.tuners.training import losses

Loss = Callable[[Tensor], Tensor]


def logs(*odds: float) -> Tensor:
    """Logits whose softmax has these odds."""
    return torch.tensor(odds, dtype=torch.float64).log()


def test_cross_entropy_by_hand() -> None:
    logits = torch.stack([logs(1, 3), logs(4, 1)])  # 3/4 and 1/5 on the true class
    found = losses.cross_entropy(logits, torch.tensor([1, 1]))
    assert found.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 5)) / 2)


def test_frozen_kl_by_hand_and_its_direction() -> None:
    tuned, frozen = logs(1, 3)[None], logs(1, 1)[None]
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)  # KL(p0 || p)
    other = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)  # KL(p || p0)
    assert losses.frozen_kl(tuned, frozen).item() == pytest.approx(expected)
    assert expected != pytest.approx(other, rel=0.05)


def test_frozen_kl_is_a_mean_over_rows_and_not_over_classes() -> None:
    tuned, frozen = logs(1, 3)[None], logs(1, 1)[None]
    one = losses.frozen_kl(tuned, frozen)
    rows = losses.frozen_kl(tuned.repeat(5, 1), frozen.repeat(5, 1))
    assert rows.item() == pytest.approx(one.item())
    assert losses.frozen_kl(
        torch.cat([tuned, frozen]), torch.cat([frozen, frozen])
    ).item() == pytest.approx(one.item() / 2)


def test_consistency_by_hand_and_symmetric() -> None:
    p, q = (0.25, 0.75), (0.5, 0.5)
    forth = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    back = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    visual, textual = logs(1, 3)[None], logs(1, 1)[None]
    found = losses.consistency(visual, textual)
    assert found.item() == pytest.approx((forth + back) / 2)
    assert losses.consistency(textual, visual).item() == pytest.approx(found.item())


def test_text_pull_of_unit_rows_is_two_minus_two_cosines() -> None:
    written = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    learned = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    assert losses.prompt_distance(learned, written).item() == pytest.approx((2 - 2 * 0.6) / 2)


def test_weight_pull_is_a_sum_over_the_matrix() -> None:
    assert losses.squared_norm(torch.tensor([[1.0, -2.0], [0.0, 3.0]])).item() == 14.0


def rows(seed: int, count: int = 3, width: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(count, width, dtype=torch.float64, generator=generator)


LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda x: losses.cross_entropy(x, torch.tensor([0, 3, 1])),
    "frozen_kl": lambda x: losses.frozen_kl(x, rows(1)),
    "visual": lambda x: losses.consistency(x, rows(2)),
    "textual": lambda x: losses.consistency(rows(2), x),
    "prompt_distance": lambda x: losses.prompt_distance(x, rows(3)),
    "squared_norm": losses.squared_norm,
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_formula(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name], rows(0).requires_grad_())


@pytest.mark.parametrize("name", ["frozen_kl", "visual", "textual", "prompt_distance"])
def test_a_model_that_did_not_change_pays_and_feels_nothing(name: str) -> None:
    seed = {"frozen_kl": 1, "visual": 2, "textual": 2, "prompt_distance": 3}[name]
    x = rows(seed).requires_grad_()
    loss = LOSSES[name](x)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert x.grad is not None
    assert x.grad.abs().max().item() < 1e-12


def test_what_counts_as_given_gets_no_gradient() -> None:
    given = rows(1).requires_grad_()
    x = rows(0).requires_grad_()
    (losses.frozen_kl(x, given) + losses.prompt_distance(x, given)).backward()
    assert given.grad is None
    assert x.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_certain_models_that_disagree_give_finite_losses(dtype: torch.dtype) -> None:
    """At scale 100 probabilities underflow to zero; zero times infinity must not come up."""
    a = torch.tensor([[200.0, -200.0, 0.0]], dtype=dtype).requires_grad_()
    b = torch.tensor([[-200.0, 200.0, 0.0]], dtype=dtype)
    found = [
        losses.cross_entropy(a, torch.tensor([1])),
        losses.frozen_kl(a, b),
        losses.consistency(a, b),
        losses.consistency(b, a),
    ]
    for loss in found:
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(400)
    torch.stack(found).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_mixed_precision_does_not_round_the_losses() -> None:
    """Cosines of a bfloat16 product, and from there on the same numbers as outside of autocast."""
    logits = (100 * torch.rand(4, 5, generator=torch.Generator().manual_seed(0))).bfloat16()
    frozen, targets = logits.flip(0), torch.tensor([0, 1, 2, 3])

    def all_of_them() -> list[float]:
        found = (
            losses.cross_entropy(logits, targets),
            losses.frozen_kl(logits, frozen),
            losses.consistency(logits, frozen),
            losses.prompt_distance(logits, frozen),
            losses.squared_norm(logits),
        )
        assert all(loss.dtype == torch.float32 for loss in found)
        return [loss.item() for loss in found]

    outside = all_of_them()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all_of_them() == outside


def test_the_consistency_loss_is_never_below_zero() -> None:
    for seed in range(50):
        a, b = rows(seed).float(), rows(seed + 1000).float()
        nearly = a + 1e-4 * b
        assert losses.consistency(a, nearly).item() >= 0
