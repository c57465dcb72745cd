"""Intervals over draws that share their test images: metrics, `bench` and `compare`."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from handful import metrics
from handful.contracts import ClassText, unit
from handful.errors import InputError
from handful.protocols import episodes, tables
from handful.protocols.compare import compare_features
from handful.protocols.correctness import Correctness, pack
from handful.protocols.episodes import QuerySet
from handful.protocols.journal import Journal
from handful.protocols.ranking import Difference, explained, rank
from handful.protocols.runner import Score, configurations_of, run
from handful.protocols.task import Task
from handful.protocols.uncertainty import in_words, variance, weighted


def made(copies: int = 1, stated: bool = True, each: int = 12, split: bool = True) -> Task:
    """Four classes that overlap; every photo to test on is there `copies` times, as one group."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 8))
    labels = np.repeat(np.arange(4), 4 + each)
    values = unit(centres[labels] + 1.2 * rng.normal(size=(len(labels), 8)))
    splits = np.resize(np.array(["train"] * 4 + ["test"] * each), len(labels))
    times = np.where(splits == "test", copies, 1)
    text = ClassText(centres[:, None] + rng.normal(size=(4, 1, 8)), tuple("abcd"), 20.0)
    names = [f"photo {i}" for i in np.repeat(np.arange(len(labels)), times)]
    return Task.of_features(
        "made",
        np.repeat(values, times, axis=0),
        np.repeat(labels, times),
        text,
        splits=np.repeat(splits, times) if split else np.full(times.sum(), ""),
        groups=tuple(names) if stated else None,
    )


def width(task: Task, method: str = "zero_shot", seeds: int = 1) -> float:
    return tables.mean_cell(compare_features(task, [method], [2], range(seeds))).interval


@pytest.mark.parametrize("seeds", [1, 5])
def test_five_photos_in_a_group_count_once(seeds):
    single, grouped, apart = made(), made(5), made(5, stated=False)
    # zero-shot is the same in every draw, so all of its width is that of the test photos
    assert width(grouped, seeds=seeds) == pytest.approx(width(single, seeds=seeds))
    assert width(grouped, seeds=seeds) / width(apart, seeds=seeds) == pytest.approx(
        5**0.5, rel=0.05
    )


@pytest.mark.parametrize("copies", [1, 5])
def test_one_draw_has_the_interval_of_a_share(copies):
    task = made(copies, each=40)
    (score,) = compare_features(task, ["zero_shot"], [2], [0])
    right, units = score.answers.right, score.answers.units
    assert score.accuracy == pytest.approx(100 * right.mean())
    low, high = metrics.share_interval(right, units)
    assert tables.mean_cell([score]).interval == pytest.approx(50 * (high - low), rel=0.06)


def test_all_right_has_the_width_of_wilson_and_not_none():
    task = made(5)
    (score,) = compare_features(task, ["zero_shot"], [2], [0])
    bits = np.packbits(np.ones(score.images, dtype=bool))
    right = replace(score, accuracy=100.0, answers=replace(score.answers, bits=bits))
    low, high = metrics.wilson_interval(48, 48)  # of 48 groups, not of 240 photos
    assert tables.mean_cell([right]).interval == pytest.approx(50 * (high - low), rel=0.04)


@pytest.mark.parametrize(("draw", "image", "rest"), [(2, 3, 8), (0.3, 4, 1), (4, 0, 4)])
@pytest.mark.parametrize("draws", [3, 10])
def test_the_interval_holds_the_truth_where_that_of_draws_does_not(draws, draw, image, rest):
    rng = np.random.default_rng(1)
    held, alone = [], []
    for _ in range(400):
        x = (
            0.3 * draw * rng.normal(size=(draws, 1))
            + image * rng.normal(size=60)
            + rest * rng.normal(size=(draws, 60))
        )
        mean = x.mean(axis=1)
        found = metrics.crossed_variance(mean, [(x - mean[:, None]) / 60])
        held.append(abs(mean.mean()) <= found.half_width())
        draws_alone = metrics.mean_interval(list(mean))[1]
        alone.append(abs(mean.mean()) <= draws_alone)
        assert found.half_width() >= draws_alone * (1 - 1e-9)
        assert found.p_value(found.half_width()) == pytest.approx(0.05)
    assert np.mean(held) >= 0.93
    if image == 4:
        assert np.mean(alone) < 0.6


def test_without_answers_it_is_students_t_and_one_group_tells_nothing():
    values = [80.0, 82.0, 84.0]
    found = metrics.crossed_variance(values)
    assert found.half_width() == pytest.approx(metrics.mean_interval(values)[1])
    assert math.isnan(metrics.crossed_variance([80.0]).half_width())
    assert math.isnan(metrics.crossed_variance(values, [np.zeros((3, 1))]).half_width())
    with pytest.raises(InputError, match="influences"):
        metrics.crossed_variance(values, [np.zeros((2, 4))])


def test_draws_with_test_images_of_their_own_are_not_counted_twice():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 40))
    mean = x.mean(axis=1)
    own = np.zeros((6, 240))
    for s in range(6):
        own[s, 40 * s : 40 * (s + 1)] = (x[s] - mean[s]) / 40
    found = metrics.crossed_variance(mean, [own])
    assert found.total == pytest.approx(max(found.draws, found.units))


