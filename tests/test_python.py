"""Handful from Python: a fitted skill answers, is saved, and its answers are frames."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest

import handful
from handful.errors import InputError, MissingExtraError
from handful.features.store import FeatureStore
from handful.skills import outputs


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


def test_evaluate_takes_the_fitted_skill(fitted, photos):
    own = fitted.evaluate(photos)
    assert own.result.as_dict() == handful.evaluate(fitted, photos).result.as_dict()
    assert handful.evaluate(fitted.pack, photos).result.accuracy == own.result.accuracy


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


def test_predictions_as_a_frame_are_the_csv_output(fitted, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    answers = fitted.predict([*images, tmp_path / "broken.png"], top_k=2)
    frame = answers.to_frame()
    assert len(frame) == 2 * len(images)
    assert frame.to_csv(index=False, float_format="%.6f") == outputs.get("csv").write(answers)
    assert frame.score.dtype == float


def test_further_columns_are_those_of_the_csv_output(photos, images):
    fitted = handful.fit(photos, encoder="tiny", method="tip")
    answers = handful.Predictor(fitted, unknown=0.2, error=0.2).predict(images, top_k=1)
    written = pd.read_csv(io.StringIO(outputs.get("csv").write(answers)), keep_default_na=False)
    pd.testing.assert_frame_equal(answers.to_frame(), written, atol=1e-6)
    assert [*written] == ["file_name", "classification", "score", "may be"]


def test_no_answers_are_a_frame_with_the_columns(fitted):
    assert [*fitted.predict([]).to_frame()] == ["file_name", "classification", "score"]


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
