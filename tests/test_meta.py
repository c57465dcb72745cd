"""The Meta-Adapter: what it learned is small, knows no test task, and serves any width."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handful import encoders, plugins
from handful.adapters import meta
from handful.contracts import ClassText
from handful.data import FeatureSet, playground, save_features
from handful.errors import InputError
from handful.packs import Pack
from handful.protocols import meta_training
from handful.protocols.demo import draw
from handful.protocols.meta_training import EpisodeSampler
from handful.protocols.task import Task
from test_library import run

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import train_meta


def made(classes: int = 4, width: int = 24, images: int = 12, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    text = rng.standard_normal((classes, width))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    targets = np.repeat(np.arange(classes), images)
    rows = 0.6 * text[targets] + 0.25 * rng.standard_normal((len(targets), width)) + 0.5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    classes_text = ClassText(text[:, None], tuple("abcdefgh"[:classes]), 50.0)
    return Task.of_features(f"t{seed}", rows.astype("f4"), targets, classes_text)


def test_training_tasks_share_nothing_with_those_it_is_judged_by():
    judged = [dict(f) for f in train_meta.evaluation_classes()]
    hard = {name for kind in playground.tasks() for name in playground.task(kind, 1, 0, 0).classes}
    styles = {"sketch", "inverted", "rolled", "mosaic", "dusk"}
    tasks = train_meta.tasks(160, 0)
    assert len(tasks) == 160
    for task in tasks:
        assert task.style not in styles
        assert not hard & set(task.classes)
        for fixed in task.classes.values():
            assert fixed not in judged
            assert not any(fixed.items() <= other.items() for other in judged)


def test_the_shipped_weights_are_few_and_say_how_they_were_made():
    path = meta.weights_path(meta.SHIPPED)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size < 10_000
    assert "scripts/train_meta.py" in facts["command"]
    assert facts["encoder"] == encoders.load("tiny", precision="float32").fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("shots", [1, 2])
def test_it_is_above_zero_shot_and_tip_on_tasks_it_never_saw(shots):
    encoder = encoders.load("tiny", precision="float32")
    right = {name: [] for name in ("zero_shot", "tip", "meta")}
    for name in ("novel-objects", "style-dusk", "fine-ovals", "style-inverted"):
        d = draw(encoder, name, shots, 1)
        for method, found in right.items():
            adapter = plugins.get("adapters", method)()
            adapter.fit(d.values[d.pool], d.labels[d.pool], d.text)
            found.append((adapter.predict(d.values[~d.pool]) == d.labels[~d.pool]).mean())
    mean = {method: np.mean(found) for method, found in right.items()}
    assert mean["meta"] > mean["zero_shot"] + 0.05
    assert mean["meta"] > mean["tip"] + 0.05


@pytest.mark.parametrize("width", [8, 24, 700])
def test_the_same_weights_serve_any_width(width):
    task = made(width=width)
    adapter = plugins.get("adapters", "meta")().fit(task.values[::3], task.labels[::3], task.text)
    assert (adapter.predict(task.values) == task.labels).mean() > 0.5


@pytest.mark.slow
def test_learning_is_deterministic_and_lowers_the_loss():
    tasks = [made(seed=s) for s in range(3)]
    told = []
    one = meta_training.train(tasks, steps=40, progress=lambda *a: told.append(a))
    two = meta_training.train(tasks, steps=40)
    other = meta_training.train(tasks, steps=40, seed=1)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    differ = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert not all(differ)
    assert [t[0] for t in told] == list(range(1, 41))
    sampler = EpisodeSampler(made(seed=9))
    asked = [sampler.draw(np.random.default_rng(i)) for i in range(30)]
    before, after = (
        np.mean([meta_training.loss(r, e).item() for e in asked])
        for r in (meta.MetaNetwork(), meta_training.train(tasks, steps=200))
    )
    assert after < before


def test_an_episode_never_asks_about_its_support_images():
    sampler, rng = EpisodeSampler(made(images=5)), np.random.default_rng(0)
    for _ in range(50):
        e = sampler.draw(rng)
        assert set(e.labels.tolist()) == set(range(len(e.text)))
        known = {r.numpy().tobytes() for r in e.support}
        assert not any(q.numpy().tobytes() in known for q in e.queries)


def test_weights_are_made_named_and_used_from_the_command_line(photos, tmp_path, capsys):
    task = made()
    file = save_features(
        tmp_path / "other.safetensors", FeatureSet("o", task.values, task.labels, task.text)
    )
    asked = ["meta-train", photos, file, "--name", "mine", "--steps", 5, "--json"]
    code, out, err = run(capsys, *asked)
    assert code == 0, err
    facts = json.loads(out)
    assert facts["tasks"] == [Path(photos).name, "o"]
    code, _, err = run(capsys, *asked)
    assert code == 2
    assert "add --overwrite" in err
    skill = tmp_path / "skill"
    code, _, err = run(
        capsys, "fit", photos, "--out", skill, "--method", "meta", "--param", "weights=mine"
    )
    assert code == 0, err
    before = Pack.load(skill)
    meta.weights_path("mine").unlink()  # a skill holds all it needs
    after = Pack.load(skill)
    rows = before.support.features
    assert np.array_equal(before.logits(rows), after.logits(rows))
    assert str(tmp_path) not in (skill / "pack.json").read_text()


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "nothing", 3])
def test_names_that_cannot_be_or_are_not_there_are_told(name):
    task = made()
    with pytest.raises(InputError, match="meta-learned weights"):
        plugins.get("adapters", "meta")(weights=name).fit(task.values, task.labels, task.text)


def test_damaged_weights_are_told(tmp_path):
    path = meta.weights_path("broken")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"broken\.safetensors.*train them again"):
        meta.load("broken")
    with pytest.raises(InputError, match="two classes of two images"):
        meta_training.train([made(images=1)], steps=1)
    with pytest.raises(InputError, match="come with Handful"):
        meta_training.weights_path(meta.SHIPPED)
