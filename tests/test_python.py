"""Handful from Python: a fitted skill answers, is saved, and its answers are frames."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import handful
from handful.errors import InputError, MissingExtraError
from handful.features import stream
from handful.features.store import FeatureStore
from handful.library import LibraryFolder, LibraryPrediction
from handful.protocols.meta_training import load_tasks
from handful.skills import outputs
from handful.skills.answer_table import Schema
from handful.skills.doctor import diagnose
from handful.skills.edit.add import add
from handful.skills.edit.merge import merge
from handful.skills.edit.remove import remove
from handful.skills.edit.rename import rename
from handful.skills.explain import explain_image
from handful.skills.predictions import Predictions


@pytest.fixture(scope="module")
def fitted(photos):
    return handful.fit(photos, shots=2, encoder="tiny", method="tip")


@pytest.fixture(scope="module")
def images(photos):
    return sorted((photos / "test").rglob("*.png"))[:6]


def test_answers_are_the_same_bit_for_bit_before_and_after_saving(fitted, images, tmp_path):
    """Every road computes its features anew: no store hands them from one to the other."""
    folder = fitted.save(tmp_path / "skill")
    roads = [fitted, fitted.pack, folder, str(folder), handful.Predictor(fitted)]
    stores = [FeatureStore(tmp_path / f"store {i}") for i in range(len(roads))]
    first, *others = (
        handful.Predictor(skill, store=store).predict(images)
        for skill, store in zip(roads, stores, strict=True)
    )
    assert len(first) == 6
    assert all(answers == first for answers in others)
    assert fitted.predict(images) == first
    assert handful.load(folder).predict(images) == first


def test_the_encoder_of_the_fit_answers_and_its_store_keeps(photos, images, tmp_path):
    store = FeatureStore(tmp_path / "own")
    fitted = handful.fit(photos, shots=1, encoder="tiny", method="tip", store=store)
    assert handful.Predictor(fitted).encoder is fitted.encoder
    before = sum(s.count for s in store.summary())
    fitted.predict(images)
    assert sum(s.count for s in store.summary()) == before + len(images)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stated_precision_holds_after_saving(photos, images, tmp_path, precision):
    fitted = handful.fit(photos, shots=1, encoder="tiny", method="tip", precision=precision)
    loaded = handful.Predictor(fitted.save(tmp_path / "skill"), store=FeatureStore(tmp_path / "s"))
    assert loaded.encoder.precision == fitted.encoder.precision == precision
    assert loaded.predict(images) == fitted.predict(images)
    other = {"float32": "bfloat16", "bfloat16": "float32"}[precision]
    assert handful.Predictor(fitted, precision=other).encoder.precision == other
    assert handful.Predictor(fitted, device="cpu").encoder is not fitted.encoder


def test_evaluate_takes_the_fitted_skill(fitted, photos):
    own = fitted.evaluate(photos)
    assert own.result.as_dict() == handful.evaluate(fitted, photos).result.as_dict()
    assert handful.evaluate(fitted.pack, photos).result.accuracy == own.result.accuracy


def files_and_labels(folder):
    files = sorted(folder.rglob("*.png"))
    return files, [file.parent.name for file in files]


def test_a_source_in_memory_makes_the_skill_of_its_folder(photos):
    files, labels = files_and_labels(photos / "train")
    options = {"encoder": "tiny", "method": "tip", "shots": 2}
    wanted = handful.fit(photos / "train", **options).pack
    for source in (
        pd.DataFrame({"path": files, "label": labels}),
        list(zip(files, labels, strict=True)),
        zip(map(str, files), labels, strict=True),
    ):
        found = handful.fit(source, **options).pack
        assert found.support_ids == wanted.support_ids
        assert all((found.tensors[name] == t).all() for name, t in wanted.tensors.items())


def test_pictures_make_the_head_of_their_files(photos):
    files, labels = files_and_labels(photos / "train")
    pictures = [(Image.open(file), label) for file, label in zip(files, labels, strict=True)]
    found, wanted = (
        handful.fit(source, encoder="tiny", method="tip").pack.tensors
        for source in (pictures, photos / "train")
    )
    heads = [name for name in wanted if name.startswith("head.")]
    assert heads
    assert all((found[name] == wanted[name]).all() for name in heads)


def test_the_names_of_the_classes_order_the_columns_of_a_folder_too(photos):
    names = sorted((p.name for p in (photos / "train").iterdir()), reverse=True)
    fitted = handful.fit(photos, classes=names, encoder="tiny", method="tip", shots=1)
    assert fitted.pack.classes == tuple(names)
    with pytest.raises(InputError, match="are not among the"):
        handful.fit(photos, classes=names[1:], encoder="tiny", method="tip")


def test_splits_of_a_frame_are_used_as_those_on_disk(photos):
    files, labels = files_and_labels(photos)
    split = [file.parts[-3] for file in files]
    paths = [file.relative_to(photos) for file in files]
    frame = pd.DataFrame({"path": paths, "label": labels, "split": split})
    fitted = handful.fit(frame, root=photos, encoder="tiny", method="tip")
    on_disk = handful.fit(photos, encoder="tiny", method="tip")
    assert fitted.pack.support_ids == on_disk.pack.support_ids
    measured = fitted.evaluate(frame, root=photos)
    assert measured.result.as_dict() == on_disk.evaluate(photos).result.as_dict()
    with pytest.raises(InputError, match="does not exist"):
        handful.fit(frame, encoder="tiny")  # from the working directory there are none


def test_numbers_need_the_names_of_the_classes(photos):
    files, labels = files_and_labels(photos / "train")
    names = sorted(set(labels), reverse=True)  # the order of the columns, which is not sorted
    numbers = [names.index(label) for label in labels]
    fitted = handful.fit((files, numbers), classes=names, encoder="tiny", method="tip")
    assert fitted.pack.classes == tuple(names)
    tested = files_and_labels(photos / "test")
    by_name = fitted.evaluate(tested).result
    by_number = fitted.evaluate((tested[0], list(map(names.index, tested[1]))), classes=names)
    assert by_number.result.as_dict() == by_name.as_dict()
    for call in (lambda s: handful.fit(s, encoder="tiny"), fitted.evaluate):
        with pytest.raises(InputError, match="labels are numbers"):
            call((files, numbers))
    other = {name: name for name in sorted(names)}  # in another order
    with pytest.raises(InputError, match="leave classes= out"):
        handful.fit((files, numbers), classes=names, words=other, encoder="tiny")
    words = {name: f"a thing called {name}" for name in names}
    spoken = handful.fit((files, numbers), words=words, encoder="tiny", method="tip")
    assert spoken.pack.classes == fitted.pack.classes


class Failing(torch.utils.data.Dataset):
    """One item cannot be had, and another one is no image."""

    def __init__(self, files, labels):
        self.files, self.labels = [*files], [*labels]
        self.files[3] = b"no image"

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        if i == 1:
            raise RuntimeError("gone")
        return self.files[i], self.labels[i]


def test_bad_images_are_named_and_stop_no_others(photos, fitted):
    bad = Failing(*files_and_labels(photos / "train"))
    reasons = [
        "<image 3>: is text, not an image; check how it was made or downloaded",
        "<image 1>: the data set raises RuntimeError: gone",
    ]
    taught = handful.fit(bad, encoder="tiny", method="tip")
    assert [f.reason for f in taught.failures] == reasons
    assert len(taught.pack.support_ids) == len(bad) - 2
    tested = Failing(*files_and_labels(photos / "test"))
    measured = fitted.evaluate(tested)
    assert [f.reason for f in measured.failures] == reasons
    assert measured.result.count == len(tested) - 2
    answers = fitted.predict(tested)
    assert len(answers) == len(tested)
    assert [a.error for a in answers if a.error] == [reasons[1], reasons[0]]
    _, failures = handful.compare(bad, encoder="tiny", methods=["tip"], shots=[1], seeds=1)
    assert [f.reason for f in failures] == reasons
    edited = add(taught.pack, bad, encoder=taught.encoder)
    assert sorted(f.reason for f in edited.failures) == sorted(reasons)


def test_predict_does_not_hold_all_pictures_at_once(fitted, monkeypatch):
    """A data set of decoded photos may be larger than the memory."""
    monkeypatch.setattr(stream, "MAX_BYTES", 10 * 3 * 32 * 32)
    fetched, reports = [], []

    class Decoded(Failing):
        def __getitem__(self, i):
            fetched.append(i)
            return np.full((32, 32, 3), i, np.uint8), "?"

    def report(done, total):
        reports.append((done, total, len(fetched)))

    assert len(fitted.predict(Decoded([None] * 50, [None] * 50), progress=report)) == 50
    assert {total for _, total, _ in reports} == {50}
    assert all(read <= done + 10 for done, _, read in reports)


def test_several_labels_from_memory(photos):
    files, labels = files_and_labels(photos / "train")
    both = [[label, "photo"] if i % 2 else [label] for i, label in enumerate(labels)]
    source = list(zip(files, both, strict=True))
    fitted = handful.fit(source, encoder="tiny")
    assert fitted.pack.manifest["task"] == "multi_label"
    tested, names = files_and_labels(photos / "test")
    measured = fitted.evaluate([(file, [name]) for file, name in zip(tested, names, strict=True)])
    assert measured.to_frame()["class"].tolist() == [*fitted.pack.classes]
    with pytest.raises(InputError, match="any number of labels"):
        handful.fit(source, task="classify", encoder="tiny")


@pytest.mark.parametrize("wrong", [3, None, [], {"cat": ["a.jpg"]}, object()])
def test_what_is_no_source_is_refused(fitted, wrong):
    for call in (handful.fit, handful.evaluate, handful.compare, add):
        skill = () if call in (handful.fit, handful.compare) else (fitted.pack,)
        with pytest.raises(InputError, match="expected"):
            call(*skill, wrong, encoder=fitted.encoder)


def test_whatever_takes_a_skill_takes_a_fitted_one(photos, fitted, images, tmp_path):
    one, two, *_ = fitted.pack.classes
    again = handful.fit(photos, shots=3, encoder="tiny", method="tip", seed=1)
    assert again.pack.classes == fitted.pack.classes
    library = LibraryFolder.init(tmp_path / "library", fitted.encoder)
    calls = [
        lambda skill: rename(skill, {one: "thing"}).pack.support_ids,
        lambda skill: remove(skill, [0]).pack.support_ids,
        lambda skill: merge(skill, again.pack, join=True).pack.support_ids,
        lambda skill: add(skill, [(images[0], two)], encoder=fitted.encoder).pack.support_ids,
        lambda skill: explain_image(skill, images[0]).rest.tolist(),
        lambda skill: diagnose(skill).examination.notes,
    ]
    for call in calls:
        assert call(fitted) == call(fitted.pack)
        with pytest.raises(InputError, match="expected"):
            call(3)
    assert library.add(fitted, "mine") == "mine"
    with pytest.raises(InputError, match="expected a skill"):
        library.add(3, "three")


def test_the_doctor_examines_images_in_memory(photos):
    files, labels = files_and_labels(photos / "train")
    on_disk = diagnose(photos / "train", encoder="tiny")
    found = diagnose(list(zip(files, labels, strict=True)), encoder="tiny")
    assert found.examination.images == on_disk.examination.images


def test_meta_training_reads_images_in_memory(photos):
    pairs = list(zip(*files_and_labels(photos / "train"), strict=True))
    found, on_disk = load_tasks([pairs, photos / "train"], encoder="tiny")
    assert (found.name, on_disk.name) == ("source 0", "train")
    assert (found.values == on_disk.values).all()


def test_a_pool_may_be_a_column_or_pairs(photos):
    files, labels = files_and_labels(photos / "test")
    pools = [photos / "test", pd.Series(files), list(zip(files, labels, strict=True)), files]
    options = {"shots": 2, "encoder": "tiny", "method": "auto"}
    taught = [handful.fit(photos / "train", unlabelled=pool, **options) for pool in pools]
    facts = [fitted.pack.manifest["training"]["pool"] for fitted in taught]
    assert facts[0]["images"] == len(files)
    assert all(each == facts[0] for each in facts)


def test_save_never_overwrites_unasked(fitted, tmp_path):
    fitted.save(tmp_path / "skill")
    with pytest.raises(InputError, match="skill"):
        fitted.save(tmp_path / "skill")
    fitted.save(tmp_path / "skill", overwrite=True)
    assert handful.load(fitted.save(tmp_path / "one.skill")).pack.classes == fitted.pack.classes


@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, ["skill"]])
def test_what_is_no_skill_is_refused(wrong):
    for call in (handful.Predictor, handful.load, lambda skill: handful.evaluate(skill, "photos")):
        with pytest.raises(InputError, match=f"expected a skill.*got {type(wrong).__name__}"):
            call(wrong)


def as_csv(answers):
    return "".join(outputs.get("csv").chunks(map(answers.schema.row, answers), answers.schema))


def test_predictions_as_a_frame_are_the_csv_output(fitted, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    answers = fitted.predict([*images, tmp_path / "broken.png"], top_k=2)
    frame = answers.to_frame()
    assert len(frame) == len(images) + 1
    assert frame.to_csv(index=False, float_format="%.6f") == as_csv(answers)
    assert frame.score.dtype == float
    assert [*frame][:5] == ["file", "label", "score", "label_2", "score_2"]
    assert frame.error.notna().sum() == 1
    assert "label_3" in fitted.predict(images).to_frame(top_k=3)


def test_further_columns_are_those_of_the_csv_output(photos, images):
    fitted = handful.fit(photos, encoder="tiny", method="tip")
    answers = fitted.predict(images, top_k=1, unknown=0.2, error=0.2)
    assert answers == handful.Predictor(fitted, unknown=0.2, error=0.2).predict(images, top_k=1)
    frame, written = answers.to_frame(), pd.read_csv(io.StringIO(as_csv(answers)))
    assert [*frame] == [*written]
    assert [*frame][:6] == ["file", "label", "score", "unknown", "familiar", "may_be"]
    assert frame.unknown.map({True: "yes", False: "no"}).tolist() == written.unknown.tolist()
    assert frame.familiar.tolist() == pytest.approx(written.familiar.tolist(), abs=1e-6)
    assert frame.may_be.str.split("|").tolist() == [[*a.may_be] or [""] for a in answers]


def test_answers_of_a_library_name_the_skill():
    answers = Predictions([LibraryPrediction("a.jpg", [{"label": "cat", "score": 0.5}], task="t")])
    answers.schema = Schema({"t": "f" * 64, "other": "0" * 64}, library=True)
    (row,) = answers.to_frame().to_dict("records")
    assert (row["label"], row["skill"], row["digest"]) == ("cat", "t", "f" * 12)


def test_no_answers_are_a_frame_with_the_columns(fitted):
    assert [*fitted.predict([]).to_frame()][:3] == ["file", "label", "score"]


def test_an_evaluation_as_a_frame(fitted, photos):
    measured = fitted.evaluate(photos)
    frame = measured.to_frame().set_index("class")
    assert [*frame] == ["precision", "recall", "f1", "images"]
    for name, numbers in measured.result.per_class.items():
        assert frame.loc[name, "f1"] == numbers["f1"]
        assert frame.loc[name, "images"] == numbers["support"]


def test_without_pandas_a_frame_says_what_to_install(fitted, photos, images, monkeypatch):
    answers, measured = fitted.predict(images), fitted.evaluate(photos)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in (answers, measured):
        with pytest.raises(MissingExtraError, match=r"pip install pandas$"):
            result.to_frame()


def test_every_name_of_the_package_is_there():
    assert Path(handful.__file__).name == "__init__.py"
    for name in handful.__all__:
        assert getattr(handful, name).__doc__
