"""The exact weight of a blend, against trying every weight there is."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handful.errors import InputError
from handful.selection.alpha import best_alpha, best_alpha_beta


def right(base, other, targets, alpha):
    """Ties are wrong; of columns that are equal for every alpha the first one wins."""
    count = 0
    for one, two, target in zip(base, other, targets, strict=True):
        logits = one + alpha * two
        beaten = [
            target < c if (one[c], two[c]) == (one[target], two[target]) else logits[target] > value
            for c, value in enumerate(logits)
            if c != target
        ]
        count += all(beaten)
    return count


@st.composite
def blends(draw):
    n, c = draw(st.integers(1, 8)), draw(st.integers(2, 4))
    whole = hnp.arrays(np.int64, (n, c), elements=st.integers(-6, 6))
    targets = draw(hnp.arrays(np.int64, n, elements=st.integers(0, c - 1)))
    return draw(whole).astype(float), draw(whole).astype(float), targets


def candidates(base, other, targets, low, high):
    """Midpoints between all crossings of all pairs of classes, beyond them, and a grid."""
    lead = base[:, :, None] - base[:, None, :]
    pull = other[:, :, None] - other[:, None, :]
    ends = np.unique(-lead[pull != 0] / pull[pull != 0])
    inside = np.concatenate([[-100.0], ends, [100.0]])
    odd = np.linspace(-20, 20, 401) + 1e-4 * np.pi  # never on a crossing of small whole numbers
    tried = np.concatenate([(inside[1:] + inside[:-1]) / 2, odd])
    return tried[(tried > low) & (tried < high)]


TIE = (np.array([[0.0, 1, 1, -1], [0, 1, 4, 4]]), np.array([[0.0, 1, 1, -1], [4, 3, 0, 0]]), [0, 1])


@settings(max_examples=150, deadline=None)
@given(blends(), st.sampled_from([(0.0, inf), (-inf, inf), (-1.5, 2.5), (0.5, 100.0)]))
@example(TIE, (-inf, inf))  # the middle it takes is where all columns of a row tie
def test_no_other_weight_is_better(blend, span):
    base, other, targets = blend
    best = best_alpha(base, other, targets, *span)
    assert np.isfinite(best.alpha)
    assert span[0] <= best.interval[0] < best.alpha < best.interval[1] <= span[1]
    assert right(base, other, targets, best.alpha) == best.right
    tried = candidates(base, other, targets, *span)
    assert max(right(base, other, targets, a) for a in tried) <= best.right


@settings(max_examples=60, deadline=None)
@given(blends())
def test_the_whole_interval_is_as_good(blend):
    base, other, targets = blend
    best = best_alpha(base, other, targets)
    start, end = best.interval[0], min(best.interval[1], best.interval[0] + 50)
    for part in (0.01, 0.37, 0.99):
        assert right(base, other, targets, start + part * (end - start)) == best.right


@settings(max_examples=60, deadline=None)
@given(blends(), st.integers(-4, 4))
def test_scaling_a_source_scales_the_answer(blend, power):
    base, other, targets = blend
    one = best_alpha(base, other, targets)
    scaled = best_alpha(base, other * 2.0**power, targets)
    if np.ptp(other, axis=1).any() and np.ptp(base, axis=1).any():
        assert scaled.right == one.right
        if best_is_unbent(base, other, targets):
            assert scaled.alpha == pytest.approx(one.alpha / 2.0**power)


def best_is_unbent(base, other, targets):
    """Both sources say something, so that their balance is defined."""
    rows = np.arange(len(targets))
    lead, pull = base[rows, targets, None] - base, other[rows, targets, None] - other
    return np.abs(lead).sum() > 0 and np.abs(pull).sum() > 0


def test_all_right_and_all_wrong():
    base = np.array([[2.0, 0.0], [0.0, 2.0]])
    found = best_alpha(base, base, [0, 1])
    assert (found.right, found.interval, found.alpha) == (2, (0.0, inf), 1.0)
    lost = best_alpha(base, base, [1, 0])
    assert (lost.right, lost.interval, lost.alpha) == (0, (0.0, inf), 1.0)
    assert best_alpha(base, base, [1, 0], low=-inf).interval == (-inf, -1.0)


def test_equal_columns_follow_argmax():
    base, other = np.ones((2, 2)), np.ones((2, 2))
    assert best_alpha(base, other, [0, 1]).right == 1  # the first column wins, as in argmax
    assert right(base, other, np.array([0, 1]), 3.0) == 1


def test_a_tie_at_one_weight_only_is_not_a_win():
    # classes 1 and 2 beat class 0 below and above alpha = 1, where all three are equal
    base, other = np.array([[0.0, 1.0, -1.0]]), np.array([[0.0, -1.0, 1.0]])
    assert (base + 1.0 * other).argmax() == 0
    assert best_alpha(base, other, [0]).right == 0


def test_the_default_is_kept_where_it_is_as_good():
    base, other = [[1.0, 0.0]], [[0.0, 2.0]]
    assert best_alpha(base, other, [1], default=7.0).alpha == 7.0
    assert best_alpha(base, other, [1], default=0.25).alpha != 0.25
    assert best_alpha(base, other, [1], default=0.25).interval == (0.5, inf)


def test_long_inputs_in_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    base, other = rng.standard_normal((2, 50, 5))
    targets = rng.integers(0, 5, 50)
    whole = best_alpha(base, other, targets)
    monkeypatch.setattr("handful.selection.alpha._CELLS", 17)
    pieces = best_alpha(base, other, targets)
    assert (pieces.right, pieces.interval) == (whole.right, whole.interval)


def test_extreme_sizes_stay_finite():
    base = np.array([[1e30, 0.0], [0.0, 1e-30], [0.0, 0.0]])
    other = np.array([[0.0, 1e-30], [1e30, 0.0], [1e-300, 0.0]])
    for targets in ([1, 0, 0], [0, 1, 1]):
        found = best_alpha(base, other, targets)
        assert np.isfinite(found.alpha)
        assert 0 <= found.right <= 3


def cached(n=30, classes=4, keys=10, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, keys)
    return (
        5 * rng.standard_normal((n, classes)).astype(np.float32),
        rng.uniform(-1, 1, (n, keys)).astype(np.float32),
        labels,
        rng.integers(0, classes, n),
    )


def votes(similarities, labels, beta, classes):
    return np.exp(-beta * (1 - similarities.astype(float))) @ np.eye(classes)[labels]


@pytest.mark.parametrize("seed", range(5))
def test_beta_and_alpha_together(seed):
    text, near, labels, targets = cached(seed=seed)
    betas = [0.0, 0.5, 1.0, 5.5, 20.0]
    found = best_alpha_beta(text, near, labels, targets, betas)
    alone = [best_alpha(text, votes(near, labels, b, 4), targets) for b in betas]
    assert found.right == max(a.right for a in alone)
    assert right(text, votes(near, labels, found.beta, 4), targets, found.alpha) == found.right
    same = alone[betas.index(found.beta)]
    assert found.alpha == pytest.approx(same.alpha, rel=1e-4)


@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_leaving_one_out_drops_the_diagonal(beta):
    text, near, labels, _ = cached(n=12, keys=12)
    near = (near + near.T) / 2
    np.fill_diagonal(near, 1)
    found = best_alpha_beta(text, near, labels, labels, [beta], leave_one_out=True)
    other = np.exp(-beta * (1 - near.astype(float)))
    np.fill_diagonal(other, 0)
    expected = best_alpha(text, other @ np.eye(4)[labels], labels)
    assert found.right == expected.right
    assert found.alpha == pytest.approx(expected.alpha, rel=1e-4)
    with pytest.raises(InputError, match=r"\[N, N\]"):
        best_alpha_beta(text, near[:, :5], labels[:5], labels, [beta], leave_one_out=True)


def test_leaving_units_out_drops_their_blocks():
    text, near, labels, _ = cached(n=12, keys=12)
    units = np.array([3, 3, 0, 1, 2, 2, 2, 5, 4, 0, 6, 3])
    given = text, near, labels, labels, [3.0]
    found = best_alpha_beta(*given, leave_one_out=True, units=units)
    other = np.exp(-3.0 * (1 - near.astype(float)))
    other[units[:, None] == units] = 0
    expected = best_alpha(text, other @ np.eye(4)[labels], labels)
    assert (found.right, found.alpha) == (expected.right, pytest.approx(expected.alpha, rel=1e-4))
    with pytest.raises(InputError, match="expected 12 units"):
        best_alpha_beta(*given, leave_one_out=True, units=units[:5])


ONE = np.zeros((1, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: best_alpha([[np.nan, 0.0]], ONE, [0]), "base contain NaN"),
        (lambda: best_alpha(ONE, [[inf, 0.0]], [0]), "other contain NaN or infinity"),
        (lambda: best_alpha(ONE, np.zeros((1, 3)), [0]), "one shape"),
        (lambda: best_alpha(ONE, ONE, [2]), "targets from 0 to 1"),
        (lambda: best_alpha(ONE, ONE, [0.5]), "whole numbers"),
        (lambda: best_alpha(ONE, ONE, [0, 1]), "1 whole numbers"),
        (lambda: best_alpha(np.zeros((0, 2)), np.zeros((0, 2)), []), "rows and columns"),
        (lambda: best_alpha([["a", "b"]], ONE, [0]), "numbers in base"),
        (lambda: best_alpha(ONE, ONE, [0], low=1, high=1), "low below high"),
        (lambda: best_alpha(ONE, ONE, [0], low=np.nan), "low below high"),
        (lambda: best_alpha_beta(ONE, [[np.nan]], [0], [0], [1.0]), "similarities contain NaN"),
        (lambda: best_alpha_beta(ONE, [[0.5]], [0], [0], []), "betas"),
        (lambda: best_alpha_beta(ONE, [[0.5]], [0], [0], [-1.0]), "betas"),
        (lambda: best_alpha_beta(ONE, [[0.5], [0.5]], [0], [0], [1.0]), "1 rows of similarities"),
        (lambda: best_alpha_beta(ONE, [[0.5]], [2], [0], [1.0]), "labels from 0 to 1"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
