"""The feature store: what is written is there, whatever happens to the writer."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from handful.errors import HandfulError, InputError, StorageError
from handful.features.store import (
    FILE,
    FeatureStore,
    Health,
    database,
    default_folder,
    space,
)

KEY = space("model:a weights:01", "float32")
OTHER = space("model:b weights:02", "bfloat16")


def ids_of(*numbers: int) -> list[str]:
    return [hashlib.sha256(b"%d" % n).hexdigest() for n in numbers]


def rows_of(*numbers: int, dim: int = 8) -> np.ndarray:
    rows = np.stack([np.random.default_rng(n).normal(size=dim) for n in numbers])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path):
    with FeatureStore(tmp_path / "cache") as opened:
        yield opened


def raw(store: FeatureStore) -> sqlite3.Connection:
    return sqlite3.connect(store.file, isolation_level=None)


def python(code: str, *arguments: object, wait: bool = True) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    text = f"import sys; sys.path.insert(0, {here!r})\n" + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if wait:
        process.wait(60)
    return process


# --- rows in, rows out


def test_rows_come_back_bit_for_bit_in_the_order_asked(store):
    store.put(KEY, ids_of(1, 2, 3), rows_of(1, 2, 3))
    values, found = store.get(KEY, ids_of(3, 9, 1, 3))
    assert found.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(values, rows_of(3, 1, 3))
    assert values.dtype == np.float32


def test_more_rows_than_one_question_holds(store):
    numbers = list(range(1300))
    store.put(KEY, ids_of(*numbers), rows_of(*numbers))
    values, found = store.get(KEY, ids_of(*reversed(numbers)))
    assert found.all()
    np.testing.assert_array_equal(values, rows_of(*reversed(numbers)))


def test_spaces_do_not_mix(store):
    store.put(KEY, ids_of(1), rows_of(1))
    for other in (OTHER, space("model:a weights:01", "bfloat16"), f"{KEY} views:2 seed:0"):
        values, found = store.get(other, ids_of(1))
        assert not found.any()
        assert values.shape == (0, 0)


def test_a_space_names_views_and_seed_only_when_there_are_several():
    assert space("f", "float32", 1, 5) == "f precision:float32"
    assert space("f", "float32", 4, 5) == "f precision:float32 views:4 seed:5"


def test_nothing_asked_and_nothing_there(store):
    values, found = store.get(KEY, [])
    assert values.shape[0] == found.shape[0] == 0
    assert store.summary() == ()
    assert store.check().problems == ()


def test_a_row_is_replaced(store):
    store.put(KEY, ids_of(1, 2), rows_of(1, 2))
    store.put(KEY, ids_of(1), rows_of(7))
    np.testing.assert_array_equal(store.get(KEY, ids_of(1, 2))[0], rows_of(7, 2))
    assert store.summary()[0].count == 2


def test_another_process_sees_it_after_closing(store):
    store.put(KEY, ids_of(1), rows_of(1))
    store.close()
    np.testing.assert_array_equal(store.get(KEY, ids_of(1))[0], rows_of(1))


@pytest.mark.parametrize(
    ("ids", "values", "words"),
    [
        (["x" * 64], rows_of(1), "64 hexadecimal digits"),
        (ids_of(1), rows_of(1, 2), r"expected features \[1, D\]"),
        (ids_of(1), rows_of(1) * 3, "length one"),
        (ids_of(1), rows_of(1) * np.float32(np.nan), "finite"),
        (ids_of(2), rows_of(2, dim=16), r"\[8\] in this space, got \[16\]"),
    ],
)
def test_what_must_not_be_stored(store, ids, values, words):
    store.put(KEY, ids_of(0), rows_of(0))
    with pytest.raises(InputError, match=words):
        store.put(KEY, ids, values)
    assert store.summary()[0].count == 1


# --- where it lies


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HANDFUL_HOME", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    assert FeatureStore().file == tmp_path / "mine" / FILE
    monkeypatch.delenv("HANDFUL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "handful"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder().is_absolute()


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HANDFUL_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(StorageError, match="HANDFUL_HOME"):
        FeatureStore()


def test_looking_makes_no_file_until_it_is_needed(tmp_path):
    FeatureStore(tmp_path / "later")
    assert not (tmp_path / "later").exists()


def test_looking_checking_and_pruning_make_nothing(tmp_path):
    with FeatureStore(tmp_path / "typo") as store:
        assert store.summary() == ()
        assert store.check() == Health(0, ())
        for what in ({"wanted": "x"}, {"unused_days": 1}, {"max_bytes": 0}, {"damaged": True}):
            with pytest.raises(InputError, match="typo: holds no feature store, so there is noth"):
                store.prune(**what)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="needs a folder"):
        FeatureStore(tmp_path / "file").summary()


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageError, match="needs a folder"):
        FeatureStore(tmp_path / "x").get(KEY, ids_of(1))


# --- killed, crowded, full, read-only, damaged

WRITER = """
    import sys, numpy as np
    from test_store import KEY, ids_of, rows_of
    from handful.features.store import FeatureStore
    store = FeatureStore(sys.argv[1])
    start, stop = int(sys.argv[2]), int(sys.argv[3])
    for at in range(start, stop, 16):
        numbers = range(at, at + 16)
        store.put(KEY, ids_of(*numbers), rows_of(*numbers))
        print(at + 16, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("after", [0.0, 0.05, 0.11])
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
    store.put(KEY, ids_of(-1), rows_of(1))


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
    assert store.summary()[0].count == 480


def test_threads_share_one_store(store):
    def work(start: int) -> None:
        for n in range(start, start + 20):
            store.put(KEY, ids_of(n), rows_of(n))
            assert store.get(KEY, ids_of(n))[1].all()

    threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.summary()[0].count == 80


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


def test_ctrl_c_within_a_batch_leaves_nothing_of_it(store):
    store.put(KEY, ids_of(1), rows_of(1))

    with store._database.session("writing") as (db, _):

        def interrupted():
            with database.transaction(db):
                db.execute("DELETE FROM rows")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert store.get(KEY, ids_of(1))[1].all()
    store.put(KEY, ids_of(2), rows_of(2))


FULL = """
    import resource, sys
    from test_store import KEY, ids_of, rows_of
    from handful.errors import StorageError
    from handful.features.store import FeatureStore
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    store = FeatureStore(sys.argv[1])
    for n in range(10_000):
        try:
            store.put(KEY, ids_of(n), rows_of(n, dim=512))
        except StorageError as error:
            print(error)
            break
    assert store.get(KEY, ids_of(*range(n)))[1].all(), "rows stored before are lost"
    assert not store.get(KEY, ids_of(n))[1].any()
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
    store.put(KEY, ids_of(10**6), rows_of(1, dim=512))  # once there is room again


def test_a_full_database_is_a_full_disk_too(store):
    store.put(KEY, ids_of(1), rows_of(1))
    with store._database.session("writing") as (db, _):
        db.execute("PRAGMA max_page_count=1")
    numbers = range(10, 10_000)
    with pytest.raises(StorageError, match="full"):
        store.put(KEY, ids_of(*numbers), rows_of(*numbers))
    assert store.get(KEY, ids_of(1, 10))[1].tolist() == [True, False]


@pytest.fixture
def read_only():
    """A store in a folder that this user may not write; for root, as a user without rights."""
    if not hasattr(os, "seteuid"):
        pytest.skip("this system has no seteuid")
    folder = Path(tempfile.mkdtemp(prefix="handful-ro-"))  # not below pytest's private folder
    with FeatureStore(folder) as store:
        store.put(KEY, ids_of(1), rows_of(1))
    store.file.chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    store.file.unlink()
    folder.rmdir()


def as_somebody(work) -> str:
    """Run `work` in a child without root's rights; its answer, or the error's words."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            answer = str(work())
        except HandfulError as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, answer.encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_read_only_folder_is_read(read_only):
    def work():
        store = FeatureStore(read_only)
        values, found = store.get(KEY, ids_of(1, 2))
        assert np.array_equal(values, rows_of(1))
        return store.writable, found.tolist(), len(store.check().problems), store.summary()[0].count

    assert as_somebody(work) == "(False, [True, False], 0, 1)"


def test_a_read_only_folder_says_so_when_written(read_only):
    store = FeatureStore(read_only)
    told = as_somebody(lambda: store.put(KEY, ids_of(2), rows_of(2)))
    assert told.startswith("StorageError")
    assert "permissions" in told
    assert "permissions" in as_somebody(lambda: store.prune(KEY))


def test_no_store_and_no_place_for_one_is_an_empty_store(read_only):
    def work():
        store = FeatureStore(read_only / "below")
        return store.get(KEY, ids_of(1))[1].tolist(), store.writable, store.summary()

    assert as_somebody(work) == "([False], False, ())"


def test_a_newer_format_is_refused(store):
    store.put(KEY, ids_of(1), rows_of(1))
    raw(store).execute("PRAGMA user_version=7")
    store.close()
    with pytest.raises(StorageError, match=r"newer Handful \(format 7, this one reads 1"):
        store.get(KEY, ids_of(1))


def test_a_foreign_database_is_refused_and_kept(tmp_path):
    file = tmp_path / FILE
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE diary (day TEXT)")
    db.commit()
    with pytest.raises(StorageError, match="not a feature store"):
        FeatureStore(tmp_path).summary()
    with pytest.raises(StorageError, match="not a feature store"):
        FeatureStore(tmp_path).prune(damaged=True)
    assert file.exists()


@pytest.mark.parametrize("damage", ["garbage", "cut", "scribbled"])
def test_a_damaged_file_is_reported_with_the_cure(store, damage):
    numbers = range(200)
    store.put(KEY, ids_of(*numbers), rows_of(*numbers, dim=512))
    store.close()
    content = bytearray(store.file.read_bytes())
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
        store.get(KEY, ids_of(*numbers))
    store.prune(damaged=True)
    assert store.check().problems == ()
    store.put(KEY, ids_of(1), rows_of(1))
    assert store.get(KEY, ids_of(1))[1].all()


def test_broken_rows_count_as_unknown_are_found_and_removed(store):
    store.put(KEY, ids_of(1, 2, 3, 4), rows_of(1, 2, 3, 4))
    scaled, nan = rows_of(2) * 2, rows_of(3) * np.float32(np.nan)
    for number, value in ((2, scaled), (3, nan), (4, rows_of(4)[:, :5])):
        key = bytes.fromhex(ids_of(number)[0])
        raw(store).execute("UPDATE rows SET value = ? WHERE id = ?", [value.tobytes(), key])
    values, found = store.get(KEY, ids_of(1, 2, 3, 4))
    assert found.tolist() == [True, False, False, False]
    np.testing.assert_array_equal(values, rows_of(1))
    health = store.check()
    assert health.rows == 4
    assert len(health.problems) == 1
    assert "3 of 4 rows" in health.problems[0]
    assert store.prune(damaged=True).rows == 3
    assert store.check() == type(health)(1, ())


def test_a_locked_store_is_explained(store, monkeypatch):
    monkeypatch.setattr("handful.features.store.database.WAIT", 0.05)
    store.put(KEY, ids_of(1), rows_of(1))
    store.close()
    other = raw(store)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="another process has held the store"):
        store.put(KEY, ids_of(2), rows_of(2))
    other.execute("ROLLBACK")
    store.put(KEY, ids_of(2), rows_of(2))


