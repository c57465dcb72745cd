"""From pictures to activations: once a picture and view, and never twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.contracts import ImageRef
from handful.data import augmentation
from handful.errors import InputError
from handful.features import Activations, extract_activations
from handful.features.store import ActivationStore
from test_extraction import Fake, mixed, picture, png, refs_in  # noqa: F401  # mixed is a fixture


@pytest.fixture
def store(tmp_path: Path):
    with ActivationStore(tmp_path / "cache") as opened:
        yield opened


class Tower(Fake):
    """A fake whose activations are a picture's 8 by 8 pixels, mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def compute(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(len(batch))
        return np.stack([b.reshape(8, 24) @ self.mixing[:24] for b in batch])

    def extract(self, refs, store, **options) -> Activations:
        return extract_activations(self, refs, self.compute, store=store, block=2, **options)

    def row(self, image: Image.Image) -> np.ndarray:
        return Tower.compute(Tower(), [Fake.prepare(Fake(), image)])[0]


@pytest.fixture
def tower() -> Tower:
    return Tower()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("workers", [1, 5])
def test_values_are_in_the_order_of_the_images(tower, store, tmp_path, batch_size, workers):
    refs = refs_in(tmp_path / "photos", range(10))
    found = tower.extract(refs, store, batch_size=batch_size, workers=workers)
    assert found.values.shape == (10, 1, 8, 16)
    assert found.values.dtype == np.float32
    expected = np.stack([tower.row(picture(seed)) for seed in range(10)])
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-6)
    assert found.ids == tuple(ref.digest() for ref in refs)
    assert (found.kept, found.failures) == (tuple(range(10)), ())
    assert (found.encoded, found.known) == (10, 0)
    assert max(tower.batches) == min(batch_size, 10)


def test_views_are_the_picture_itself_and_what_augment_makes(tower, store):
    refs = [ImageRef.of(png(seed)) for seed in range(5)]
    found = tower.extract(refs, store, views=3, augmentation="crop", seed=4, batch_size=7)
    assert found.values.shape == (5, 3, 8, 16)
    for i, ref in enumerate(refs):
        seen = [
            picture(i),
            *(augmentation.random_view(picture(i), 4, v, key=ref.digest()) for v in (1, 2)),
        ]
        expected = np.stack([tower.row(image) for image in seen])
        np.testing.assert_allclose(found.values[i], expected, rtol=1e-6)
    assert max(tower.batches) <= 7


def test_a_second_run_computes_nothing_even_after_moving_the_files(tower, store, tmp_path):
    refs = refs_in(tmp_path / "a", range(7))
    first = tower.extract(refs, store, views=2, augmentation="crop")
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    moved = [ImageRef.of(p) for p in sorted((tmp_path / "elsewhere").iterdir())]
    store.close()
    tower.batches.clear()
    tower.prepared = 0
    second = tower.extract(moved[::-1], store, views=2, augmentation="crop")
    assert (second.encoded, second.known, tower.batches, tower.prepared) == (0, 7, [], 0)
    np.testing.assert_array_equal(first.values, second.values[::-1])


def test_more_views_only_compute_what_is_new(tower, store):
    refs = [ImageRef.of(png(seed)) for seed in range(4)]
    plain = tower.extract(refs, store)
    tower.prepared = 0
    two = tower.extract(refs, store, views=2, augmentation="crop")
    assert (two.encoded, two.known, tower.prepared) == (4, 0, 4)
    three = tower.extract(refs, store, views=3, augmentation="crop")
    assert tower.prepared == 8
    np.testing.assert_array_equal(plain.values[:, 0], two.values[:, 0])
    np.testing.assert_array_equal(two.values, three.values[:, :2])
    other = tower.extract(refs, store, views=2, augmentation="crop", seed=1)
    assert tower.prepared == 12
    assert not np.allclose(other.values[:, 1], two.values[:, 1])


def test_known_and_new_images_mix(tower, store):
    refs = [ImageRef.of(png(seed)) for seed in range(9)]
    tower.extract(refs[::3], store)
    found = tower.extract(refs, store, batch_size=4)
    assert (found.known, found.encoded) == (3, 6)
    expected = np.stack([tower.row(picture(seed)) for seed in range(9)])
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-6)


def test_equal_content_is_computed_once(tower, store, tmp_path):
    refs = [*refs_in(tmp_path / "a", [0, 1, 0]), ImageRef.of(png(1))]
    found = tower.extract(refs, store)
    assert (found.encoded, tower.prepared) == (2, 2)
    np.testing.assert_array_equal(found.values[[0, 1]], found.values[[2, 3]])
    assert found.ids[0] == found.ids[2] != found.ids[1]


def test_bad_images_are_named_and_the_rest_goes_on(tower, store, mixed):  # noqa: F811
    found = tower.extract(mixed, store, batch_size=2, views=2, augmentation="crop")
    assert [f.index for f in found.failures] == [1, 3, 5, 7, 10, 11]
    assert found.kept == (0, 2, 4, 6, 8, 9)
    expected = np.stack([tower.row(picture(seed)) for seed in range(6)])
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-6)
    for failure in found.failures:
        assert failure.reason.startswith(mixed[failure.index].name + ":")
    again = tower.extract(mixed, store, views=2, augmentation="crop")
    assert (again.encoded, again.known, again.failures) == (0, 6, found.failures)


