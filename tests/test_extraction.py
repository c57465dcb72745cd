"""From pictures to features: order, failures, resuming, and never computing twice."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful import data, encoders
from handful.contracts import Encoder, ImageRef
from handful.errors import InputError, StorageError
from handful.features import extract_features
from handful.features.store import FILE, FeatureStore

HERE = Path(__file__).parent


class Fake:
    """An encoder whose feature is a fixed projection of the picture, 8 by 8."""

    name, dim, scale = "fake", 16, 100.0
    fingerprint, precision = "model:fake weights:01", "float32"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.prepared = 0
        self.mixing = np.random.default_rng(0).normal(size=(192, self.dim))

    def prepare(self, image: Image.Image) -> np.ndarray:
        self.prepared += 1
        return np.asarray(image.resize((8, 8)), dtype=np.float64) - 127.5

    def images(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(len(batch))
        rows = np.stack([b.reshape(-1) for b in batch]) @ self.mixing
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def texts(self, batch: Sequence[str]) -> np.ndarray:
        raise NotImplementedError

    def alone(self, image: Image.Image) -> np.ndarray:
        return Fake.images(Fake(), [Fake.prepare(Fake(), image.convert("RGB"))])[0]


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


def refs_in(folder: Path, seeds: Sequence[int]) -> list[ImageRef]:
    folder.mkdir(exist_ok=True)
    refs = []
    for position, seed in enumerate(seeds):
        path = folder / f"{position:03d}.png"
        path.write_bytes(png(seed))
        refs.append(ImageRef.of(path))
    return refs


@pytest.fixture
def store(tmp_path: Path):
    with FeatureStore(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def encoder() -> Fake:
    return Fake()


def expected(encoder: Fake, seeds: Sequence[int]) -> np.ndarray:
    return np.stack([encoder.alone(picture(seed)) for seed in seeds])


def test_the_fake_is_an_encoder(encoder):
    assert isinstance(encoder, Encoder)


# --- rows


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
@pytest.mark.parametrize("workers", [1, 5, None])
def test_rows_are_in_the_order_of_the_images(encoder, store, tmp_path, batch_size, workers):
    seeds = range(20)
    refs = refs_in(tmp_path / "photos", seeds)
    found = extract_features(encoder, refs, store, batch_size=batch_size, workers=workers)
    np.testing.assert_allclose(found.features.values, expected(encoder, seeds), atol=1e-6)
    assert found.features.ids == tuple(r.digest() for r in refs)
    assert found.features.encoder == encoder.fingerprint
    assert found.kept == tuple(seeds)
    assert (found.encoded, found.known, found.failures) == (20, 0, ())
    assert max(encoder.batches) == min(batch_size, 20)


def test_the_order_holds_when_decoding_takes_its_time(encoder, store, monkeypatch):
    prepare = encoder.prepare
    monkeypatch.setattr(
        encoder, "prepare", lambda im: time.sleep(0.02 * (prepare(im)[0, 0, 0] > 0)) or prepare(im)
    )
    refs = [ImageRef.of(png(seed)) for seed in range(30)]
    found = extract_features(encoder, refs, store, batch_size=4, workers=6)
    np.testing.assert_allclose(found.features.values, expected(encoder, range(30)), atol=1e-6)


def test_files_bytes_and_pixels_are_all_images(encoder, store, tmp_path):
    refs = [*refs_in(tmp_path / "p", [0]), ImageRef.of(png(1)), ImageRef.of(picture(2))]
    found = extract_features(encoder, refs, store)
    np.testing.assert_allclose(found.features.values, expected(encoder, range(3)), atol=1e-6)


def test_equal_content_is_encoded_once_wherever_it_lies(encoder, store, tmp_path):
    refs = [*refs_in(tmp_path / "a", [0, 1, 0]), ImageRef.of(png(0)), *refs_in(tmp_path / "b", [1])]
    found = extract_features(encoder, refs, store)
    assert (found.encoded, encoder.prepared) == (2, 2)
    np.testing.assert_array_equal(found.features.values[0], found.features.values[2])
    np.testing.assert_allclose(found.features.values, expected(encoder, [0, 1, 0, 0, 1]), atol=1e-6)


def test_a_second_run_computes_nothing_even_after_moving_the_files(encoder, store, tmp_path):
    refs = refs_in(tmp_path / "a", range(10))
    first = extract_features(encoder, refs, store)
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    moved = [ImageRef.of(p) for p in sorted((tmp_path / "elsewhere").iterdir())]
    store.close()
    encoder.batches.clear()
    encoder.prepared = 0
    second = extract_features(encoder, moved, FeatureStore(store.path))
    assert (second.encoded, second.known, encoder.batches, encoder.prepared) == (0, 10, [], 0)
    np.testing.assert_array_equal(first.features.values, second.features.values)


def test_known_and_new_images_mix(encoder, store):
    refs = [ImageRef.of(png(seed)) for seed in range(12)]
    extract_features(encoder, refs[::3], store)
    found = extract_features(encoder, refs, store, batch_size=5)
    assert (found.known, found.encoded) == (4, 8)
    np.testing.assert_allclose(found.features.values, expected(encoder, range(12)), atol=1e-6)


def test_another_encoder_or_precision_shares_nothing(encoder, store):
    refs = [ImageRef.of(png(seed)) for seed in range(3)]
    extract_features(encoder, refs, store)
    encoder.precision = "bfloat16"
    assert extract_features(encoder, refs, store).known == 0
    encoder.fingerprint = "model:fake weights:02"
    assert extract_features(encoder, refs, store).known == 0
    assert [s.count for s in store.summary()] == [3, 3, 3]
    assert {s.encoder for s in store.summary()} == {"fake"}


def test_the_users_own_store_is_the_default(encoder, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDFUL_HOME", str(tmp_path / "home"))
    refs = [ImageRef.of(png(0))]
    extract_features(encoder, refs)
    assert (tmp_path / "home" / FILE).is_file()
    assert extract_features(encoder, refs).known == 1


def test_progress_is_told_from_none_to_all(encoder, store):
    refs = [ImageRef.of(png(seed % 9)) for seed in range(20)] + [ImageRef.of(b"", name="empty")]
    told: list[tuple[int, int]] = []
    extract_features(encoder, refs, store, batch_size=4, progress=lambda *a: told.append(a))
    assert told[0] == (0, 21)
    assert told[-1] == (21, 21)
    assert told == sorted(told)
    assert len(told) > 3


# --- views


def test_views_are_averaged_unit_features(encoder, store):
    from handful.data import augmentation

    refs = [ImageRef.of(png(seed)) for seed in range(5)]
    found = extract_features(encoder, refs, store, views=4, seed=3, batch_size=6)
    for row, ref, seed in zip(found.features.values, refs, range(5), strict=True):
        seen = [augmentation.random_view(picture(seed), 3, v, key=ref.digest()) for v in range(4)]
        mean = np.mean([encoder.alone(view) for view in seen], axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)
    assert max(encoder.batches) <= 6


def test_views_and_their_seeds_have_their_own_space(encoder, store):
    refs = [ImageRef.of(png(seed)) for seed in range(3)]
    plain = extract_features(encoder, refs, store)
    assert extract_features(encoder, refs, store, seed=9).known == 3  # no views, no seed
    several = extract_features(encoder, refs, store, views=2, seed=0)
    other = extract_features(encoder, refs, store, views=2, seed=1)
    assert (several.known, other.known) == (0, 0)
    again = extract_features(encoder, refs[::-1], store, views=2, seed=0, batch_size=1)
    assert again.known == 3
    np.testing.assert_array_equal(again.features.values, several.features.values[::-1])
    for a, b in ((plain, several), (several, other)):
        assert not np.allclose(a.features.values, b.features.values, atol=1e-3)


# --- failures


@pytest.fixture
def mixed(tmp_path) -> list[ImageRef]:
    """Good pictures with everything bad between them."""
    good = refs_in(tmp_path / "photos", range(6))
    bad = {
        "cut.png": png(1)[:200],
        "text.jpg": b"I am no picture at all, whatever my name says." * 4,
        "nothing.png": b"",
        "text-again.jpg": b"I am no picture at all, whatever my name says." * 4,
    }
    refs = list(good)
    for position, (name, content) in enumerate(bad.items()):
        path = tmp_path / "photos" / name
        path.write_bytes(content)
        refs.insert(2 * position + 1, ImageRef.of(path))
    refs.append(ImageRef.of(tmp_path / "photos" / "missing.png"))
    refs.append(ImageRef.of(tmp_path / "photos"))  # a folder
    return refs


def test_bad_images_are_named_and_the_rest_goes_on(encoder, store, mixed):
    found = extract_features(encoder, mixed, store, batch_size=2)
    assert [f.index for f in found.failures] == [1, 3, 5, 7, 10, 11]
    assert found.kept == (0, 2, 4, 6, 8, 9)
    np.testing.assert_allclose(found.features.values, expected(encoder, range(6)), atol=1e-6)
    for failure in found.failures:
        assert failure.name == mixed[failure.index].name
        assert failure.reason.startswith(failure.name + ":")
    again = extract_features(encoder, mixed, store)
    assert (again.encoded, again.known) == (0, 6)
    assert again.failures == found.failures


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_file_is_a_failure_and_keeps_nobody_waiting(encoder, store, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes no disk
    causes = {
        "pipe.png": "is a pipe or device; expected an image file",
        "link.png": "does not exist (a link to nothing); check the path",
        "huge.png": "is larger than",
        "a\0b.png": "cannot contain a zero byte",
        "\ud800.png": "is no path this system can have",
    }
    refs = [ImageRef.of(tmp_path / name) for name in causes]
    found = []

    def ask() -> None:
        found.append(extract_features(encoder, [*refs, ImageRef.of(png(1))], store))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert found, "still waiting"
    assert found[0].kept == (len(refs),)
    for failure, cause in zip(found[0].failures, causes.values(), strict=True):
        assert cause in failure.reason


def test_nothing_but_bad_images(encoder, store):
    found = extract_features(encoder, [ImageRef.of(b"x", name="a"), ImageRef.of(b"", "b")], store)
    assert found.features.values.shape == (0, 16)
    assert (found.kept, len(found.failures), found.encoded) == ((), 2, 0)


class Refusing(Fake):
    """Gives NaN, or refuses the batch, where the picture is dark at the top left."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def images(self, batch):
        rows = super().images(batch)
        bad = np.array([b[0, 0, 0] < 0 for b in batch])
        if self.how == "raises" and bad.any():
            raise InputError("features contain NaN or infinity")
        rows[bad] = {"nan": np.nan, "zero": 0.0, "long": 7.0}.get(self.how, np.nan)
        return rows


