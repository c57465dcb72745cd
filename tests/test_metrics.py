"""Numbers against hand-made small cases and scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

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
    assert numbers(result, "owl") == pytest.approx((0, math.nan, math.nan, 0.8, 1, 0), nan_ok=True)
    assert math.isnan(result.per_class["fox"]["precision"])  # never answered
    assert result.macro_f1_interval is not None
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
    owl, fox = (again["per_class"][name] for name in ("owl", "fox"))
    assert owl["recall"] is owl["f1"] is fox["precision"] is None  # not defined
    assert (owl["precision"], fox["f1"]) == (0, 0)
    only = metrics.evaluate(np.eye(2)[[0, 0]], np.array([0, 0]), ("a", "b")).as_dict()
    assert only["per_class"]["a"]["specificity"] is only["per_class"]["a"]["npv"] is None


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


def shares(seed=0, count=200, classes=5):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes), count).round(2).astype(np.float32)  # with ties
    return scores, rng.integers(0, classes, count)


def test_areas_agree_with_scikit_learn():
    scores, truth = shares()
    shown = truth[:, None] == np.arange(5)
    found = metrics.areas(scores, shown, tuple("abcde"))
    for c, name in enumerate("abcde"):
        row = found["per_class"][name]
        assert row["auroc"] == pytest.approx(roc_auc_score(shown[:, c], scores[:, c]))
        assert row["average_precision"] == pytest.approx(
            average_precision_score(shown[:, c], scores[:, c])
        )
        low, high = row["intervals"]["auroc"]
        assert low < row["auroc"] < high
        curve = metrics.curve(scores[:, c], shown[:, c])
        assert np.trapezoid(curve.recall, curve.false_positive_rate) == pytest.approx(row["auroc"])
    assert found["macro"]["auroc"] == pytest.approx(roc_auc_score(shown, scores, average="macro"))
    absent = metrics.areas(scores, np.zeros((200, 5)), tuple("abcde"))
    assert absent["per_class"]["a"]["auroc"] is absent["macro"]["auroc"] is None


def test_the_interval_of_an_area_is_about_delongs():
    # two normal scores a standard deviation apart: Hanley and McNeil's standard error
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.normal(1, 1, 60), rng.normal(0, 1, 60)])
    shown = np.arange(120)[:, None] < 60
    row = metrics.areas(score[:, None], shown, ("a",))["per_class"]["a"]
    area = row["auroc"]
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    error = math.sqrt((area * (1 - area) + 59 * (q1 - area**2) + 59 * (q2 - area**2)) / 3600)
    low, high = row["intervals"]["auroc"]
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_brier_and_likelihood_agree_with_scikit_learn():
    scores, truth = shares()
    scores = scores.astype(np.float64).clip(1e-3)
    scores /= scores.sum(axis=1, keepdims=True)
    wanted = log_loss(truth, scores, labels=range(5))
    assert metrics.negative_log_likelihood(scores, truth) == pytest.approx(wanted)
    certain = metrics.negative_log_likelihood([[0.0, 1.0]], [0])
    assert certain == pytest.approx(-math.log(np.finfo(np.float32).eps))
    one = np.stack([1 - scores[:, 0], scores[:, 0]], axis=1)
    sick = (truth == 0).astype(int)
    assert metrics.brier_score(one, sick) == pytest.approx(
        2 * brier_score_loss(sick, scores[:, 0]), abs=1e-6
    )


def test_groups_that_agree_count_as_one_image_each():
    """Each image four times, in one group: the interval of as many images as there are groups."""
    rng = np.random.default_rng(0)
    truth, answers = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    answers[:30] = truth[:30]
    alone = metrics.evaluate(np.eye(2)[answers], truth, ("a", "b"))
    four = metrics.evaluate(
        np.eye(2)[answers.repeat(4)], truth.repeat(4), ("a", "b"), np.arange(60).repeat(4)
    )
    assert (four.units, four.count, four.interval_method) == (
        60,
        240,
        "wilson, effective sample size",
    )
    assert four.accuracy == alone.accuracy
    assert four.interval == pytest.approx(alone.interval, abs=0.03)
    for rate in ("recall", "specificity", "precision", "npv", "f1"):
        ours, theirs = (r.per_class["a"]["intervals"][rate] for r in (four, alone))
        assert ours == pytest.approx(theirs, abs=0.06)
    naive = metrics.evaluate(np.eye(2)[answers.repeat(4)], truth.repeat(4), ("a", "b"))
    assert naive.interval[1] - naive.interval[0] < 0.6 * (four.interval[1] - four.interval[0])


@pytest.mark.parametrize("sizes", [[3] * 20, [5] * 10, [50] * 3, [1, 1, 2, 4, 12] * 3, [2, 2]])
def test_intervals_of_groups_are_monotone_in_the_errors(sizes):
    """And never narrower than those of as many independent images, on either side."""
    units = np.arange(len(sizes)).repeat(sizes)
    turns = np.concatenate([np.arange(size) for size in sizes])
    spread = np.lexsort([units, turns])  # an error in each group, then a second one in each
    others = [np.random.default_rng(seed).permutation(len(units)) for seed in (0, 1)]
    for order in (spread, np.arange(len(units)), *others):
        right, before = np.ones(len(units)), (1.0, 1.0)
        for place in [None, *order]:
            if place is not None:
                right[place] = 0
            low, high = metrics.share_interval(right, units)
            least, most = metrics.wilson_interval(right.sum(), len(units))
            assert low <= least + 1e-12
            assert high >= most - 1e-12
            assert low <= before[0] + 1e-12
            assert high <= before[1] + 1e-12
            before = low, high


@pytest.mark.parametrize(
    ("groups", "size", "wrong", "ends"),
    [
        (20, 3, 0, (83.9, 100)),
        (20, 3, 1, (82.5, 99.9)),
        (20, 3, 3, (79.4, 98.9)),
        (10, 5, 0, (72.2, 100)),
        (10, 5, 1, (70.9, 99.9)),
    ],
)
def test_intervals_near_one(groups, size, wrong, ends):
    right = np.ones((groups, size))
    right[:wrong, 0] = 0
    found = metrics.share_interval(right.ravel(), np.arange(groups).repeat(size))
    assert 100 * np.array(found) == pytest.approx(ends, abs=0.06)


def test_the_effective_size_by_hand():
    # groups of 2, 2 and 1; right 2, 1 and 1 of them: W = 1 / 2, v = 4 / 25, rho = 1 - W / (2 v) < 0
    # so 0; m = 9 / 5; the rarer outcome has 1 image, w = 5 / 9; (w 0 + 2) / (w + 2) = 18 / 23
    size = 5 / (1 + (9 / 5 - 1) * 18 / 23)
    found = metrics.share_interval([1, 1, 1, 0, 1], [0, 0, 1, 1, 2])
    assert found == pytest.approx(metrics.wilson_interval(0.8 * size, size))


def test_a_rate_whose_images_are_all_of_one_group_has_no_interval():
    # 12 sick photos of one patient, 10 found, beside 30 healthy patients
    truth, units = np.array([0] * 12 + [1] * 30), np.array([0] * 12 + [*range(1, 31)])
    answers = np.array([0] * 10 + [1] * 2 + [1] * 28 + [0] * 2)
    scores = np.where(answers == 0, 0.9, 0.1) + np.random.default_rng(0).normal(0, 0.01, 42)
    found = metrics.evaluate(np.eye(2)[answers], truth, ("sick", "healthy"), units)
    sick, healthy = (found.per_class[name] for name in ("sick", "healthy"))
    assert sick["recall"] == healthy["specificity"] == pytest.approx(10 / 12)
    assert sick["intervals"]["recall"] is healthy["intervals"]["specificity"] is None
    assert healthy["intervals"]["recall"] == metrics.wilson_interval(28, 30)
    assert found.interval is not None
    shown = truth[:, None] == np.arange(2)
    area = metrics.areas(np.stack([scores, 1 - scores], axis=1), shown, ("sick", "healthy"), units)
    assert area["per_class"]["sick"]["auroc"] > 0.8
    assert [*area["per_class"]["sick"]["intervals"].values()] == [None, None]
    assert [*area["macro"]["intervals"].values()] == [None, None]


@pytest.mark.parametrize("sick", [3, 5, 10])
def test_the_rate_of_a_class_of_few_groups_holds_what_it_promises(sick):
    """60 groups of 3, few of them sick, correlation 1/3: by resampling all groups 0.88 to 0.92."""
    rng, held, count = np.random.default_rng(sick), 0, 300
    units = np.arange(60).repeat(3)
    for _ in range(count):
        right = rng.random(180) < rng.beta(1.6, 0.4, 60).repeat(3)
        low, high = metrics.share_interval(right, units, units < sick)
        held += low <= 0.8 <= high
    assert held / count >= 0.95


def test_perfect_areas_are_not_certain():
    shown = np.arange(62)[:, None] < 31
    scores = np.where(shown, 0.8, 0.2) + np.random.default_rng(0).uniform(0, 0.1, (62, 1))
    row = metrics.areas(scores, shown, ("a",))["per_class"]["a"]
    assert (row["auroc"], row["average_precision"]) == (1, 1)
    assert row["intervals"]["auroc"] == [pytest.approx(0.935, abs=1e-3), 1]
    assert row["intervals"]["average_precision"] is None
    pairs = metrics.areas(scores, shown, ("a",), np.arange(62) // 2)["per_class"]["a"]
    assert pairs["intervals"]["auroc"][0] < row["intervals"]["auroc"][0]
    nearly = scores.copy()
    nearly[[0, 31]] = nearly[[31, 0]]  # one pair the other way round
    less = metrics.areas(nearly, shown, ("a",))["per_class"]["a"]["intervals"]["auroc"]
    assert less[0] < row["intervals"]["auroc"][0]
    one = metrics.areas(scores[:32], shown[:32], ("a",))["per_class"]["a"]
    assert one["auroc"] == 1
    assert one["intervals"] == {"auroc": None, "average_precision": None}  # one negative


def test_the_interval_of_an_area_is_where_its_standard_errors_reach():
    z, m, n = 1.959964, 12, 30
    for area in (0.0, 0.4, 0.93, 1.0):
        ends = metrics.auroc_interval(area, m, n)
        for end in ends:
            more = ((m + n) / 2 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
            error = math.sqrt(end * (1 - end) * (1 + more) / (m * n))
            assert abs(area - end) == pytest.approx(z * error, rel=1e-4, abs=1e-9)
        turned = metrics.auroc_interval(1 - area, m, n)
        assert ends == pytest.approx((1 - turned[1], 1 - turned[0]))
    with pytest.raises(InputError, match="both sides"):
        metrics.auroc_interval(1.0, 0, 5)


def test_bins_count_groups():
    chances = np.tile([0.9, 0.1], (60, 1))
    alone = metrics.reliability(chances, np.zeros(60, int), 2)[1]
    grouped = metrics.reliability(chances, np.zeros(60, int), 2, np.arange(20).repeat(3))[1]
    assert alone.interval == metrics.wilson_interval(60, 60)
    assert grouped.interval == metrics.wilson_interval(20, 20)
    assert metrics.reliability(chances, np.zeros(60, int), 2, [0] * 60)[1].interval is None


def test_a_share_of_all_or_none_still_has_an_interval():
    units = np.arange(10).repeat(3)
    assert metrics.share_interval(np.ones(30), units) == metrics.wilson_interval(10, 10)
    assert metrics.share_interval(np.zeros(30), units) == metrics.wilson_interval(0, 10)


def test_one_group_tells_nothing_of_others():
    found = metrics.evaluate(np.eye(2)[[0, 1, 0]], np.array([0, 1, 1]), ("a", "b"), [7, 7, 7])
    assert found.interval is found.macro_f1_interval is None
    assert found.per_class["b"]["intervals"]["recall"] is None
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_intervals_by_groups_hold_what_they_promise(correlation):
    """20 groups of 3 whose chance of being right varies from group to group."""
    rng, share, count = np.random.default_rng(3), 0.7, 300
    a, b = (p * (1 - correlation) / correlation for p in (share, 1 - share))
    units, held, naive = np.arange(20).repeat(3), 0, 0
    for _ in range(count):
        right = rng.random(60) < rng.beta(a, b, 20).repeat(3)
        low, high = metrics.share_interval(right, units)
        held += low <= share <= high
        low, high = metrics.share_interval(right)
        naive += low <= share <= high
    assert 0.91 <= held / count <= 0.99
    assert naive / count < 0.88
