"""The activation store: what is its own; test_store.py has what holds for both stores."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from handful.errors import InputError
from handful.features.store import ActivationStore, activation_space
from stores import ACTIVATIONS, data_file, ids_of, python, raw, used_before
from stores import activations_of as rows_of

KEY, OTHER, ROW = ACTIVATIONS.key, ACTIVATIONS.other, ACTIVATIONS.row_bytes
SHAPE = (5, 12)


@pytest.fixture
def store(tmp_path: Path):
    with ActivationStore(tmp_path / "cache") as opened:
        yield opened


def test_every_part_of_a_space_counts():
    base = activation_space("f", "float32", 10)
    assert base == "f precision:float32 decoder:2 tower:vision block:10"
    keys = {
        base,
        activation_space("g", "float32", 10),
        activation_space("f", "bfloat16", 10),
        activation_space("f", "float32", 11),
        activation_space("f", "float32", 10, tower="text"),
        activation_space("f", "float32", 10, augmentation="crop", view=1),
        activation_space("f", "float32", 10, augmentation="semantic", view=1),
        activation_space("f", "float32", 10, augmentation="crop", view=2),
        activation_space("f", "float32", 10, augmentation="crop", view=1, seed=1),
    }
    assert len(keys) == 9
    assert activation_space("f", "float32", 10, augmentation="crop", seed=7) == base  # view 0


def test_a_row_is_written_over_in_its_place(store):
    store.put(KEY, ids_of(1, 2), rows_of(1, 2))
    store.put(KEY, ids_of(1, 3), rows_of(7, 3))
    np.testing.assert_array_equal(store.get(KEY, ids_of(1, 2, 3))[0], rows_of(7, 2, 3))
    assert data_file(store).stat().st_size == 3 * ROW


def test_a_batch_that_ends_in_the_middle_leaves_nothing_of_it(store, monkeypatch):
    """As after a kill between the rows and the index."""
    store.put(KEY, ids_of(1), rows_of(1))

    def killed(descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", killed)
        for key in (KEY, OTHER):
            with pytest.raises(KeyboardInterrupt):
                store.put(key, ids_of(2, 3), rows_of(2, 3))
    assert store.get(KEY, ids_of(1, 2, 3))[1].tolist() == [True, False, False]
    assert [space.space for space in store.summary()] == [KEY]
    assert data_file(store, 2).exists()  # nobody's
    store.put(KEY, ids_of(4), rows_of(4))
    np.testing.assert_array_equal(store.get(KEY, ids_of(1, 4))[0], rows_of(1, 4))
    store.prune(max_bytes=10**9)
    assert not data_file(store, 2).exists()
    assert store.check().problems == ()


def test_threads_share_one_store_while_spaces_are_dropped(store):
    wrong: list[int] = []

    def write(start: int) -> None:
        for n in range(start, start + 20):
            store.put(KEY, ids_of(n), rows_of(n))
            values, found = store.get(KEY, ids_of(n))
            if found.any() and not np.array_equal(values, rows_of(n)):
                wrong.append(n)

    def drop() -> None:
        for _ in range(10):
            store.prune(max_bytes=0)
            time.sleep(0.005)

    store.put(KEY, ids_of(-1), rows_of(-1))
    threads = [threading.Thread(target=write, args=(100 * t,)) for t in range(3)]
    threads.append(threading.Thread(target=drop))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.check().problems == ()


def test_a_budget_below_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="max_bytes"):
        ActivationStore(tmp_path, max_bytes=-1)


FULL = """
    import resource, sys
    from stores import ACTIVATIONS, ids_of
    from handful.errors import StorageError
    from handful.features.store import ActivationStore
    KEY, OTHER, rows_of = ACTIVATIONS.key, ACTIVATIONS.other, ACTIVATIONS.rows_of
    store = ActivationStore(sys.argv[1])
    store.put(OTHER, ids_of(0), rows_of(0, shape=(50, 768)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    for n in range(0, 1000, 2):
        try:
            store.put(KEY, ids_of(n, n + 1), rows_of(n, n + 1, shape=(50, 768)))
        except StorageError as error:
            print(error)
            break
    assert store.get(KEY, ids_of(*range(n)))[1].all(), "rows stored before are lost"
    assert not store.get(KEY, ids_of(n, n + 1))[1].any()
    assert store.check().problems == ()
    assert store.prune(max_bytes=0).rows == n + 1
    print(n)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_a_full_disk_is_explained_and_keeps_what_was_stored(store):
    output, error = python(FULL, store.path).communicate()
    assert not error
    message, count = output.strip().rsplit("\n", 1)
    assert "full" in message
    for knob in ("handful store prune --activations", "max_bytes", "views", "block"):
        assert knob in message
    assert int(count) == 6
    assert store.size < 200_000


def test_broken_rows_count_as_unknown_are_found_and_removed(store):
    numbers = range(6)
    store.put(KEY, ids_of(*numbers), rows_of(*numbers))
    file = data_file(store)
    content = bytearray(file.read_bytes())
    content[2 * ROW + 7] ^= 1  # one bit of row 2
    file.write_bytes(content[: 5 * ROW + 40])  # row 5 is cut short
    expected = [True, True, False, True, True, False]
    values, found = store.get(KEY, ids_of(*numbers))
    assert found.tolist() == expected
    np.testing.assert_array_equal(values, rows_of(0, 1, 3, 4))
    health = store.check()
    assert health.rows == 6
    assert "2 of 6 rows" in health.problems[0]
    assert "handful store prune --damaged" in health.problems[0]
    assert store.prune(damaged=True).rows == 2
    assert store.check() == type(health)(4, ())
    assert store.get(KEY, ids_of(*numbers))[1].tolist() == expected


@pytest.mark.parametrize("lost", ["missing", "short"])
def test_a_file_that_lost_rows_is_begun_again(store, lost):
    store.put(KEY, ids_of(1, 2), rows_of(1, 2))
    data_file(store).unlink() if lost == "missing" else os.truncate(data_file(store), 10)
    assert not store.get(KEY, ids_of(1, 2))[1].any()
    store.put(KEY, ids_of(3), rows_of(3))
    assert store.get(KEY, ids_of(1, 2, 3))[1].tolist() == [False, False, True]
    assert data_file(store).stat().st_size == ROW
    assert store.check().problems == ()


def test_a_row_swapped_for_another_is_unknown(store):
    """A checksum belongs to the row and its key."""
    store.put(KEY, ids_of(1, 2), rows_of(1, 2))
    raw(store).execute("UPDATE rows SET place = 1 - place, checksum = checksum")
    assert not store.get(KEY, ids_of(1, 2))[1].any()


# --- how much is kept


def test_the_longest_unused_make_room_for_what_is_new(tmp_path):
    keys = [activation_space("f", "float32", block) for block in range(4)]
    with ActivationStore(tmp_path, max_bytes=3 * 10 * ROW) as store:
        for age, key in enumerate(keys[:3]):
            assert store.put(key, ids_of(*range(10)), rows_of(*range(10)))
            used_before(store, key, 1000 - 100 * age)
        store.get(keys[0], ids_of(1))  # in use again
        assert store.put(keys[3], ids_of(*range(10)), rows_of(*range(10)))
        assert {space.space for space in store.summary()} == {keys[0], keys[2], keys[3]}
        assert store.check().problems == ()
        assert len(list((tmp_path / "activations").iterdir())) == 3


def test_a_space_does_not_make_room_for_itself_or_for_its_companions(tmp_path):
    with ActivationStore(tmp_path, max_bytes=25 * ROW) as store:
        assert store.put(KEY, ids_of(*range(10)), rows_of(*range(10)))
        assert store.put(OTHER, ids_of(*range(10)), rows_of(*range(10)), spare=[KEY])
        assert not store.put(OTHER, ids_of(*range(10, 20)), rows_of(*range(10)), spare=[KEY])
        assert store.get(KEY, ids_of(*range(10)))[1].all()
        assert store.put(OTHER, ids_of(*range(10, 20)), rows_of(*range(10)))
        assert not store.put(OTHER, ids_of(*range(20, 30)), rows_of(*range(10)))
        assert [(space.space, space.count) for space in store.summary()] == [(OTHER, 20)]


def test_without_a_budget_a_tenth_of_the_free_disk_is_taken(store, monkeypatch):
    import shutil

    usage = shutil.disk_usage(store.path.parent)

    def free(count):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=count))

    free(100 * 4 * 50 * 768)
    assert store.budget == 10 * 4 * 50 * 768
    numbers = range(12)
    rows = rows_of(*numbers, shape=(50, 768))
    assert not store.put(KEY, ids_of(*numbers), rows)
    assert store.put(KEY, ids_of(*numbers)[:8], rows[:8])
    free(10**15)
    assert store.budget == 10_000_000_000


def test_the_summary_tells_who_and_how_much(store):
    key = activation_space("model:b", "bfloat16", 10, augmentation="crop", view=2, seed=5)
    store.put(key, ids_of(1, 2), rows_of(1, 2), encoder="tiny")
    (space,) = store.summary()
    assert (space.encoder, space.shape, space.count, space.bytes) == ("tiny", SHAPE, 2, 2 * ROW)
    told = [space.part(name) for name in ("precision", "tower", "block", "augmentation", "view")]
    assert told == ["bfloat16", "vision", "10", "crop", "2"]
    assert abs(space.used - time.time()) < 60
    assert store.size > 2 * ROW


def test_prune_to_a_size_takes_whole_spaces(store):
    store.put(OTHER, ids_of(*range(10)), rows_of(*range(10)))
    assert store.prune(max_bytes=10 * ROW).rows == 0
    assert store.prune(max_bytes=10 * ROW - 1).rows == 10
