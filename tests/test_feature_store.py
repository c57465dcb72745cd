"""The feature store: what is its own; test_store.py has what holds for both stores."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from handful.features.store import FeatureStore, Health, space
from stores import FEATURES, features_of, ids_of, python, raw, used_before

KEY, OTHER = FEATURES.key, FEATURES.other


@pytest.fixture
def store(tmp_path: Path):
    with FeatureStore(tmp_path / "cache") as opened:
        yield opened


def test_a_space_names_views_and_seed_only_when_there_are_several():
    assert space("f", "float32", 1, 5) == "f precision:float32 decoder:2"
    assert space("f", "float32", 4, 5) == "f precision:float32 decoder:2 views:4 seed:5"


FULL = """
    import resource, sys
    from stores import FEATURES, features_of, ids_of
    from handful.errors import StorageError
    from handful.features.store import FeatureStore
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    store = FeatureStore(sys.argv[1])
    for n in range(10_000):
        try:
            store.put(FEATURES.key, ids_of(n), features_of(n, shape=(512,)))
        except StorageError as error:
            print(error)
            break
    assert store.get(FEATURES.key, ids_of(*range(n)))[1].all(), "rows stored before are lost"
    assert not store.get(FEATURES.key, ids_of(n))[1].any()
    print(n)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_a_full_disk_is_explained_and_keeps_what_was_stored(store):
    process = python(FULL, store.path)
    output, error = process.communicate()
    assert process.returncode == 0, error
    message, count = output.strip().rsplit("\n", 1)
    assert str(store.file) in message
    assert "full" in message
    assert "handful store prune" in message
    assert int(count) > 20
    assert store.get(KEY, ids_of(*range(int(count))))[1].all()
    assert store.check().problems == ()
    store.put(KEY, ids_of(10**6), features_of(1, shape=(512,)))  # once there is room again


def test_broken_rows_count_as_unknown_are_found_and_removed(store):
    store.put(KEY, ids_of(1, 2, 3, 4), features_of(1, 2, 3, 4))
    scaled, nan = features_of(2) * 2, features_of(3) * np.float32(np.nan)
    for number, value in ((2, scaled), (3, nan), (4, features_of(4)[:, :5])):
        key = bytes.fromhex(ids_of(number)[0])
        raw(store).execute("UPDATE rows SET value = ? WHERE id = ?", [value.tobytes(), key])
    values, found = store.get(KEY, ids_of(1, 2, 3, 4))
    assert found.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(values, features_of(1))
    health = store.check()
    assert health.rows == 4
    assert len(health.problems) == 1
    assert "3 of 4 rows" in health.problems[0]
    assert store.prune(damaged=True).rows == 3
    assert store.check() == type(health)(1, ())


def test_rows_whose_space_is_lost_are_found_and_removed(store):
    store.put(KEY, ids_of(1, 2), features_of(1, 2))
    store.put(OTHER, ids_of(1), features_of(1))
    raw(store).execute("DELETE FROM spaces WHERE space = ?", [OTHER])
    health = store.check()
    assert health.rows == 3
    assert health.problems[0].startswith("rows of no space: 1 of 1 rows ")
    assert store.prune(damaged=True).rows == 1
    assert store.check() == Health(2, ())


def test_the_summary_tells_who_and_how_much(store):
    store.put(KEY, ids_of(1, 2), features_of(1, 2), encoder="tiny")
    views = space("model:b weights:02", "bfloat16", 10, 3)
    store.put(views, ids_of(1), features_of(1, shape=(16,)))
    one, two = sorted(store.summary(), key=lambda s: s.dim)
    assert (one.encoder, one.precision, one.views, one.dim, one.count, one.bytes) == (
        "tiny", "float32", 1, 8, 2, 64,
    )  # fmt: skip
    assert (two.encoder, two.precision, two.views, two.count) == ("", "bfloat16", 10, 1)
    assert abs(one.used - time.time()) < 60


def test_prune_to_a_size_takes_the_longest_unused_first(store):
    numbers = range(400)
    for key, age in ((KEY, 9), (OTHER, 1)):
        store.put(key, ids_of(*numbers), features_of(*numbers, shape=(512,)))
        used_before(store, key, age * 3600)
    store.prune(max_bytes=500_000)
    assert store.size <= 500_000
    assert [s.space for s in store.summary()] == [OTHER]
    assert 50 < store.summary()[0].count < 250
    assert store.get(OTHER, ids_of(399))[1].all()  # the youngest stay
    assert store.prune(max_bytes=10**9).rows == 0
