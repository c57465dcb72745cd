"""Activations on disk: what is written is there, and the longest unused makes room."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import handful.features.store
from handful.errors import InputError, StorageError
from handful.features.store import ActivationStore, FeatureStore, activation_space
from test_store import as_somebody, ids_of, python

KEY = activation_space("model:a weights:01", "float32", 10)
OTHER = activation_space("model:b weights:02", "bfloat16", 3)
SHAPE = (5, 12)
ROW = 4 * 5 * 12


def rows_of(*numbers: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.stack([np.random.default_rng(abs(n)).normal(size=shape) for n in numbers]).astype(
        "f4"
    )


@pytest.fixture
def store(tmp_path: Path):
    with ActivationStore(tmp_path / "cache") as opened:
        yield opened


def data_file(store: ActivationStore, number: int = 1) -> Path:
    return store.path / "activations" / f"{number}.f32"


def raw(store: ActivationStore) -> sqlite3.Connection:
    return sqlite3.connect(store.file, isolation_level=None)


# --- rows in, rows out


@pytest.mark.parametrize("shape", [(5, 12), (7, 2, 3), (4,)])
def test_rows_come_back_bit_for_bit_in_the_order_asked(store, shape):
    assert store.put(KEY, ids_of(1, 2, 3), rows_of(1, 2, 3, shape=shape))
    values, found = store.get(KEY, ids_of(3, 9, 1, 3))
    assert found.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(values, rows_of(3, 1, 3, shape=shape))
    assert store.shape(KEY) == shape
    assert store.shape(OTHER) is None


def test_reading_into_places_that_are_there(store):
    store.put(KEY, ids_of(1, 2), rows_of(1, 2))
    into = np.zeros((3, 2, *SHAPE), np.float32)
    found = store.read(KEY, ids_of(2, 5, 1), into[:, 1])
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(into[[0, 2], 1], rows_of(2, 1))
    assert not into[:, 0].any()
    assert not store.read(KEY, ids_of(1), np.zeros((1, 3, 3), np.float32)).any()  # another shape


def test_more_rows_than_one_question_holds(store):
    numbers = list(range(1300))
    store.put(KEY, ids_of(*numbers), rows_of(*numbers))
    values, found = store.get(KEY, ids_of(*reversed(numbers)))
    assert found.all()
    np.testing.assert_array_equal(values, rows_of(*reversed(numbers)))


def test_every_part_of_a_space_counts():
    base = activation_space("f", "float32", 10)
    assert base == "f precision:float32 tower:vision block:10"
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


@pytest.mark.parametrize(
    ("ids", "values", "words"),
    [
        (["x" * 64], rows_of(1), "64 hexadecimal digits"),
        (ids_of(1), rows_of(1, 2), r"expected activations \[1, ...\], got \[2, 5, 12\]"),
        (ids_of(1), rows_of(1) * np.float32(np.inf), "finite"),
        (ids_of(1), rows_of(1, shape=(5, 6)), r"\[5, 12\] in this space, got \[5, 6\]"),
    ],
)
def test_what_must_not_be_stored(store, ids, values, words):
    store.put(KEY, ids_of(0), rows_of(0))
    with pytest.raises(InputError, match=words):
        store.put(KEY, ids, values)
    assert store.summary()[0].count == 1


def test_nothing_is_made_before_it_is_needed(tmp_path):
    with ActivationStore(tmp_path / "later") as store:
        assert store.summary() == ()
        assert store.check().problems == ()
        with pytest.raises(InputError, match="holds no activation store"):
            store.prune(KEY)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="max_bytes"):
        ActivationStore(tmp_path, max_bytes=-1)


# --- killed, crowded, full, read-only, damaged

WRITER = """
    import sys
    from test_activation_store import KEY, ids_of, rows_of
    from handful.features.store import ActivationStore
    store = ActivationStore(sys.argv[1])
    for at in range(int(sys.argv[2]), int(sys.argv[3]), 16):
        numbers = range(at, at + 16)
        store.put(KEY, ids_of(*numbers), rows_of(*numbers))
        print(at + 16, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("after", [0.0, 0.07])
def test_a_killed_writer_loses_at_most_the_running_batch(store, after):
    process = python(WRITER, store.path, 0, 10**6, wait=False)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    process.kill()
    told = [16, *(int(line) for line in process.stdout.read().split())][-1]
    process.wait()
    values, found = store.get(KEY, ids_of(*range(told)))
    assert found.all()
    np.testing.assert_array_equal(values, rows_of(*range(told)))
    count = store.summary()[0].count
    assert told <= count <= told + 16
    assert count % 16 == 0
    assert store.check().problems == ()
    store.put(KEY, ids_of(-1), rows_of(-1))
    assert store.get(KEY, ids_of(-1, 0))[1].all()


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
    assert [room.space for room in store.summary()] == [KEY]
    assert data_file(store, 2).exists()  # nobody's
    store.put(KEY, ids_of(4), rows_of(4))
    np.testing.assert_array_equal(store.get(KEY, ids_of(1, 4))[0], rows_of(1, 4))
    store.prune(max_bytes=10**9)
    assert not data_file(store, 2).exists()
    assert store.check().problems == ()


def test_two_processes_write_at_once(store):
    writers = [
        python(WRITER, store.path, start, stop, wait=False)
        for start, stop in ((0, 320), (160, 480))
    ]
    for process in writers:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    values, found = store.get(KEY, ids_of(*range(480)))
    assert found.all()
    np.testing.assert_array_equal(values, rows_of(*range(480)))
    assert data_file(store).stat().st_size == 480 * ROW


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_its_own(store):
    store.put(KEY, ids_of(1), rows_of(1))
    child = os.fork()
    if not child:
        ok = store.get(KEY, ids_of(1))[1].all()
        store.put(KEY, ids_of(2), rows_of(2))
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get(KEY, ids_of(1, 2))[1].all()


FULL = """
    import resource, sys
    from test_activation_store import KEY, OTHER, ids_of, rows_of
    from handful.errors import StorageError
    from handful.features.store import ActivationStore
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


@pytest.fixture
def read_only(tmp_path_factory):
    if not hasattr(os, "seteuid"):
        pytest.skip("this system has no seteuid")
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="handful-ro-"))
    with ActivationStore(folder) as store:
        store.put(KEY, ids_of(1), rows_of(1))
    parts = [folder / "activations" / "1.f32", folder / "activations", store.file, folder]
    for part in parts:
        part.chmod(0o555 if part.is_dir() else 0o444)
    yield folder
    for part in reversed(parts):
        part.chmod(0o755)
    for part in parts:
        part.rmdir() if part.is_dir() else part.unlink()


def test_a_read_only_folder_is_read_and_says_so_when_written(read_only):
    def work():
        with ActivationStore(read_only) as store:
            values, found = store.get(KEY, ids_of(1, 2))
            assert np.array_equal(values, rows_of(1))
            return store.writable, found.tolist(), store.check().problems

    assert as_somebody(work) == "(False, [True, False], ())"
    told = as_somebody(lambda: ActivationStore(read_only).put(KEY, ids_of(2), rows_of(2)))
    assert told.startswith("StorageError")
    assert "activation store cannot be written here" in told


def test_features_are_no_activations(tmp_path):
    with FeatureStore(tmp_path) as features:
        features.put("space", ids_of(1), np.eye(4, dtype="f4")[:1])
    features.file.rename(tmp_path / "activations.sqlite3")
    with pytest.raises(StorageError, match="but not an activation store"):
        ActivationStore(tmp_path).summary()


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


def test_a_damaged_index_is_reported_and_replaced(store):
    store.put(KEY, ids_of(*range(50)), rows_of(*range(50)))
    store.close()
    content = store.file.read_bytes()
    store.file.write_bytes(b"\x07" * 4096 + content[4096:])
    assert "handful store prune --damaged" in " ".join(store.check().problems)
    with pytest.raises(StorageError, match=r"damaged|not an"):
        store.get(KEY, ids_of(1))
    store.prune(damaged=True)
    assert store.check().problems == ()
    assert not data_file(store).exists()
    store.put(KEY, ids_of(1), rows_of(1))
    assert store.get(KEY, ids_of(1))[1].all()


# --- how much is kept


def used_before(store: ActivationStore, key: str, seconds: float) -> None:
    raw(store).execute("UPDATE spaces SET used = used - ? WHERE space = ?", [seconds, key])


def test_the_longest_unused_make_room_for_what_is_new(tmp_path):
    keys = [activation_space("f", "float32", block) for block in range(4)]
    with ActivationStore(tmp_path, max_bytes=3 * 10 * ROW) as store:
        for age, key in enumerate(keys[:3]):
            assert store.put(key, ids_of(*range(10)), rows_of(*range(10)))
            used_before(store, key, 1000 - 100 * age)
        store.get(keys[0], ids_of(1))  # in use again
        assert store.put(keys[3], ids_of(*range(10)), rows_of(*range(10)))
        assert {room.space for room in store.summary()} == {keys[0], keys[2], keys[3]}
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
        assert [(room.space, room.count) for room in store.summary()] == [(OTHER, 20)]


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
    (room,) = store.summary()
    assert (room.encoder, room.shape, room.count, room.bytes) == ("tiny", SHAPE, 2, 2 * ROW)
    told = [room.part(name) for name in ("precision", "tower", "block", "augmentation", "view")]
    assert told == ["bfloat16", "vision", "10", "crop", "2"]
    assert abs(room.used - time.time()) < 60
    assert store.size > 2 * ROW


@pytest.mark.parametrize("wanted", [KEY, "tiny", "block:10"])
def test_prune_one_space_by_any_of_its_names(store, wanted):
    store.put(KEY, ids_of(*range(100)), rows_of(*range(100)), encoder="tiny")
    store.put(OTHER, ids_of(1), rows_of(1))
    pruned = store.prune(wanted)
    assert pruned.rows == 100
    assert pruned.bytes >= 100 * ROW
    assert [room.space for room in store.summary()] == [OTHER]
    with pytest.raises(InputError, match="called 'huge'"):
        store.prune("huge")
    with pytest.raises(InputError, match="say what to prune"):
        store.prune()


def test_prune_what_nobody_used_and_to_a_size(store):
    for key in (KEY, OTHER):
        store.put(key, ids_of(*range(10)), rows_of(*range(10)))
        used_before(store, key, 40 * 86400)
    store.get(OTHER, ids_of(1))
    assert store.prune(unused_days=30).rows == 10
    assert [room.space for room in store.summary()] == [OTHER]
    assert store.prune(max_bytes=10 * ROW).rows == 0
    assert store.prune(max_bytes=10 * ROW - 1).rows == 10


# --- beside the features


@pytest.fixture
def both(tmp_path) -> Path:
    """A folder with features of one encoder and activations of two."""
    with FeatureStore(tmp_path) as features, ActivationStore(tmp_path) as activations:
        rows = np.eye(8, dtype="f4")
        features.put("model:a weights:01 precision:float32", ids_of(*range(8)), rows, encoder="a")
        activations.put(KEY, ids_of(*range(10)), rows_of(*range(10)), encoder="a")
        activations.put(OTHER, ids_of(1), rows_of(1), encoder="b")
    return tmp_path


def left(folder: Path) -> tuple[int, int]:
    with FeatureStore(folder) as features, ActivationStore(folder) as activations:
        spaces, rooms = features.summary(), activations.summary()
    return sum(s.count for s in spaces), sum(r.count for r in rooms)


@pytest.mark.parametrize(
    ("asked", "after"),
    [
        ({"wanted": "a"}, (0, 1)),
        ({"wanted": "b"}, (8, 10)),
        ({"wanted": "a", "activations": True}, (8, 1)),
        ({"activations": True}, (8, 0)),
        ({"max_bytes": 0}, (0, 0)),
        ({"unused_days": 1}, (8, 11)),
        ({"unused_days": 0}, (0, 0)),
        ({"damaged": True}, (8, 11)),
    ],
)
def test_one_prune_for_both(both, asked, after):
    size = FeatureStore(both).size + ActivationStore(both).size
    done = handful.features.store.prune(both, **asked)
    assert left(both) == after
    assert done.rows == 19 - sum(after)
    assert done.bytes == size - FeatureStore(both).size - ActivationStore(both).size
    assert handful.features.store.check(both).rows == sum(after)


def test_activations_go_before_features(both):
    with ActivationStore(both) as activations:
        activations.put("large", ids_of(*range(10)), rows_of(*range(10), shape=(50, 768)))
    size = FeatureStore(both).size
    handful.features.store.prune(both, max_bytes=size + 2_000_000)
    assert left(both) == (8, 21)
    handful.features.store.prune(both, max_bytes=size + 1_000_000)
    assert left(both) == (8, 0)


def test_one_prune_explains_what_cannot_be(both, tmp_path):
    with pytest.raises(InputError, match="nothing called 'huge'; known: a, b"):
        handful.features.store.prune(both, "huge")
    with pytest.raises(InputError, match="say what to prune"):
        handful.features.store.prune(both)
    with pytest.raises(InputError, match="holds no feature store"):
        handful.features.store.prune(both / "elsewhere", unused_days=1)
    with pytest.raises(InputError, match="holds no activation store"):
        handful.features.store.prune(both / "elsewhere", activations=True)


def test_the_command_line_shows_and_prunes_both(both, capsys):
    from test_cli import run

    code, out, _ = run(capsys, "store", "look", "--path", both)
    assert code == 0
    assert "5 x 12" in out
    assert "as it is" in out
    _, out, _ = run(capsys, "store", "look", "--path", both, "--json")
    kept = json.loads(out)["activations"]
    assert {space["encoder"] for space in kept["spaces"]} == {"a", "b"}
    assert kept["bytes"] > 11 * ROW
    code, out, _ = run(capsys, "store", "check", "--path", both)
    assert (code, out) == (0, "19 rows, healthy\n")
    code, out, _ = run(capsys, "store", "prune", "--activations", "--path", both)
    assert code == 0
    assert "removed 11 rows" in out
    os.truncate(both / "features.sqlite3", 1000)
    code, out, _ = run(capsys, "store", "check", "--path", both)
    assert code == 1
