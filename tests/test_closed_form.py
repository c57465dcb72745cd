"""Nearest class mean, GDA and ProKeR against cases by hand and their papers' algebra in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from handful import metrics
from handful.adapters._arguments import check_memory, interpolate_by_shots
from handful.adapters.class_mean import ClassMean
from handful.adapters.gda import Gda
from handful.adapters.proker import Proker
from handful.contracts import ClassText
from handful.errors import InputError
from handful.features import memory
from tasks import make

TEXT = ClassText(np.eye(2)[:, None, :], ("left", "up"), 10.0)


def columns(task):
    return np.array([task.text.classes.index(name) for name in task.y])


def centred(logits):
    return logits - logits.mean(axis=1, keepdims=True)


def test_class_mean_by_hand():
    # left: (.8, .6) and (.8, -.6) have the mean (.8, 0), its direction is (1, 0); up: (0, 1)
    X = [[0.8, 0.6], [0.8, -0.6], [0.0, 1.0]]
    logits = ClassMean().fit(X, ["left", "left", "up"], TEXT).logits([[0.6, 0.8]])
    assert_allclose(logits, [[6, 8]], rtol=1e-6)


def test_class_mean_of_a_class_without_shots_follows_the_text():
    # images at (1, 0, 0) and (0, 1, 0), texts the same, so that g = 1, h = 0: the third class
    # stands at its own text (0, 0, 1)
    text = ClassText(np.eye(3)[:, None, :], ("a", "b", "c"), 10.0)
    fitted = ClassMean().fit(np.eye(3)[:2], ["a", "b"], text)
    assert_allclose(fitted.logits([[0, 0.6, 0.8]]), [[0, 6, 8]], atol=1e-6)


def test_an_unseen_class_can_win():
    task = make(shots=8, queries=40)
    keep = task.y != task.text.classes[2]
    asked = task.targets == 2
    for adapter in (ClassMean(), Gda(), Gda(prior=1.0)):
        logits = adapter.fit(task.X[keep], task.y[keep], task.text).logits(task.queries)
        # chance is 0.2; zero-shot alone, or a text among means, would find none or all
        assert (logits[asked].argmax(1) == 2).mean() > 0.4
        assert (logits[~asked].argmax(1) == 2).mean() < 0.3


def test_class_mean_where_images_cancel_is_the_text():
    X = [[1.0, 0.0], [-1.0, 0.0], [0.6, 0.8]]
    logits = ClassMean().fit(X, ["up", "up", "left"], TEXT).logits([[0.0, 1.0]])
    assert_allclose(logits, [[8, 10]], rtol=1e-6)


def test_gda_by_hand():
    # left: (1, 0), (.6, .8), mean (.8, .4); up: (0, 1), (-.6, .8), mean (-.3, .9).
    # Rests: ±(.2, -.4) and ±(.3, .1). M = 2 [[.04+.09, -.08+.03], [.., .16+.01]]
    #   = [[.26, -.1], [-.1, .34]], tr M = .6, n = 4, tr M / 3 = .2, D = 2:
    # P = 2 [[.46, -.1], [-.1, .54]]⁻¹ = 2 / .2384 [[.54, .1], [.1, .46]]
    # mu_left P = 2 / .2384 (.472, .264), mu_left P mu_left = 2 / .2384 * .4832
    # mu_up P = 2 / .2384 (-.072, .384), mu_up P mu_up = 2 / .2384 * .3672
    # at x = (1, 0): d_left = 2 / .2384 (.472 - .2416), d_up = 2 / .2384 (-.072 - .1836);
    # the difference is 2 / .2384 * .486 = 4.077181; each class gets half of it, with its sign
    X = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]]
    logits = Gda(alpha=3.0).fit(X, ["left", "left", "up", "up"], TEXT).logits([[1.0, 0.0]])
    half = 0.486 / 0.2384
    assert_allclose(logits, [[10 + 3 * half, -3 * half]], rtol=1e-5)


@pytest.mark.parametrize("width", [6, 64])
def test_gda_is_the_papers_algebra(width):
    task = make(shots=5, width=width)
    X, y, q, T = task.X.astype(float), columns(task), task.queries, task.text.weights
    mu = np.stack([X[y == c].mean(axis=0) for c in range(5)])
    S = np.cov((X - mu[y]).T)
    P = width * np.linalg.pinv((len(X) - 1) * S + np.trace(S) * np.eye(width))
    W, b = mu @ P, math.log(1 / 5) - 0.5 * np.einsum("cd,de,ce->c", mu, P, mu)
    expected = 100 * q @ T.T + 0.7 * (q @ W.T + b)
    logits = Gda(alpha=0.7).fit(task.X, task.y, task.text).logits(q)
    # ours leaves out what all classes share
    assert_allclose(centred(logits), centred(expected), rtol=1e-4, atol=1e-3)


def test_gda_with_a_prior_and_shrinkage_in_plain_numpy():
    task = make(shots=3, width=10)
    keep = task.y != task.text.classes[4]
    X, y, q, T = task.X[keep].astype(float), columns(task)[keep], task.queries, task.text.weights
    kappa, rho = 2.0, 0.3
    mean = np.stack([X[y == c].mean(axis=0) for c in range(4)])
    xm, tm = mean.mean(axis=0), T[:4].mean(axis=0)
    g = ((T[:4] - tm) * (mean - xm)).sum() / ((T[:4] - tm) ** 2).sum()
    told = xm + g * (T - tm)
    mu = np.vstack([(kappa * told[:4] + 3 * mean) / (kappa + 3), told[4:]])
    S = np.cov((X - mean[y]).T)
    P = np.linalg.inv((1 - rho) * S + rho * np.trace(S) / 10 * np.eye(10))
    expected = 100 * q @ T.T + 0.7 * (q @ P @ mu.T - 0.5 * np.einsum("cd,de,ce->c", mu, P, mu))
    adapter = Gda(alpha=0.7, prior=kappa, shrinkage=rho)
    logits = adapter.fit(task.X[keep], task.y[keep], task.text).logits(q)
    assert_allclose(centred(logits), centred(expected), rtol=1e-4, atol=1e-3)


def test_gda_at_one_shot_has_a_sphere():
    task = make(shots=1)
    X, q, T = task.X.astype(float), task.queries, task.text.weights
    mu = np.empty_like(X)
    mu[columns(task)] = X
    variance = ((X - X.mean(axis=0)) ** 2).sum() / (len(X) - 1) / X.shape[1]
    expected = 100 * q @ T.T + 0.002 / variance * (q @ mu.T - 0.5 * (mu * mu).sum(axis=1))
    logits = Gda().fit(task.X, task.y, task.text).logits(q)
    assert_allclose(centred(logits), centred(expected), rtol=1e-4, atol=1e-3)


def test_a_large_prior_is_the_text_alone():
    task = make(shots=4)
    first = Gda(alpha=1.0, prior=1e7).fit(task.X, task.y, task.text)
    swap = np.roll(columns(task), 4)  # other images for each class
    other = Gda(alpha=1.0, prior=0).fit(task.X, swap, task.text)
    rows, W = task.queries, first.module_.weights.numpy()
    assert metrics.accuracy(first.logits(rows), task.targets) > 0.6
    assert metrics.accuracy(other.logits(rows), task.targets) < 0.6
    direction = np.linalg.matrix_rank(W - W.mean(axis=0), tol=1e-2)
    assert direction <= 4


def test_wrong_labels_at_a_fifth_leave_one_out():
    task = make(shots=16)
    y = task.y.copy()
    flip = np.random.default_rng(3).choice(len(y), len(y) // 5, replace=False)
    y[flip] = np.roll(task.y, 16)[flip]  # the class before
    truth = columns(task)
    for adapter in (ClassMean(), Gda(), Gda(prior=2.0), Proker()):
        told = adapter.leave_one_out(task.X, y, task.text)
        assert np.isfinite(told).all()
        # an image that was labelled wrongly is told its true class by the others
        assert (told[flip].argmax(1) == truth[flip]).mean() > 0.6


def test_proker_by_hand():
    # one shot each, F = [(.8, .6), (.6, .8)], beta 2: k(f1, f2) = e^(-2 (1 - .96)) = e^-.08 = c.
    # Y - F Tᵀ = [[.2, -.6], [-.6, .2]]; (K + l I)⁻¹ has the eigenvectors (1, 1), (1, -1) with
    # 1 / (1 + c + l), 1 / (1 - c + l). Of R's columns: -.2 (1, 1) ± .4 (1, -1). With l = .5:
    # A = [[p + m, p - m], [p - m, p + m]], p = -.2 / (1.5 + c), m = .4 / (1.5 - c)
    # at x = (1, 0): k = (e^-.4, e^-.8), logits = 10 (1 + .5 (k1 (p + m) + k2 (p - m)), ...)
    X, c = [[0.8, 0.6], [0.6, 0.8]], math.exp(-0.08)
    p, m = -0.2 / (1.5 + c), 0.4 / (1.5 - c)
    k1, k2 = math.exp(-0.4), math.exp(-0.8)
    first, second = k1 * (p + m) + k2 * (p - m), k1 * (p - m) + k2 * (p + m)
    fitted = Proker(beta=2, penalty=0.5).fit(X, ["left", "up"], TEXT)
    assert_allclose(fitted.logits([[1, 0]]), [[10 + 5 * first, 5 * second]], rtol=1e-5)
    fitted = Proker(beta=2, penalty=0.5, weight=1).fit(X, ["left", "up"], TEXT)
    assert_allclose(fitted.logits([[1, 0]]), [[10 + 10 * first, 10 * second]], rtol=1e-5)


def test_proker_is_the_papers_algebra_with_its_numbers():
    task = make(shots=4)
    F, q, T = (a.astype(float) for a in (task.X, task.queries, task.text.weights))
    beta, penalty = 1.5, 0.05  # at four shots
    K = np.exp(-beta * (1 - F @ F.T))
    A = np.linalg.solve(K / penalty + np.eye(len(F)), np.eye(5)[columns(task)] - F @ T.T)
    expected = 100 * (q @ T.T + np.exp(-beta * (1 - q @ F.T)) @ A)
    logits = Proker().fit(task.X, task.y, task.text).logits(q)
    assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_the_tables_depend_on_shots_alone():
    table = {1: 0.002, 2: 0.04, 4: 0.25, 8: 1.0, 16: 7.0}
    for shots, value in table.items():
        assert interpolate_by_shots(table, torch.arange(3).repeat(shots)) == value
    assert interpolate_by_shots(table, torch.arange(3).repeat(100)) == 7.0
    # counts 1, 3 and none: two a class that has any
    assert interpolate_by_shots(table, torch.tensor([0, 2, 2, 2])) == 0.04
    # sqrt(2) shots are halfway between one and two: the geometric mean of their values
    halfway = interpolate_by_shots(
        {1: 0.002, 2: 0.04}, torch.tensor([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)
    )
    assert halfway == 0.04
    five = interpolate_by_shots(table, torch.tensor([0] * 5))
    assert five == pytest.approx(0.25 * 4 ** math.log2(5 / 4))


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        (Gda(alpha=1e30), r"alpha: expected a finite number between -1e\+06 and 1e\+06, got 1e"),
        (Gda(prior=-1), "prior: expected a finite number, 0 or more, got -1"),
        (Gda(shrinkage=1.5), "shrinkage: expected a finite number between 0 and 1, got 1.5"),
        (Proker(beta=-1), "beta"),
        (Proker(penalty=0), "penalty: expected a finite number, 1e-06 or more, got 0"),
        (Proker(weight="much"), "weight"),
        (Proker(weight=1e30), "weight: expected"),
    ],
)
def test_arguments_out_of_range(adapter, told):
    task = make()
    with pytest.raises(InputError, match=told):
        adapter.fit(task.X, task.y, task.text)
    with pytest.raises(InputError, match=told):
        adapter.leave_one_out(task.X, task.y, task.text)


@pytest.mark.parametrize("alpha", [1e6, -1e6])
def test_the_largest_alpha_on_the_smallest_scatter_gives_numbers(alpha):
    X = np.ones((8, 3)) + 1e-4 * np.random.default_rng(0).standard_normal((8, 3))
    text = ClassText(np.eye(3)[:, None, :], ("a", "b", "c"), 100.0)
    adapter = Gda(alpha=alpha, shrinkage=0.0).fit(X, [0, 1] * 4, text)
    assert np.isfinite(adapter.logits(np.vstack([X, np.eye(3)]))).all()
    assert np.isfinite(adapter.leave_one_out(X, [0, 1] * 4, text)).all()


def test_a_kernel_too_large_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1000)
    task = make()
    for act in (Proker().fit, Proker().leave_one_out):
        with pytest.raises(InputError, match=r"a kernel of 20 images needs 0\.0 GB.*fewer shots"):
            act(task.X, task.y, task.text)


def test_memory_is_known_here_or_not_asked_for(monkeypatch):
    free = memory.available()
    assert free is None or 1e6 < free < 1e15
    monkeypatch.setattr(memory, "_system", lambda: None)
    monkeypatch.setattr(memory, "_container", lambda: None)
    assert memory.available() is None
    check_memory(10**18, "the impossible")  # a system that says nothing is trusted
    monkeypatch.setattr(memory, "_container", lambda: 10**9)
    with pytest.raises(InputError, match=r"the impossible needs 1000000000\.0 GB of memory, 1\.0"):
        check_memory(10**18, "the impossible")
