"""Several labels an image: reading, fit, exact leave-one-out, thresholds, packs and numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run
from handful import data
from handful.contracts import ClassText, ImageRef, unit
from handful.data import MultiLabelDataset, playground
from handful.errors import InputError, PackError
from handful.metrics import evaluate_multi_label
from handful.packs import Pack, card
from handful.selection.groups import find_units
from handful.selection.platt import platt_scaling
from handful.selection.thresholds import (
    enough_examples,
    f1_thresholds,
    ridge_path_with_offset,
)
from handful.skills.evaluate import evaluate
from handful.skills.fit import fit
from handful.skills.predict import Predictor
from handful.tasks import get
from handful.tasks._multi_label_ridge import MultiLabelRidge, text_scores
from handful.tasks.multi_label import MultiLabel, draw

COLOURS = ("blue", "green", "red", "yellow")


def made(count: int = 60, classes: int = 4, width: int = 16, seed: int = 0):
    """Sums of the directions of the classes shown, noise, and a text that knows them roughly."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((classes, width))
    Y = (rng.random((count, classes)) < 0.35).astype(int)
    Y[:2] = [[1] * classes, [0] * classes]
    X = unit(Y @ means + 0.8 * rng.standard_normal((count, width)) + rng.standard_normal(width))
    text = unit(means + 0.5 * rng.standard_normal((classes, width)))[:, None]
    return X, Y, ClassText(text, tuple(f"class {c}" for c in range(classes)), 20.0)


