"""Both stores: what is written is there, whatever happens to the writer; and housekeeping."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import handful.features.store
from handful.errors import InputError, StorageError
from handful.features.store import ActivationStore, FeatureStore, Health, default_folder, sqlite
from stores import (
    ACTIVATIONS,
    FEATURES,
    KINDS,
    Kind,
    Store,
    activations_of,
    as_somebody,
    features_of,
    ids_of,
    python,
    raw,
    used_before,
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def store(kind: Kind, tmp_path: Path):
    with kind.make(tmp_path / "cache") as opened:
        yield opened


def put(store: Store, kind: Kind, *numbers: int, key: str = "", **options: object) -> None:
    store.put(key or kind.key, ids_of(*numbers), kind.rows_of(*numbers), **options)


# --- rows in, rows out


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(FEATURES, (8,)), (ACTIVATIONS, (5, 12)), (ACTIVATIONS, (7, 2, 3)), (ACTIVATIONS, (4,))],
)
def test_rows_come_back_bit_for_bit_in_the_order_asked(store, kind, shape):
    store.put(kind.key, ids_of(1, 2, 3), kind.rows_of(1, 2, 3, shape=shape))
    values, found = store.get(kind.key, ids_of(3, 9, 1, 3))
    assert found.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(values, kind.rows_of(3, 1, 3, shape=shape))
    assert values.dtype == np.float32
    assert store.shape(kind.key) == shape
    assert store.shape(kind.other) is None


def test_reading_into_places_that_are_there(store, kind):
    put(store, kind, 1, 2)
    into = np.zeros((3, 2, *kind.rows_of(1).shape[1:]), np.float32)
    found = store.read(kind.key, ids_of(2, 5, 1), into[:, 1])
    assert found.tolist() == [True, False, True]
    np.testing.assert_array_equal(into[[0, 2], 1], kind.rows_of(2, 1))
    assert not into[:, 0].any()
    assert not store.read(kind.key, ids_of(1), np.zeros((1, 3, 3), "f4")).any()  # another shape


@pytest.mark.parametrize("count", [1300, 5000])
def test_more_rows_than_one_question_or_one_step_holds(store, kind, count):
    numbers = list(range(count))
    put(store, kind, *numbers)
    values, found = store.get(kind.key, ids_of(*reversed(numbers)))
    assert found.all()
    np.testing.assert_array_equal(values, kind.rows_of(*reversed(numbers)))


def test_spaces_do_not_mix(store, kind):
    put(store, kind, 1)
    bfloat = kind.key.replace("float32", "bfloat16")
    for other in (kind.other, bfloat, f"{kind.key} views:2 seed:0"):
        values, found = store.get(other, ids_of(1))
        assert not found.any()
        assert values.shape == (0, 0)


def test_nothing_asked_and_nothing_there(store, kind):
    values, found = store.get(kind.key, [])
    assert values.shape[0] == found.shape[0] == 0
    assert store.summary() == ()
    assert store.check().problems == ()


def test_a_row_is_replaced(store, kind):
    put(store, kind, 1, 2)
    store.put(kind.key, ids_of(1), kind.rows_of(7))
    np.testing.assert_array_equal(store.get(kind.key, ids_of(1, 2))[0], kind.rows_of(7, 2))
    assert store.summary()[0].count == 2
    store.put(kind.key, ids_of(1, 3), kind.rows_of(6, 3))
    np.testing.assert_array_equal(store.get(kind.key, ids_of(1, 2, 3))[0], kind.rows_of(6, 2, 3))
    assert store.summary()[0].bytes == 3 * kind.row_bytes


def test_another_process_sees_it_after_closing(store, kind):
    put(store, kind, 1)
    store.close()
    np.testing.assert_array_equal(store.get(kind.key, ids_of(1))[0], kind.rows_of(1))


@pytest.mark.parametrize(
    ("kind", "ids", "values", "words"),
    [
        (FEATURES, ["x" * 64], features_of(1), "64 hexadecimal digits"),
        (FEATURES, ids_of(1), features_of(1, 2), r"expected features \[1, D\]"),
        (FEATURES, ids_of(1), features_of(1) * 3, "length one"),
        (FEATURES, ids_of(1), features_of(1) * np.float32(np.nan), "finite"),
        (FEATURES, ids_of(2), features_of(2, shape=(16,)), r"\[8\] in this space, got \[16\]"),
        (ACTIVATIONS, ["x" * 64], activations_of(1), "64 hexadecimal digits"),
        (
            ACTIVATIONS,
            ids_of(1),
            activations_of(1, 2),
            r"expected activations \[1, ...\], got \[2, 5, 12\]",
        ),
        (ACTIVATIONS, ids_of(1), activations_of(1) * np.float32(np.inf), "finite"),
        (
            ACTIVATIONS,
            ids_of(1),
            activations_of(1, shape=(5, 6)),
            r"\[5, 12\] in this space, got \[5, 6\]",
        ),
    ],
)
def test_what_must_not_be_stored(store, kind, ids, values, words):
    put(store, kind, 0)
    with pytest.raises(InputError, match=words):
        store.put(kind.key, ids, values)
    assert store.summary()[0].count == 1


# --- where it lies


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch, kind):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HANDFUL_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(StorageError, match="HANDFUL_HOME"):
        kind.make()


def test_the_folder_follows_the_environment(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("HANDFUL_HOME", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    assert kind.make().file == tmp_path / "mine" / kind.make.layout.file
    monkeypatch.delenv("HANDFUL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "handful"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder().is_absolute()


def test_nothing_is_made_before_it_is_needed(tmp_path, kind):
    kind.make(tmp_path / "later")
    assert not (tmp_path / "later").exists()


def test_looking_checking_and_pruning_make_nothing(tmp_path, kind):
    with kind.make(tmp_path / "typo") as store:
        assert store.summary() == ()
        assert store.check() == Health(0, ())
        for what in ({"wanted": "x"}, {"unused_days": 1}, {"max_bytes": 0}, {"damaged": True}):
            with pytest.raises(InputError, match=f"typo: holds no {kind.title}, so there is noth"):
                store.prune(**what)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="needs a folder"):
        kind.make(tmp_path / "file").summary()
    with pytest.raises(StorageError, match="needs a folder"):
        kind.make(tmp_path / "file").get(kind.key, ids_of(1))


# --- killed, crowded, full, read-only, damaged

WRITER = """
    import sys
    from stores import KINDS, ids_of
    kind = KINDS[sys.argv[1]]
    store = kind.make(sys.argv[2])
    for at in range(int(sys.argv[3]), int(sys.argv[4]), 16):
        numbers = range(at, at + 16)
        store.put(kind.key, ids_of(*numbers), kind.rows_of(*numbers))
        print(at + 16, flush=True)
