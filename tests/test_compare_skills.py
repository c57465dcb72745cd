"""Two skills on the same photos: the numbers by hand and by scipy, the command and its files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

import handful
import handful.data
from commands import run
from handful import metrics
from handful.adapters.tip import Tip
from handful.errors import InputError
from handful.skills.compare_skills import compare_skills


def pairs(both, first, second, neither):
    cells = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return np.array(cells).T


def test_difference_by_the_published_example():
    # Newcombe, 1998, table II: 36, 12, 2, 0 by his method 10
    a, b = pairs(36, 2, 12, 0)
    found = metrics.paired_difference(a, b)
    assert (found.both, found.first, found.second, found.neither) == (36, 2, 12, 0)
    assert found.difference == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0569, 0.3404), abs=1e-4)
    assert found.p == pytest.approx(binomtest(2, 14).pvalue)
    assert found.method == "exact McNemar"
    turned = metrics.paired_difference(b, a)
    assert turned.interval == pytest.approx((-0.3404, -0.0569), abs=1e-4)


def test_equal_skills_differ_by_nothing_that_is_known():
    found = metrics.paired_difference([1, 0, 1], [1, 0, 1])
    assert (found.difference, found.p) == (0, 1)
    assert found.interval[0] < 0 < found.interval[1]


def test_groups_are_swapped_and_drawn_whole():
    a, b = pairs(10, 2, 12, 6)
    alone = metrics.paired_difference(a, b)
    # every photo three times, in one group: as many groups as there were photos
    units = np.repeat(np.arange(30), 3)
    thrice = metrics.paired_difference(np.repeat(a, 3), np.repeat(b, 3), units)
    assert thrice.method == "swaps by group"
    assert thrice.units == 30
    assert thrice.difference == pytest.approx(alone.difference)
    assert thrice.p == pytest.approx(alone.p, abs=0.005)  # by 10 000 swaps
    assert thrice.interval == pytest.approx(alone.interval, abs=0.05)
    # as independent photos the copies would make chance look like a difference
    assert metrics.paired_difference(np.repeat(a, 3), np.repeat(b, 3)).p < alone.p / 10
    assert metrics.paired_difference(a, b, [0] * 30).interval is None


def test_groups_on_which_both_agree_are_not_certain():
    units = np.arange(20).repeat(3)
    for right in (np.ones(60), np.tile([1, 0, 1], 20)):
        found = metrics.paired_difference(right, right, units)
        low, high = found.interval
        alone = metrics.paired_difference(right, right).interval
        assert low < alone[0] < 0 < alone[1] < high
        assert -low == pytest.approx(high)
    # as of 20 photos: each group counts once
    as_many = metrics.paired_difference(np.ones(20), np.ones(20))
    assert metrics.paired_difference(np.ones(60), np.ones(60), units).interval == pytest.approx(
        as_many.interval
    )


def test_refuses_answers_of_different_photos():
    with pytest.raises(InputError, match="two answers an image"):
        metrics.paired_difference([1, 0], [1])


@pytest.fixture
def skills(photos, tmp_path):
    first = handful.fit(photos, method="zero_shot").save(tmp_path / "a")
    return first, handful.fit(photos, shots=4).save(tmp_path / "b")


def test_the_comparison_is_that_of_two_evaluations(photos, skills):
    found = compare_skills(*skills, photos)
    alone = [handful.evaluate(skill, photos).result for skill in skills]
    assert found.accuracies == tuple(one.accuracy for one in alone)
    assert found.intervals == tuple(one.interval for one in alone)
    assert found.difference.difference == pytest.approx(alone[1].accuracy - alone[0].accuracy)


def test_what_one_skill_was_taught_with_counts_for_neither(photos, skills):
    dataset = handful.data.load(photos).split("train")
    everything = handful.data.Dataset(dataset.images, dataset.labels)
    found = compare_skills(skills[1], skills[1], everything)
    assert len(found.answers[0]) == len(dataset) // 2  # 4 of 8 photos of a class taught it
    halves = handful.fit(everything.subset(range(0, len(dataset), 2)))
    other = compare_skills(halves, skills[1], everything)
    assert {*other.answers[0].ids}.isdisjoint(halves.pack.support_ids)
    assert other.only_one
    with pytest.raises(InputError, match="support set"):
        compare_skills(handful.fit(everything), skills[1], everything)


def test_the_command(photos, skills, tmp_path, capsys):
    out = tmp_path / "out"
    code, shown, _ = run(capsys, "compare", *skills, photos, "--out", out)
    assert code == 0
    assert "exact McNemar" in shown
    found = json.loads((out / "comparison.json").read_text())
    with (out / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["data"]["images"] == 32
    for name, key in (("a", "first"), ("b", "second")):
        right = sum(row[f"right:{name}"] == "yes" for row in rows)
        assert right == found["both"] + found[key]
    assert [one["name"] for one in found["skills"]] == ["a", "b"]
    code, shown, _ = run(capsys, "compare", *skills, photos, "--json")
    assert json.loads(shown)["p"] == found["p"]
    for arguments, words in (
        ((*skills,), "SKILL_A SKILL_B PHOTOS"),
        ((*skills, photos, "--shots", "1"), "--shots is for comparing methods"),
        ((photos,), "--out FOLDER"),
        ((photos, photos), "is no skill"),
    ):
        code, _, told = run(capsys, "compare", *arguments)
        assert code == 2
        assert words in " ".join(told.split())


def test_methods_are_compared_by_the_groups_that_are_stated(photos):
    """Methods learn which photos belong together, and the facts say how many groups there are."""
    dataset = handful.data.load(photos).split("train")
    groups = tuple(f"g{i // 2}" for i in range(len(dataset)))
    pairs = replace(dataset, splits=(), groups=groups)
    told: list = []
    original = Tip.fit

    def fit(self, X, y, text=None, groups=None):
        told.append(groups)
        return original(self, X, y, text, groups)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tip, "fit", fit)
        found, _ = handful.compare(pairs, methods=["tip"], shots=3, seeds=1)
    assert found.facts["groups"] == f"{len(pairs)} images are {len(pairs) // 2} groups or " + (
        "single images"
    )
    # 3 shots of 4 pairs a class: each group once
    assert [len(set(one)) for one in told] == [len(one) for one in told] == [3 * 8]
    handful.compare(pairs, methods=["tip"], shots=3, seeds=1, group_by="none")


def test_patients_of_one_skill_count_for_neither(photos, tmp_path, capsys):
    """Groups that only one skill was taught by hold for both, and idle options are refused."""
    paths = {part: sorted((photos / part).rglob("*.png")) for part in ("train", "test")}
    for part, first in (("train", 0), ("test", 31)):
        rows = [f"{p},{p.parent.name},p{i // 2 + first}" for i, p in enumerate(paths[part])]
        (tmp_path / f"{part}.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n")
    plain = handful.fit(photos, shots=4).save(tmp_path / "plain")
    grouped = handful.fit(tmp_path / "train.csv", group_by="patient").save(tmp_path / "grouped")
    found = compare_skills(plain, grouped, tmp_path / "test.csv")
    stated = found.as_dict()
    assert [len(each) for each in stated["group_leaks"]] == [0, 2]
    assert len(found.answers[0]) == len(paths["test"]) - 2
    assert {*found.answers[0].groups} == {f"p{i}" for i in range(32, 47)}
    assert found.difference.units == 15
    assert (stated["options"]["group_by"], len(stated["data"]["digest"])) == ("patient", 64)
    for option in (("--encoder", "tiny"), ("--seeds", "2")):
        command = ("compare", plain, grouped, tmp_path / "test.csv", *option)
        code, _, told = run(capsys, *command)
        assert (code, f"{option[0]} is for comparing methods" in told) == (2, True)