@pytest.fixture
def table(tmp_path):
    """Writes a table beside three empty files `a.png`, `b.png`, `c.png`."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"")

    def write(content: str, name: str = "t.csv") -> Path:
        (tmp_path / name).write_text(content)
        return tmp_path / name

    return write


# reading


@pytest.mark.parametrize(
    "content",
    [
        "path,labels\na.png,cat|dog\nb.png,\nc.png,dog\n",
        "path,labels\na.png,cat; dog\nb.png,\nc.png,dog\n",
        "path,label\na.png,cat\na.png,dog\nb.png,\nc.png,dog\nc.png,dog\n",
        "path;label\na.png;cat|dog\nb.png;\nc.png;dog\n",
        "path,cat,dog\na.png,1,1\nb.png,0,0\nc.png,0,1\n",
        "file_name,cat,dog,split\na.png,true,1,train\nb.png,0,false,train\nc.png,0,1.0,train\n",
    ],
)
def test_the_forms_of_a_table_say_the_same(table, content):
    found = data.multi_label_table(table(content))
    assert found.labels == (("cat", "dog"), (), ("dog",))
    assert found.classes == ("cat", "dog")
    assert found.matrix().tolist() == [[1, 1], [0, 0], [0, 1]]
    assert found.counts == {"cat": 1, "dog": 2}
    assert [i.path.name for i in found.images] == ["a.png", "b.png", "c.png"]


def test_lists_in_json_lines_and_the_folder_of_a_table(table):
    rows = [{"path": "a.png", "labels": ["cat", "dog"]}, {"path": "b.png", "labels": []}]
    path = table("\n".join(map(json.dumps, rows)), "metadata.jsonl")
    assert data.multi_label_table(path.parent).labels == (("cat", "dog"), ())


def test_parquet_with_lists(table):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = table("", "t.parquet")
    rows = {"path": ["a.png", "b.png"], "labels": [["cat", "dog"], []]}
    parquet.write_table(arrow.table(rows), path)
    assert data.multi_label_table(path).labels == (("cat", "dog"), ())


def test_splits_and_subsets_keep_the_classes(table):
    content = "path,labels,split\na.png,cat,train\nb.png,dog,test\nc.png,,test\n"
    test = data.multi_label_table(table(content)).split("testing")
    assert len(test) == 2
    assert test.matrix().tolist() == [[0, 1], [0, 0]]
    with pytest.raises(InputError, match="no images in the split 'val'"):
        test.split("val")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,labels\na.png,cat|dog\nb.png,cat;dog\n", "both | and ; stand in the labels"),
        ("path,labels\na.png,cat||dog\n", "empty names between separators (1): line 2"),
        ("path,labels\na.png,\nb.png,\n", "no image has a label"),
        ("path,labels\na.png,cat\na.png,\n", "a.png (line 2 and line 3)"),
        ("path,cat,dog\na.png,1,2\n", "cells that are not 0 or 1 (1): dog = '2' (line 2)"),
        ("path,cat,dog\na.png,1,\n", "dog = '' (line 2)"),
        ("path,cat,dog\na.png,1,0\na.png,1,1\n", "images listed with other labels in another row"),
        ("path,cat|dog,bird\na.png,1,0\n", "the class name 'cat|dog' holds | or ;"),
        ("path,labels,split\na.png,cat,train\na.png,dog,test\n", "images in two splits"),
        ("path,labels,split\na.png,cat,train\nb.png,dog,\n", "empty splits"),
        ("path,labels,split\na.png,cat,holiday\n", "unknown splits"),
        ("path,labels\nz.png,cat\n", "missing files (1): z.png (line 2)"),
        ("path,labels\na.png,cat|Cat\n", "differ in upper and lower case alone"),
        ("path\na.png\n", "no column of labels"),
        ("name,labels\na.png,cat\n", "no column for the path"),
    ],
)
def test_bad_tables_are_named(table, content, words):
    with pytest.raises(InputError) as error:
        data.multi_label_table(table(content))
    assert words in str(error.value)
    assert "t.csv" in str(error.value)


def test_a_separator_in_a_list_is_an_error(table):
    path = table(json.dumps({"path": "a.png", "labels": ["cat|dog", "bird"]}), "t.jsonl")
    with pytest.raises(InputError, match=r"'cat\|dog' holds"):
        data.multi_label_table(path)


def test_a_folder_of_classes_is_no_table(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="expected a table with the columns path and labels"):
        data.multi_label_table(tmp_path)


def test_a_plain_table_keeps_its_meaning_and_points_here(table):
    path = table("path,label\na.png,cat|dog\nb.png,bird\n")
    assert data.load(path).labels == ("cat|dog", "bird")
    with pytest.raises(InputError, match=r"listed twice.*task multi_label"):
        data.load(table("path,label\na.png,cat\na.png,dog\n"))


# what is learned


@pytest.mark.parametrize(("count", "width"), [(14, 24), (50, 8)])
def test_left_out_predictions_equal_refits(count, width):
    X, Y, text = made(count, 5, width)
    features, labels = torch.from_numpy(X), torch.from_numpy(Y)
    told = text_scores(features, torch.from_numpy(text.weights) * text.scale)
    penalties = (0.03, 2.0)
    left_out = ridge_path_with_offset(features, labels, told, penalties)[3]
    for i in range(count):
        rest = [j for j in range(count) if j != i]
        w, b, g, _ = ridge_path_with_offset(features[rest], labels[rest], told[rest], penalties)
        again = torch.einsum("d,lcd->lc", features[i].double(), w) + b + g * told[i].double()
        assert torch.allclose(again, left_out[:, i], atol=1e-9)


@pytest.mark.parametrize(("count", "width"), [(14, 24), (50, 8)])
def test_units_left_out_equal_refits(count, width):
    X, Y, text = made(count, 5, width)
    features, labels = torch.from_numpy(X), torch.from_numpy(Y)
    told = text_scores(features, torch.from_numpy(text.weights) * text.scale)
    rng, penalties = np.random.default_rng(0), (0.03, 2.0)
    units = torch.from_numpy(find_units(rng.integers(0, count // 2, count).tolist()))
    left_out = ridge_path_with_offset(features, labels, told, penalties, units)[3]
    for each in units.unique():
        rest = units != each
        others = torch.from_numpy(find_units(units[rest].tolist()))
        taught = features[rest], labels[rest], told[rest], penalties, others
        w, b, g, _ = ridge_path_with_offset(*taught)
        again = torch.einsum("nd,lcd->lnc", features[~rest].double(), w) + b[:, None]
        again += g * told[~rest].double()
        assert torch.allclose(again, left_out[:, ~rest], atol=1e-9)


def test_copies_that_are_stated_count_once():
    X, Y, text = made(40)
    groups = np.repeat(np.arange(40), np.random.default_rng(0).integers(1, 7, 40))
    once = MultiLabelRidge().fit(X, Y, text)
    found = MultiLabelRidge().fit(X[groups], Y[groups], text, groups)
    np.testing.assert_allclose(found.logits(X), once.logits(X), atol=1e-4)
    np.testing.assert_allclose(found.left_out_, once.left_out_[groups], atol=1e-4)
    np.testing.assert_allclose(found.thresholds_, once.thresholds_, atol=1e-4)
    assert found.penalty_ == once.penalty_
    apart = MultiLabelRidge().fit(X[groups], Y[groups], text)
    assert np.abs(apart.left_out_ - once.left_out_[groups]).max() > 0.5


def test_a_class_of_one_group_cannot_tell():
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    assert enough_examples(labels).tolist() == [True, True]
    assert enough_examples(labels, np.array([0, 0, 1, 2])).tolist() == [False, True]
    X, Y, text = made(8)
    alone = MultiLabelRidge().fit(X, Y, text, ["a"] * 8)  # nothing can be left out at all
    assert alone.penalty_ == pytest.approx(1)
    assert not alone.calibrated_
    assert (alone.thresholds_ == 0.5).all()
    assert "left_out" not in alone.stated()
    assert (alone.predict(X) == Y).mean() > 0.6
    with pytest.raises(InputError, match="one for each of 8 images"):
        MultiLabelRidge().fit(X, Y, text, ["a"])


def test_left_out_logits_are_those_of_the_head_but_for_the_sample():
    X, Y, text = made(200)
    fitted = MultiLabelRidge().fit(X, Y, text)
    assert fitted.left_out_.shape == Y.shape
    assert np.abs(fitted.left_out_ - fitted.logits(X)).mean() < 0.5
    seen = ((fitted.predict_proba(X) - Y) ** 2).mean()
    unseen = ((1 / (1 + np.exp(-fitted.left_out_)) - Y) ** 2).mean()
    assert unseen > seen  # an image tells itself better than others tell it


def test_thresholds_by_hand():
    left_out = np.array([[2.0, 3.0], [1.0, 1.0], [0.0, -1.0], [-1.0, -2.0]])
    labels = np.array([[1, 1], [0, 1], [1, 0], [0, 0]])
    # first: yes to the upper three hits both and one wrongly, F1 4/5; second: told perfectly, F1 1
    found = f1_thresholds(left_out, labels, 0)
    assert found.values.tolist() == pytest.approx([0.4, 0.5])
    p = 1 / (1 + np.exp(-np.sort(left_out.ravel())[::-1]))
    hits, total = p.cumsum(), p.sum()
    best = max(2 * hits[k] / (k + 1 + total) for k in range(len(p)))
    assert found.shared == pytest.approx(best / 2)


def test_the_pool_adds_what_the_probabilities_promise():
    left_out, labels = np.array([[1.0], [-1.0], [-1.0]]), np.array([[1], [1], [0]])
    high, low = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
    total = high + 2 * low
    # at the upper cut: own 1 hit, 0 wrong, 1 missed; at the lower: 2 hits, 1 wrong, 0 missed
    upper = (
        2
        * (1 + 3 * high / total)
        / (2 * (1 + 3 * high / total) + 3 * (1 - high) / total + 1 + 3 * 2 * low / total)
    )
    lower = 2 * (2 + 3) / (2 * (2 + 3) + 1 + 3 * (3 - total) / total)
    assert f1_thresholds(left_out, labels, 3).values[0] == pytest.approx(max(upper, lower) / 2)


def test_many_positives_outweigh_the_pool():
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 2)) < 0.3).astype(int)
    left_out = np.stack([rng.standard_normal(4000), 20.0 * labels[:, 1] - 10], axis=1)
    alone, pooled = (f1_thresholds(left_out, labels, pool).values for pool in (0, 8))
    assert np.abs(alone - pooled).max() < 0.01
    assert alone[0] < 0.3  # told no better than by chance: best is to say yes to all
    assert alone[1] == 0.5


def test_classes_that_cannot_tell_take_the_shared_threshold():
    X, Y, text = made(40)
    Y[:, 1], Y[3, 1] = 0, 1  # one positive
    Y[:, 2] = 1  # no negative
    assert enough_examples(Y).tolist() == [True, False, False, True]
    fitted = MultiLabelRidge().fit(X, Y, text)
    assert fitted.thresholds_[1] == fitted.thresholds_[2] == np.float32(fitted.given_.shared)
    assert fitted.thresholds_[0] != fitted.thresholds_[1]
    rows = fitted.stated()["thresholds"]
    assert rows[1]["positives"] == 1
    assert "one positive" in rows[1]["from"]
    assert "own left-out" in rows[0]["from"]
    assert fitted.predict(X)[:, 2].all()


def test_one_positive_a_class_falls_back_to_one_half():
    X, _, text = made(4)
    fitted = MultiLabelRidge().fit(X, np.eye(4), text)
    assert fitted.thresholds_.tolist() == [0.5] * 4
    assert not fitted.calibrated_
    assert "no class has" in fitted.stated()["thresholds"][0]["from"]


def test_calibration_finds_the_line_and_refuses_a_wrong_sign():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-(3 * scores - 1)))
    slope, offset = platt_scaling(scores, labels)
    assert slope == pytest.approx(3, abs=0.15)
    assert offset == pytest.approx(-1, abs=0.1)
    assert platt_scaling(-scores, labels) is None
    assert platt_scaling(scores, np.ones(20000)) is None
    apart = platt_scaling([-1.0, -0.9, 0.9, 1.0], [0, 0, 1, 1])  # Platt's targets keep it finite
    assert 0 < apart[0] < 100


def test_order_of_images_and_of_classes_does_not_matter():
    X, Y, text = made(30)
    fitted = MultiLabelRidge().fit(X, Y, text)
    shuffled = np.random.default_rng(1).permutation(30)
    again = MultiLabelRidge().fit(X[shuffled], Y[shuffled], text)
    assert (again.logits(X) == fitted.logits(X)).all()
    assert (again.left_out_ == fitted.left_out_[shuffled]).all()
    turn = [2, 0, 3, 1]
    turned = ClassText(text.embeddings[turn], tuple(text.classes[c] for c in turn), text.scale)
    other = MultiLabelRidge().fit(X, Y[:, turn], turned)
    assert np.allclose(other.logits(X), fitted.logits(X)[:, turn], atol=1e-4)
    assert np.allclose(other.thresholds_, fitted.thresholds_[turn], atol=1e-5)


def test_answers_are_better_than_chance_and_may_be_none():
    X, Y, text = made(400)
    fitted = MultiLabelRidge().fit(X[:200], Y[:200], text)
    result = evaluate_multi_label(fitted.predict(X[200:]), Y[200:], text.classes)
    assert (
        result.micro_f1
        > evaluate_multi_label(np.ones((200, 4)), Y[200:], text.classes).micro_f1 + 0.1
    )
    assert (~fitted.predict(X[200:]).any(1)).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, Y: (X, Y * 2), "0 and 1 only"),
        (lambda X, Y: (X, Y[:, :3]), r"\[40, 4\]"),
        (lambda X, Y: (X, Y * [1, 0, 1, 1]), "no image shows class 1"),
        (lambda X, Y: (X[:1], Y[:1]), "at least two images"),
        (lambda X, Y: (X[:, :5], Y), "one encoder"),
        (lambda X, Y: (X * np.nan, Y), "NaN"),
        (lambda X, Y: (X[0], Y), r"features \[N, D\]"),
    ],
)
def test_bad_arrays(change, words):
    X, Y, text = made(40)
    X, Y = change(X, Y)
    with pytest.raises(InputError, match=words):
        MultiLabelRidge().fit(X, Y, text)


def test_bad_parameters():
    X, Y, text = made(20)
    for params in ({"penalty": 0}, {"pool": -1}):
        with pytest.raises(InputError, match=next(iter(params))):
            MultiLabelRidge(**params).fit(X, Y, text)
    with pytest.raises(InputError, match="no parameter alpha"):
        fit("nowhere.csv", task="multi_label", params={"alpha": 1})


def test_measure_by_hand():
    answers = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    truth = [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    result = evaluate_multi_label(answers, truth, ("a", "b", "c"), fixed=truth)
    assert result.micro_f1 == pytest.approx(4 / 6)
    assert result.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert result.exact == pytest.approx(1 / 3)
    assert result.absent == ("c",)
    assert result.unlabelled == 1
    assert result.fixed == {"micro_f1": 1.0, "macro_f1": 1.0}
    b = {key: result.per_class["b"][key] for key in ("precision", "recall", "f1", "support")}
    assert b == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert (result.per_class["b"]["specificity"], result.per_class["b"]["npv"]) == (1, 0.5)
    with pytest.raises(InputError, match="expected answers and truth"):
        evaluate_multi_label([[1]], [[1, 0]], ("a", "b"))


def test_draw_stops_when_there_is_enough_and_passes_over_nothing():
    Y = np.array([[1, 0]] * 40 + [[0, 1]] * 10 + [[0, 0]] * 5)
    chosen = draw(Y, 2, seed=0)
    assert chosen == draw(Y, 2, seed=0) != draw(Y, 2, seed=1)
    counts = [*Y[chosen].sum(0), (Y[chosen].sum(1) == 0).sum()]
    assert min(counts) == 2
    assert counts[0] > counts[1]  # as frequent as they are
    assert draw(Y, 6, seed=0)  # all five without labels, and no complaint
    assert (Y[draw(Y, 6, seed=0)].sum(1) == 0).sum() == 5
    assert len(draw(Y, 1000, seed=0)) == len(Y)
    with pytest.raises(InputError, match="shots"):
        draw(Y, 0, seed=0)


# the whole road


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A table of scenes of the playground: which of four colours they show, if any."""
    folder = tmp_path_factory.mktemp("scenes")
    rows = ["path,labels,split"]
    for i in range(60):
        scene = playground.scene(8_000_000 + i, objects=1 + i % 3)
        Image.fromarray(np.asarray(playground.render(scene))).save(folder / f"{i}.png")
        labels = sorted({thing.colour for thing in scene.objects} & {*COLOURS})
        rows.append(f"{i}.png,{'|'.join(labels)},{'train' if i < 40 else 'test'}")
    (folder / "t.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def fitted(scenes):
    return fit(scenes / "t.csv", task="multi_label")


def test_a_skill_survives_the_disk(fitted, scenes, tmp_path):
    pack = Pack.load(fitted.pack.save(tmp_path / "s"))
    assert pack.method == "multi_label"
    assert pack.support is None
    stated = pack.manifest["multi_label"]["thresholds"]
    assert pack.classes == COLOURS
    assert pack.manifest["training"]["without labels"] > 0
    X = unit(np.random.default_rng(0).standard_normal((5, pack.manifest["encoder"]["dim"])))
    assert (pack.logits(X) == fitted.pack.logits(X)).all()
    kept = pack.tensors["head.thresholds"]
    assert kept.tolist() == pytest.approx([row["threshold"] for row in stated], abs=1e-4)


def test_evaluate_is_good_and_leaves_support_images_out(fitted, scenes):
    done = evaluate(Predictor(fitted.pack), scenes / "t.csv")
    assert done.result.count == 20
    assert done.result.unlabelled > 0
    assert done.result.micro_f1 > 0.8
    assert done.result.as_dict()["fixed_threshold"]["threshold"] == 0.5
    everything = data.multi_label_table(scenes / "t.csv")
    together = MultiLabelDataset(everything.images, everything.labels)
    again = evaluate(Predictor(fitted.pack), together)
    assert len(again.leaks) == 40
    assert again.result.as_dict() == done.result.as_dict()
    with pytest.raises(InputError, match="own support set"):
        evaluate(Predictor(fitted.pack), together.subset(range(40)))


def test_words_order_the_classes_and_a_strange_label_is_named(scenes):
    words = {name: f"{name} thing" for name in reversed(COLOURS)}
    pack = fit(scenes / "t.csv", words=words, shots=4, task="multi_label").pack
    assert pack.classes == tuple(reversed(COLOURS))
    other = MultiLabelDataset((ImageRef.of(scenes / "1.png"),), (("plaid",),))
    with pytest.raises(InputError, match=r"labels \['plaid'\] are not among the 4 classes"):
        evaluate(Predictor(pack), other)


def test_an_image_that_cannot_be_read_stops_no_other(scenes, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    lines = (scenes / "t.csv").read_text().replace(",train", "").replace(",test", "").splitlines()
    rows = [f"{scenes}/{line}" for line in lines[1:]]
    (tmp_path / "t.csv").write_text("\n".join(["path,labels", "broken.png,red", *rows]))
    found = fit(tmp_path / "t.csv", task="multi_label")
    assert [f.name.endswith("broken.png") for f in found.failures] == [True]
    assert found.pack.manifest["training"]["images"] == 60


def test_a_class_without_images_is_refused(table, scenes):
    content = f"path,red,plaid\n{scenes}/1.png,1,0\n{scenes}/2.png,0,0\n"
    with pytest.raises(InputError, match="no usable image for plaid"):
        fit(table(content), task="multi_label")
    with pytest.raises(InputError, match="at least two classes"):
        fit(table(f"path,red\n{scenes}/1.png,1\n"), task="multi_label")


def test_what_a_tampered_pack_would_answer(fitted):
    pack = fitted.pack
    probabilities = np.array([[0.9, 0.1, 0.5, 0.3]], dtype=np.float32)
    assert get("classify").answered(None, probabilities).all()
    forged = Pack(pack.manifest, pack.tensors | {"head.thresholds": np.ones(3, np.float32)})
    with pytest.raises(PackError, match=r"threshold for each of its 4 classes"):
        MultiLabel().answered(forged.adapter, probabilities)


def test_the_card_tells_thresholds_and_no_accuracy(fitted, scenes):
    done = evaluate(Predictor(fitted.pack), scenes / "t.csv")
    pack = fitted.pack.with_evaluation(done.result.as_dict())
    words = card.write(pack.manifest)
    assert "several, one or none" in words
    assert "| red | 0." in words
    assert "its own left-out images" in words
    assert "micro-F1: " in words
    assert "always answers" not in words
    assert "add up to one and" not in words
    strange = pack.manifest | {"multi_label": True}
    assert "When it says yes" not in card.write(strange)


def test_the_commands(scenes, tmp_path, capsys):
    table, skill = scenes / "t.csv", tmp_path / "s"
    code, out, _ = run(capsys, "fit", table, "--out", skill, "--multi-label")
    assert code == 0
    assert "yes/no questions" in out
    assert "its own left-out images" in out
    test = data.multi_label_table(table).split("test")
    photos = [str(i.path) for i in test.images]
    code, out, _ = run(capsys, "predict", skill, *photos, "--json")
    given = {r["file"]: [p["label"] for p in r["predictions"]] for r in json.loads(out)}
    assert sorted(map(len, given.values()))[0] == 0
    assert max(map(len, given.values())) > 1
    truth = dict(zip(photos, test.labels, strict=True))
    assert sum(sorted(given[p]) == sorted(truth[p]) for p in photos) > 0.7 * len(photos)
    none = next(p for p in photos if not given[p])
    assert "none of the classes" in run(capsys, "predict", skill, none)[1]
    assert f"\n{none},,,s," in run(capsys, "predict", skill, none, "--format", "csv")[1]
    code, out, _ = run(capsys, "evaluate", skill, table, "--json", "--record")
    assert code == 0
    assert json.loads(out)["micro_f1"] > 0.8
    assert "micro-F1" in (skill / "README.md").read_text()
    assert "with every threshold at 0.5" in run(capsys, "evaluate", skill, table)[1]


def test_what_the_commands_refuse(scenes, tmp_path, capsys):
    out = ("--out", tmp_path / "s")
    code, _, err = run(
        capsys, "fit", scenes / "t.csv", *out, "--multi-label", "--method", "tip"
    )  # fmt: skip
    assert code == 2
    assert "--method tip answers with one class" in err
    assert not (tmp_path / "s").exists()
    code, _, err = run(capsys, "fit", scenes, *out, "--multi-label")
    assert code == 2
    assert "expected a table" in err


def test_a_class_on_every_image_is_told(scenes, tmp_path, capsys):
    lines = (scenes / "t.csv").read_text().splitlines()[1:]
    rows = [f"{scenes}/{line.split(',')[0]},,1,{i % 2}" for i, line in enumerate(lines)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["path,group,thing,odd", *rows]))
    code, out, err = run(capsys, "fit", table, "--out", tmp_path / "s", "--multi-label")
    assert code == 0
    assert "all classes; with one positive, or no negative" in out
    assert "every image shows thing; it will always be answered" in err


def test_a_skill_of_one_label_is_measured_elsewhere(photos, tmp_path):
    skill = fit(photos, method="zero_shot").pack.save(tmp_path / "s")
    (tmp_path / "t.csv").write_text(f"path,labels\n{next(photos.rglob('*.png'))},red\n")
    with pytest.raises(InputError, match="answers with one class an image"):
        evaluate(skill, tmp_path / "t.csv")


def test_a_skill_of_several_labels_is_not_measured_as_one_of_one(fitted, photos):
    with pytest.raises(InputError, match="where an image has one label; expected a table"):
        evaluate(Predictor(fitted.pack), photos)
