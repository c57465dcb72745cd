"""Linear classifiers from text and shots: each formula by hand, and published bugs kept out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn
from torch.nn.functional import cross_entropy

from handful import metrics
from handful.adapters import LinearHead, Recipe, scalar, train
from handful.adapters.clap import Clap, multipliers, penalty
from handful.adapters.cross_modal import CrossModal, prompt_samples
from handful.adapters.lp_plus_plus import LpPlusPlus, LpPlusPlusHead, initial_alpha, step_sizes
from handful.adapters.ss_text import SsText
from handful.adapters.taskres import TaskRes
from handful.adapters.timo import Timo, prompt_scores, weighted_text
from handful.adapters.zero_shot import ZeroShot
from handful.adapters.zs_lp import CosineHead, ZsLp, momentum_recipe
from handful.contracts import ClassText
from handful.selection import gda_weights
from tasks import make

TEXT = ClassText(np.eye(2)[:, None, :], ("left", "up"), 10.0)
NAMES = ("left", "up")


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def columns(task) -> np.ndarray:
    return np.array([task.text.classes.index(name) for name in task.y])


# --- SS-Text


def test_ss_text_by_hand():
    # N = 3, scale 10; left has two shots: 2/3 * 10 * ([0.8, 0.6] + [0.6, 0.8]); up has one
    X = [[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]]
    head = SsText().fit(X, ["left", "left", "up"], TEXT).module_
    left = np.array([1, 0]) + 20 / 3 * np.array([1.4, 1.4])
    assert_allclose(head.weights, unit(np.array([left, [0, 1 + 10 / 3]])), atol=1e-6)


@pytest.mark.parametrize("repel", [0.0, 0.4, 1.0])
def test_ss_text_is_where_its_objective_is_flat(repel):
    task = make(shots=6)
    keep = np.r_[0:3, 6:24, 25:30]  # unequal counts
    X, y = task.X[keep].astype(float), columns(task)[keep]
    head = SsText(repel=repel).fit(X, task.y[keep], task.text).module_
    T, N, tau = task.text.weights.astype(float), len(X), 1 / task.text.scale
    counts = np.bincount(y)
    means = np.array([X[y == c].mean(axis=0) for c in range(5)])
    # the row of any length along which the objective's gradient vanishes
    pull = np.array([(X[y == c] - repel * means.mean(axis=0)).sum(axis=0) for c in range(5)])
    W = T + pull * counts[:, None] / (N * tau)
    gradient = -pull / (N * tau) + (W - T) / counts[:, None]
    assert_allclose(gradient, 0, atol=1e-9)
    assert_allclose(head.weights, unit(W), atol=1e-5)


def test_ss_text_leaves_a_class_without_shots_at_its_text():
    for repel in (0.0, 1.0):
        head = SsText(repel=repel).fit([[0.8, 0.6], [1.0, 0.0]], ["left", "left"], TEXT).module_
        assert_allclose(head.weights[1], [0, 1], atol=1e-6)


def test_repel_takes_away_what_all_images_share():
    task = make(shots=4)
    common = 3 * np.ones((1, task.X.shape[1])) / math.sqrt(task.X.shape[1])
    X = task.X + common  # a direction that says nothing of the class
    plain, repelled = (
        SsText(repel=r).fit(X, task.y, task.text).module_.weights.numpy() @ common[0]
        for r in (0.0, 1.0)
    )
    assert plain.min() > 2
    assert abs(repelled).max() < 1


# --- TaskRes, ZS-LP, CLAP


@pytest.mark.parametrize("method", [ZsLp, Clap, TaskRes])
def test_only_the_direction_of_a_row_counts(method):
    module = method(steps=20).fit([[0.8, 0.6], [0.6, 0.8]], NAMES, TEXT).module_
    x = torch.tensor([[0.6, -0.8]])
    assert module(x).abs().max() <= 10 + 1e-5
    if isinstance(module, CosineHead):
        longer = CosineHead(weights=7 * module.weights, scale=module.scale)
        assert torch.allclose(longer(x), module(x), atol=1e-5)


def test_taskres_by_hand():
    head = TaskRes(alpha=0.5, steps=0).fit(np.eye(2), NAMES, TEXT).module_
    tensors = head.state_dict() | {"residual": torch.tensor([[0.0, 2.0], [0.0, 0.0]])}
    again = type(head)(**tensors)
    root = math.sqrt(0.5)  # the first row is n([1, 0] + 0.5 [0, 2])
    assert_allclose(again(torch.eye(2)), [[10 * root, 0], [10 * root, 10]], atol=1e-5)


def test_taskres_trains_the_residual_alone():
    task = make()
    head = TaskRes(steps=30).fit(task.X, task.y, task.text).module_
    assert torch.equal(head.weights, torch.from_numpy(task.text.weights))
    assert head.residual.abs().max() > 0


def test_zs_lp_s_first_step_by_hand():
    """One step down the gradient of the cross-entropy of a normalised row, without autograd."""
    X = unit(np.array([[2.0, 1.0], [1.0, 3.0], [1.0, 1.0]]))
    y = np.array([0, 1, 1])
    head = ZsLp(steps=1, learning_rate=0.5).fit(X, [NAMES[i] for i in y], TEXT).module_
    wrong = softmax(10 * X) - np.eye(2)[y]  # T is the identity
    by_row = 10 * wrong.T @ X / 3
    tangent = by_row - np.diag(np.diag(by_row))  # what lies along a row does not turn it
    rate = 0.5 * 2 / 100 * (100 / 10) ** 2
    assert_allclose(head.weights, np.eye(2) - rate * tangent, atol=1e-5)


def test_logits_move_equally_at_any_scale_and_number_of_classes():
    hundred, twenty = (
        ClassText(np.eye(n)[:, None, :], tuple(map(str, range(n))), scale)
        for n, scale in ((100, 100.0), (20, 50.0))
    )
    base = momentum_recipe(hundred, 10, 0.01, 8, 0)
    assert base.learning_rate == pytest.approx(0.01)
    assert momentum_recipe(twenty, 10, 0.01, 8, 0).learning_rate == pytest.approx(0.01 / 5 * 4)
    assert base.momentum == 0.9


def test_clap_s_ties_by_hand():
    X = np.array([[0.8, 0.6], [1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    head = CosineHead(weights=torch.eye(2), scale=scalar(10))
    ties = multipliers(head, torch.from_numpy(X), torch.tensor([0, 0, 1]))
    p = softmax(10 * X.astype(float))
    assert_allclose(ties, [(p[0, 0] + p[1, 0]) / 2, p[2, 1]], rtol=1e-5)


def test_clap_s_tie_of_a_class_without_shots_is_the_others_mean():
    three = CosineHead(weights=torch.eye(3), scale=scalar(5))
    x = torch.tensor([[0.8, 0.6, 0.0], [0.0, 1.0, 0.0]])
    ties = multipliers(three, x, torch.tensor([0, 1]))
    assert torch.isfinite(ties).all()
    assert ties[2] == pytest.approx(float(ties[:2].mean()))


def test_clap_s_penalty_by_hand():
    W = torch.tensor([[1.0, 2.0], [0.0, 1.0]], requires_grad=True)
    value = penalty(W, torch.eye(2), torch.tensor([0.5, 0.25]))
    assert value.item() == pytest.approx(0.5 * 4 / 2)
    (gradient,) = torch.autograd.grad(value, W)
    assert_allclose(gradient, [[0, 2 * 0.5 * 2 / 2], [0, 0]], atol=1e-6)


def test_clap_holds_the_rows_nearer_to_their_texts():
    task = make(shots=2)
    text = torch.from_numpy(task.text.weights)

    def far(adapter) -> float:
        weights = adapter.fit(task.X, task.y, task.text).module_.weights
        return (weights - text).norm().item()

    assert far(Clap(strength=100.0)) < 0.5 * far(Clap()) < 0.5 * far(Clap(strength=0.0))
    free = Clap(strength=0.0).fit(task.X, task.y, task.text).logits(task.queries)
    assert_allclose(free, ZsLp().fit(task.X, task.y, task.text).logits(task.queries), atol=1e-4)


# --- LP++


def test_lp_plus_plus_s_start_by_hand():
    X = np.array([[0.8, 0.6], [1.0, 0.0], [0.6, 0.8]])
    head = LpPlusPlus(steps=0).fit(X, ["left", "left", "up"], TEXT).module_
    assert_allclose(head.weights, [[0.9, 0.3], [0.6, 0.8]], atol=1e-6)  # means, not sums
    assert_allclose(head.alpha, [250 * (0.9 + 0.8) / 2] * 2, rtol=1e-5)


def test_lp_plus_plus_s_step_sizes_by_hand():
    x = torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.6, 0.8]])
    weights, alpha = step_sizes(x, torch.eye(2))
    assert weights == pytest.approx(4 * 3 / np.linalg.norm(x.numpy().astype(float), 2) ** 2)
    assert alpha == pytest.approx(3 / (4 * (0.64 + 1 + 0.36)))
    assert step_sizes(torch.zeros(2, 2), torch.eye(2)) == (0.0, 0.0)


def test_lp_plus_plus_in_numpy():
    """Twenty steps by the gradients as written on paper; alpha takes one gradient, not a sum."""
    task = make(shots=3, width=12)
    X, y, T = task.X.astype(float), columns(task), task.text.weights.astype(float)
    order = np.lexsort(X.T)  # any order will do
    X, y = X[order], y[order]
    W = np.array([X[y == c].mean(axis=0) for c in range(5)])
    alpha = np.full(5, 4 * np.mean([(X[y == c] @ T[c]).mean() for c in range(5)]))
    rate = 4 * len(X) / np.linalg.eigvalsh(X.T @ X)[-1]
    alpha_rate = len(X) / (4 * np.square(X @ T.T).sum(axis=0).max())
    velocity = np.zeros_like(W)
    for step in range(1, 21):
        wrong = (softmax(X @ W.T + alpha * (X @ T.T)) - np.eye(5)[y]) / len(X)
        velocity = 0.9 * velocity + wrong.T @ X
        W = W - rate * velocity
        if step % 10 == 0:
            alpha = alpha - alpha_rate * (wrong * (X @ T.T)).sum(axis=0)
    head = LpPlusPlus(init=4.0, steps=20).fit(task.X, task.y, task.text).module_
    assert_allclose(head.weights, W, atol=1e-4)
    assert_allclose(head.alpha, alpha, atol=1e-5)


def test_lp_plus_plus_descends_at_its_own_step_size():
    task = make(shots=8)
    x, y = torch.from_numpy(task.X), torch.from_numpy(columns(task))
    losses = [
        cross_entropy(LpPlusPlus(steps=s).fit(task.X, task.y, task.text).module_(x), y).item()
        for s in (0, 10, 100, 300)
    ]
    assert losses == sorted(losses, reverse=True)


def test_lp_plus_plus_starts_a_class_without_shots_at_its_text():
    head = LpPlusPlus(steps=0).fit([[0.8, 0.6]], ["left"], TEXT).module_
    assert_allclose(head.weights[1], [0, 0])
    assert head.alpha[1] == head.alpha[0]
    alpha = initial_alpha(torch.tensor([[0.8, 0.6]]), torch.tensor([0]), torch.eye(2), 250)
    assert_allclose(alpha, [200, 200], rtol=1e-6)


def test_lp_plus_plus_has_no_bias_and_nothing_random():
    assert LpPlusPlusHead.names == ("weights", "text", "alpha")
    assert "seed" not in LpPlusPlus().get_params()


# --- Cross-modal


def test_every_prompt_is_a_text_shot():
    task = make()
    rows, labels = prompt_samples(task.text)
    assert rows.shape == (15, 24)
    for row, label in zip(rows.numpy(), labels, strict=True):
        assert any(np.array_equal(row, p) for p in task.text.embeddings[label])


def test_cross_modal_averages_with_zero_shot():
    task = make()
    T = torch.from_numpy(task.text.weights)
    whole, half = (
        CrossModal(ratio=r, steps=40).fit(task.X, task.y, task.text).module_.weights
        for r in (1.0, 0.5)
    )
    assert torch.allclose(half, (T + whole) / 2, atol=1e-6)


def test_cross_modal_s_loss_is_both_kinds():
    """The whole batch of each kind: the same as cross-entropy of both, half and half."""
    task = make()
    x, y = torch.from_numpy(task.X), torch.from_numpy(columns(task))
    texts, labels = prompt_samples(task.text)
    head = CrossModal(ratio=1.0, steps=3, weight_decay=0.0).fit(task.X, task.y, task.text).module_
    weights = nn.Parameter(torch.from_numpy(task.text.weights).clone())
    optimiser = torch.optim.AdamW([weights], lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3)
    for _ in range(3):
        optimiser.zero_grad()
        of_images = cross_entropy(100 * x @ weights.T, y)
        (of_images + cross_entropy(100 * texts @ weights.T, labels)).backward()
        optimiser.step()
        schedule.step()
    assert torch.allclose(head.weights, weights, atol=1e-5)


def test_prompts_keep_a_class_without_shots_alive():
    task = make(shots=8)
    keep = task.y != task.text.classes[2]
    adapter = CrossModal(ratio=1.0).fit(task.X[keep], task.y[keep], task.text)
    prompts = adapter.logits(task.text.embeddings[2]).argmax(axis=1)
    assert (prompts == 2).all()


# --- TIMO

PROMPTS = ClassText(
    [[[1.0, 0.0, 0.0], [0.6, 0.0, 0.8]], [[0.0, 1.0, 0.0], [0.0, 0.6, 0.8]]], NAMES, 10.0
)


def test_timo_s_guided_text_by_hand():
    X = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    prompts = torch.from_numpy(PROMPTS.embeddings)
    scores = prompt_scores(X, torch.tensor([0, 1]), prompts)
    assert_allclose(scores, [[1, 0.6], [0.6, 1]], atol=1e-6)
    e = np.exp(2 * np.array([1, 0.6]) / math.sqrt(1.36))
    a, b = e / e.sum()
    first = unit(np.array([[a + 0.6 * b, 0, 0.8 * b]]))[0]
    assert_allclose(weighted_text(prompts, scores, 2.0)[0], first, atol=1e-6)


def test_timo_s_prompt_samples_stand_in_the_gaussian():
    X = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0], [0.0, 0.6, 0.8]])
    y = ["left", "left", "up", "up"]
    columns_ = torch.tensor([0, 0, 1, 1])
    P = PROMPTS.embeddings.astype(float)
    means = unit(np.array([X[:2].mean(axis=0), X[2:].mean(axis=0)]))
    s = np.einsum("cd,cpd->cp", means, P)
    best = [int(s[0].argmax()), int(s[1].argmax())]
    shots = np.array([s[c, best[c]] * P[c, best[c]] for c in range(2)])
    rows = torch.tensor(np.vstack([X, shots]), dtype=torch.float32)
    weights = np.exp(50 * unit(s) - (50 * unit(s)).max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    T = unit(np.einsum("cp,cpd->cd", weights, P))
    W, b = gda_weights(rows, torch.cat([columns_, torch.tensor([0, 1])]), torch.tensor(T))
    adapter = Timo(alpha=0.7, texts=0.5).fit(X, y, PROMPTS)
    expected = 10 * X @ T.T + 0.7 * (X @ W.numpy().T + b.numpy())
    assert_allclose(adapter.logits(X), expected, rtol=1e-4, atol=1e-4)


def test_timo_with_one_prompt_keeps_the_text():
    task = make()
    one = ClassText(task.text.weights[:, None], task.text.classes, 100.0)
    logits = Timo(alpha=0.0).fit(task.X, task.y, one).logits(task.queries)
    zero_shot = ZeroShot().fit(task.X, task.y, one).logits(task.queries)
    assert_allclose(logits, zero_shot, atol=1e-3)


def test_timo_prefers_the_prompts_that_match_the_images():
    task = make(shots=8)
    wrong = np.roll(task.text.embeddings, 1, axis=0)  # prompts that speak of another class
    both = np.concatenate([task.text.embeddings, wrong], axis=1)
    mixed = ClassText(both, task.text.classes, 100.0)
    told = task.text.weights
    near = {}
    for gamma in (0.0, 50.0):
        head = Timo(alpha=0.0, gamma=gamma).fit(task.X, task.y, mixed).module_
        near[gamma] = (head.weights.numpy() / 100 * told).sum(axis=1)
    assert near[50.0].mean() > 0.9 > near[0.0].mean()


# --- training


def test_descent_is_torch_s_sgd_and_a_penalty_counts():
    task = make(shots=6)
    x, y = torch.from_numpy(task.X), torch.from_numpy(columns(task))
    start = torch.from_numpy(task.text.weights)
    recipe = Recipe(9, 0.02, batch=100, weight_decay=0.0, momentum=0.9)
    head = LinearHead(weights=nn.Parameter(start.clone()), scale=scalar(10))
    ours = train(head, x, y, recipe, lambda h: 3 * h.weights.square().sum())

    weights = nn.Parameter(start.clone())
    optimiser = torch.optim.SGD([weights], lr=0.02, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 9)
    for _ in range(9):
        optimiser.zero_grad()
        (cross_entropy(10 * x @ weights.T, y) + 3 * weights.square().sum()).backward()
        optimiser.step()
        schedule.step()
    assert torch.allclose(ours.weights, weights, atol=1e-5)


@pytest.mark.parametrize("shots", [1, 16])
@pytest.mark.parametrize(
    "method", [SsText, Timo, TaskRes, ZsLp, Clap, LpPlusPlus, CrossModal], ids=lambda m: m.title
)
def test_real_features(shared, method, shots):
    """WHU-RS19, CLIP ViT-B/32: sane on features of a real model, far from what they reach."""
    from safetensors.numpy import load_file

    tensors = load_file(shared / "whu_rs19" / "clip_vit_b32.safetensors")
    labels, X = tensors["labels"], tensors["images"].astype(np.float32)
    text = ClassText(tensors["prompts"], tuple(f"class {i}" for i in range(19)), 100.0)
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:shots] for c in range(19)]
    )
    rest = np.setdiff1d(np.arange(len(labels)), drawn)
    logits = method().fit(X[drawn], labels[drawn], text).logits(X[rest])
    assert metrics.accuracy(logits, labels[rest]) > {1: 0.6, 16: 0.88}[shots]