@pytest.mark.parametrize("how", ["nan", "zero", "long", "raises"])
@pytest.mark.parametrize("views", [1, 3])
def test_a_feature_that_is_no_direction_is_a_failure_and_not_stored(store, how, views):
    encoder = Refusing(how)
    dark, light = Image.new("RGB", (9, 9), (0, 9, 9)), Image.new("RGB", (9, 9), (255, 9, 9))
    refs = [ImageRef.of(p, name=n) for p, n in ((light, "light"), (dark, "dark"))]
    refs.append(ImageRef.of(dark, name="dark too"))
    found = extract_features(encoder, refs, store, views=views)
    assert found.kept == (0,)
    assert [f.name for f in found.failures] == ["dark", "dark too"]
    assert all("no finite feature" in f.reason for f in found.failures)
    assert store.summary()[0].count == 1
    assert store.check().problems == ()


def test_a_file_that_changes_after_hashing_is_not_stored_under_the_old_digest(
    encoder, store, tmp_path
):
    refs = refs_in(tmp_path / "photos", range(3))
    assert refs[1].path is not None
    path = refs[1].path

    def meddle(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 2:  # everything is hashed, nothing decoded yet
            path.write_bytes(png(99))

    told: list[int] = []
    found = extract_features(encoder, refs, store, progress=meddle, batch_size=1)
    assert found.kept == (0, 2)
    assert "changed while it was being read" in found.failures[0].reason
    assert store.summary()[0].count == 2
    assert extract_features(encoder, refs, store).encoded == 1  # as it is now


def test_a_picture_no_encoder_can_prepare_is_a_failure(encoder, store, monkeypatch):
    def prepare(image):
        if image.width > 30:
            raise ValueError("image size too large")
        return Fake.prepare(encoder, image)

    monkeypatch.setattr(encoder, "prepare", prepare)
    refs = [ImageRef.of(picture(0)), ImageRef.of(picture(1, (40, 4)), name="long")]
    found = extract_features(encoder, refs, store)
    assert found.kept == (0,)
    assert "long: cannot be prepared" in found.failures[0].reason


def test_a_thread_of_a_picture_is_a_failure(encoder, store):
    sizes = [(600, 3), (601, 3), (1, 201)]
    refs = [ImageRef.of(picture(i, size), name=f"{i}") for i, size in enumerate(sizes)]
    found = extract_features(encoder, refs, store)
    assert found.kept == (0,)
    assert "1: has 601 x 3 pixels" in found.failures[0].reason


def test_a_programming_error_is_not_swallowed(encoder, store, monkeypatch):
    def broken(image):
        raise TypeError("a bug")

    monkeypatch.setattr(encoder, "prepare", broken)
    with pytest.raises(TypeError, match="a bug"):
        extract_features(encoder, [ImageRef.of(png(0))], store)
    assert not [t for t in threading.enumerate() if t.name.startswith("handful")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"images": []}, "no images given"),
        ({"views": 0}, "views"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": 0}, "workers"),
    ],
)
def test_arguments_that_make_no_sense(encoder, store, arguments, words):
    options = {"images": [ImageRef.of(png(0))], "store": store, **arguments}
    with pytest.raises(InputError, match=words):
        extract_features(encoder, **options)