"""


def writer(kind: Kind, store: Store, start: int, stop: int):
    name = next(name for name, each in KINDS.items() if each is kind)
    return python(WRITER, name, store.path, start, stop, wait=False)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("after", [0.0, 0.05, 0.11])
def test_a_killed_writer_loses_at_most_the_running_batch(store, kind, after):
    process = writer(kind, store, 0, 10**6)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    process.kill()
    told = [16, *(int(line) for line in process.stdout.read().split())][-1]
    process.wait()
    values, found = store.get(kind.key, ids_of(*range(told)))
    assert found.all()
    np.testing.assert_array_equal(values, kind.rows_of(*range(told)))
    count = store.summary()[0].count
    assert told <= count <= told + 16
    assert count % 16 == 0
    assert store.check().problems == ()
    put(store, kind, -1)
    assert store.get(kind.key, ids_of(-1, 0))[1].all()


def test_two_processes_write_at_once(store, kind):
    writers = [writer(kind, store, start, stop) for start, stop in ((0, 320), (160, 480))]
    for process in writers:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    values, found = store.get(kind.key, ids_of(*range(480)))
    assert found.all()
    np.testing.assert_array_equal(values, kind.rows_of(*range(480)))
    (space,) = store.summary()
    assert (space.count, space.bytes) == (480, 480 * kind.row_bytes)
    assert all(file.stat().st_size == space.bytes for file in store._data_files())


def test_threads_share_one_store(store, kind):
    def work(start: int) -> None:
        for n in range(start, start + 20):
            put(store, kind, n)
            assert store.get(kind.key, ids_of(n))[1].all()

    threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.summary()[0].count == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_opens_its_own(store, kind):
    put(store, kind, 1)
    child = os.fork()
    if not child:
        ok = store.get(kind.key, ids_of(1))[1].all()
        put(store, kind, 2)
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get(kind.key, ids_of(1, 2))[1].all()


def test_ctrl_c_within_a_batch_leaves_nothing_of_it(store, kind):
    put(store, kind, 1)

    with store._database.session("writing") as (db, _):

        def interrupted():
            with sqlite.transaction(db):
                db.execute("DELETE FROM rows")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert store.get(kind.key, ids_of(1))[1].all()
    put(store, kind, 2)


def test_a_full_database_is_a_full_disk_too(store, kind):
    put(store, kind, 1)
    with store._database.session("writing") as (db, _):
        db.execute("PRAGMA max_page_count=1")
    with pytest.raises(StorageError, match="full"):
        put(store, kind, *range(10, 10_000))
    assert store.get(kind.key, ids_of(1, 10))[1].tolist() == [True, False]


@pytest.fixture
def read_only(kind):
    """A store in a folder that this user may not write; for root, as a user without rights."""
    if not hasattr(os, "seteuid"):
        pytest.skip("this system has no seteuid")
    folder = Path(tempfile.mkdtemp(prefix="handful-ro-"))  # not below pytest's private folder
    with kind.make(folder) as store:
        put(store, kind, 1)
    parts = [folder, *folder.rglob("*")]
    for part in reversed(parts):
        part.chmod(0o555 if part.is_dir() else 0o444)
    yield folder
    for part in parts:
        part.chmod(0o755)
    for part in reversed(parts):
        part.rmdir() if part.is_dir() else part.unlink()


def test_a_read_only_folder_is_read(read_only, kind):
    def work():
        store = kind.make(read_only)
        values, found = store.get(kind.key, ids_of(1, 2))
        assert np.array_equal(values, kind.rows_of(1))
        return store.writable, found.tolist(), len(store.check().problems), store.summary()[0].count

    assert as_somebody(work) == "(False, [True, False], 0, 1)"


def test_a_read_only_folder_says_so_when_written(read_only, kind):
    store = kind.make(read_only)
    told = as_somebody(lambda: put(store, kind, 2))
    assert told.startswith("StorageError")
    assert f"{kind.title} cannot be written here" in told
    assert "permissions" in told
    assert "permissions" in as_somebody(lambda: store.prune(kind.key))


def test_no_store_and_no_place_for_one_is_an_empty_store(read_only, kind):
    def work():
        store = kind.make(read_only / "below")
        return store.get(kind.key, ids_of(1))[1].tolist(), store.writable, store.summary()

    assert as_somebody(work) == "([False], False, ())"


def test_a_newer_format_is_refused(store, kind):
    put(store, kind, 1)
    raw(store).execute("PRAGMA user_version=7")
    store.close()
    with pytest.raises(StorageError, match=r"newer Handful \(format 7, this one reads 1"):
        store.get(kind.key, ids_of(1))


def test_a_foreign_database_is_refused_and_kept(tmp_path, kind):
    file = tmp_path / kind.make.layout.file
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE diary (day TEXT)")
    db.commit()
    with pytest.raises(StorageError, match=f"not an? {kind.title}"):
        kind.make(tmp_path).summary()
    with pytest.raises(StorageError, match=f"not an? {kind.title}"):
        kind.make(tmp_path).prune(damaged=True)
    assert file.exists()


@pytest.mark.parametrize("reached", ["VACUUM", "PRAGMA auto_vacuum=INCREMENTAL"])
def test_a_process_killed_while_it_made_the_store_leaves_no_ruin(tmp_path, kind, reached):
    """The head of the file is written before its tables."""
    with sqlite3.connect(tmp_path / kind.make.layout.file, isolation_level=None) as db:
        db.execute("PRAGMA page_size=4096")
        db.execute(reached)
    db.close()
    with kind.make(tmp_path) as store:
        put(store, kind, 1)
        assert store.check() == Health(1, ())


def test_one_store_is_not_the_other(tmp_path):
    with FeatureStore(tmp_path) as features:
        put(features, FEATURES, 1)
    features.file.rename(tmp_path / "activations.sqlite3")
    with pytest.raises(StorageError, match="but not an activation store"):
        ActivationStore(tmp_path).summary()


@pytest.mark.parametrize("damage", ["garbage", "cut", "scribbled"])
def test_a_damaged_file_is_reported_with_the_cure(store, kind, damage):
    put(store, kind, *range(4000))
    store.close()
    content = bytearray(store.file.read_bytes())
    assert len(content) > 6 * 32_768
    if damage == "garbage":
        content[:4096] = b"\x07" * 4096
    elif damage == "cut":
        content = content[: len(content) // 3]
    else:
        content[32_768 : 2 * 32_768] = os.urandom(32_768)
        content[3 * 32_768 : 6 * 32_768] = os.urandom(3 * 32_768)
    store.file.write_bytes(content)
    health = store.check()
    assert health.problems
    assert "handful store prune --damaged" in " ".join(health.problems)
    with pytest.raises(StorageError, match="handful store check"):
        store.get(kind.key, ids_of(*range(4000)))
    assert store.prune(damaged=True).replaced
    assert store.check().problems == ()
    assert not store._data_files()
    put(store, kind, 1)
    assert store.get(kind.key, ids_of(1))[1].all()


def test_a_locked_store_is_explained(store, kind, monkeypatch):
    monkeypatch.setattr("handful.features.store.database.WAIT", 0.05)
    put(store, kind, 1)
    store.close()
    other = raw(store)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="another process has held the store"):
        put(store, kind, 2)
    other.execute("ROLLBACK")
    put(store, kind, 2)


# --- look and prune


def test_free_pages_are_given_back_in_one_call(store, kind):
    put(store, kind, *range(9000))
    with store._database.session("writing") as (db, _):
        db.execute("DELETE FROM rows")
        free = sqlite.pragma(db, "freelist_count")
        assert free > 10
        sqlite.free_pages(db, 7)
        assert sqlite.pragma(db, "freelist_count") == free - 7
        sqlite.shrink(db)
        assert sqlite.pragma(db, "freelist_count") == 0


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(kind, name) for kind in KINDS.values() for name in (kind.key, "tiny", "weights:01")]
    + [(ACTIVATIONS, "block:10")],
)
def test_prune_one_space_by_any_of_its_names(store, kind, wanted):
    put(store, kind, *range(9000), encoder="tiny")
    put(store, kind, 1, key=kind.other)
    before = store.size
    pruned = store.prune(wanted)
    assert (pruned.rows, pruned.replaced) == (9000, False)
    assert pruned.bytes == before - store.size >= 9000 * kind.row_bytes
    assert [s.space for s in store.summary()] == [kind.other]
    assert store.check().problems == ()


def test_prune_what_nobody_used(store, kind):
    put(store, kind, 1)
    put(store, kind, 1, key=kind.other)
    for key in (kind.key, kind.other):
        used_before(store, key, 40 * 86400)
    store.get(kind.other, ids_of(1))  # using it counts
    assert store.prune(unused_days=30).rows == 1
    assert [s.space for s in store.summary()] == [kind.other]


def test_prune_wants_to_be_told_what(store, kind):
    with pytest.raises(InputError, match="say what to prune"):
        store.prune()
    put(store, kind, 1, encoder="tiny")
    with pytest.raises(InputError, match="nothing called 'huge'; known: tiny"):
        store.prune("huge")
    with pytest.raises(InputError, match="say what to prune"):
        store.prune()


def test_pruning_a_named_space_that_is_damaged_counts_each_row_once(store, kind):
    put(store, kind, 1, 2, encoder="tiny")
    put(store, kind, 1, key=kind.other)
    column = "value = x'00'" if kind is FEATURES else "checksum = checksum + 1"
    raw(store).execute(f"UPDATE rows SET {column}")
    assert store.prune("tiny", damaged=True).rows == 3
    assert store.check() == Health(0, ())
    assert store.summary() == ()


# --- both in one folder


@pytest.fixture
def both(tmp_path) -> Path:
    """A folder with features of one encoder and activations of two."""
    with FeatureStore(tmp_path) as features, ActivationStore(tmp_path) as activations:
        rows = np.eye(8, dtype="f4")
        features.put(FEATURES.key, ids_of(*range(8)), rows, encoder="a")
        put(activations, ACTIVATIONS, *range(10), encoder="a")
        put(activations, ACTIVATIONS, 1, key=ACTIVATIONS.other, encoder="b")
    return tmp_path


def left(folder: Path) -> tuple[int, int]:
    with FeatureStore(folder) as features, ActivationStore(folder) as activations:
        kept = features.summary(), activations.summary()
    return sum(s.count for s in kept[0]), sum(s.count for s in kept[1])


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
        activations.put("large", ids_of(*range(10)), activations_of(*range(10), shape=(50, 768)))
    size = FeatureStore(both).size
    handful.features.store.prune(both, max_bytes=size + 2_000_000)
    assert left(both) == (8, 21)
    handful.features.store.prune(both, max_bytes=size + 1_000_000)
    assert left(both) == (8, 0)


def test_one_prune_explains_what_cannot_be(both):
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
    shown = json.loads(out)
    names = "space encoder precision views dim count bytes used"
    assert list(shown["spaces"][0]) == names.split()
    kept = shown["activations"]
    assert {space["encoder"] for space in kept["spaces"]} == {"a", "b"}
    names = "space encoder shape count filled used number bytes"
    assert list(kept["spaces"][0]) == names.split()
    assert kept["bytes"] > 11 * ACTIVATIONS.row_bytes
    code, out, _ = run(capsys, "store", "check", "--path", both)
    assert (code, out) == (0, "19 rows, healthy\n")
    code, out, _ = run(capsys, "store", "prune", "--activations", "--path", both)
    assert code == 0
    assert "removed 11 rows" in out
    os.truncate(both / "features.sqlite3", 1000)
    code, out, _ = run(capsys, "store", "check", "--path", both)
    assert code == 1