def scores_of(right: dict[str, np.ndarray], units: np.ndarray) -> list[Score]:
    """Of answers `[S, M]`."""
    task = Task.of_features(
        "t", np.zeros((len(units), 2)), np.zeros(len(units), dtype=int),
        ClassText(np.eye(2)[:, None], ("a", "b"), 1.0), groups=tuple(f"g{u}" for u in units),
    )  # fmt: skip
    queries = QuerySet("test", task, np.arange(len(units)), task.labels)
    return [
        Score(m, m, "t", "test", 4, seed, 100 * hits.mean(), 0.1, len(units),
              Correctness.of({"test": pack(hits)}, queries))
        for m, draws in right.items() for seed, hits in enumerate(draws)
    ]  # fmt: skip


def two_methods(photos: int, units: np.ndarray) -> list[Score]:
    """One right on 16 of 20 photos and one on 13, whatever the draw but for a photo of the last."""
    one, two = (np.resize(np.arange(20) < n, (3, photos)) for n in (16, 13))
    two = np.array(two)
    two[2, 0] = False
    return scores_of({"auto": np.array(one), "tip": two}, units)


def test_methods_that_differ_on_few_test_photos_cannot_be_told_apart_by_draws():
    few = two_methods(20, np.arange(20))
    (ranking,) = rank(few)
    # the draws alone would call it certain
    bare = [replace(s, answers=None) for s in few]
    assert [r.rows[1].place for r in rank(bare)] == ["worse"]
    assert (ranking.rows[1].place, ranking.needed, ranking.few_images) == ("alike", None, True)
    assert "more test images might" in " ".join(explained(ranking))
    many = two_methods(400, np.arange(400))
    assert rank(many)[0].rows[1].place == "worse"
    bursts = two_methods(400, np.arange(400) % 20)  # as many photos, of 20 groups
    assert rank(bursts)[0].rows[1].place == "alike"


def test_a_difference_by_images_has_the_p_of_the_paired_test_over_images():
    rng = np.random.default_rng(3)
    one, two = rng.random(50) < 0.8, rng.random(50) < 0.6
    scores = scores_of({"auto": one[None], "tip": two[None]}, np.arange(50))
    found = Difference.of(scores[:1], scores[1:])
    gap = 100 * (one.astype(float) - two)
    assert found.mean == pytest.approx(gap.mean())
    assert found.p is None  # one draw
    t = ttest_1samp(gap, 0).statistic
    assert found.mean / math.sqrt(found.variance.units) == pytest.approx(t)


def test_base_and_new_have_their_intervals_and_the_harmonic_mean_lies_between():
    drawn = list(episodes.base_to_new([made(each=20)], [2], [0]))
    (grid,) = tables.grids("base-to-new", run(configurations_of([], drawn), Journal(None)))
    base, new, harmonic, _ = grid.rows[0].cells
    a, b, slope = base.accuracy, new.accuracy, 2 / (base.accuracy + new.accuracy) ** 2
    expected = math.hypot(slope * b * b * base.interval, slope * a * a * new.interval)
    assert harmonic.interval == pytest.approx(expected, rel=0.03)


def test_a_journal_gives_back_the_answers_and_an_older_one_is_read_without(tmp_path):
    path = tmp_path / "journal.jsonl"
    configurations = configurations_of(["tip"], list(episodes.few_shot([made()], [2], [0, 1])))
    first = run(configurations, Journal(path))
    again = run(configurations, Journal(path))
    assert again == first
    grids = [tables.grids("few-shot", scores) for scores in (first, again)]
    assert grids[0] == grids[1]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for damaged in ({}, {"right": {"test": "AA=="}}, {"right": {"test": "?"}}, {"right": 3}):
        old = [{k: v for k, v in line.items() if k != "right"} | damaged for line in lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in old))
        found = run(configurations, Journal(path))
        assert found == first
        assert len(path.read_text().splitlines()) == 4  # nothing was fitted anew
        cell = tables.mean_cell([s for s in found if s.method == "tip"])
        values = [s.accuracy for s in found if s.method == "tip"]
        assert cell.interval == pytest.approx(metrics.mean_interval(values)[1])
        assert in_words(found).endswith("not what other test images would.")


def test_the_answers_of_a_stream_are_in_the_order_of_the_images():
    task = made(each=9)
    scores = compare_features(task, ["zero_shot", "tda"], [1], [3])
    zero, tda = (s.answers.right for s in scores)
    assert scores[1].accuracy == pytest.approx(100 * tda.mean())
    assert (zero == tda).mean() > 0.9  # without steps it is nearly zero-shot, image by image


def test_it_is_said_what_the_interval_covers():
    several = compare_features(made(5), ["zero_shot"], [2], range(2))
    assert "other draws and other test images" in in_words(several)
    assert "count once" in in_words(several)
    one = compare_features(made(), ["zero_shot"], [2], [0])
    assert "not what other draws would" in in_words(one)
    assert "count once" not in in_words(one)
    old = [replace(one[0], answers=None)]
    assert "no interval" in in_words(old)
    assert "older journal" in in_words([*several, replace(several[0], answers=None)])


def test_without_splits_photos_that_one_draw_asks_and_another_teaches_are_one():
    task = made(split=False, stated=False)
    scores = compare_features(task, ["class_mean"], [2], range(4))
    count = len({int(u) for s in scores for u in s.answers.units})
    assert count == len(task.labels)  # not once more for every draw
    # as if there were so many: 56 of 64 photos are asked, each in most draws
    share = np.mean([s.accuracy for s in scores]) / 100
    found = variance(dict(enumerate(s.accuracy for s in scores)), weighted(scores))
    assert found.units < 1e4 * share * (1 - share) / 56 < 3 * found.units