def test_an_encoder_of_another_width_than_it_says(encoder, store):
    encoder.dim = 5
    with pytest.raises(InputError, match=r"expected features \[1, 5\], got \[1, 16\]"):
        extract_features(encoder, [ImageRef.of(png(0))], store)


# --- ended early


def test_what_was_finished_before_an_interrupt_is_known_afterwards(encoder, store):
    refs = [ImageRef.of(png(seed)) for seed in range(40)]

    def impatient(done: int, total: int) -> None:
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(encoder, refs, store, batch_size=4, progress=impatient)
    assert not [t for t in threading.enumerate() if t.name.startswith("handful")]
    found = extract_features(encoder, refs, store)
    assert (found.known, found.encoded) == (12, 28)
    np.testing.assert_allclose(found.features.values, expected(encoder, range(40)), atol=1e-6)


SLOW = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # deaf to it in the background
    sys.path.insert(0, sys.argv[1])
    from test_extraction import Fake, ImageRef, png
    from handful.features import extract_features
    from handful.features.store import FeatureStore

    class Slow(Fake):
        def images(self, batch):
            time.sleep(0.05)
            return super().images(batch)

    refs = [ImageRef.of(png(seed)) for seed in range(2000)]
    def tell(done, total):
        print(done, flush=True)
    try:
        extract_features(Slow(), refs, FeatureStore(sys.argv[2]), batch_size=4, progress=tell)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_run_that_is_ended_resumes(encoder, store, how):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW), str(HERE), str(store.path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = 0
    while told < 16:
        told = int(process.stdout.readline())
    os.kill(process.pid, getattr(signal, how))
    rest, _ = process.communicate(timeout=20)
    lines = rest.split()
    if how == "SIGINT":
        assert lines.pop() == "interrupted"
        assert process.returncode == 0
    told = max([told, *map(int, lines)])
    assert told < 2000
    assert store.check().problems == ()
    assert told <= store.summary()[0].count <= told + 4
    refs = [ImageRef.of(png(seed)) for seed in range(told)]
    found = extract_features(encoder, refs, store)
    assert (found.known, found.encoded) == (told, 0)


def test_a_full_disk_is_raised_and_the_batches_before_are_kept(encoder, store, monkeypatch):
    refs = [ImageRef.of(png(seed)) for seed in range(20)]
    put, calls = store.put, []

    def full(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise StorageError("the disk is full")
        put(*args, **options)

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(StorageError, match="full"):
        extract_features(encoder, refs, store, batch_size=4)
    assert not [t for t in threading.enumerate() if t.name.startswith("handful")]
    assert extract_features(encoder, refs, store).known == 8


def test_without_a_place_to_write_features_are_computed_all_the_same(
    encoder, store, monkeypatch, caplog
):
    monkeypatch.setattr(FeatureStore, "writable", property(lambda self: False))
    refs = [ImageRef.of(png(seed)) for seed in range(3)]
    found = extract_features(encoder, refs, store, batch_size=2)
    assert found.encoded == 3
    assert "cannot be written" in caplog.text
    assert store.summary() == ()


def test_look_ahead_is_bounded(encoder, store, monkeypatch):
    most, running = [0], [0]
    prepare, images = encoder.prepare, encoder.images

    def counting(image):
        running[0] += 1
        most[0] = max(most[0], running[0])
        return prepare(image)

    def slow(batch):
        time.sleep(0.02)
        running[0] -= len(batch)
        return images(batch)

    monkeypatch.setattr(encoder, "prepare", counting)
    monkeypatch.setattr(encoder, "images", slow)
    refs = [ImageRef.of(png(seed)) for seed in range(100)]
    extract_features(encoder, refs, store, batch_size=4, workers=4)
    assert 4 <= most[0] <= 3 * 4 + 4


# --- the real thing


def test_a_real_encoder_reads_real_photos(store, shared, tmp_path):
    """What comes out is what the encoder says of each photo alone."""
    import models

    tower = encoders.load(str(models.clip(tmp_path)))
    paths = sorted((shared / "clothing" / "train").rglob("*.jpg"))[:24]
    refs = [ImageRef.of(path) for path in paths]
    found = extract_features(tower, refs, store, batch_size=7)
    assert len(found.kept) == 24
    alone = [tower.images([tower.prepare(data.decode(ref))])[0] for ref in refs]
    np.testing.assert_allclose(found.features.values, np.stack(alone), atol=2e-5)
    assert extract_features(tower, refs, store).known == 24


def test_what_may_surprise_about_a_photo_is_gathered_or_logged(tmp_path, caplog):
    for number in range(3):
        deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60 + number
        Image.fromarray(deep).save(tmp_path / f"{number}.png")
    images = [ImageRef.of(path) for path in sorted(tmp_path.glob("*.png"))]
    told = f"3 photos, first {tmp_path / '0.png'}: uses 12 of 16 bits; taken as 12-bit"
    with data.reading() as notes:
        extract_features(encoders.load("tiny"), images, FeatureStore(tmp_path / "first"))
    assert notes.lines() == [told]
    assert caplog.messages == []
    extract_features(encoders.load("tiny"), images, FeatureStore(tmp_path / "second"))
    assert caplog.messages == [told]
    with data.reading(max_pixels=63):  # the threads that decode hold it too
        found = extract_features(encoders.load("tiny"), images, FeatureStore(tmp_path / "third"))
    assert len(found.failures) == 3
    assert "8 x 8 pixels, more than the 63 allowed" in found.failures[0].reason
