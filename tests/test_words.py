"""What people read: how good a skill will be, in words that hold, and never an invented number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import handful
from commands import run
from handful import metrics, plugins, tasks
from handful.cli import _answers
from handful.contracts import unit
from handful.data import playground
from handful.packs import Pack, chosen
from handful.packs.support import Support
from handful.skills import statements
from handful.skills.answer_table import Schema
from handful.skills.predict import Predictor
from handful.skills.prediction import Prediction
from handful.tasks.classify import per_class_table
from tasks import make


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    playground.write(playground.task("style-rolled", 4, seed=6100, queries_per_class=2), folder)
    return folder


def support_of(task, names=None) -> Support:
    columns = np.array([task.text.classes.index(name) for name in task.y])
    ids = tuple(names or (f"{i:064x}" for i in range(len(columns))))
    return Support(task.X, columns, task.text, ids, ids)


def stated(support: Support, method: str = "auto", **options) -> dict:
    adapter = plugins.get("adapters", method)()
    adapter.fit(support.features, support.targets, support.text)
    return statements.state(adapter, support, **options)[0]["confidence"]


def sentence(entry: dict, counts: dict[str, int]) -> str:
    manifest = {"confidence": entry, "classes": list(counts), "training": {"counts": counts}}
    return tasks.get("classify").expectation(manifest)


@pytest.mark.parametrize("tenth", range(10))
def test_a_share_between_two_tenths_reads_the_same_on_both_sides(tenth):
    below, above = (metrics.words.tenths(tenth / 10 + 0.05 + d) for d in (-0.004, 0.004))
    assert below == above == f"{tenth} to {tenth + 1} of 10"


@pytest.mark.parametrize(("right", "count"), [(0, 3), (2, 4), (9, 20), (81, 160), (1999, 2000)])
def test_the_stated_ends_hold_the_interval(right, count):
    low, high = metrics.wilson_interval(right, count)
    text = metrics.share_in_words(right, count)
    numbers = [int(word) for word in text.replace(")", " ").split() if word.isdigit()]
    base = 100 if "of 100" in text else 10
    if "between" in text:
        first, last = numbers[-3:-1] if text.endswith(f"of {base}") else numbers[-2:]
        assert first <= base * low < first + 1
        assert last - 1 < base * high <= last


def test_the_sentence_comes_from_left_out_images_and_names_chance():
    support = support_of(make(classes=5, shots=8, width=24, seed=3))
    entry = stated(support)
    adapter = plugins.get("adapters", "auto")()
    left_out = adapter.leave_one_out(support.features, support.targets, support.text)
    right = int((left_out.argmax(1) == support.targets).sum())
    assert (entry["right"], entry["images"]) == (right, 40)
    text = sentence(entry, support.counts)
    assert text.startswith("Expect ")
    assert text.endswith("by chance it would be 1 of 5.")


def test_where_nothing_can_be_left_out_no_number_is_invented():
    one = support_of(make(classes=5, shots=1))
    several = support_of(make(classes=5, shots=4))
    bursts = replace(several, groups=tuple(f"burst {c}" for c in several.targets))
    for entry, why in [
        (stated(one), "every class has one image"),
        (stated(several, tuned=True), "tuned"),
        (stated(several, "transclip"), "depends on other images"),
        (stated(bursts), "photos of each class belong together"),
    ]:
        text = sentence(entry, several.counts)
        assert text.startswith("How many new photos will be right is not known: ")
        assert why in text
        assert not any(letter.isdigit() for letter in text)


def test_a_frequent_class_is_what_guessing_would_answer():
    text = sentence({"right": 60, "images": 80}, {"fox": 60, "owl": 10, "cat": 10})
    assert "always answering “fox”" in text
    assert "too few to tell the difference" in text
    assert "fox" not in sentence({"right": 60, "images": 80}, dict.fromkeys("abcd", 20))


@pytest.mark.parametrize("method", ["auto", "linear"])
def test_images_of_a_group_and_copies_are_left_out_together(method):
    alone = support_of(make(classes=4, shots=4, width=48, seed=5))
    noise = 2 * np.random.default_rng(0).standard_normal(alone.features.shape)
    alone = replace(alone, features=unit(alone.features + noise))  # classes hardly differ
    rows = np.repeat(np.arange(16), 3)  # bursts of three frames that are alike
    bursts = alone.subset(rows)
    bursts = replace(bursts, ids=tuple(f"{i:064x}" for i in range(48)))
    names = tuple(f"burst {r}" for r in rows)
    torn, kept = (stated(replace(bursts, groups=g), method) for g in ((), names))
    # the other frames of a burst give it away
    assert torn["right"] / torn["images"] > kept["right"] / kept["images"] + 0.1
    copies = replace(bursts, ids=tuple(alone.ids[r] for r in rows))
    assert stated(copies, method)["accuracy"] == kept["accuracy"]
    assert (torn["units"], kept["units"], stated(copies, method)["units"]) == (48, 16, 16)


def test_fit_ends_with_what_to_expect_and_the_method(photos, tmp_path, capsys):
    code, out, _ = run(capsys, "fit", photos, "--out", tmp_path / "s")
    *_, where, expectation, method = out.splitlines()
    assert code == 0
    assert where.startswith(f"The skill is in {tmp_path / 's'}")
    assert expectation.startswith("Expect ")
    assert method.startswith("Method: auto (")
    assert "--why" in method
    assert "share of the answer" not in out
    shown = " ".join(run(capsys, "inspect", tmp_path / "s")[1].split())
    assert f"expect {expectation.removeprefix('Expect ')}" in shown
    card = (tmp_path / "s" / "README.md").read_text(encoding="utf-8")
    assert expectation in card


def test_the_ranking_is_behind_why_inspect_and_json(photos, tmp_path, capsys):
    _, why, _ = run(capsys, "fit", photos, "--out", tmp_path / "s", "--why")
    assert "share of the answer" in why
    assert "share of the answer" in run(capsys, "inspect", tmp_path / "s")[1]
    _, out, _ = run(capsys, "fit", photos, "--out", tmp_path / "t", "--json")
    answer = json.loads(out)
    assert answer["selection"]["ranking"]
    expected = answer["expected"]
    assert expected["accuracy"] == expected["right"] / expected["images"]
    assert expected["interval"][0] < expected["accuracy"] < expected["interval"][1]
    _, out, _ = run(capsys, "fit", photos, "--out", tmp_path / "u", "--shots", 1)
    assert "How many new photos will be right is not known" in out


def test_a_skill_prints_itself_in_one_line(photos):
    fitted = handful.fit(photos)
    for thing, name in [
        (fitted, "Fitted"),
        (fitted.pack, "Pack"),
        (Predictor(fitted), "Predictor"),
    ]:
        text = repr(thing)
        assert text.startswith(f"<{name} of {len(fitted.pack.classes)} classes (")
        assert "auto (" in text
        assert " on tiny" in text
        assert "% of left-out images right" in text
        assert "\n" not in text
        assert len(text) < 200


def test_a_forged_statement_gives_no_sentence(photos):
    pack = handful.fit(photos, method="tip").pack
    for entry in [{}, {"right": 9, "images": 4}, {"right": "9", "images": 4}, {"right": 0}]:
        forged = pack.manifest | {"confidence": {"factor": 1.0, **entry}}
        assert tasks.get("classify").expectation(forged) == ""
        assert "left-out" not in repr(Pack(forged, pack.tensors))


def test_several_labels_are_expected_by_what_is_given_and_what_is_found():
    entry = {"left_out": {"answered": 50, "shown": 80, "right": 40}}
    text = tasks.get("multi_label").expectation({"multi_label": entry})
    assert text.startswith("Expect about 8 of 10 labels that it gives to new photos to be right (")
    assert text.endswith("and of what they show to find between 3 and 7 of 10.")
    found = tasks.get("multi_label").expected({"multi_label": entry})
    assert (found["precision"], found["recall"]) == (0.8, 0.5)
    assert tasks.get("multi_label").expectation({"multi_label": {}}) == ""


def test_evaluate_says_in_words_how_far_probabilities_can_be_believed(photos, tmp_path, capsys):
    run(capsys, "fit", photos, "--out", tmp_path / "s")
    _, out, _ = run(capsys, "evaluate", tmp_path / "s", photos)
    (told,) = [line for line in out.splitlines() if "ECE" in line]
    assert told.startswith("When it says ")
    found = json.loads(run(capsys, "evaluate", tmp_path / "s", photos, "--json")[1])["confidence"]
    bins = [b for b in found["bins"]["ece"] if b["count"]]
    right = sum(b["count"] * b["accuracy"] for b in bins)
    assert told == metrics.calibration_in_words(bins, found["ece"]) + "."
    assert 0 < right < sum(b["count"] for b in bins)


def test_the_two_halves_of_the_words_on_calibration_hold_all_answers():
    bins = [
        {"count": 10, "confidence": 0.3, "accuracy": 0.5},
        {"count": 10, "confidence": 0.5, "accuracy": 0.3},
        {"count": 20, "confidence": 0.9, "accuracy": 0.8},
    ]
    text = metrics.calibration_in_words(bins, 0.15)
    assert "says 90 %, it is right about 80 %" in text
    assert "says 40 %, about 40 %" in text
    assert metrics.calibration_in_words(bins[2:], 0.1).endswith("80 % of the time (ECE 0.10)")


def test_a_photo_at_the_edge_of_unknown_reads_the_same_on_both_sides(capsys):
    stories, schema = [], Schema(unknown=0.05)
    for familiar in (0.048, 0.052):
        scores = [{"label": "cat", "score": 0.7}, {"label": "dog", "score": 0.3}]
        answer = Prediction("1.jpg", scores, unknown=familiar > 0.05, familiar=familiar)
        _answers.show([answer], schema)
        stories.append(capsys.readouterr().out.replace(f"{familiar:.3f}", "").split())
    assert stories[0] == stories[1]
    assert "cat 0.700 perhaps" in " ".join(stories[0])
    _answers.show([Prediction("1.jpg", scores, unknown=True, familiar=0.2)], schema)
    assert "perhaps" not in capsys.readouterr().out


def test_seventy_of_a_hundred_are_compared_with_the_frequent_class():
    share, words = metrics.guessing({"cat": 70, "dog": 30})
    assert share == 0.7
    assert "cat" in words
    assert metrics.guessing({"cat": 50, "dog": 50}) == (0.5, "by chance it would be 1 of 2")


def test_a_class_without_a_test_photo_has_dashes():
    result = metrics.evaluate(np.eye(3)[[0, 1, 1]], np.array([0, 1, 1]), ("a", "b", "c"))
    table = per_class_table(result.per_class)
    assert table.rows[2] == ["c", "-", "-", "-", "0"]
    assert table.rows[0][1:4] == ["1.000"] * 3


def test_members_of_no_share_are_counted_and_not_listed():
    row = {"title": "A", "params": {}, "accuracy": 0.5}
    ranking = [row | {"share": share} for share in (0.996, 0.004, 0.0)]
    manifest = {"training": {"selection": {"ranking": ranking, "reason": "Why."}}}
    rows, reason = chosen.selection_parts(manifest)
    assert len(rows) == 2
    assert reason == "Why. Not shown: 2 members with 0 % of the answer."
    assert len(ranking) == 3


def test_inspect_shows_the_recorded_evaluation(photos, tmp_path, capsys):
    run(capsys, "fit", photos, "--out", tmp_path / "s", "--method", "tip")
    assert "evaluated" not in run(capsys, "inspect", tmp_path / "s")[1]
    run(capsys, "evaluate", tmp_path / "s", photos, "--record")
    assert "evaluated" in run(capsys, "inspect", tmp_path / "s")[1]


def test_the_interval_counts_groups_and_not_their_photos():
    task = tasks.get("classify")
    manifest = {"classes": ["a", "b"], "training": {"counts": {"a": 100, "b": 100}}}
    entry = {"right": 160, "images": 200}
    photos = task.expected(manifest | {"confidence": entry})
    groups = task.expected(manifest | {"confidence": entry | {"units": 40}})
    assert groups["accuracy"] == photos["accuracy"] == 0.8
    assert groups["interval"] == list(metrics.wilson_interval(32, 40))
    assert photos["interval"] == list(metrics.wilson_interval(160, 200))
    assert task.expectation(manifest | {"confidence": entry | {"units": 40}}) == (
        metrics.expectation(32, 40, {"a": 100, "b": 100})
    )
    for forged in (0, 201, "40", True):
        assert task.expected(manifest | {"confidence": entry | {"units": forged}}) is None
