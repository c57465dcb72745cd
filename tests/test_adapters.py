"""Each formula against a case worked out by hand, and the loop that trains them."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from handful import metrics
from handful.adapters import Head, LinearHead, Recipe, number, scalar, train, whole
from handful.adapters._inputs import unit_or_zero
from handful.adapters._training import AdamW
from handful.adapters.clip_adapter import ClipAdapter, ClipAdapterHead
from handful.adapters.linear import Linear
from handful.adapters.tip import Tip, TipHead
from handful.adapters.tip_f import TipF
from handful.adapters.zero_shot import ZeroShot
from handful.contracts import ClassText
from handful.errors import InputError
from tasks import make

# two classes along the axes, one shot of each, one query between them
TEXT = ClassText(np.eye(2)[:, None, :], ("left", "up"), 10.0)
SHOTS = np.array([[0.8, 0.6], [0.6, 0.8]])
QUERY = np.array([[1.0, 0.0]])


def test_zero_shot_by_hand():
    assert_allclose(ZeroShot().fit(SHOTS, ["left", "up"], TEXT).logits(QUERY), [[10, 0]])


def test_zero_shot_averages_prompts_and_renormalises():
    text = ClassText([[[1, 0], [0, 1]], [[0, 1], [0, 1]]], ("both", "up"), 1.0)
    logits = ZeroShot().fit(SHOTS, ["both", "up"], text).logits(QUERY)
    assert_allclose(logits, [[math.sqrt(0.5), 0]], atol=1e-6)


def test_tip_by_hand():
    # 10 + 2 exp(-3 (1 - 0.8)) and 0 + 2 exp(-3 (1 - 0.6))
    logits = Tip(alpha=2, beta=3).fit(SHOTS, ["left", "up"], TEXT).logits(QUERY)
    expected = [[10 + 2 * math.exp(-0.6), 2 * math.exp(-1.2)]]
    assert_allclose(logits, expected, rtol=1e-5)


def test_tip_adds_the_votes_of_a_class():
    X = np.array([[0.8, 0.6], [0.6, 0.8], [1.0, 0.0]])
    logits = Tip(alpha=1, beta=3).fit(X, ["up", "up", "left"], TEXT).logits(QUERY)
    assert_allclose(logits, [[11, math.exp(-0.6) + math.exp(-1.2)]], rtol=1e-5)


@pytest.mark.parametrize("equal", [True, False])
def test_tip_is_the_dense_formula(equal):
    task = make(classes=7, shots=5, width=32)
    X, y = (task.X, task.y) if equal else (task.X[3:], task.y[3:])
    columns = torch.tensor([task.text.classes.index(name) for name in y])
    q, F, T = (torch.from_numpy(a).double() for a in (task.queries, X, task.text.weights))
    dense = 100 * q @ T.T + (-5.5 * (1 - q @ F.T)).exp() @ one_hot(columns, 7).double()
    logits = Tip().fit(X, y, task.text).logits(task.queries)
    assert_allclose(logits, dense.numpy(), rtol=1e-4, atol=1e-4)


def test_tip_f_starts_as_tip_and_lowers_the_loss():
    task = make(shots=8)
    tip = Tip().fit(task.X, task.y, task.text)
    start = TipF(epochs=0).fit(task.X, task.y, task.text)
    assert np.array_equal(start.logits(task.queries), tip.logits(task.queries))
    trained = TipF().fit(task.X, task.y, task.text)
    assert loss(trained, task) < loss(tip, task)
    assert not torch.equal(trained.module_.keys, tip.module_.keys)
    for name in ("labels", "weights", "alpha", "beta", "scale"):
        assert torch.equal(getattr(trained.module_, name), getattr(tip.module_, name))


def test_tip_f_gradient_by_hand():
    # one step of AdamW moves every key entry by the rate, against the sign of its gradient
    text = ClassText(np.eye(2)[:, None, :], ("left", "up"), 1.0)
    fitted = TipF(epochs=1, learning_rate=0.01, batch=2).fit(SHOTS, ["left", "up"], text)
    moved = fitted.module_.keys.numpy() - SHOTS * (1 - 0.01 * 0.01)
    # the logits are a mirror image, so are the gradients; each key moves towards its own sample
    assert_allclose(np.abs(moved), 0.01, rtol=0.02)
    assert_allclose(moved[0], moved[1][::-1], atol=1e-5)


def test_clip_adapter_by_hand():
    # A(x) = relu(relu(x · (1, 1)) (0, 2)): (1, 0) becomes (0, 2); half of each is (0.5, 1)
    head = ClipAdapterHead(
        weights=torch.eye(2),
        scale=scalar(10),
        down=torch.tensor([[1.0, 1.0]]),
        up=torch.tensor([[0.0], [2.0]]),
        ratio=scalar(0.5),
        text_down=torch.zeros(1, 2),
        text_up=torch.zeros(2, 1),
        text_ratio=scalar(0),
    )
    expected = np.array([[5, 10]]) / math.sqrt(1.25)
    assert_allclose(head(torch.tensor([[1.0, 0.0]])), expected, rtol=1e-5)


def test_clip_adapter_relus_are_both_there():
    tensors = {
        "weights": torch.eye(2),
        "scale": scalar(1),
        "ratio": scalar(0.5),
        "text_down": torch.zeros(1, 2),
        "text_up": torch.zeros(2, 1),
        "text_ratio": scalar(0),
    }
    x = torch.tensor([[1.0, 0.0]])
    first = ClipAdapterHead(
        down=torch.tensor([[-1.0, 0.0]]), up=torch.tensor([[0.0], [5.0]]), **tensors
    )
    second = ClipAdapterHead(
        down=torch.tensor([[1.0, 0.0]]), up=torch.tensor([[0.0], [-5.0]]), **tensors
    )
    assert_allclose(first(x), [[1, 0]], atol=1e-6)
    assert_allclose(second(x), [[1, 0]], atol=1e-6)


def test_clip_adapter_text_branch_by_hand():
    # B turns text (1, 0) into (0, 2) and (0, 1) into (0, 2): rows (0.5, 1) and (0, 1.5)
    head = ClipAdapterHead(
        weights=torch.eye(2),
        scale=scalar(10),
        down=torch.zeros(1, 2),
        up=torch.zeros(2, 1),
        ratio=scalar(0),
        text_down=torch.tensor([[1.0, 1.0]]),
        text_up=torch.tensor([[0.0], [2.0]]),
        text_ratio=scalar(0.5),
    )
    assert_allclose(head(torch.tensor([[1.0, 0.0]])), [[5 / math.sqrt(1.25), 0]], rtol=1e-5)


def test_clip_adapter_does_not_care_for_the_length_of_features():
    # the published code adapts features before it normalises them: the same answers
    head = ClipAdapter(branch="both", steps=20).fit(*problem()).module_
    x = torch.from_numpy(make().queries)
    assert_allclose(head(x), head(7.3 * x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("branch", "learned"), [("image", "down up"), ("text", "text_down text_up"), ("both", "")]
)
def test_clip_adapter_branches(branch, learned):
    adapter = ClipAdapter(branch=branch, steps=5, reduction=6).fit(*problem())
    shapes = {n: tuple(t.shape) for n, t in adapter.module_.state_dict().items()}
    bottlenecks = {"down", "up", "text_down", "text_up"}
    for name in bottlenecks:
        used = 4 if branch == "both" or name in learned.split() else 1  # D / reduction = 24 / 6
        assert shapes[name] == ((24, used) if name.endswith("up") else (used, 24))


def test_clip_adapter_learns_what_zero_shot_does_not_know():
    task = make(classes=10, shots=16, width=10)
    for branch in ("image", "text", "both"):
        assert loss(ClipAdapter(branch=branch), task) < loss(ZeroShot(), task)
    assert score(ClipAdapter(), task) > score(ZeroShot(), task)


def test_logistic_regression_is_scikit_learn_s():
    task = make(classes=6, shots=10)
    ours = Linear(init="random", penalty=0.5).fit(task.X, task.y, task.text)
    theirs = LogisticRegression(C=2, fit_intercept=False, tol=1e-8, max_iter=5000)
    theirs.fit(task.X, task.y)
    columns = [list(theirs.classes_).index(name) for name in ours.classes_]
    expected = theirs.predict_proba(task.queries)[:, columns]
    assert_allclose(ours.predict_proba(task.queries), expected, atol=2e-4)


def test_logistic_regression_by_hand():
    # two classes, shots at (1, 0) and (0, 1): by symmetry V = v [[1, -1], [-1, 1]] with
    # penalty v = p(wrong) = 1 / (1 + exp(2 v))
    text = ClassText(np.eye(2)[:, None, :], ("left", "up"), 10.0)
    head = Linear(init="random", penalty=0.3).fit(np.eye(2), ["left", "up"], text).module_
    V = (head.weights * head.scale).numpy()
    v = V[0, 0]
    assert_allclose(V, v * np.array([[1, -1], [-1, 1]]), atol=1e-4)
    assert 0.3 * v == pytest.approx(1 / (1 + math.exp(2 * v)), abs=1e-4)


def test_linear_from_text_stays_near_it():
    task = make(shots=8)
    head = Linear().fit(task.X, task.y, task.text).module_
    start = torch.from_numpy(task.text.weights)
    moved = (head.weights - start).abs().max().item()
    assert 0 < moved < 300 * 3e-4  # no entry can travel further than steps times rate
    assert loss(Linear(), task) < loss(ZeroShot(), task)


def test_adamw_is_torch_s():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 6, generator=generator), torch.randint(0, 3, (20,), generator=generator)
    ours = nn.Parameter(torch.randn(3, 6, generator=generator))
    theirs = nn.Parameter(ours.detach().clone())
    reference = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, eps=1e-4)
    optimiser = AdamW([ours], weight_decay=0.1, epsilon=1e-4)
    for _ in range(50):
        optimiser.step(torch.autograd.grad(cross_entropy(x @ ours.T, y), [ours]), 0.01)
        reference.zero_grad()
        cross_entropy(x @ theirs.T, y).backward()
        reference.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_training_is_torch_s_loop():
    """The whole loop against optimiser and schedule of the library, batch for batch."""
    task = make(shots=6)
    x, y = torch.from_numpy(task.X), torch.arange(5).repeat_interleave(6)
    recipe = Recipe(steps=9, learning_rate=0.01, batch=8, seed=3)  # 4 batches a pass
    start = torch.from_numpy(task.text.weights)
    ours = train(LinearHead(weights=nn.Parameter(start.clone()), scale=scalar(10)), x, y, recipe)

    weights = nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([weights], lr=0.01, weight_decay=0.01, eps=1e-8)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 9)
    shuffle = torch.Generator().manual_seed(3)
    batches = [b for _ in range(3) for b in torch.randperm(30, generator=shuffle).split(8)]
    for rows in batches[:9]:
        optimiser.zero_grad()
        cross_entropy(10 * x[rows] @ weights.T, y[rows]).backward()
        optimiser.step()
        schedule.step()
    assert torch.allclose(ours.weights, weights, atol=1e-5)
    assert not list(ours.parameters())


def test_training_says_when_it_diverges():
    # keys far from the unit sphere meet a sharp affinity: exp overflows
    X, y, text = problem()
    with pytest.raises(InputError, match=r"diverged at step \d+ of \d+ .*lower learning_rate=100"):
        TipF(learning_rate=100.0, beta=50.0).fit(X, y, text)


def test_training_leaves_its_start_alone():
    weights = torch.eye(2)
    head = LinearHead(weights=weights, scale=scalar(1))
    assert train(head, torch.eye(2), torch.tensor([0, 1]), Recipe(0, 0.1)) is not head
    Linear(steps=5).fit(*problem())
    assert torch.equal(weights, torch.eye(2))


def test_training_does_not_load_torch_s_compiler():
    code = (
        "import sys, numpy as np; from handful.adapters.tip_f import TipF; "
        "TipF(epochs=1).fit(np.eye(4), [0, 0, 1, 1]); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": -1}, "steps: expected a whole number, 0 or more, got -1"),
        ({"steps": 1.5}, "steps: expected a whole number"),
        ({"batch": 0}, "batch: expected a whole number, 1 or more, got 0"),
        ({"seed": 10**22}, "seed: expected a whole number up to 9223372036854775807, got 1000"),
        ({"steps": 2**63}, "steps: expected a whole number up to"),
        ({"learning_rate": 1e40}, "learning_rate: .* fits float32, got 1e\\+40"),
        ({"seed": None}, "seed: expected a whole number"),
        ({"learning_rate": -0.1}, "learning_rate: expected a finite number, 0 or more, got -0.1"),
        ({"learning_rate": "fast"}, "learning_rate: .* got 'fast'"),
    ],
)
def test_recipes_that_are_none(arguments, words):
    with pytest.raises(InputError, match=words):
        Recipe(**{"steps": 1, "learning_rate": 0.1} | arguments)


def test_numbers_are_checked():
    assert number("x", np.float32(0.5), 0, 1) == 0.5
    assert whole("n", np.int64(3)) == 3
    with pytest.raises(InputError, match="ratio: expected a finite number between 0 and 1, got 2"):
        number("ratio", 2, 0, 1)
    with pytest.raises(InputError, match="alpha: expected a finite number, got nan"):
        number("alpha", math.nan)
    with pytest.raises(InputError, match=r"alpha: expected a number that fits float32, got 1e\+40"):
        number("alpha", 1e40)
    with pytest.raises(InputError, match="alpha: expected a finite number, got 1000"):
        number("alpha", 10**400)
    with pytest.raises(InputError, match="fits float32"):
        scalar(-1e39)
    assert whole("seed", 2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize("method", [Tip, TipF])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_an_argument_too_large_for_float32_is_named(method, name):
    with pytest.raises(InputError, match=f"{name}: expected a number that fits float32"):
        method(**{name: 1e40}).fit(SHOTS, ["left", "up"], TEXT)


def test_text_that_is_no_class_text_is_refused():
    with pytest.raises(InputError, match=r"expected a ClassText, got ndarray; build one with Cl"):
        Tip().fit(SHOTS, ["left", "up"], np.eye(2))


def test_a_head_takes_exactly_its_tensors():
    with pytest.raises(
        InputError, match=r"LinearHead: expected the tensors \['scale', 'weights'\]"
    ):
        LinearHead(weights=torch.eye(2))
    with pytest.raises(InputError, match="'extra'"):
        LinearHead(weights=torch.eye(2), scale=scalar(1), extra=scalar(1))
    assert TipHead.names == ("weights", "scale", "keys", "labels", "alpha", "beta")


def test_a_head_keeps_parameters_and_freezes_copies():
    head = LinearHead(weights=nn.Parameter(torch.eye(2)), scale=scalar(1))
    assert [n for n, _ in head.named_parameters()] == ["weights"]
    frozen = head.frozen()
    with torch.no_grad():
        head.weights.zero_()
    assert torch.equal(frozen.weights, torch.eye(2))
    assert list(frozen.state_dict()) == ["weights", "scale"]


def test_heads_ignore_torch_s_default_type():
    try:
        torch.set_default_dtype(torch.float64)
        assert scalar(0.1).dtype == torch.float32
        for adapter in (Tip(), TipF(epochs=2), ClipAdapter(steps=2), Linear(steps=2)):
            adapter.fit(*problem())
            kinds = {t.dtype for t in adapter.module_.state_dict().values()}
            assert kinds <= {torch.float32, torch.int64}, type(adapter).__name__
    finally:
        torch.set_default_dtype(torch.float32)


def test_rows_of_any_length_become_unit():
    rows = np.array([[3e30, 4e30], [3e-30, 4e-30], [0, 0], [-3, 4]], dtype=np.float32)
    expected = [[0.6, 0.8], [0.6, 0.8], [0, 0], [-0.6, 0.8]]
    assert_allclose(unit_or_zero(rows), expected, rtol=1e-6)


def test_queries_in_chunks_are_the_same_queries():
    task = make(queries=300)  # 1500 queries, more than one chunk
    adapter = Tip().fit(task.X, task.y, task.text)
    x = torch.from_numpy(task.queries)
    assert_allclose(adapter.logits(task.queries), adapter.module_(x), rtol=1e-5, atol=1e-4)


def test_a_head_is_a_subclass_with_annotations():
    class Odd(Head):
        """`logits = x`."""

        kept: torch.Tensor
        note: str

    assert Odd.names == ("kept",)
    assert normalize(Odd(kept=torch.ones(1, 2)).kept).shape == (1, 2)


@pytest.mark.parametrize("shots", [1, 16])
def test_real_features(shared, shots):
    """WHU-RS19, CLIP ViT-B/32: zero-shot is exact, and every method ends above it."""
    from safetensors.numpy import load_file

    tensors = load_file(shared / "whu_rs19" / "clip_vit_b32.safetensors")
    labels = tensors["labels"]
    X = tensors["images"].astype(np.float32)
    text = ClassText(tensors["prompts"], tuple(f"class {i}" for i in range(19)), 100.0)
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:shots] for c in range(19)]
    )
    rest = np.setdiff1d(np.arange(len(labels)), drawn)
    base = ZeroShot().fit(X[drawn], labels[drawn], text)
    assert 100 * metrics.accuracy(base.logits(X), labels) == pytest.approx(81.29, abs=0.005)
    at_least = {1: 82, 16: 92}[shots]  # far below what they reach, far above chance
    for method in (Tip(), TipF(), ClipAdapter(), Linear()):
        method.fit(X[drawn], labels[drawn], text)
        assert 100 * metrics.accuracy(method.logits(X[rest]), labels[rest]) > at_least


def problem():
    task = make()
    return task.X, task.y, task.text


def loss(adapter, task) -> float:
    """Cross-entropy on the support set; fits first where needed."""
    if not hasattr(adapter, "module_"):
        adapter.fit(task.X, task.y, task.text)
    columns = torch.tensor([task.text.classes.index(name) for name in task.y])
    return cross_entropy(torch.from_numpy(adapter.logits(task.X)), columns).item()


def score(adapter, task) -> float:
    adapter.fit(task.X, task.y, task.text)
    return metrics.accuracy(adapter.logits(task.queries), task.targets)
