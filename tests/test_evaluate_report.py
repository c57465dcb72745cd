"""What `evaluate` writes: the answers one by one, the metrics with their intervals, the options."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
import handful.data
import handful.metrics
from commands import run
from handful.errors import InputError
from handful.skills import operating_points
from handful.skills.answers import Answers
from handful.skills.cross_validate import cross_validate
from handful.skills.folds import deal_folds
from handful.skills.left_out import left_out_probabilities
from handful.skills.recipe import Recipe


def answers(**changes) -> Answers:
    values = {
        "names": ("a", "b", "c"),
        "groups": ("g", "g", ""),
        "ids": ("1", "2", "3"),
        "targets": np.array([0, 1, 1]),
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]], np.float32),
        "classes": ("cat", "dog"),
        "columns": {"site": ("x", "y", "y")},
    }
    return Answers(**(values | changes))


def test_answers_by_hand():
    found = answers()
    assert found.predicted.tolist() == [0, 0, 0]  # the first of equal ones
    assert found.right.tolist() == [True, False, False]
    assert found.shown.tolist() == [[True, False], [False, True], [False, True]]
    part = found.subset(np.array([False, True, True]))
    assert (part.names, part.columns, part.right.tolist()) == (
        ("b", "c"),
        {"site": ("y", "y")},
        [False, False],
    )
    several = answers(
        targets=np.array([[1, 1], [0, 0], [0, 1]]), answered=np.array([[1, 0], [0, 0], [0, 1]]) > 0
    )
    assert several.right.tolist() == [False, True, True]
    with pytest.raises(InputError, match="one length"):
        answers(groups=("g",))


def test_answers_of_an_evaluation_are_its_numbers(photos):
    fitted = handful.fit(photos)
    done = fitted.evaluate(photos)
    found = done.answers
    assert found is not None
    assert found.right.mean() == done.result.accuracy
    assert len(found) == done.result.count == done.result.units
    top = [answer.scores[0] for answer in fitted.predict([*found.names])]
    assert [one["label"] for one in top] == [*found.answer_labels]
    assert [one["score"] for one in top] == pytest.approx(found.probabilities.max(1), abs=1e-6)


@pytest.fixture
def copies(photos, tmp_path):
    """The test photos, each three times, and one of them in another class as well."""
    for i, path in enumerate(sorted((photos / "test").rglob("*.png"))):
        for k in range(3):
            folder = tmp_path / "copies" / path.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{i}_{k}.png")
    return tmp_path / "copies"


def test_a_picture_counts_once(photos, copies):
    fitted = handful.fit(photos)
    once, thrice = (fitted.evaluate(folder) for folder in (photos / "test", copies))
    assert thrice.result.as_dict() == once.result.as_dict()
    assert len(thrice.repeated) == 2 * once.result.count
    one, other = sorted(copies.iterdir())[:2]
    shutil.copy(next(one.iterdir()), other / "again.png")
    torn = fitted.evaluate(copies)
    assert len(torn.contradictory) == 4
    assert torn.result.count == once.result.count - 1


def test_stated_groups_are_the_units_of_intervals(photos):
    fitted = handful.fit(photos)
    dataset = handful.data.load(photos).split("test")
    alone = fitted.evaluate(dataset)
    pairs = replace(dataset, groups=tuple(f"{i // 2}" for i in range(len(dataset))))
    grouped = fitted.evaluate(pairs)
    assert grouped.result.accuracy == alone.result.accuracy
    assert grouped.result.units == len(dataset) // 2
    assert grouped.result.interval_method == "wilson, effective sample size"
    assert fitted.evaluate(pairs, group_by="none").result.interval == alone.result.interval
    by_name = fitted.evaluate(dataset, group_by=r"00(\d)\d\.png")  # 0000.png to 0031.png
    assert by_name.result.units == 4


def test_what_the_command_writes(photos, tmp_path, capsys):
    skill = handful.fit(photos).save(tmp_path / "skill")
    out = tmp_path / "report"
    code, shown, _ = run(capsys, "evaluate", skill, photos, "--out", out, "--full")
    assert code == 0
    tables = [line for line in shown.splitlines() if "   " in line]
    assert max(map(len, tables)) <= 80
    assert "sensitivity" in shown
    found = json.loads((out / "evaluation.json").read_text())
    stated = json.loads((skill / "pack.json").read_text())
    assert found["skill"]["digest"] == stated["digest"]
    assert (found["skill"]["name"], found["handful"]) == ("skill", handful.__version__)
    assert found["data"]["images"] == found["count"] == found["data"]["groups"]
    with (out / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["count"]
    assert sum(row["right"] == "yes" for row in rows) / len(rows) == found["accuracy"]
    for row in rows:
        scores = {name: float(row[f"score:{name}"]) for name in found["classes"]}
        assert max(scores, key=scores.get) == row["answer"]
        assert (row["truth"] == row["answer"]) == (row["right"] == "yes")
        assert row["digest"] == stated["digest"][:12]
    # by hand: the digests of the photos with their labels
    lines = sorted(
        f"{sha256((Path(r['file'])).read_bytes()).hexdigest()}\t{r['truth']}\n" for r in rows
    )
    assert found["data"]["digest"] == sha256("".join(lines).encode()).hexdigest()


def test_cross_validation_by_hand(photos):
    """The same folds, taught one by one."""
    dataset = handful.data.load(photos).split("train")
    done = cross_validate(dataset, 4, seed=1, recipe=Recipe(method="tip"))
    found = done.answers
    assert (len(found), set(found.folds)) == (len(dataset), {1, 2, 3, 4})
    folds = np.array(found.folds)
    for fold in (1, 2):
        taught = handful.fit(dataset.subset(np.flatnonzero(folds != fold)), method="tip")
        asked = replace(dataset.subset(np.flatnonzero(folds == fold)), splits=())
        given = taught.evaluate(asked).answers
        np.testing.assert_allclose(
            given.probabilities, found.subset(folds == fold).probabilities, atol=1e-5
        )
    # two photos of each of the 8 classes in every fold
    assert all((np.bincount(found.targets[folds == f]) == 2).all() for f in (1, 2, 3, 4))
    assert done.facts["options"]["cv"] == 4
    assert 0 <= done.confidence["ece"] <= 1
    again = cross_validate(dataset, 4, seed=1, skill=handful.fit(dataset, method="tip"))
    assert again.result.as_dict() == done.result.as_dict()


def test_folds_keep_groups_whole_and_classes_even():
    targets, units = np.repeat([0, 1], 12), np.arange(24) // 3
    places = deal_folds(targets, units, 4, 0, ("a", "b"))
    assert all(len(set(places[units == u])) == 1 for u in range(8))
    assert np.bincount(places).tolist() == [6, 6, 6, 6]
    with pytest.raises(InputError, match="'b' are of one group"):
        deal_folds(targets, np.where(targets == 1, 99, units), 2, 0, ("a", "b"))
    with pytest.raises(InputError, match="there are 8"):
        deal_folds(targets, units, 9, 0, ("a", "b"))


def test_copies_never_stand_in_two_folds(photos, copies):
    done = cross_validate(copies, 2)
    assert len(done.repeated) == 2 * len(done.answers)
    assert len(set(done.answers.ids)) == len(done.answers)
    assert len(done.notes) == 1  # nothing of groups, for each photo that counts is alone


def test_cross_validation_of_several_labels(photos, tmp_path, capsys):
    paths = sorted((photos / "train").rglob("*.png"))
    names = sorted({path.parent.name for path in paths})[:3]
    rows = [f"{p},{p.parent.name if p.parent.name in names else ''}" for p in paths]
    (tmp_path / "t.csv").write_text("\n".join(["path,labels", *rows]) + "\n")
    done = cross_validate(tmp_path / "t.csv", 3)
    assert done.answers.given.shape == (len(paths), 3)
    assert done.result.count == len(paths)
    assert done.confidence is None
    assert done.areas["per_class"][names[0]]["auroc"] is not None
    command = ("evaluate", tmp_path / "t.csv", "--cv", 3, "--multi-label")
    code, shown, _ = run(capsys, *command, "--json")
    assert (code, json.loads(shown)["count"]) == (0, len(paths))
    code, _, told = run(capsys, *command, "--task", "classify")
    assert (code, "contradict each other" in told) == (2, True)


def test_cross_validation_on_the_command_line(photos, tmp_path, capsys):
    code, shown, told = run(capsys, "evaluate", photos, "--cv", 2, "--out", tmp_path / "r")
    assert (code, "64 images" in shown, "the other 1 of 2 folds" in told) == (0, True, True)
    head = (tmp_path / "r" / "answers.csv").read_text().splitlines()[0]
    assert head.startswith("file,group,truth,answer,right,fold,score:")
    skill = handful.fit(photos).save(tmp_path / "skill")
    for arguments, words in (
        ((skill,), "name the photos after the skill"),
        ((skill, photos, "--cv", 2, "--method", "tip"), "--method is how the folds"),
        ((photos, "--cv", 2, "--record"), "--record with --cv"),
        ((photos, "--cv", 2, "--at", "sensitivity 0.5 of x"), "--at with --cv"),
        ((tmp_path / "none", photos), "none"),
    ):
        code, _, told = run(capsys, "evaluate", *arguments)
        assert code == 2
        assert words in told


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("sensitivity 0.95 of sick", ("sensitivity", 0.95, "sick")),
        ("Recall 80% of not well", ("sensitivity", 0.8, "not well")),
        ("specificity .9 of sick", ("specificity", 0.9, "sick")),
    ],
)
def test_operating_points_as_users_write_them(text, asked):
    found = operating_points.parse(text, ("sick", "not well"))
    assert (found.rate, found.value, found.of) == asked


@pytest.mark.parametrize(
    "text", ["0.95 of sick", "sensitivity 1 of sick", "sensitivity 0.9 of well", "ppv 0.9 of sick"]
)
def test_other_operating_points_are_refused(text):
    with pytest.raises(InputError, match=r"expected a rate|not among"):
        operating_points.parse(text, ("sick",))


def test_thresholds_keep_their_promise_on_new_images():
    """Exchangeable scores: on average at least the rate, and hardly more."""
    rng, reached = np.random.default_rng(0), []
    sensitivity = operating_points.parse("sensitivity 0.8 of a", ("a",))
    specificity = operating_points.parse("specificity 0.8 of a", ("a",))
    for _ in range(2000):
        scores = rng.random(40).astype(np.float32)
        shown, units = np.arange(40) < 20, np.arange(40)
        high = operating_points.choose(sensitivity, scores, shown, units)
        low = operating_points.choose(specificity, scores, shown, units)
        assert (high.support_images, low.support_units) == (20, 20)
        reached.append((1 - high.threshold, low.threshold))  # of new uniform scores
    # ceil(0.8 * 21) of 21 by the order statistics of a uniform
    assert np.mean(reached, axis=0) == pytest.approx([17 / 21] * 2, abs=0.01)


def test_the_images_of_a_group_weigh_as_one():
    asked = operating_points.parse("sensitivity 0.5 of a", ("a",))
    scores, units = np.array([0.9] * 6 + [0.5, 0.3], np.float32), [0] * 6 + [1, 2]
    found = operating_points.choose(asked, scores, np.ones(8), units)
    assert (found.threshold, found.support_images, found.support_units) == (0.5, 8, 3)
    asked = operating_points.parse("sensitivity 0.95 of a", ("a",))
    with pytest.raises(InputError, match="needs at least 19"):
        operating_points.choose(asked, scores, np.ones(8), units)


def test_an_operating_point_rests_on_the_support_set_alone(photos):
    fitted = handful.fit(photos)
    name = fitted.pack.classes[0]
    at = f"sensitivity 0.8 of {name}"
    dataset = handful.data.load(photos).split("test")
    whole = fitted.evaluate(dataset, at=at)
    half = fitted.evaluate(dataset.subset(range(0, len(dataset), 2)), at=at)
    point = whole.operating_points[0]
    assert point.threshold == half.operating_points[0].threshold
    assert point.support_images == 8
    given = whole.answers.probabilities[:, 0] >= point.threshold
    shown = whole.answers.targets == 0
    assert point.measured["recall"] == (given & shown).sum() / shown.sum()
    assert point.measured["precision"] == (given & shown).sum() / given.sum()
    stated = whole.as_dict()["operating_points"][0]
    assert (stated["at"], stated["rate"], stated["value"]) == (at, "sensitivity", 0.8)


def test_left_out_answers_are_those_that_the_skill_states(photos):
    for method in ("auto", "tip"):
        pack = handful.fit(photos, method=method).pack
        left = left_out_probabilities(pack)
        right = int((left.probabilities.argmax(1) == left.targets).sum())
        assert right == pack.manifest["confidence"]["right"]
        assert len(left.targets) == pack.manifest["confidence"]["images"]
    with pytest.raises(InputError, match="left-out"):
        left_out_probabilities(handful.fit(photos, shots=1).pack)


def test_subgroups_by_hand(photos, tmp_path, capsys):
    skill = handful.fit(photos).save(tmp_path / "skill")
    paths = sorted((photos / "test").rglob("*.png"))
    rows = [f"{p},{p.parent.name},{'north' if i % 3 else ''}" for i, p in enumerate(paths)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,site", *rows]) + "\n")
    done = handful.evaluate(skill, tmp_path / "t.csv", by="site")
    north = np.array([value == "north" for value in done.answers.columns["site"]])
    found = done.subgroups["site"]
    assert list(found) == ["(empty)", "north"]
    assert found["north"]["count"] == north.sum()
    assert found["north"]["accuracy"] == done.answers.right[north].mean()
    name = done.answers.classes[0]
    ours = handful.metrics.evaluate(
        done.answers.probabilities[north], done.answers.targets[north], done.answers.classes
    )
    assert found["north"]["per_class"][name]["recall"] == ours.per_class[name]["recall"]
    out = tmp_path / "r"
    code, shown, _ = run(
        capsys, "evaluate", skill, tmp_path / "t.csv", "--by", "site", "--out", out
    )
    assert (code, "north" in shown) == (0, True)
    assert "by:site" in (out / "answers.csv").read_text().splitlines()[0]
    code, _, told = run(capsys, "evaluate", skill, tmp_path / "t.csv", "--by", "camera")
    assert (code, "it has: site" in told) == (2, True)


def test_near_copies_count_once_in_intervals(tmp_path):
    """Twelve pictures with details of all sizes, each saved twice."""
    rng = np.random.default_rng(0)
    for i in range(12):
        layers = [rng.uniform(0, 255, (n, n, 3)).astype(np.uint8) for n in (4, 12, 40)]
        planes = [np.asarray(Image.fromarray(x).resize((128, 128)), np.float32) for x in layers]
        pixels = np.mean(planes, axis=0)
        pixels[:, :, i % 2] /= 2  # its class
        folder = tmp_path / ("green" if i % 2 else "red")
        folder.mkdir(exist_ok=True)
        for quality in (95, 85):
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / f"{i}_{quality}.jpg", quality=quality)
    fitted = handful.fit(tmp_path, encoder="tiny")
    found = fitted.evaluate(tmp_path, keep_leaks=True)
    assert (found.result.count, found.result.units) == (24, 12)
    assert "24 photos are at most 12 bursts" in found.notes[0]
    assert {len(group) > 0 for group in found.answers.groups} == {True}
    alone = fitted.evaluate(tmp_path, keep_leaks=True, group_by="none")
    assert (alone.result.units, alone.notes) == (24, ())
    folds = cross_validate(tmp_path, 2).answers
    where = dict(zip(folds.groups, folds.folds, strict=True))
    assert all(where[g] == f for g, f in zip(folds.groups, folds.folds, strict=True))


@pytest.fixture
def patients(photos, tmp_path):
    """Tables to teach with and to test with: a patient is a pair of photos; two are in both."""
    tables = []
    for part, first in (("train", 0), ("test", 30)):
        rows, table = ["path,label,patient"], tmp_path / f"{part}.csv"
        for i, path in enumerate(sorted((photos / part).rglob("*.png"))):
            rows.append(f"{path},{path.parent.name},p{i // 2 + first}")
        table.write_text("\n".join(rows) + "\n")
        tables.append(table)
    return tables


def test_the_patients_of_a_skill_count_in_no_number(patients, tmp_path, capsys):
    teach, test = patients  # of 32 and 16 patients: p30, p31 are in both
    skill = handful.fit(teach, group_by="patient").save(tmp_path / "skill")
    done = handful.evaluate(skill, test)
    count = len(test.read_text().splitlines()) - 1
    assert (len(done.group_leaks), done.leaked_groups, done.leaks) == (4, ("p30", "p31"), ())
    assert done.result.count == len(done.answers) == count - 4
    assert {"p30", "p31"}.isdisjoint(done.answers.groups)
    assert done.facts["options"]["group_by"] == "patient"  # as the skill was taught
    assert any("grouped by patient, as those" in note for note in done.notes)
    kept = handful.evaluate(skill, test, keep_leaks=True)
    assert (kept.result.count, len(kept.group_leaks)) == (count, 4)
    code, _, told = run(capsys, "evaluate", skill, test, "--out", tmp_path / "r", "--record")
    assert code == 0
    card = (skill / "README.md").read_text()
    assert "groups or single images among them: " in card
    assert "left out: 4 images of groups that the skill was taught with" in card
    assert "4 test images are of 2 groups that the skill was taught with: left out" in told
    found = json.loads((tmp_path / "r" / "evaluation.json").read_text())
    assert (len(found["group_leaks"]), found["leaked_groups"]) == (4, ["p30", "p31"])
    only = tmp_path / "only.csv"
    only.write_text("\n".join(test.read_text().splitlines()[:5]) + "\n")
    with pytest.raises(InputError, match="of groups that it was taught with, such as 'p30'"):
        handful.evaluate(skill, only)


def test_groups_of_a_skill_that_a_test_set_does_not_state_are_missed_aloud(photos, patients):
    fitted = handful.fit(patients[0], group_by="patient")
    done = fitted.evaluate(photos)
    assert "was taught with groups by patient, and this evaluation has none" in done.notes[0]
    assert fitted.evaluate(patients[1], group_by="none").result.count == len(done.answers)
    folds = cross_validate(patients[0], 2, skill=fitted)
    assert folds.facts["options"]["group_by"] == "patient"
    assert folds.result.units == len(folds.answers) // 2
    plain = cross_validate(photos, 2, skill=fitted)
    assert any("may be in several folds" in note for note in plain.notes)
    # numbers of near copies name nothing in another data set
    near = handful.data.load(patients[0])
    near = replace(near, groups=tuple(f"near:{g}" for g in near.columns["patient"]))
    test = handful.data.load(patients[1])
    test = replace(test, groups=tuple(f"near:{g}" for g in test.columns["patient"]))
    assert handful.fit(near).evaluate(test).group_leaks == ()


def test_photos_like_a_support_photo_are_warned_of(photos, tmp_path):
    """Stored anew, as a messenger does: other bytes, the same picture."""
    fitted = handful.fit(photos)
    test = tmp_path / "test"
    shutil.copytree(photos / "test", test)
    path = sorted((photos / "train").rglob("*.png"))[0]
    Image.open(path).save(test / path.parent.name / "anew.bmp")
    before, after = (fitted.evaluate(folder) for folder in (photos / "test", test))
    told = [
        [n for n in one.notes if "nearly the same as a support" in n] for one in (before, after)
    ]
    numbers = [int(notes[0].split()[0]) if notes else 0 for notes in told]
    assert numbers[1] == numbers[0] + 1
    assert after.leaks == ()


def test_photos_of_no_class_are_told_of(photos, tmp_path, capsys):
    data = tmp_path / "photos"
    shutil.copytree(photos / "train", data)
    (data / "background").mkdir()
    for path in sorted((photos / "test").rglob("*.png"))[:3]:
        shutil.copy(path, data / "background" / path.name)
    code, _, told = run(capsys, "evaluate", data, "--cv", 2, "--out", tmp_path / "r")
    assert (code, "3 photos of no class (background) are left out" in told) == (0, True)
    found = json.loads((tmp_path / "r" / "evaluation.json").read_text())
    assert found["data"]["images_of_no_class"] == 3
    assert any("of no class" in note for note in found["notes"])
    done = handful.fit(photos).evaluate(data, keep_leaks=True)
    assert done.facts["data"]["images_of_no_class"] == 3
    assert any("answers.csv holds the photos of classes alone" in note for note in done.notes)


def test_numbers_stand_beside_guessing(photos, capsys, tmp_path):
    skill = handful.fit(photos).save(tmp_path / "skill")
    _, shown, _ = run(capsys, "evaluate", skill, photos)
    assert "By chance it would be 1 of 8." in shown
    few = tmp_path / "few"  # all of one class: always answering it is right on every photo
    name = sorted(path.name for path in (photos / "test").iterdir())[0]
    shutil.copytree(photos / "test" / name, few / name)
    _, shown, _ = run(capsys, "evaluate", skill, few)
    assert f"lways answering {name}" in shown


def test_a_report_leaves_no_figure_of_an_earlier_one(photos, tmp_path, capsys):
    skill = handful.fit(photos).save(tmp_path / "skill")
    table, out = tmp_path / "t.csv", tmp_path / "r"
    paths = sorted((photos / "test").rglob("*.png"))
    rows = [f"{path},{path.parent.name},{i % 2}" for i, path in enumerate(paths)]
    table.write_text("\n".join(["path,label,site", *rows]) + "\n")
    out.mkdir()
    (out / "subgroups.png").write_bytes(b"mine")  # no report of ours lies there
    run(capsys, "evaluate", skill, table, "--out", out)
    assert (out / "subgroups.png").read_bytes() == b"mine"
    run(capsys, "evaluate", skill, table, "--by", "site", "--out", out)
    assert (out / "subgroups.png").read_bytes() != b"mine"
    run(capsys, "evaluate", skill, table, "--out", out)
    assert not (out / "subgroups.png").exists()
    assert (out / "confusion.png").exists()
    for folder, words in ((skill, "the folder of a skill"), (table, "is a file")):
        code, _, told = run(capsys, "evaluate", skill, table, "--out", folder)
        assert (code, words in told) == (2, True)


def test_answers_for_spreadsheets_with_their_operating_points(photos, tmp_path, capsys):
    skill, out = handful.fit(photos).save(tmp_path / "skill"), tmp_path / "r"
    name = sorted(path.name for path in (photos / "test").iterdir())[0]
    at = f"sensitivity 0.8 of {name}"
    code, _, _ = run(
        capsys, "evaluate", skill, photos, "--at", at, "--at", at, "--out", out, "--excel",
        "--separator", ";",
    )  # fmt: skip
    assert code == 0
    text = (out / "answers.csv").read_bytes().decode()
    assert text.startswith("\ufefffile;group;")
    rows = list(csv.DictReader(text[1:].splitlines(), delimiter=";"))
    found = json.loads((out / "evaluation.json").read_text())
    (point,) = found["operating_points"]  # once, though it was asked for twice
    for row in rows:
        reached = np.float32(row[f"score:{name}"]) >= np.float32(point["threshold"])
        assert row[f"at:{at}"] == ("yes" if reached else "no")
    scores = np.array([[float(row[f"score:{c}"]) for c in found["classes"]] for row in rows])
    truth = np.array([[row["truth"] == c for c in found["classes"]] for row in rows])
    areas = handful.metrics.areas(scores.astype(np.float32), truth, found["classes"])
    assert areas["per_class"][name]["auroc"] == found["areas"]["per_class"][name]["auroc"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sensitivity 0.9 of Sick", "did you mean 'sick'"),
        ("sensitivity 0,8 of sick", "a point here, not a comma"),
        ("sensitivity 80 of sick", "say 80%"),
    ],
)
def test_what_is_wrong_with_an_operating_point_is_said(text, words):
    with pytest.raises(InputError, match=words):
        operating_points.parse(text, ("sick", "well"))
