"""The road from Python: what is refused, what is left out, what is reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import handful
from handful.errors import HandfulError, InputError
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.protocols import demo
from handful.protocols.compare import compare


def test_two_fits_of_the_same_images_are_one_skill(photos, tmp_path):
    first = handful.fit(photos, shots=2).pack
    second = handful.fit(photos, shots=2).pack
    for name in ("params", "classes", "support", "training"):
        assert first.manifest[name] == second.manifest[name]
    for name, tensor in first.tensors.items():
        assert (tensor == second.tensors[name]).all(), name


def test_an_encoder_may_be_a_path(photos):
    folder = Path(handful.__file__).parent / "encoders" / "tiny"
    assert handful.fit(photos, shots=1, encoder=folder, method="tip").pack.classes


def test_words_order_the_columns_and_speak_in_the_prompts(photos):
    labels = sorted(p.name for p in (photos / "train").iterdir())
    words = dict.fromkeys(labels, "red star") | {labels[0]: "blue ring"}
    with pytest.raises(InputError, match="repeat"):
        handful.fit(photos, shots=1, words=words)
    words = {label: f"thing {i}" for i, label in enumerate(reversed(labels))}
    assert handful.fit(photos, shots=1, words=words).pack.classes == tuple(reversed(labels))


def test_a_class_that_is_only_in_the_test_set_is_named(photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "p")
    shutil.copytree(next((folder / "test").iterdir()), folder / "test" / "owl")
    for call in (handful.fit, compare):
        with pytest.raises(InputError, match="owl"):
            call(folder)


def test_unreadable_images_are_named_when_nothing_is_left(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "broken.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        handful.fit(tmp_path)


def test_other_files_are_counted(photos, tmp_path):
    folder = shutil.copytree(photos / "train", tmp_path / "p")
    (next(folder.iterdir()) / "raw.heic").write_bytes(b"x")
    assert handful.fit(folder, method="zero_shot").ignored == {".heic": 1}


def test_evaluate_keeps_to_the_predictors_store(photos, tmp_path):
    own = FeatureStore(tmp_path / "own")
    pack = handful.fit(photos, shots=1, method="tip", store=own).pack
    before = sum(s.count for s in own.summary())
    handful.evaluate(handful.Predictor(pack, store=own), photos)
    assert sum(s.count for s in own.summary()) > before


def test_a_stream_is_not_asked_class_by_class(photos, monkeypatch):
    asked = []
    answer = Pack.logits
    monkeypatch.setattr(Pack, "logits", lambda self, X: asked.append(X) or answer(self, X))
    numbers = {}
    for method in ("zero_shot", "tda"):
        params = {"alpha": 0.0, "negative_alpha": 0.0} if method == "tda" else {}
        skill = handful.Predictor(handful.fit(photos, shots=2, method=method, params=params).pack)
        asked.clear()
        numbers[method] = handful.evaluate(skill, photos).result.as_dict(), asked[-1]
    (by_class, rows), (stream, turned) = numbers.values()
    assert not np.array_equal(rows, turned)
    assert np.array_equal(np.sort(rows, axis=0), np.sort(turned, axis=0))
    assert stream == by_class  # tda without its queues is zero-shot: labels moved along


def test_a_copy_of_a_support_image_is_never_tested_on(photos, tmp_path):
    folder = tmp_path / "p"
    for source in sorted((photos / "train").iterdir())[:2]:
        images = sorted(source.iterdir())[:2]
        (folder / source.name).mkdir(parents=True)
        for image in images:
            for copy in range(3):
                shutil.copy(image, folder / source.name / f"{copy}-{image.name}")
    result, _ = compare(folder, methods=["zero_shot"], shots=[1], seeds=2)
    assert result.facts["copies"].startswith("8 images")
    # of each class one picture is drawn with all its copies: three copies of the other are left
    assert {round(t.accuracy * 6 / 100, 6) % 1 for t in result.trials} == {0.0}


@pytest.mark.parametrize(
    "arguments", [{"seeds": 0}, {"methods": ["no such"]}, {"shots": [99]}, {"templates": ["x"]}]
)
def test_compare_refuses(photos, arguments):
    with pytest.raises(HandfulError):
        compare(photos, **arguments)


def test_the_demo_ranks_its_methods_and_leaves_other_peoples_photos_alone(tmp_path):
    mine = tmp_path / "photos" / "train" / "mycat" / "a.jpg"
    mine.parent.mkdir(parents=True)
    mine.touch()
    with pytest.raises(InputError, match="another folder"):
        demo.run(tmp_path)
    assert list(tmp_path.rglob("*.*")) == [mine]
    out = tmp_path / "demo"
    done = demo.run(out, tasks=["novel-materials"], shots=(1, 16), seeds=2)
    accuracy = {m: done.comparison.cell(m, 16).accuracy for m in demo.METHODS}
    assert accuracy["zero_shot"] < accuracy["tip"] < accuracy["tip_f"]
    assert accuracy["tip"] < accuracy["clip_adapter"]
    assert json.dumps(done.comparison.as_dict(), allow_nan=False)
    demo.run(out, tasks=["novel-materials"], shots=(1,), seeds=1)  # again, with fewer shots
    assert len(list((out / "photos" / "train").rglob("*.png"))) == 8
