"""The doctor finds what was planted, from a folder and from a skill, and says what it cannot."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from commands import run
from handful import encoders, fit, plugins
from handful.cli import doctor
from handful.contracts import ClassText
from handful.data import playground
from handful.errors import InputError
from handful.packs import Pack
from handful.packs.support import Support
from handful.selection import kernel_ridge
from handful.selection.groups import unit_weights
from handful.selection.label_errors import (
    _unit_influence,
    estimate_label_errors,
    ridge_influence,
)
from handful.skills.doctor import diagnose, examine, find_duplicates, measures
from handful.skills.explain import explain
from tasks import make
from test_edit import multi_label_pack

WRONG = 2


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    """Photos of the playground with wrong labels, copies and a tiny crop among them."""
    folder = tmp_path_factory.mktemp("planted")
    playground.write(playground.task("style-rolled", 8, seed=6000, queries_per_class=1), folder)
    kinds = sorted((folder / "train").iterdir())
    for k in range(WRONG):
        shutil.move(sorted(kinds[k].iterdir())[0], kinds[k + 1] / f"wrong{k}.png")
    shutil.copy(sorted(kinds[4].iterdir())[0], kinds[4] / "copy.png")
    shutil.copy(sorted(kinds[5].iterdir())[0], kinds[6] / "elsewhere.png")
    Image.open(sorted(kinds[7].iterdir())[0]).resize((16, 16)).save(kinds[7] / "tiny.png")
    return folder


@pytest.fixture(scope="module")
def taught(planted, tmp_path_factory) -> Path:
    """The same without copies, of which `fit` lets one count and refuses one."""
    copies = shutil.ignore_patterns("copy.png", "elsewhere.png")
    return shutil.copytree(planted, tmp_path_factory.mktemp("taught") / "photos", ignore=copies)


@pytest.fixture(scope="module")
def skill(taught, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("skills") / "skill"
    fit(taught, method="tip").pack.save(folder)
    return folder


def support_of(task, columns=None) -> Support:
    if columns is None:
        columns = np.array([task.text.classes.index(name) for name in task.y])
    ids = tuple(f"{i:064x}" for i in range(len(columns)))
    return Support(task.X, columns, task.text, ids, tuple(f"{i}.png" for i in range(len(columns))))


def auto():
    return plugins.get("adapters", "auto")()


def test_what_was_planted_is_found(planted):
    found = diagnose(planted).examination
    assert {Path(f.name).name for f in found.suspects} >= {f"wrong{k}.png" for k in range(WRONG)}
    assert len(found.suspects) <= WRONG + 2
    first = next(f for f in found.suspects if f.name.endswith("wrong0.png"))
    assert first.looks_like == sorted(found.counts)[0]
    assert [Path(f.name).name for f in found.having("small")] == ["tiny.png"]
    pairs = [d for d in found.duplicates if d.exact]
    assert [d.across for d in pairs] == [True, False]  # across classes first


def test_a_skill_says_the_same_without_its_pictures(taught, skill):
    done = diagnose(skill)
    assert done.encoded == 0
    assert any("sizes" in note for note in done.examination.notes)
    assert not done.examination.having("small")
    shown = diagnose(skill, images=taught)
    assert len(shown.pictures) == len(set(Pack.load(skill).support_ids))
    assert [f.size for f in shown.examination.having("small")] == [(16, 16)]
    # the folder has each copy twice and the skill once; they are one unit in both
    wrong = {f.id: f.wrong for f in done.examination.images}
    of_folder = {f.id: f.wrong for f in diagnose(taught).examination.images}
    assert wrong == pytest.approx(of_folder, abs=0.02)
    assert [i for i in wrong if wrong[i] > 0.5] == [i for i in of_folder if of_folder[i] > 0.5]


def test_the_command_writes_table_json_and_sheet(planted, skill, tmp_path, capsys):
    code, out, _ = run(capsys, "doctor", planted, "--out", tmp_path / "d")
    assert code == 0
    assert "wrong0.png" in out
    assert "under two labels" in out
    assert json.loads((tmp_path / "d" / "doctor.json").read_text())["duplicates"]
    assert min(Image.open(tmp_path / "d" / "doctor.png").size) > 300
    code, out, err = run(capsys, "doctor", skill, "--out", tmp_path / "e")
    assert code == 0
    assert "no figure" in err
    assert not (tmp_path / "e" / "doctor.png").exists()
    code, out, _ = run(capsys, "doctor", skill, "--json")
    answer = json.loads(out)
    assert answer["encoded"] == 0
    assert answer["images"][0]["wrong"] >= answer["images"][-1]["wrong"]


@pytest.mark.parametrize("shots", [8, 16])
def test_flipped_labels_are_ranked_far_better_than_by_zero_shot(shots):
    task = make(classes=8, shots=shots, width=48, seed=7)
    far = np.random.default_rng(8).standard_normal(task.text.embeddings.shape)
    noise = far / np.linalg.norm(far, axis=2, keepdims=True)
    text = ClassText(0.05 * task.text.embeddings + noise, task.text.classes, 100.0)  # hardly knows
    right = support_of(task).targets
    columns = right.copy()
    rng = np.random.default_rng(1)
    flipped = rng.permutation(len(columns))[: len(columns) // 10]
    columns[flipped] = (columns[flipped] + rng.integers(1, 8, len(flipped))) % 8
    support = Support(task.X, columns, text, support_of(task).ids, support_of(task).names)
    found = examine(support, auto())
    wrong = np.array([f.wrong for f in sorted(found.images, key=lambda f: f.row)])
    zero_shot = plugins.get("adapters", "zero_shot")().fit(task.X, columns, text)
    given = zero_shot.predict_proba(task.X)[np.arange(len(columns)), columns]
    ours = average_precision_score(columns != right, wrong)
    assert ours >= 2 * average_precision_score(columns != right, -given)
    assert ours > 0.9


def test_clean_labels_are_left_alone():
    found = examine(support_of(make(classes=8, shots=8, width=48, seed=7)), auto())
    assert not found.suspects
    assert found.rate < 0.08


@pytest.mark.parametrize("method", ["tip", "linear", "zero_shot", "text_gda"])
def test_the_skills_own_method_is_asked_and_not_changed(method):
    task = make(classes=4, shots=4)
    adapter = plugins.get("adapters", method)().fit(task.X, task.y, task.text)
    before = adapter.logits(task.queries)
    found = examine(support_of(task), adapter)
    assert np.array_equal(adapter.logits(task.queries), before)
    assert all(isinstance(f.right, bool) for f in found.images)


def test_one_shot_is_judged_by_text_and_said_so():
    found = examine(support_of(make(classes=5, shots=1)), auto())
    assert any("text alone" in note for note in found.notes)
    assert {f.evidence for f in found.images} == {"text alone"}
    assert all(f.right is None and f.influence is None for f in found.images)
    assert found.rate is None


def test_a_single_image_among_others_is_judged_by_text():
    support = support_of(make(classes=5, shots=4)).subset([0, *range(4, 20)])
    found = examine(support, auto())
    (lone,) = [f for f in found.images if f.evidence == "text alone"]
    assert lone.row == 0
    assert any("1 image is the only one" in note for note in found.notes)


def test_influence_is_what_removing_would_do():
    task = make(classes=4, shots=3, width=12, seed=2)
    X = torch.from_numpy(task.X).double()
    targets = torch.from_numpy(support_of(task).targets)
    base = X @ torch.from_numpy(task.text.weights).double().T
    goal = torch.nn.functional.one_hot(targets, 4).double()
    kernel = (1.5 * (X @ X.T - 1)).exp()
    rows = torch.arange(len(X))

    def answer(j: int, without: list[int]) -> torch.Tensor:
        kept = torch.tensor([k for k in rows.tolist() if k not in without])
        solved = kernel_ridge(kernel[kept][:, kept], (goal - base)[kept], 0.1)
        return base[j] + kernel[j, kept] @ solved

    alone = torch.stack([answer(j, [j]) for j in rows.tolist()])
    z = alone - alone.mean(1, keepdim=True)
    scale = estimate_label_errors(alone, targets).sharpness / z.std(1).mean()
    i = 5
    gains = [
        float(
            (scale * answer(j, [i, j])).log_softmax(0)[targets[j]]
            - (scale * alone[j]).log_softmax(0)[targets[j]]
        )
        for j in rows.tolist()
        if j != i
    ]
    found = ridge_influence(kernel, goal - base, base, targets, 0.1)[i]
    assert float(found) == pytest.approx(np.mean(gains), abs=1e-9)


def test_a_stray_image_is_far_and_a_thin_class_is_named():
    task = make(classes=4, shots=9, width=24, seed=3)
    stray = task.X.copy()
    stray[0] = -stray[0]
    support = support_of(task)
    moved = Support(stray, support.targets, task.text, support.ids, support.names)
    few = moved.subset([i for i in range(36) if not 28 <= i < 36])  # one class keeps one image
    found = examine(few, auto())
    assert 0 in {f.row for f in found.having("far")}
    assert found.rare_classes == (task.text.classes[3],)


@pytest.mark.parametrize(
    ("measure", "threshold", "words"),
    [
        ("wrong", measures.SUSPECT, "label may be wrong"),
        ("harm", measures.FAR, "may hurt the others"),
        ("distance", measures.FAR, "perhaps far from its class"),
    ],
)
def test_a_little_above_and_a_little_below_a_threshold_the_story_is_the_same(
    measure, threshold, words, monkeypatch, capsys
):
    support = support_of(make(classes=8, shots=8, width=48, seed=7))
    stories = []
    for value in (threshold - 0.04, threshold + 0.04):
        with monkeypatch.context() as patch:
            numbers = np.full(64, -1.0)
            numbers[5] = value
            if measure == "wrong":
                judged = replace(measures.judge_labels(support, []), wrong=numbers)
                patch.setattr(measures, "judge_labels", lambda *_, j=judged: j)
            else:
                name = "harm" if measure == "harm" else "class_distances"
                patch.setattr(measures, name, lambda _, n=numbers: n)
            doctor._show(examine(support, auto()))
        stories.append(re.sub(r"\(\d+ %\)", "", capsys.readouterr().out))
    assert stories[0] == stories[1]
    assert words in stories[0]
    assert "near its threshold" in stories[0]


def test_far_from_a_threshold_it_is_said_plainly(capsys):
    task = make(classes=4, shots=9, width=24, seed=3)
    stray = task.X.copy()
    stray[0] = -stray[0]
    support = support_of(task)
    moved = Support(stray, support.targets, task.text, support.ids, support.names)
    found = examine(moved, auto())
    assert 0 in {f.row for f in found.clearly("far")}
    doctor._show(found)
    assert "far from its class" in capsys.readouterr().out


def test_pairs_a_little_above_and_below_the_cosine_are_the_same_story():
    support = support_of(make(classes=4, shots=4, width=48, seed=1))
    for cosine, near in [(0.9705, True), (0.9695, True), (0.99, False), (0.96, None)]:
        X = support.features.astype(np.float64)
        other = X[1] - (X[1] @ X[0]) * X[0]
        X[1] = cosine * X[0] + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
        pairs = find_duplicates(replace(support, features=X.astype(np.float32)))
        found = [d.near for d in pairs if (d.first, d.second) == (0, 1)]
        assert found == ([] if near is None else [near]), cosine


def test_nothing_is_said_plainly_that_another_precision_leaves_out(planted):
    one, other = (
        diagnose(planted, encoder=encoders.load("tiny", precision=p)).examination.by_row()
        for p in ("float32", "bfloat16")
    )
    for row, finding in one.items():
        for here, there in ((finding, other[row]), (other[row], finding)):
            assert set(here.problems) - set(here.near) <= set(there.named)


def test_a_skill_without_its_support_set_says_what_to_do(skill, tmp_path, capsys):
    pack = Pack.load(skill)
    bare = {n: t for n, t in pack.tensors.items() if not n.startswith("support.")}
    Pack(pack.manifest, bare).save(tmp_path / "old")
    code, _, err = run(capsys, "doctor", tmp_path / "old")
    assert code == 2
    assert "saved without its support set" in err


def test_an_unreadable_image_is_named_and_the_rest_examined(planted, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(planted, folder)
    (sorted((folder / "train").iterdir())[0] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    code, out, err = run(capsys, "doctor", folder, "--json")
    assert code == 1
    assert "broken.png" in err
    assert json.loads(out)["failures"]


def test_arguments_that_cannot_be_meant_are_refused():
    support = support_of(make())
    with pytest.raises(InputError, match="similarity"):
        examine(support, auto(), similar=0.0)
    with pytest.raises(InputError, match="expected 20 sizes"):
        examine(support, auto(), sizes=[(1, 1)])


def test_images_of_no_class_are_left_out_and_said_so(planted, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(planted / "train", folder)
    shutil.copytree(sorted(folder.iterdir())[0], folder / "background")
    found = diagnose(folder).examination
    assert "background" not in found.counts
    assert any("of no class (background)" in note for note in found.notes)


def test_a_skill_of_several_labels_is_refused():
    several = multi_label_pack()
    with pytest.raises(InputError, match="several labels"):
        diagnose(several)
    with pytest.raises(InputError, match="several labels"):
        explain(several, np.ones(4, np.float32))


def in_bursts(support: Support, times: int, noise: float = 0.01) -> Support:
    """Every photo as a burst of frames that are nearly the same, with its group."""
    rows = np.repeat(np.arange(len(support.ids)), times)
    rng = np.random.default_rng(4)
    features = support.features[rows] + noise * rng.standard_normal((len(rows), 48))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids = tuple(f"{i:064x}" for i in range(len(rows)))
    names = tuple(f"{r}_{i % times}.png" for i, r in enumerate(rows))
    groups = tuple(f"burst {r}" for r in rows)
    return replace(
        support.subset(rows),
        features=features.astype(np.float32),
        ids=ids,
        names=names,
        groups=groups,
    )


def test_one_wrong_photo_as_a_burst_is_found_by_its_stated_group():
    task = make(classes=4, shots=8, width=48, seed=5)
    columns = np.array([task.text.classes.index(name) for name in task.y])
    columns[3] = (columns[3] + 2) % 4
    single = support_of(task, columns)
    alone = {f.row: f for f in examine(single, auto()).images}
    assert alone[3].wrong > 0.9
    bursts = in_bursts(single, 4)
    found = {f.row: f for f in examine(bursts, auto()).images}
    torn = {f.row: f for f in examine(replace(bursts, groups=()), auto()).images}
    for row in range(12, 16):
        assert found[row].wrong == pytest.approx(alone[3].wrong, abs=0.05)
        assert found[row].right is False
        assert torn[row].wrong < 0.5  # its own frames speak for it
    # with its group the whole burst stands out as the photo does
    far = [f.row // 4 for f in sorted(found.values(), key=lambda f: -f.distance)[:4]]
    assert far == [max(alone.values(), key=lambda f: f.distance).row] * 4
    hurts = [f.row // 4 for f in sorted(found.values(), key=lambda f: -f.influence)[:4]]
    assert hurts == [3] * 4
    assert [f for f in found.values() if f.row // 4 != 3 and f.wrong > 0.5] == [
        f for f in found.values() if f.row // 4 != 3 and alone[f.row // 4].wrong > 0.5
    ]


def test_the_influence_of_a_unit_is_that_of_fits_without_it():
    rng = np.random.default_rng(0)
    rows, targets = rng.standard_normal((12, 5)), torch.arange(12) % 3
    kernel = torch.from_numpy(np.exp(-((rows[:, None] - rows) ** 2).sum(2) / 8))
    goal = torch.nn.functional.one_hot(targets, 3).double()
    base = torch.from_numpy(0.1 * rng.standard_normal((12, 3)))
    units = np.array([0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 6])
    weights = torch.from_numpy(unit_weights(units))

    def without(gone: np.ndarray) -> torch.Tensor:
        """Predictions of everything by a fit without some rows."""
        left = torch.from_numpy(~gone)
        inner = kernel[left][:, left] + 0.1 * torch.eye(int(left.sum()), dtype=torch.float64)
        return base + kernel[:, left] @ torch.linalg.solve(inner, (goal - base)[left])

    alone = torch.stack([without(units == u)[i] for i, u in enumerate(units)])
    sharp = estimate_label_errors(alone, targets, weights).sharpness
    scale = sharp / (alone - alone.mean(1, keepdim=True)).std(1).mean()
    found = ridge_influence(kernel, goal - base, base, targets, 0.1, units)
    for i, u in enumerate(units):
        gained = 0.0
        for j, v in enumerate(units):
            if u != v:
                after = (scale * without((units == u) | (units == v))[j]).log_softmax(0)
                before = (scale * alone[j]).log_softmax(0)
                gained += float(weights[j] * (after - before)[targets[j]])
        assert found[i].item() == pytest.approx(gained / 6)
    # where each is alone, both formulas are one
    each = ridge_influence(kernel, goal - base, base, targets, 0.1, np.arange(12))
    inverse = torch.linalg.inv(kernel + 0.1 * torch.eye(12, dtype=torch.float64))
    same = _unit_influence(inverse, inverse @ (goal - base), goal, targets, np.arange(12))
    assert torch.allclose(each, same)


def test_copies_within_a_group_are_said_once_and_across_classes_always():
    task = make(classes=4, shots=3, width=48, seed=5)
    bursts = in_bursts(support_of(task), 3, noise=0.001)
    found = examine(bursts, auto())
    assert not found.duplicates
    (note,) = [n for n in found.notes if "within 12 groups" in n]
    assert note.startswith("36 pairs of copies or near-copies lie within 12 groups (burst 0, ")
    numbered = replace(bursts, groups=tuple(f"near:{i // 3}" for i in range(36)))
    assert len(examine(numbered, auto()).duplicates) == 36  # found by fit, stated by nobody
    crossed = bursts.targets.copy()
    crossed[1] = (crossed[1] + 1) % 4
    pairs = examine(replace(bursts, targets=crossed), auto()).duplicates
    assert {(d.first, d.second) for d in pairs} == {(0, 1), (1, 2)}
    assert all(d.across for d in pairs)


def test_groups_of_a_folder_are_stated_as_for_fit(tmp_path, capsys):
    """Of two frames that differ in nothing else, only those of one group are no news."""
    rng = np.random.default_rng(0)
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for k in range(4):
            picture = rng.integers(0, 256, (48, 48, 3)).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / kind / f"{k}_0.png")
            picture[0, 0] ^= 1
            Image.fromarray(picture).save(tmp_path / kind / f"{k}_1.png")
    assert len(diagnose(tmp_path, group_by="none").examination.duplicates) == 8
    code, printed, _ = run(capsys, "doctor", tmp_path, "--group-by", "(.+)_", "--json")
    found = json.loads(printed)
    assert (code, found["duplicates"]) == (0, [])
    assert any("8 pairs of copies" in note and "within" in note for note in found["notes"])


def test_a_skill_has_its_groups_already(skill):
    with pytest.raises(InputError, match="holds the groups it was taught with"):
        diagnose(skill, group_by="none")


def test_a_class_of_one_group_is_judged_by_its_text():
    support = support_of(make(classes=4, shots=3, width=48, seed=5))
    groups = tuple("burst" if c == 2 else "" for c in support.targets)
    found = examine(replace(support, groups=groups), auto())
    by_text = {f.row for f in found.images if f.evidence == measures.TEXT_ALONE}
    assert by_text == set(np.flatnonzero(support.targets == 2))
    assert any(
        "3 images are the only ones of their class or all of one group" in n for n in found.notes
    )
