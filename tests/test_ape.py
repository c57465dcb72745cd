"""APE and APE-T: the criterion against plain loops over pairs, and the papers' algebra by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from handful import plugins
from handful.adapters._channel_selection import channel_criterion, select_channels
from handful.adapters.ape import Ape
from handful.adapters.ape_t import ApeT
from handful.contracts import ClassText
from handful.errors import InputError
from tasks import make

TEXT = ClassText([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], ("cat", "dog"), 10.0)


def by_pairs(features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    samples = [(c, text) for c, text in enumerate(weights)]
    samples += list(zip(targets.tolist(), features, strict=True))
    products = [x * y for c, x in samples for d, y in samples if c != d]
    return torch.stack(products).mean(0)


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_criterion_is_the_loop_over_pairs_of_unequal_classes(balance):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 6, generator=generator).double()
    targets = torch.tensor([0, 0, 0, 1, 3, 3])  # class 2 has its text alone
    features = torch.randn(6, 6, generator=generator).double()
    expected = (1 - balance) * weights.var(0) - balance * by_pairs(features, targets, weights)
    torch.testing.assert_close(channel_criterion(features, targets, weights, balance), expected)


def test_criterion_by_hand():
    features = torch.tensor([[0.6, 0.8, 0.0]])
    worth = channel_criterion(features, torch.tensor([0]), torch.from_numpy(TEXT.weights), 0.5)
    # across: (text 0, text 1) and (image, text 1), each in both orders
    similarity = torch.tensor([0.0, (0.0 + 0.8) / 2, 0.0])
    variance = torch.tensor([0.5, 0.5, 0.0])
    torch.testing.assert_close(worth.float(), 0.5 * variance - 0.5 * similarity)


def test_the_best_share_is_kept_in_order():
    features, targets = torch.tensor([[0.6, 0.8, 0.0]]), torch.tensor([0])
    assert select_channels(features, targets, TEXT, 0.3, 0.5).tolist() == [0]
    assert select_channels(features, targets, TEXT, 0.5, 0.5).tolist() == [0, 1]
    assert select_channels(features, targets, TEXT, 1, 0.5).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="share"):
        select_channels(features, targets, TEXT, 0, 0.5)


def test_a_channel_on_which_all_agree_goes_first():
    task = make()
    common = np.full((len(task.X), 1), 3.0, dtype=np.float32)
    text = np.concatenate([task.text.embeddings, np.full((5, 3, 1), 0.5)], axis=2)
    adapter = Ape(share=0.9).fit(
        np.hstack([common, task.X]),
        task.y,
        ClassText(np.roll(text, 1, axis=2), task.text.classes, 100.0),
    )
    assert 0 not in adapter.module_.channels.tolist()


def test_ape_by_hand():
    images = [[0.6, 0.0, 0.8], [0.0, 0.8, 0.6]]
    adapter = Ape(alpha=2.0, beta=3.0, gamma=0.5, share=0.6, balance=0.5)
    adapter.fit(images, ["cat", "dog"], TEXT)
    assert adapter.module_.channels.tolist() == [0, 1]
    # hats: both keys become their class's axis, so does each text
    misfit = -math.log2(math.e / (math.e + 1))
    loud = math.exp(0.5 * misfit)
    query = np.array([[0.48, 0.36, 0.8]])  # its hat is (0.8, 0.6)
    cache = [2 * loud * math.exp(-3 * (1 - near)) for near in (0.8, 0.6)]
    expected = 10 * query[0, :2] + cache
    np.testing.assert_allclose(adapter.logits(query)[0], expected, rtol=1e-5)


def test_a_key_that_its_text_explains_badly_is_heard_louder():
    images = [[1.0, 0.1, 0.0], [0.2, 1.0, 0.0], [0.0, 1.0, 0.0]]
    head = Ape(gamma=0.5, share=1.0).fit(images, ["cat", "cat", "dog"], TEXT).module_
    loud = dict(zip(head.keys[:, 0].tolist(), head.values.tolist(), strict=True))
    assert loud[min(k for k in loud if k > 0)] > loud[max(loud)] > 1  # both are cats
    quiet = Ape(gamma=0.0, share=1.0).fit(images, ["cat", "cat", "dog"], TEXT).module_
    assert quiet.values.tolist() == [1, 1, 1]


def test_all_channels_and_no_misfit_is_tip_adapter():
    task = make()
    ape = Ape(alpha=1.5, beta=4.0, gamma=0.0, share=1.0).fit(task.X, task.y, task.text)
    tip = plugins.get("adapters", "tip")(alpha=1.5, beta=4.0).fit(task.X, task.y, task.text)
    np.testing.assert_allclose(ape.logits(task.queries), tip.logits(task.queries), rtol=1e-4)


def test_ape_t_without_a_step_is_tip_adapter_and_moves_chosen_channels_only():
    task = make()
    still = ApeT(alpha=1.5, beta=4.0, steps=0).fit(task.X, task.y, task.text)
    tip = plugins.get("adapters", "tip")(alpha=1.5, beta=4.0).fit(task.X, task.y, task.text)
    np.testing.assert_allclose(
        still.logits(task.queries), tip.logits(task.queries), rtol=1e-4, atol=1e-4
    )
    head = ApeT(share=0.5, steps=20).fit(task.X, task.y, task.text).module_
    assert head.residual.shape == (5, 12)
    assert head.residual.abs().min() > 0
    assert not torch.equal(head.values, torch.ones(20))


def test_ape_t_shares_a_residual_between_text_and_keys():
    task = make()
    head = ApeT(alpha=1.5, beta=4.0, share=0.5, steps=30).fit(task.X, task.y, task.text).module_
    moved = torch.zeros(5, 24)
    moved[:, head.channels] = head.residual
    x = torch.from_numpy(task.queries)
    values = torch.nn.functional.one_hot(head.labels, 5) * head.values[:, None]
    affinity = torch.exp(-4 * (1 - x @ (head.keys + moved[head.labels]).T))
    expected = 100 * x @ (torch.from_numpy(task.text.weights) + moved).T + 1.5 * affinity @ values
    torch.testing.assert_close(head(x), expected, rtol=1e-4, atol=1e-3)
