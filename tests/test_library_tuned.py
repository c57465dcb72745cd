"""Skills that change the encoder, in a library beside skills that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handful import Library, Predictor, encoders, fit
from handful.cli import main
from handful.contracts import ImageRef
from handful.data import Dataset, playground
from handful.errors import InputError, PackError
from handful.features import extract_features
from handful.features.store import ActivationStore, FeatureStore
from handful.library.evaluation import evaluate
from handful.library.prediction import predict_features
from handful.library.zero_shot import zero_shot
from handful.packs import Pack, deltas
from handful.skills.edit.add import add
from handful.tuners import TunedEncoder, Tuning

QUICK = {"epochs": 2, "views": 1, "augmentation": "none", "weight": 1.0}
TUNED = {"style-sketch": "block", "novel-materials": "soft_prompt"}
TASKS = ("novel-objects", "style-dusk", *TUNED)


@pytest.fixture(scope="module")
def tiny():
    return encoders.load("tiny", precision="float32")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FeatureStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def drawn():
    return {name: playground.task(name, 5, 0, 4) for name in TASKS}


@pytest.fixture(scope="module")
def library(drawn, tiny, store, tmp_path_factory) -> Library:
    top = tmp_path_factory.mktemp("skills")
    made = Library.init(tmp_path_factory.mktemp("library") / "all", tiny, store)
    for name, task in drawn.items():
        images = tuple(ImageRef.of(p) for p in task.support)
        tuning = Tuning((TUNED[name],), QUICK) if name in TUNED else None
        data = Dataset(images, task.support_labels)
        taught = fit(data, encoder=tiny, store=store, method="text_gda", tuning=tuning)
        taught.pack.save(top / name)
        made.add(top / name)
    return made


def test_a_tuned_skill_answers_in_a_library_what_it_answers_alone(library, drawn, store):
    for name, kind in TUNED.items():
        pictures = [ImageRef.of(p) for p in drawn[name].test]
        there = library.predict(pictures, task=name)
        pack = library.folder.load(name)
        assert pack.manifest["tuner"][0]["tuner"] == kind
        alone = Predictor(pack, encoder=library.encoder, store=store).predict(pictures)
        for one, other in zip(there, alone, strict=True):
            assert one.scores == other.scores
    assert not isinstance(library.encoder, TunedEncoder)


def test_images_find_their_task_and_few_skills_are_asked(library, drawn, monkeypatch):
    asked = []
    find = library.tuned
    monkeypatch.setattr(library, "tuned", lambda name: asked.append(name) or find(name))
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test]
    wanted = [name for name, task in drawn.items() for _ in task.test]
    answers = library.predict(pictures)
    right = np.mean([a.task == name for a, name in zip(answers, wanted, strict=True)])
    assert right > 1.5 / len(TASKS)
    assert set(asked) <= set(TUNED)
    for answer in answers:
        assert sum(s["score"] for s in answer.scores) == pytest.approx(1, abs=1e-4)


def test_an_answer_does_not_depend_on_the_batch(library, drawn):
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test[::4]]
    together = library.predict(pictures)
    apart = [library.predict([p])[0] for p in pictures]
    for one, other in zip(together, apart, strict=True):
        assert one.task == other.task
        for a, b in zip(one.scores, other.scores, strict=True):
            assert a["score"] == pytest.approx(b["score"], abs=1e-4)


def test_features_alone_cannot_ask_a_skill_that_changes_the_encoder(library, drawn, tiny):
    from handful import data

    name = next(iter(TUNED))
    rows = tiny.images([tiny.prepare(data.decode(ImageRef.of(p))) for p in drawn[name].test])
    with pytest.raises(InputError, match="changes the encoder"):
        predict_features(library.ensemble, rows, [str(i) for i in range(len(rows))])
    with pytest.raises(InputError, match="changes the encoder"):
        predict_features(library.ensemble, rows, [str(i) for i in range(len(rows))], task=name)


def test_a_library_with_tuned_skills_is_measured_by_what_it_predicts(library, drawn):
    data = {
        name: Dataset(tuple(ImageRef.of(p) for p in task.test), task.test_labels)
        for name, task in drawn.items()
    }
    done = evaluate(library, data, unknown=0.1, unknown_sources=[data[TASKS[0]]])
    for name, one in done.tasks.items():
        for way, task in (("named", name), ("unnamed", None)):
            told = library.predict(data[name].images, task=task)
            right = [
                a.task == name and a.scores[0]["label"].rpartition("/")[2] == label
                for a, label in zip(told, data[name].labels, strict=True)
            ]
            assert getattr(one, way) == pytest.approx(np.mean(right), abs=0.04)


def test_tuning_that_goes_on_finds_its_images_by_the_frozen_encoder(
    library, drawn, tiny, store, tmp_path, monkeypatch
):
    monkeypatch.setenv("HANDFUL_HOME", str(tmp_path / "home"))
    name = TASKS[0]
    tuned = library.tuned(next(n for n, kind in TUNED.items() if kind == "block"))
    data = Dataset(tuple(ImageRef.of(p) for p in drawn[name].support), drawn[name].support_labels)
    tuning = Tuning(("projection",), {**QUICK, "towers": "vision"})
    pack = fit(data, encoder=tuned, store=store, method="text_gda", tuning=tuning).pack
    plain = extract_features(tiny, data.images, store).features.values
    np.testing.assert_array_equal(pack.tensors["untouched.features"], plain)
    # what training computed once lies beside the features, and nothing in the user's own store
    assert ActivationStore(store.path).summary()
    assert not (tmp_path / "home").exists()


def test_a_tuned_skill_that_grew_finds_images_of_its_new_class(library, drawn, tmp_path, store):
    name, other = next(iter(TUNED)), playground.task("style-mosaic", 6, 0, 4)
    first = other.support_labels[0]
    pictures = [p for p, of in zip(other.support, other.support_labels, strict=True) if of == first]
    images = tuple(ImageRef.of(p) for p in pictures)
    grown = add(library.folder.path / name, Dataset(images, ("new",) * len(images)), store=store)
    assert grown.pack.classes == (*library.folder.load(name).classes, "new")
    made = Library.init(tmp_path / "grown", library.encoder, store)
    for task in drawn:
        made.add(grown.pack if task == name else library.folder.path / task, task)
    assert all(a.task == name for a in made.predict(images))
    labels, chances = zero_shot(made.ensemble, made.ensemble.skills[0].text)
    assert chances.shape[1] == len(labels) == len(made.ensemble.labels)
    plain = extract_features(library.encoder, images, store).features.values
    support = made.ensemble.skills[made.ensemble.index(name)].support
    np.testing.assert_array_equal(support.features[-len(images) :], plain)


def test_a_change_that_does_not_fit_leaves_the_others_serving(
    library, drawn, tmp_path, store, capsys
):
    name = next(iter(TUNED))
    pack = library.folder.load(name)
    first = next(iter(deltas.delta_tensors(pack.tensors)))
    cut = {k: v for k, v in pack.tensors.items() if k != first}
    made = Library.init(tmp_path / "some", library.encoder, store)
    for task in drawn:
        made.add(replace(pack, tensors=cut) if task == name else library.folder.path / task, task)
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test]
    answers = made.predict(pictures)
    assert list(made.broken) == [name]
    assert {a.task for a in answers} <= {*TASKS} - {name}
    with pytest.raises(PackError, match=f"{name}.*cannot be used"):
        made.predict(pictures[:1], name)
    with pytest.raises(SystemExit) as stop:
        main(["library", "check", str(tmp_path / "some")])
    assert stop.value.code == 1
    assert f"left out {name}" in capsys.readouterr().err


def test_a_library_of_tuned_skills_alone_finds_its_encoder(library, tmp_path, store):
    alone = Library.init(tmp_path / "one", "tiny", store)
    name = next(iter(TUNED))
    alone.add(library.folder.path / name)
    again = Library(tmp_path / "one", store=store)
    assert not isinstance(again.encoder, TunedEncoder)
    assert again.encoder.precision == "float32"
    assert Pack.load(library.folder.path / name).fingerprint == again.tuned(name).fingerprint


def test_asking_more_skills_changes_nothing_when_all_are_asked(library, drawn, store):
    pictures = [ImageRef.of(p) for task in drawn.values() for p in task.test[::4]]
    two, three, all_ = (
        Library(library.folder.path, library.encoder, store, max_tuned=k) for k in (2, 3, 99)
    )
    for a, b, c in zip(*(x.predict(pictures) for x in (two, three, all_)), strict=True):
        assert a.scores == b.scores == c.scores  # two of the four change the encoder
    with pytest.raises(InputError, match="max_tuned of 1 or more"):
        Library(library.folder.path, library.encoder, store, max_tuned=0)
