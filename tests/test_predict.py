"""Images in, answers out: in order, whatever they are, and never stopped by a bad one."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import handful
from handful import encoders
from handful.contracts import ImageRef
from handful.data import Dataset
from handful.errors import HandfulError, InputError, MismatchError, PackError
from handful.features import stream
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.skills import predict
from handful.skills.predict import Predictor
from test_packs import CLASSES, Fake, made, solid


@pytest.fixture(scope="session")
def pack() -> Pack:
    return made()


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def knows(pack: Pack, store: FeatureStore) -> Predictor:
    return Predictor(pack, encoder=Fake(), store=store)


def saved(folder: Path, colour: str) -> Path:
    path = folder / f"{colour}.png"
    solid(colour).save(path)
    return path


def as_bytes(colour: str) -> bytes:
    buffer = io.BytesIO()
    solid(colour).save(buffer, "PNG")
    return buffer.getvalue()


def best(predictions: Any) -> list[str]:
    return [p.error or p.scores[0]["label"] for p in predictions]


def test_every_kind_of_image_in_one_call_in_their_order(knows: Predictor, tmp_path: Path) -> None:
    images = [
        str(saved(tmp_path, "blue")),
        saved(tmp_path, "red"),
        as_bytes("green"),
        solid("grey"),
        np.asarray(solid("red")),
        ImageRef.of(as_bytes("blue"), "my photo"),
    ]
    answers = knows.predict(images)
    assert best(answers) == ["blue", "red", "green", "grey", "red", "blue"]
    names = [a.name for a in answers]
    assert names[:2] == [str(tmp_path / "blue.png"), str(tmp_path / "red.png")]
    assert names[2:] == ["<image 2>", "<image 3>", "<image 4>", "my photo"]


def test_scores_are_the_softmax_of_the_packs_logits(knows: Predictor, pack: Pack) -> None:
    encoder = Fake()
    features = encoder.images([encoder.prepare(solid("green"))])
    logits = knows.logits(features)[0].astype(float)
    np.testing.assert_array_equal(logits.astype(np.float32), pack.logits(features)[0])
    wanted = np.exp(logits) / np.exp(logits).sum()
    (answer,) = knows.predict([solid("green")])
    assert sorted(s["label"] for s in answer.scores) == sorted(CLASSES)
    values = [s["score"] for s in answer.scores]
    assert values == sorted(values, reverse=True)
    assert all(type(value) is float for value in values)
    order = [CLASSES.index(s["label"]) for s in answer.scores]
    np.testing.assert_allclose(values, wanted[order], rtol=1e-5)


def test_top_k(knows: Predictor) -> None:
    whole = knows.predict([solid("red")])[0].scores
    assert knows.predict([solid("red")], top_k=2)[0].scores == whole[:2]
    assert knows.predict([solid("red")], top_k=99)[0].scores == whole
    with pytest.raises(InputError, match="expected top_k of 1 or more, got 0"):
        knows.predict([solid("red")], top_k=0)


def test_a_bad_image_is_an_answer_and_stops_no_other(knows: Predictor, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = as_bytes("red")
    lazy = Image.open(io.BytesIO(whole[: len(whole) // 2]))
    bad = [
        tmp_path / "text.jpg",
        tmp_path / "empty.png",
        tmp_path / "gone.png",
        tmp_path,
        b"",
        lazy,
        np.zeros((4, 4)),
        np.zeros((0, 4, 3), np.uint8),
        None,
        3,
    ]
    mixed = [x for image in bad for x in (image, solid("blue"))]
    answers = knows.predict(mixed)
    assert best(answers[1::2]) == ["blue"] * len(bad)
    for answer, image in zip(answers[::2], bad, strict=True):
        assert answer.scores == []
        assert answer.error is not None
        assert answer.name in answer.error
        if isinstance(image, Path):
            assert answer.name == str(image)
    alone = knows.predict(bad)
    assert [bool(a.error) for a in alone] == [True] * len(bad)


def test_one_image_may_stand_for_itself(knows: Predictor, tmp_path: Path) -> None:
    path = saved(tmp_path, "red")
    for image in (path, str(path), as_bytes("red"), solid("red"), np.asarray(solid("red"))):
        assert best(knows.predict(image)) == ["red"]
    assert best(knows.predict(ImageRef.of(path))) == ["red"]
    several = np.stack([np.asarray(solid(c)) for c in ("red", "blue")])
    assert best(knows.predict(several)) == ["red", "blue"]
    assert knows.predict([]) == []


def test_known_images_are_not_encoded_again(pack: Pack, store: FeatureStore) -> None:
    class Counting(Fake):
        seen = 0

        def images(self, batch: Any) -> np.ndarray:
            self.seen += len(batch)
            return super().images(batch)

    encoder = Counting()
    first = Predictor(pack, encoder, store)
    encoder.seen = 0
    answers = first.predict([solid(c) for c in CLASSES])
    assert encoder.seen == len(CLASSES)
    assert first.predict([solid(c) for c in CLASSES]) == answers
    assert encoder.seen == len(CLASSES)


def test_a_stream_is_answered_as_it_comes(knows: Predictor) -> None:
    taken = 0

    def endless() -> Iterator[Image.Image]:
        nonlocal taken
        for colour in itertools.cycle(("red", "green")):
            taken += 1
            yield solid(colour)

    answers = knows.iter_predict(endless(), top_k=1, batch=4)
    assert best(itertools.islice(answers, 6)) == ["red", "green"] * 3
    assert taken == 8
    with pytest.raises(InputError, match="expected batch of 1 or more, got 0"):
        next(knows.iter_predict(endless(), batch=0))


def test_large_pictures_in_memory_are_taken_in_smaller_runs(
    knows: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = np.asarray(solid("red")).nbytes
    monkeypatch.setattr(stream, "MAX_BYTES", 2 * size)
    answers = knows.iter_predict((solid(c) for c in ["red", "blue", "red"]), batch=99)
    pulled = [next(answers) for _ in range(2)]
    assert best(pulled) == ["red", "blue"]
    runs = stream.encode_batches(knows.encoder, [solid("red")] * 5, 99, knows.store)
    assert [len(run) for run in runs] == [2, 2, 1]


def test_progress_counts_all_images(knows: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "BATCH", 3)
    told: list[tuple[int, int]] = []
    images = [solid("red"), b"", solid("green"), None, solid("blue"), solid("grey"), None]
    knows.predict(images, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {7}
    counts = [done for done, _ in told]
    assert counts == sorted(counts)
    assert counts[-1] == 7
    told.clear()
    batches = knows.predict_batches(images, batch=3, progress=lambda *done: told.append(done))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert {total for _, total in told} == {7}


def test_the_encoder_is_found_by_the_name_in_the_pack(
    pack: Pack, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def load(name: str, **settings: str) -> Fake:
        asked.append((name, settings))
        return Fake()

    monkeypatch.setattr(encoders, "load", load)
    folder = pack.save(tmp_path / "skill")
    assert best(Predictor(folder, store=store).predict([solid("red")])) == ["red"]
    assert best(Predictor(str(folder), "mirror", store).predict([solid("red")])) == ["red"]
    settings = {"precision": "auto", "device": "auto"}
    assert asked == [("fake", settings), ("mirror", settings)]


def test_a_precision_too_coarse_for_the_skill_is_not_used(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, precision: str = "auto", device: str = "auto") -> Fake:
        return Fake() if precision == "float32" else Fake(precision="bfloat16", wobble=0.5)

    monkeypatch.setattr(encoders, "load", load)
    assert Predictor(pack).encoder.precision == "float32"
    with pytest.raises(MismatchError, match="load the encoder with precision='float32'"):
        Predictor(pack, encoder=load("fake"))


def test_another_encoder_or_no_pack_is_an_error(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"weights differs \(skill 01, encoder 02\)"):
        Predictor(pack, encoder=Fake(fingerprint="model:fake weights:02 preprocessing:02"))
    with pytest.raises(PackError, match="does not exist"):
        Predictor(tmp_path / "nothing")


def test_an_encoder_that_moved_is_told_how_to_be_found(tmp_path, monkeypatch):
    tiny = Path(handful.__file__).parent / "encoders" / "tiny"
    shutil.copytree(tiny, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    pictures = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(4)]
    data = Dataset(tuple(ImageRef.of(p, str(i)) for i, p in enumerate(pictures)), ("a", "b") * 2)
    handful.fit(data, encoder="mine", method="tip").pack.save("skill")
    skill = tmp_path / "skill"
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(HandfulError, match="--encoder"):
        Predictor(skill)
    assert Predictor(skill, encoder=str(tmp_path / "mine")).predict(pictures)
