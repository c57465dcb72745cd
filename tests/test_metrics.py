"""Numbers against hand-made small cases and scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from handful import metrics
from handful.errors import InputError

# two of three cats right, one taken for a dog; the dog right; no owl; the fox taken for an owl
CLASSES = ("cat", "dog", "owl", "fox")
TARGETS = np.array([0, 0, 0, 1, 3])
ANSWERS = np.array([0, 0, 1, 1, 2])
LOGITS = np.eye(4)[ANSWERS]


def numbers(result, name):
    keys = ("precision", "recall", "f1", "specificity", "npv", "support")
    return tuple(result.per_class[name][key] for key in keys)


def test_by_hand():
    result = metrics.evaluate(LOGITS, TARGETS, CLASSES)
    assert result.accuracy == pytest.approx(3 / 5)
    assert result.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert numbers(result, "cat") == pytest.approx((1, 2 / 3, 0.8, 1, 2 / 3, 3))
    # of the others, 3 of 4 are not taken for a dog; none of the 3 that it calls no dog is one
    assert numbers(result, "dog") == pytest.approx((0.5, 1, 2 / 3, 0.75, 1, 1))
    assert numbers(result, "owl") == (0, 0, 0, 0.8, 1, 0)
    cat = result.per_class["cat"]["intervals"]
    assert cat["recall"] == metrics.wilson_interval(2, 3)
    assert cat["precision"] == metrics.wilson_interval(2, 2)
    assert cat["npv"] == metrics.wilson_interval(2, 3)
    # F1 = 2 J / (1 + J), and J is 2 of the 3 images that are or are called a cat
    assert cat["f1"] == pytest.approx([2 * j / (1 + j) for j in metrics.wilson_interval(2, 3)])
    assert result.per_class["owl"]["intervals"]["recall"] is None
    assert (result.units, result.interval_method) == (5, "wilson")
    assert result.absent == ("owl",)
    assert result.macro_f1 == pytest.approx((0.8 + 2 / 3 + 0) / 3)  # the owl is left out
    assert result.count == 5


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((200, 7)), rng.integers(0, 7, 200)
    result = metrics.evaluate(logits, targets, tuple("abcdefg"))
    assert result.macro_f1 == pytest.approx(
        f1_score(targets, logits.argmax(axis=1), average="macro")
    )
    assert result.accuracy == metrics.accuracy(logits, targets)
    assert result.confusion.sum() == 200


def test_is_ready_for_json():
    result = metrics.evaluate(LOGITS.astype(np.float32), TARGETS, CLASSES)
    again = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert again["confusion"][0] == [2, 1, 0, 0]
    assert again["interval"] == list(result.interval)
    assert again["per_class"]["cat"]["support"] == 3
    assert again["classes"] == list(CLASSES)


def test_wilson_by_hand():
    # n = 1, all right: 1 / (1 + z²) to 1
    low, high = metrics.wilson_interval(1, 1)
    assert low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-6)
    assert high == 1
    assert metrics.wilson_interval(0, 10)[0] == 0
    # Brown, Cai and DasGupta, 2001: the interval of 5 of 10 at 95 % is 0.237 to 0.763
    assert metrics.wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_share(count, data):
    right = data.draw(st.integers(0, count))
    low, high = metrics.wilson_interval(right, count)
    assert 0 <= low <= right / count <= high <= 1
    assert metrics.wilson_interval(right, count, 0.5)[0] >= low


def test_mean_interval_by_hand():
    # t of 0.975 with two degrees of freedom is 4.30265
    mean, half = metrics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)
    assert metrics.mean_interval([5.0, 5.0])[1] == 0


def test_one_seed_tells_nothing_of_the_spread():
    mean, half = metrics.mean_interval([80.0])
    assert mean == 80
    assert math.isnan(half)


def test_the_first_of_equal_logits_is_the_answer():
    assert metrics.accuracy(np.zeros((2, 3)), [0, 1]) == 0.5


@pytest.mark.parametrize(
    ("logits", "targets", "words"),
    [
        (np.zeros((0, 3)), [], r"expected logits \[M, C\].*got \[0, 3\]"),
        (np.zeros((2, 3)), [0], r"got \[2, 3\] and \[1\]"),
        (np.zeros(3), [0, 0, 0], r"got \[3\]"),
        (np.zeros((2, 3)), [0, 3], r"targets \[3\] are not columns; expected 0 to 2"),
        (np.zeros((2, 3)), [0, -1], r"targets \[-1\]"),
        (np.zeros((2, 3)), ["a", "b"], "integers"),
        (np.full((2, 3), np.nan), [0, 1], "NaN"),
    ],
)
def test_refuses(logits, targets, words):
    with pytest.raises(InputError, match=words):
        metrics.evaluate(logits, targets, ("a", "b", "c"))
    with pytest.raises(InputError, match=words):
        metrics.accuracy(logits, targets)


def test_refuses_what_has_no_interval():
    with pytest.raises(InputError, match="3 columns for 2 classes"):
        metrics.evaluate(np.zeros((2, 3)), [0, 1], ("a", "b"))
    with pytest.raises(InputError, match="at least one"):
        metrics.mean_interval([])
    with pytest.raises(InputError, match="finite"):
        metrics.mean_interval([1.0, math.nan])
    with pytest.raises(InputError, match="right=3, count=2"):
        metrics.wilson_interval(3, 2)
