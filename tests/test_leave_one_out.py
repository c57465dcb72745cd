"""Every closed form of leave-one-out against fits that really leave one out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from handful import plugins
from handful.contracts import ClassText
from handful.data.splits import draw_shots
from handful.errors import InputError
from handful.selection import (
    cache_leave_one_out,
    gda_leave_one_out,
    gda_weights,
    kernel_ridge,
    kernel_ridge_leave_one_out,
    kernel_ridge_path,
    linear_ridge_path,
    modality_gap,
)
from tasks import make

GAUSSIANS = [(k, rho) for k in (0.0, 0.7, 4.0) for rho in (None, 0.0, 0.3, 1.0)]


def support(width: int, counts: list[int], seed: int = 0):
    """Float64 `[N, D]` rows, `[N]` columns and `[C, D]` texts, `counts` images of each class."""
    task = make(classes=len(counts), shots=max(counts), width=width, seed=seed)
    at = np.concatenate([c * max(counts) + np.arange(n) for c, n in enumerate(counts)]).astype(int)
    rows = torch.nn.functional.normalize(torch.from_numpy(task.X[at]).double())
    targets = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    return rows, targets, torch.from_numpy(task.text.weights).double()


def others(n: int):
    return [(i, torch.arange(n) != i) for i in range(n)]


def units_of(targets: torch.Tensor, kind: str, seed: int = 0) -> torch.Tensor:
    """`[N]` units, numbered from 0: bursts within classes, or groups across them; none of all."""
    rng, n = np.random.default_rng(seed), len(targets)
    names = rng.integers(0, max(2, n // 3), n)
    if kind == "within a class":
        names = names * 100 + targets.numpy()
    if len(np.unique(names)) < 2:
        names[0] = -1
    return torch.from_numpy(np.unique(names, return_inverse=True)[1])


GROUPED = pytest.mark.parametrize("kind", ["within a class", "across classes"])


TASKS = {
    "N < D": support(40, [3, 5, 2, 4]),
    "N > D": support(8, [9, 3, 12, 6]),
    "a single image": support(24, [4, 1, 3, 5]),
    "a class without images": support(12, [4, 0, 3, 5, 1]),
    "one shot everywhere": support(24, [1, 1, 1, 1, 1]),
    "two images of one class": support(24, [1, 2, 1, 1]),
    "one class": support(8, [4, 0, 0]),
    "two images in all": support(8, [1, 1, 0]),
}


@pytest.fixture(params=TASKS.values(), ids=TASKS.keys())
def task(request):
    return request.param


@pytest.mark.parametrize(("prior", "shrinkage"), GAUSSIANS)
def test_gaussian_is_exact(task, prior, shrinkage):
    rows, targets, text = task
    brute = torch.empty(len(rows), len(text), dtype=torch.float64)
    for i, rest in others(len(rows)):
        W, b = gda_weights(rows[rest], targets[rest], text, prior, shrinkage)
        brute[i] = W @ rows[i] + b
    closed = gda_leave_one_out(rows, targets, text, prior, shrinkage)
    assert torch.isfinite(brute).all()
    # a covariance that is singular but for 1e-6 of its trace costs as many digits
    assert_allclose(closed, brute, rtol=1e-5, atol=1e-7 + 1e-5 * float(brute.abs().max()))
    # one class, or one image left, leaves nothing to tell classes apart by
    nothing = len(rows) == 2 or len(targets.unique()) == 1
    assert (float(brute.abs().max()) > 1) != nothing


@GROUPED
@pytest.mark.parametrize(("prior", "shrinkage"), GAUSSIANS)
def test_gaussian_is_exact_for_units(task, prior, shrinkage, kind, monkeypatch):
    monkeypatch.setattr("handful.selection.gda_left_out._CHUNK", 4)
    rows, targets, text = task
    units = units_of(targets, kind)
    brute = torch.empty(len(rows), len(text), dtype=torch.float64)
    for unit in units.unique():
        out = units == unit
        W, b = gda_weights(rows[~out], targets[~out], text, prior, shrinkage)
        brute[out] = rows[out] @ W.T + b
    closed = gda_leave_one_out(rows, targets, text, prior, shrinkage, units)
    assert_allclose(closed, brute, rtol=1e-5, atol=1e-7 + 1e-5 * float(brute.abs().max()))


def test_gaussian_left_out_in_chunks(monkeypatch):
    rows, targets, text = TASKS["a class without images"]
    whole = gda_leave_one_out(rows, targets, text, 1.0)
    monkeypatch.setattr("handful.selection.gda_left_out._CHUNK", 3)
    assert_allclose(gda_leave_one_out(rows, targets, text, 1.0), whole, atol=1e-9)


def test_seen_and_left_out_differ():
    # in this test's task the comparison above would notice if nothing were left out
    rows, targets, text = TASKS["N < D"]
    W, b = gda_weights(rows, targets, text)
    seen = rows @ W.T + b
    assert float((gda_leave_one_out(rows, targets, text) - seen).abs().max()) > 1


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("width", [6, 60])
def test_ridge_is_exact(width, penalty, monkeypatch):
    rows, targets, text = support(width, [6, 1, 4, 9])
    kernel = (2 * (rows @ rows.T - 1)).exp()
    residuals = torch.nn.functional.one_hot(targets, 4).double() - rows @ text.T
    brute = torch.empty_like(residuals)
    for i, rest in others(len(rows)):
        a = kernel_ridge(kernel[rest][:, rest], residuals[rest], penalty)
        brute[i] = kernel[i, rest] @ a
    assert_allclose(
        kernel_ridge_leave_one_out(kernel, residuals, penalty), brute, rtol=1e-7, atol=1e-9
    )
    monkeypatch.setattr("handful.selection.ridge._CHUNK", 7)
    kept = kernel.clone()
    closed = kernel_ridge_leave_one_out(kernel, residuals, penalty)
    assert_allclose(closed, brute, rtol=1e-7, atol=1e-9)
    assert torch.equal(kernel, kept)
    in_place = kernel_ridge_leave_one_out(kernel.clone(), residuals, penalty, overwrite=True)
    assert torch.equal(in_place, closed)
    coefficients, left = kernel_ridge_path(kernel, residuals, [0.5, penalty])
    assert coefficients.shape == left.shape == (2, len(rows), 4)
    assert_allclose(left[1], brute, rtol=1e-7, atol=1e-9)
    assert_allclose(coefficients[1], kernel_ridge(kernel, residuals, penalty), rtol=1e-7, atol=1e-9)


@GROUPED
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_ridge_is_exact_for_units(kind, penalty, monkeypatch):
    monkeypatch.setattr("handful.selection.ridge._CHUNK", 4)
    for width in (6, 60):
        rows, targets, text = support(width, [6, 1, 4, 9])
        units = units_of(targets, kind)
        kernel = (2 * (rows @ rows.T - 1)).exp()
        residuals = torch.nn.functional.one_hot(targets, 4).double() - rows @ text.T
        brute, linear = torch.empty_like(residuals), torch.empty_like(residuals)
        for unit in units.unique():
            out = units == unit
            a = kernel_ridge(kernel[~out][:, ~out], residuals[~out], penalty)
            brute[out] = kernel[out][:, ~out] @ a
            a = kernel_ridge(rows[~out] @ rows[~out].T, residuals[~out], penalty)
            linear[out] = rows[out] @ rows[~out].T @ a
        kept, by_unit = kernel.clone(), torch.argsort(units, stable=True)
        closed = kernel_ridge_leave_one_out(kernel, residuals, penalty, units)
        assert_allclose(closed, brute, rtol=1e-6, atol=1e-8)
        assert torch.equal(kernel, kept)
        ordered = kernel[by_unit][:, by_unit], residuals[by_unit], penalty, units[by_unit]
        in_place = kernel_ridge_leave_one_out(*ordered, overwrite=True)
        assert torch.equal(in_place, closed[by_unit])
        path = kernel_ridge_path(kernel, residuals, [0.5, penalty], units)[1]
        assert_allclose(path[1], brute, rtol=1e-6, atol=1e-8)
        path = linear_ridge_path(rows, residuals, [0.5, penalty], units)[1]
        assert_allclose(path[1], linear, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("width", [6, 20, 60])
def test_linear_ridge_is_exact(width):
    rows, targets, _ = support(width, [6, 1, 4, 9])
    residuals = torch.nn.functional.one_hot(targets, 4).double()
    penalties = [0.01, 1.0]
    weights, left = linear_ridge_path(rows, residuals, penalties)
    assert weights.shape == (2, 4, width)

    def solve(X, R, penalty):
        return torch.linalg.solve(X.T @ X + penalty * torch.eye(width).double(), X.T @ R).T

    for k, penalty in enumerate(penalties):
        expected = solve(rows, residuals, penalty)
        assert_allclose(weights[k], expected, rtol=1e-7, atol=1e-9)
        brute = [solve(rows[r], residuals[r], penalty) @ rows[i] for i, r in others(len(rows))]
        assert_allclose(left[k], torch.stack(brute), rtol=1e-7, atol=1e-9)


def test_cache_is_exact(monkeypatch):
    rows, targets, text = TASKS["N > D"]
    brute = torch.zeros(len(rows), len(text)).double()
    for i, rest in others(len(rows)):
        votes = (5.5 * (rows[rest] @ rows[i] - 1)).exp()
        brute[i] = brute[i].index_add(0, targets[rest], votes)
    monkeypatch.setattr("handful.selection.leave_one_out._CHUNK", 7)
    assert_allclose(cache_leave_one_out(rows, targets, len(text), 5.5), brute, rtol=1e-9)


def test_modality_gap_by_hand():
    # classes 0 and 1 have images, at (2, 0) and (0, 2): their mean x is (1, 1). Their texts (1, 0)
    # and (0, 1) have the mean t (.5, .5). g = sum <T - t, m - x> / sum |T - t|²
    #   = (<(.5, -.5), (1, -1)> + <(-.5, .5), (-1, 1)>) / (.5 + .5) = 2, h = x - 2 t = (0, 0)
    means = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    offset, gain = modality_gap(means, torch.tensor([3, 1, 0]), text)
    assert gain == 2
    assert offset.tolist() == [0, 0]
    # texts that contradict the images, or are all the same, say nothing: the mean of the means
    for wrong in (text[[1, 0, 2]], torch.ones(3, 2)):
        offset, gain = modality_gap(means, torch.tensor([3, 1, 0]), wrong)
        assert gain == 0
        assert offset.tolist() == [1, 1]


# arguments given, since a default that depends on the shots is that of the whole support set
CASES = [
    ("zero_shot", {}),
    ("tip", {"alpha": 2.0, "beta": 3.0}),
    ("class_mean", {}),
    ("gda", {"alpha": 0.3}),
    ("gda", {"alpha": 2.0, "prior": 1.5, "shrinkage": 0.4}),
    ("proker", {"beta": 2.0, "penalty": 0.05, "weight": 0.05}),
    ("proker", {"beta": 2.0, "penalty": 0.3, "weight": 1.0}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_adapters_are_exact(task, name, arguments):
    rows, targets, text = task[0].numpy(), task[1].numpy(), task[2].numpy()
    told = ClassText(text[:, None], tuple(f"c{i}" for i in range(len(text))), 100.0)
    method = plugins.get("adapters", name)
    brute = np.stack(
        [
            method(**arguments)
            .fit(np.delete(rows, i, axis=0), np.delete(targets, i), told)
            .logits(rows[i : i + 1])[0]
            for i in range(len(rows))
        ]
    )
    closed = method(**arguments).leave_one_out(rows, targets, told)
    assert_allclose(closed, brute, rtol=1e-4, atol=1e-5 * np.abs(brute).max())


@GROUPED
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_adapters_are_exact_for_groups(task, name, arguments, kind):
    rows, targets, text = task[0].numpy(), task[1].numpy(), task[2].numpy()
    units = units_of(task[1], kind).numpy()
    told = ClassText(text[:, None], tuple(f"c{i}" for i in range(len(text))), 100.0)
    method = plugins.get("adapters", name)
    brute = np.empty((len(rows), len(text)), dtype=np.float32)
    for unit in np.unique(units):
        out = units == unit
        fitted = method(**arguments).fit(rows[~out], targets[~out], told)
        brute[out] = fitted.logits(rows[out])
    closed = method(**arguments).leave_one_out(rows, targets, told, units)
    assert_allclose(closed, brute, rtol=1e-4, atol=1e-5 * np.abs(brute).max())


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_units_of_one_image_are_images(name, arguments, monkeypatch):
    """The block forms at blocks of one, which groups of one image never reach by themselves."""
    rows, targets, text = (t.float() for t in TASKS["a class without images"])
    told = ClassText(text[:, None].numpy(), tuple(f"c{i}" for i in range(len(text))), 100.0)
    adapter = plugins.get("adapters", name)(**arguments)
    each = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    given = rows, targets.long(), told
    alone = adapter._leave_units_out(*given, None)
    assert_allclose(adapter._leave_units_out(*given, each), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("kind", ["constant", "duplicates", "opposite"])
def test_bad_inputs_give_numbers(name, arguments, kind):
    task = make()
    X, y = task.X.copy(), task.y
    if kind == "constant":
        X[:] = 1
    elif kind == "duplicates":
        X = np.repeat(X[::4], 4, axis=0)
    else:
        X[1::2] = -X[::2]
    adapter = plugins.get("adapters", name)(**arguments)
    assert np.isfinite(adapter.leave_one_out(X, y, task.text)).all()
    assert np.isfinite(adapter.fit(X, y, task.text).logits(task.queries)).all()


def test_one_sample_cannot_be_left_out():
    task = make()
    with pytest.raises(ValueError, match="at least two images, got 1"):
        plugins.get("adapters", "gda")().leave_one_out(task.X[:1], task.y[:1], task.text)


@pytest.mark.parametrize("name", ["class_mean", "gda", "proker"])
def test_it_foretells_the_test_accuracy(name, shared):
    from safetensors.numpy import load_file

    tensors = load_file(shared / "whu_rs19" / "clip_vit_b32.safetensors")
    X, labels = tensors["images"].astype(np.float32), tensors["labels"]
    prompts = tensors["prompts"].astype(np.float32)
    text = ClassText(prompts, tuple(f"c{i}" for i in range(len(prompts))), 100.0)
    at = np.array(draw_shots([text.classes[i] for i in labels], 16, seed=0))
    rest = np.setdiff1d(np.arange(len(X)), at)
    adapter = plugins.get("adapters", name)()
    told = (adapter.leave_one_out(X[at], labels[at], text).argmax(1) == labels[at]).mean()
    found = (adapter.fit(X[at], labels[at], text).predict(X[rest]) == labels[rest]).mean()
    assert abs(told - found) < 0.03  # three standard errors of 304 images at 97 %


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan"), float("inf")])
def test_a_penalty_without_a_solution_is_refused(penalty):
    kernel, residuals = torch.ones(3, 3), torch.eye(3)  # three images that are all alike
    for call in (kernel_ridge, kernel_ridge_leave_one_out):
        with pytest.raises(InputError, match="penalties above 0"):
            call(kernel, residuals, penalty)
    for path in (kernel_ridge_path, linear_ridge_path):
        with pytest.raises(InputError, match="penalties above 0"):
            path(kernel, residuals, [1.0, penalty])