def test_nothing_but_bad_images(tower, store):
    found = tower.extract([ImageRef.of(b"x", name="a")], store, views=2, augmentation="crop")
    assert found.values.shape[:2] == (0, 2)
    assert (found.kept, len(found.failures), found.encoded) == ((), 1, 0)


@pytest.mark.parametrize("how", ["nan", "raises"])
def test_activations_that_are_not_finite_are_a_failure_and_not_stored(store, how):
    class Refusing(Tower):
        def compute(self, batch):
            rows = super().compute(batch)
            bad = np.array([b[0, 0, 0] < 0 for b in batch])
            if how == "raises" and bad.any():
                raise InputError("NaN or infinity")
            rows[bad] = np.nan
            return rows

    dark, light = Image.new("RGB", (9, 9), (0, 9, 9)), Image.new("RGB", (9, 9), (255, 9, 9))
    refs = [ImageRef.of(light, "light"), ImageRef.of(dark, "dark"), ImageRef.of(dark, "dark too")]
    found = Refusing().extract(refs, store, views=2, augmentation="crop")
    assert found.kept == (0,)
    assert [f.name for f in found.failures] == ["dark", "dark too"]
    assert all("no finite activations" in f.reason for f in found.failures)
    assert [room.count for room in store.summary()] == [1, 1]


def test_tensors_of_any_precision_are_taken(store):
    import torch

    class Torch(Tower):
        def compute(self, batch):
            rows = torch.from_numpy(np.asarray(super().compute(batch)))
            return rows.bfloat16().requires_grad_()

    found = Torch().extract([ImageRef.of(png(0))], store)
    np.testing.assert_allclose(found.values[0, 0], Tower().row(picture(0)), rtol=1e-2, atol=0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"views": 0}, "views"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": 0}, "workers"),
        ({"augmentation": "turned"}, "got 'turned' with 1 views"),
        ({"views": 2}, "another than none for several views"),
    ],
)
def test_arguments_that_make_no_sense(tower, store, options, words):
    with pytest.raises(InputError, match=words):
        tower.extract([ImageRef.of(png(0))], store, **options)
    with pytest.raises(InputError, match="no images given"):
        tower.extract([], store)


def test_a_computation_of_a_changing_shape(tower, store):
    shapes = iter([(1, 8, 16), (1, 4, 16)])
    with pytest.raises(InputError, match=r"expected activations \[1, 8, 16\], got \[1, 4, 16\]"):
        extract_activations(
            tower,
            [ImageRef.of(png(seed)) for seed in range(2)],
            lambda batch: np.zeros(next(shapes)),
            block=0,
            store=store,
            batch_size=1,
        )


def test_what_does_not_fit_into_memory_is_refused_with_the_knobs(tower, store, monkeypatch):
    monkeypatch.setattr("handful.features.memory.available", lambda: 10_000)
    refs = [ImageRef.of(png(seed)) for seed in range(40)]
    with pytest.raises(InputError, match="40 images in 2 views") as caught:
        tower.extract(refs, store, views=2, augmentation="crop", batch_size=4)
    for knob in ("fewer views", "higher first block", "cache=False", "GB"):
        assert knob in str(caught.value)
    assert sum(tower.batches) <= 4  # one batch tells the shape
    assert tower.extract(refs[:10], store).encoded == 10


def test_memory_is_told_in_bytes():
    from handful.features import memory

    told = memory.available()
    assert told is None or 10**6 < told < 10**14
    assert memory.refusal(1) == ""


def test_without_room_everything_is_computed_all_the_same(tower, tmp_path, caplog):
    with ActivationStore(tmp_path, max_bytes=7 * 4 * 8 * 16) as store:
        refs = [ImageRef.of(png(seed)) for seed in range(9)]
        with caplog.at_level(logging.WARNING):
            first = tower.extract(refs, store, batch_size=3)
        assert "max_bytes" in caplog.text
        assert len(caplog.records) == 1
        second = tower.extract(refs, store, batch_size=3)
        assert (second.known, second.encoded) == (6, 3)
        np.testing.assert_array_equal(first.values, second.values)


def test_what_was_finished_before_an_interrupt_is_known_afterwards(tower, store):
    refs = [ImageRef.of(png(seed)) for seed in range(20)]

    def impatient(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tower.extract(refs, store, batch_size=4, progress=impatient)
    found = tower.extract(refs, store)
    assert (found.known, found.encoded) == (8, 12)


def test_progress_is_told_from_none_to_all(tower, store):
    refs = [ImageRef.of(png(seed % 9)) for seed in range(20)] + [ImageRef.of(b"", name="empty")]
    told: list[tuple[int, int]] = []
    tower.extract(refs, store, batch_size=4, progress=lambda *a: told.append(a))
    assert (told[0], told[-1]) == ((0, 21), (21, 21))
    assert told == sorted(told)


def test_without_a_place_to_write_activations_are_computed_all_the_same(store, monkeypatch, caplog):
    monkeypatch.setattr(ActivationStore, "writable", property(lambda self: False))
    refs = [ImageRef.of(png(seed)) for seed in range(3)]
    assert Tower().extract(refs, store, batch_size=2).encoded == 3
    assert "cannot be written" in caplog.text
    assert len(caplog.records) == 1
    assert store.summary() == ()