# --- look and prune


def test_free_pages_are_given_back_in_one_call(store):
    numbers = range(300)
    store.put(KEY, ids_of(*numbers), rows_of(*numbers, dim=512))
    with store._database.session("writing") as (db, _):
        db.execute("DELETE FROM rows")
        free = database.pragma(db, "freelist_count")
        assert free > 10
        database.free_pages(db, 7)
        assert database.pragma(db, "freelist_count") == free - 7
        database.shrink(db)
        assert database.pragma(db, "freelist_count") == 0


def test_the_summary_tells_who_and_how_much(store):
    store.put(KEY, ids_of(1, 2), rows_of(1, 2), encoder="tiny")
    views = space("model:b weights:02", "bfloat16", 10, 3)
    store.put(views, ids_of(1), rows_of(1, dim=16))
    one, two = sorted(store.summary(), key=lambda s: s.dim)
    assert (one.encoder, one.precision, one.views, one.dim, one.count, one.bytes) == (
        "tiny", "float32", 1, 8, 2, 64,
    )  # fmt: skip
    assert (two.encoder, two.precision, two.views, two.count) == ("", "bfloat16", 10, 1)
    assert abs(one.used - time.time()) < 60


@pytest.mark.parametrize("wanted", [KEY, "tiny", "weights:01"])
def test_prune_one_space_by_any_of_its_names(store, wanted):
    numbers = range(500)
    store.put(KEY, ids_of(*numbers), rows_of(*numbers, dim=512), encoder="tiny")
    store.put(OTHER, ids_of(1), rows_of(1))
    before = store.size
    pruned = store.prune(wanted)
    assert pruned.rows == 500
    assert pruned.bytes == before - store.size > 900_000
    assert [s.space for s in store.summary()] == [OTHER]
    assert store.check().problems == ()


