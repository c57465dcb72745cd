"""What images and text add to an answer sums to the logits, for every method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from handful import encoders, fit, plugins
from handful.errors import InputError
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.edit.refit import refit
from handful.skills.explain import explain
from handful.skills.statements import state
from tasks import Task, make


def pack_of(method: str, task: Task, **params) -> Pack:
    tiny = encoders.load("tiny")
    columns = np.array([task.text.classes.index(name) for name in task.y])
    names = tuple(f"{name}/{i}.png" for i, name in enumerate(task.y))
    ids = tuple(f"{i:064x}" for i in range(len(names)))
    support = Support(task.X, columns, task.text, ids, names)
    adapter = plugins.get("adapters", method)(**params).fit(task.X, task.y, task.text)
    return Pack.of(
        adapter, task.text, tiny, templates=("a {}.",), support_ids=ids, support=support,
        statements=state(adapter, support),
        training={"counts": support.counts},
    )  # fmt: skip


@pytest.fixture(scope="module")
def task() -> Task:
    return make(classes=4, shots=4, width=encoders.load("tiny").dim, seed=3)


def total(explanation) -> np.ndarray:
    return explanation.images.sum(axis=0) + explanation.text + explanation.rest


@pytest.mark.parametrize("method", plugins.names("adapters"))
def test_contributions_add_up_for_every_method(task, method):
    pack = pack_of(method, task)
    for x in task.queries[:3]:
        explanation = explain(pack, x)
        logits = pack.logits(x[None])[0]
        assert np.allclose(total(explanation), logits, atol=1e-4)
        assert np.isfinite(explanation.images).all()
        assert explanation.answer == logits.argmax()
        parts = explanation.image_margins.sum() + explanation.text_margin + explanation.rest_margin
        assert parts == pytest.approx(explanation.margin, abs=1e-4)


@pytest.mark.parametrize("method", ["zero_shot", "tip", "tip_f", "proker"])
def test_where_the_head_says_it_nothing_is_left_over(task, method):
    explanation = explain(pack_of(method, task), task.queries[0])
    assert np.abs(explanation.rest).max() < 2e-4
    told = task.text.scale * task.text.weights @ task.queries[0]
    assert np.allclose(explanation.text, told, atol=1e-3)


def test_taking_an_image_from_the_cache_takes_what_it_added(task):
    pack = pack_of("tip", task)
    x = task.queries[5]
    explanation = explain(pack, x)
    row = explanation.top(1)[0]
    others = [i for i in range(len(task.X)) if i != row]
    fewer = refit(pack, pack.support.subset(others))
    moved = pack.logits(x[None])[0] - fewer.logits(x[None])[0]
    assert np.allclose(explanation.images[row], moved, atol=1e-4)
    assert explanation.images[row].argmax() == pack.support.targets[row]


def test_a_shuffled_support_set_gives_each_image_its_own_explanation(task):
    order = np.random.default_rng(0).permutation(len(task.X))
    mixed = Task(task.X[order], task.y[order], task.queries, task.targets, task.text)
    for method in ("tip", "auto"):
        first = explain(pack_of(method, task), task.queries[0]).images
        second = explain(pack_of(method, mixed), task.queries[0]).images
        assert np.allclose(first[order], second, atol=1e-4)


@pytest.mark.parametrize("method", ["auto", "gda", "text_gda", "tip", "class_mean", "linear"])
def test_images_speak_for_their_class(task, method):
    pack = pack_of(method, task)
    agree = []
    for x in task.queries:
        explanation = explain(pack, x)
        margins = explanation.image_margins
        (first,) = explanation.top(1)
        expected = explanation.answer if margins[first] > 0 else explanation.runner_up
        agree.append(pack.support.targets[first] == expected)
    assert np.mean(agree) > 0.8


def test_it_reads_as_json_and_as_a_sentence(task):
    explanation = explain(pack_of("auto", task), task.queries[0])
    told = explanation.as_dict(3)
    assert len(told["images"]) == 3
    weights = [abs(i["weight"]) for i in told["images"]]
    assert weights == sorted(weights, reverse=True)
    parts = told["images_for"] + told["images_against"] + told["text"] + told["rest"]
    assert parts == pytest.approx(told["lead"], abs=1e-3)
    assert explanation.classes[explanation.answer] in explanation.sentence


def test_one_shot_and_two_classes(task):
    small = make(classes=2, shots=1, width=encoders.load("tiny").dim)
    for method in ("auto", "gda", "tip"):
        pack = pack_of(method, small)
        explanation = explain(pack, small.queries[0])
        assert np.allclose(total(explanation), pack.logits(small.queries[:1])[0], atol=1e-4)
        assert explanation.runner_up != explanation.answer


def test_a_skill_without_its_support_set_says_what_to_do(task):
    pack = pack_of("tip", task)
    bare = {n: t for n, t in pack.tensors.items() if not n.startswith("support.")}
    with pytest.raises(InputError, match="teach it again"):
        explain(Pack(pack.manifest, bare), task.queries[0])


def test_features_of_another_width_are_refused(task):
    with pytest.raises(InputError, match="expected the features"):
        explain(pack_of("tip", task), np.ones(3, dtype=np.float32))


@pytest.fixture(scope="module")
def skill(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("skills") / "skill"
    fit(photos, shots=4).pack.save(folder)
    return folder


def test_the_command_draws_and_tells(photos, skill, tmp_path, capsys):
    image = sorted((photos / "test").rglob("*.png"))[0]
    code, out, err = run(
        capsys, "explain", skill, image, "--images", photos, "--out", tmp_path / "why.png"
    )
    assert code == 0
    assert "the text" in out
    assert "not in" not in err
    with_photos = Image.open(tmp_path / "why.png").size
    code, out, err = run(
        capsys, "explain", skill, image, "--out", tmp_path / "bare.png", "--json", "--top", 2
    )
    answer = json.loads(out)
    assert len(answer["images"]) == 2
    assert "--images FOLDER" in err
    assert Image.open(tmp_path / "bare.png").size[1] < with_photos[1]
    _, predicted, _ = run(capsys, "predict", skill, image, "--json")
    assert json.loads(predicted)[0]["predictions"][0]["label"] == answer["answer"]


def test_bad_arguments_of_the_command(photos, skill, tmp_path, capsys):
    image = sorted((photos / "test").rglob("*.png"))[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno")
    for arguments, words in (
        ((skill, broken), "broken.png"),
        ((skill, tmp_path / "none.png"), "does not exist"),
        ((skill, image, "--out", tmp_path / "why.txt"), "expected a name that ends"),
        ((skill, image, "--out", tmp_path / "w.png", "--images", tmp_path / "no"), "no folder"),
    ):
        code, _, err = run(capsys, "explain", *arguments)
        assert code == 2
        assert words in err
