"""Photos without labels: what they add to a fit, what they must not change, and bad pools."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from handful import plugins
from handful.adapters import fit_with_pool
from handful.contracts import ClassText, unit
from handful.errors import InputError

CLASSES = ("ant", "bee", "cat", "dog")
RNG = np.random.default_rng(0)
MEANS = RNG.standard_normal((4, 32))
# texts say little, and noise along one line hides the classes from few images
TEXT = ClassText(
    unit(MEANS + 2.5 * RNG.standard_normal((4, 32)))[:, None].astype(np.float32), CLASSES, 20.0
)


def photos(counts: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`[N, 32]` unit rows around the classes' means, and the columns."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), counts)
    noise = 0.9 * rng.standard_normal((len(y), 32))
    return unit(MEANS[y] + noise).astype(np.float32), y


def auto() -> object:
    return plugins.get("adapters", "auto")()


def accuracies(shots: int, pool: list[int], seeds: int = 4) -> tuple[float, float]:
    """Without a pool and with one, on other photos than it."""
    found = []
    for seed in range(seeds):
        (X, y), (P, _), (Q, q) = (
            photos([shots] * 4, seed),
            photos(pool, 50 + seed),
            photos([50] * 4, 99),
        )
        plain = auto().fit(X, y, TEXT)
        helped = auto()
        fit_with_pool(helped, X, y, TEXT, P)
        found.append([(a.logits(Q).argmax(1) == q).mean() for a in (plain, helped)])
    return tuple(np.mean(found, axis=0))


def test_a_pool_helps_at_one_shot_also_where_its_classes_are_uneven():
    for pool in ([60] * 4, [90, 60, 40, 20]):
        alone, helped = accuracies(1, pool)
        assert helped > alone + 0.02, pool


def test_a_pool_does_no_harm_at_many_shots():
    alone, helped = accuracies(8, [60] * 4, seeds=2)
    assert helped > alone - 0.01


def test_a_pool_of_noise_does_little_harm():
    (X, y), (Q, q) = photos([4] * 4, 0), photos([100] * 4, 99)
    noise = unit(np.random.default_rng(5).standard_normal((300, 32))).astype(np.float32)
    plain, helped = auto().fit(X, y, TEXT), auto()
    fit_with_pool(helped, X, y, TEXT, noise)
    right = [(a.logits(Q).argmax(1) == q).mean() for a in (plain, helped)]
    assert right[1] > right[0] - 0.02


def test_the_head_is_one_formula_a_row_and_of_the_same_kind():
    (X, y), (P, _) = photos([2] * 4, 0), photos([30] * 4, 1)
    helped = auto()
    fit_with_pool(helped, X, y, TEXT, P)
    assert helped.semantics == "inductive"
    assert type(helped.module_) is helped.head
    whole = helped.logits(P)
    np.testing.assert_allclose(helped.logits(P[3:4]), whole[3:4], atol=1e-4)


def test_order_of_support_and_pool_do_not_matter():
    (X, y), (P, _) = photos([3] * 4, 0), photos([30] * 4, 1)
    order, other = (
        np.random.default_rng(0).permutation(12),
        np.random.default_rng(1).permutation(120),
    )
    one, two = auto(), auto()
    first = fit_with_pool(one, X, y, TEXT, P)
    second = fit_with_pool(two, X[order], y[order], TEXT, P[other])
    np.testing.assert_allclose(one.logits(P), two.logits(P), atol=2e-3)
    np.testing.assert_allclose(first.left_out[order], second.left_out, atol=2e-3)


def test_copies_that_are_stated_count_once_and_lose_their_label_together():
    (X, y), (P, _) = photos([3] * 4, 0), photos([30] * 4, 1)
    groups = np.repeat(np.arange(12), np.random.default_rng(0).integers(1, 6, 12))
    one, two = auto(), auto()
    first = fit_with_pool(one, X, y, TEXT, P)
    second = fit_with_pool(two, X[groups], y[groups], TEXT, P, groups=groups)
    assert second.trust == pytest.approx(first.trust, rel=1e-3)
    np.testing.assert_allclose(two.predict_proba(P), one.predict_proba(P), atol=1e-3)
    together, alone = (softmax(z, 1) for z in (second.left_out, first.left_out[groups]))
    np.testing.assert_allclose(together, alone, atol=1e-3)
    alone = fit_with_pool(auto(), X[groups], y[groups], TEXT, P, groups=y[groups])
    assert alone.left_out is None


def test_left_out_answers_do_not_know_the_label():
    # labels drawn at random: answers that knew them would be right more often than by chance
    (X, _), (P, _) = photos([8] * 4, 0), photos([30] * 4, 1)
    y = np.random.default_rng(3).permutation(np.repeat(np.arange(4), 8))
    found = fit_with_pool(auto(), X, y, TEXT, P)
    assert (found.left_out.argmax(1) == y).mean() < 0.5


def test_at_one_shot_nothing_can_be_left_out():
    (X, y), (P, _) = photos([1] * 4, 0), photos([30] * 4, 1)
    found = fit_with_pool(auto(), X, y, TEXT, P)
    assert found.left_out is None
    assert found.trust == pytest.approx(120 / 124)


@pytest.mark.parametrize("count", [1, 3])
def test_a_pool_smaller_than_the_classes_counts_little(count):
    (X, y), (P, _), (Q, _) = photos([4] * 4, 0), photos([30] * 4, 1), photos([50] * 4, 99)
    plain, helped = auto().fit(X, y, TEXT), auto()
    found = fit_with_pool(helped, X, y, TEXT, P[:count])
    assert found.trust <= count / (16 + count)
    assert np.isfinite(helped.logits(Q)).all()
    assert (helped.logits(Q).argmax(1) == plain.logits(Q).argmax(1)).mean() > 0.9


def test_a_class_without_shots_keeps_its_probability():
    (X, y), (P, _) = photos([2, 2, 2, 0], 0), photos([30, 30, 30, 0], 1)
    plain, helped = auto().fit(X, y, TEXT), auto()
    fit_with_pool(helped, X, y, TEXT, P)
    np.testing.assert_allclose(
        plain.predict_proba(P)[:, 3], helped.predict_proba(P)[:, 3], atol=1e-5
    )


def test_a_pool_of_equal_rows_and_of_support_images_is_no_accident():
    X, y = photos([2] * 4, 0)
    for pool in (np.tile(X[:1], (20, 1)), X, np.zeros((5, 32), np.float32)):
        helped = auto()
        fit_with_pool(helped, X, y, TEXT, pool)
        assert np.isfinite(helped.logits(X)).all()


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (np.zeros((0, 32), np.float32), r"expected rows \[M, D\]"),
        (np.zeros((3, 16), np.float32), "same encoder"),
        (np.full((3, 32), np.nan, np.float32), "finite"),
    ],
)
def test_bad_pools_are_refused(pool, words):
    X, y = photos([2] * 4, 0)
    with pytest.raises(InputError, match=words):
        fit_with_pool(auto(), X, y, TEXT, pool)


def test_another_method_is_refused():
    (X, y), (P, _) = photos([2] * 4, 0), photos([5] * 4, 1)
    with pytest.raises(InputError, match="method auto alone"):
        fit_with_pool(plugins.get("adapters", "zero_shot")(), X, y, TEXT, P)


def test_one_class_with_shots_is_left_as_it_is():
    X, y = photos([3, 0, 0, 0], 0)
    P, _ = photos([1, 0, 0, 0], 1)
    plain, helped = auto().fit(X, y, TEXT), auto()
    fit_with_pool(helped, X, y, TEXT, P)
    assert np.isfinite(helped.logits(P)).all()
    assert (helped.logits(P).argmax(1) == plain.logits(P).argmax(1)).all()