def test_prune_what_nobody_used(store):
    store.put(KEY, ids_of(1), rows_of(1))
    store.put(OTHER, ids_of(1), rows_of(1))
    raw(store).execute("UPDATE spaces SET used = used - 40 * 86400")
    store.get(OTHER, ids_of(1))  # using it counts
    assert store.prune(unused_days=30).rows == 1
    assert [s.space for s in store.summary()] == [OTHER]


def test_prune_to_a_size_takes_the_longest_unused_first(store):
    numbers = range(400)
    for key, age in ((KEY, 9), (OTHER, 1)):
        store.put(key, ids_of(*numbers), rows_of(*numbers, dim=512))
        raw(store).execute("UPDATE spaces SET used = used - ? WHERE space = ?", [age * 3600, key])
    store.prune(max_bytes=500_000)
    assert store.size <= 500_000
    assert [s.space for s in store.summary()] == [OTHER]
    assert 50 < store.summary()[0].count < 250
    assert store.get(OTHER, ids_of(399))[1].all()  # the youngest stay
    assert store.prune(max_bytes=10**9).rows == 0


def test_prune_wants_to_be_told_what(store):
    with pytest.raises(InputError, match="say what to prune"):
        store.prune()
    store.put(KEY, ids_of(1), rows_of(1), encoder="tiny")
    with pytest.raises(InputError, match="nothing called 'huge'; known: tiny"):
        store.prune("huge")
