"""Which storage library holds the features: the candidates, measured in one run.

Long because each of the five candidates is a class of its own. LMDB, h5py and zarr take part where
they are installed (`pip install lmdb h5py zarr`); none is a dependency of Handful.
"""

# ruff: noqa: D102  # five classes with the same three methods: put, get, close
from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import os
import signal
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tables import head, row, table

DIM, BATCH = 512, 64


class Sqlite:
    """One table, one row an image; `journal` is how SQLite makes a commit durable."""

    def __init__(self, folder: Path, journal: str, mmap: int = 1 << 40) -> None:
        self.db = sqlite3.connect(folder / "rows.sqlite3", isolation_level=None, timeout=60)
        self.db.execute("PRAGMA page_size=32768")
        self.db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self.db.execute(f"PRAGMA journal_mode={journal}")
        self.db.execute(f"PRAGMA synchronous={'NORMAL' if journal == 'WAL' else 'FULL'}")
        self.db.execute(f"PRAGMA mmap_size={mmap}")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, id BLOB UNIQUE, value BLOB)"
        )

    def put(self, ids: list[bytes], values: np.ndarray) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany(
            "INSERT OR REPLACE INTO rows (id, value) VALUES (?, ?)",
            zip(ids, (v.tobytes() for v in values), strict=True),
        )
        self.db.execute("COMMIT")

    def get(self, ids: list[bytes]) -> np.ndarray:
        out, place = np.empty((len(ids), DIM), np.float32), {k: i for i, k in enumerate(ids)}
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT id, value FROM rows WHERE id IN ({marks})"
            for key, value in self.db.execute(query, part):
                out[place[key]] = np.frombuffer(value, np.float32)
        return out

    def close(self) -> None:
        self.db.close()


class Lmdb:
    """One key a row; 16 GiB of address space reserved up front."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self.env = lmdb.open(str(folder / "rows.lmdb"), map_size=1 << 34)

    def put(self, ids: list[bytes], values: np.ndarray) -> None:
        with self.env.begin(write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti([(k, v.tobytes()) for k, v in zip(ids, values, strict=True)])

    def get(self, ids: list[bytes]) -> np.ndarray:
        out = np.empty((len(ids), DIM), np.float32)
        with self.env.begin(buffers=True) as txn:
            for i, key in enumerate(ids):
                out[i] = np.frombuffer(txn.get(key), np.float32)
        return out

    def close(self) -> None:
        self.env.close()


class Shards:
    """One safetensors file a batch, renamed into place; an index is read from all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index, self.files = folder, {}, []
        for file in sorted(folder.glob("*.safetensors")):
            self._add(file)

    def _add(self, file: Path) -> None:
        from safetensors import safe_open

        with safe_open(file, "np") as opened:
            keys = opened.get_tensor("ids").tobytes()
        for place in range(len(keys) // 32):
            self.index[keys[32 * place : 32 * place + 32]] = (len(self.files), place)
        self.files.append(file)

    def put(self, ids: list[bytes], values: np.ndarray) -> None:
        from safetensors.numpy import save

        keys = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32)
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:24]
        temporary = self.folder / f"{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as file:
            file.write(save({"ids": keys, "values": values}))
            os.fsync(file.fileno())
        temporary.rename(self.folder / f"{name}.safetensors")
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def get(self, ids: list[bytes]) -> np.ndarray:
        from safetensors import safe_open

        out, wanted = np.empty((len(ids), DIM), np.float32), {}
        for i, key in enumerate(ids):
            number, row = self.index[key]
            wanted.setdefault(number, ([], []))
            wanted[number][0].append(i)
            wanted[number][1].append(row)
        for number, (places, rows) in wanted.items():
            with safe_open(self.files[number], "np") as opened:
                out[places] = opened.get_tensor("values")[rows]
        return out

    def close(self) -> None:
        self.index.clear()


class Hdf5:
    """Two growing datasets in one file."""

    def __init__(self, folder: Path) -> None:
        import h5py

        self.file = h5py.File(folder / "rows.h5", "a")
        if "ids" not in self.file:
            self.file.create_dataset("ids", (0, 32), "u1", maxshape=(None, 32), chunks=(1024, 32))
            self.file.create_dataset(
                "values", (0, DIM), "f4", maxshape=(None, DIM), chunks=(64, DIM)
            )
        self.index = {k.tobytes(): i for i, k in enumerate(self.file["ids"][:])}

    def put(self, ids: list[bytes], values: np.ndarray) -> None:
        n = len(self.file["ids"])
        for name in ("ids", "values"):
            self.file[name].resize(n + len(ids), axis=0)
        self.file["ids"][n:] = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32)
        self.file["values"][n:] = values
        self.index.update({k: n + i for i, k in enumerate(ids)})
        self.file.flush()
        os.fsync(self.file.id.get_vfd_handle())

    def get(self, ids: list[bytes]) -> np.ndarray:
        rows = np.array([self.index[k] for k in ids])
        order = np.argsort(rows)
        out = np.empty((len(ids), DIM), np.float32)
        out[order] = self.file["values"][:][rows[order]]  # picking rows one by one is far slower
        return out

    def close(self) -> None:
        self.file.close()


class Zarr:
    """Two growing arrays, chunk by chunk in files; nothing in zarr makes a write durable."""

    def __init__(self, folder: Path) -> None:
        import zarr

        if (folder / "rows.zarr").exists():
            self.group = zarr.open_group(str(folder / "rows.zarr"), mode="a")
        else:
            self.group = zarr.open_group(str(folder / "rows.zarr"), mode="w")
            for name, width, kind in (("ids", 32, "u1"), ("values", DIM, "f4")):
                self.group.create_array(
                    name, shape=(0, width), chunks=(64, width), dtype=kind, compressors=None
                )
        self.index = {k.tobytes(): i for i, k in enumerate(np.asarray(self.group["ids"][:]))}

    def put(self, ids: list[bytes], values: np.ndarray) -> None:
        n = self.group["ids"].shape[0]
        self.group["ids"].append(np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32))
        self.group["values"].append(values)
        self.index.update({k: n + i for i, k in enumerate(ids)})

    def get(self, ids: list[bytes]) -> np.ndarray:
        return np.asarray(self.group["values"][:])[[self.index[k] for k in ids]]

    def close(self) -> None:
        self.index.clear()


CANDIDATES: dict[str, tuple[str, Any]] = {
    "SQLite, rollback journal": ("sqlite3", lambda f: Sqlite(f, "DELETE")),
    "SQLite, rollback journal, no mmap": ("sqlite3", lambda f: Sqlite(f, "DELETE", 0)),
    "SQLite, WAL": ("sqlite3", lambda f: Sqlite(f, "WAL")),
    "LMDB": ("lmdb", Lmdb),
    "safetensors shards": ("safetensors", Shards),
    "HDF5 (h5py)": ("h5py", Hdf5),
    "zarr": ("zarr", Zarr),
}


def rows(start: int, stop: int) -> tuple[list[bytes], np.ndarray]:
    """Row i of the job, the same in every process: its key and its value."""
    ids = [hashlib.sha256(b"%d" % i).digest() for i in range(start, stop)]
    first = np.arange(start, stop, dtype=np.float32)[:, None]
    return ids, np.ascontiguousarray(first + np.arange(DIM, dtype=np.float32) / DIM)


def write(name: str, folder: Path, start: int, stop: int, safe: Any = None) -> None:
    """Put rows, batch by batch; `safe` gets the number of those that are on the disk."""
    store = CANDIDATES[name][1](folder)
    for at in range(start, stop, BATCH):
        store.put(*rows(at, min(stop, at + BATCH)))
        if safe is not None:
            safe.value = at + BATCH
    store.close()


def forget(folder: Path) -> None:
    """Drop the files from the page cache, as far as the system lets us."""
    if hasattr(os, "posix_fadvise"):
        for file in folder.rglob("*"):
            if file.is_file():
                handle = os.open(file, os.O_RDONLY)
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)


def speed(name: str, folder: Path, count: int) -> dict[str, float]:
    started = time.perf_counter()
    write(name, folder, 0, count)
    append = time.perf_counter() - started
    ids, values = rows(0, count)
    order = np.random.default_rng(0).permutation(count)
    wanted, expected = [ids[i] for i in order], values[order]
    result = {"append_ms": 1000 * append * BATCH / count}
    for state in ("cold", "warm"):
        if state == "cold":
            forget(folder)
        started = time.perf_counter()
        store = CANDIDATES[name][1](folder)
        got = store.get(wanted)
        result[f"read_{state}_ms"] = 1000 * (time.perf_counter() - started)
        store.close()
        if not np.array_equal(got, expected):
            raise SystemExit(f"{name}: read something else than was written")
    used = sum(4096 * -(-f.stat().st_size // 4096) for f in folder.rglob("*") if f.is_file())
    sparse = sum(f.stat().st_blocks * 512 for f in folder.rglob("*") if f.is_file())
    result["size_ratio"] = min(used, sparse) / (count * DIM * 4)
    return result


def survives(name: str, folder: Path, after: float) -> str:
    """Kill a writer in the middle; count what is left of what was safe."""
    context = multiprocessing.get_context("spawn")
    safe = context.Value("q", 0)
    process = context.Process(target=write, args=(name, folder, 0, 10**9, safe))
    process.start()
    while safe.value == 0:
        time.sleep(0.01)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    try:
        store = CANDIDATES[name][1](folder)
        ids, values = rows(0, safe.value)
        same = np.array_equal(store.get(ids), values)
        store.put(*rows(safe.value, safe.value + BATCH))
        store.close()
    except Exception as error:  # noqa: BLE001  # whatever a candidate says of its broken file
        return f"broken: {type(error).__name__}: {error}"[:80]
    return "yes" if same else "rows changed"


def together(name: str, folder: Path, count: int) -> str:
    """Two writers at once; both must get through and every row must be there."""
    context = multiprocessing.get_context("spawn")
    CANDIDATES[name][1](folder).close()
    halves = [(0, count // 2), (count // 2, count)]
    writers = [context.Process(target=write, args=(name, folder, *half)) for half in halves]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    codes = [process.exitcode for process in writers]
    try:
        store = CANDIDATES[name][1](folder)
        ids, values = rows(0, count)
        same = np.array_equal(store.get(ids), values)
        store.close()
    except Exception as error:  # noqa: BLE001
        return f"no: {type(error).__name__}: {error}"[:80]
    return "yes" if same and codes == [0, 0] else f"no: exit codes {codes}, rows equal: {same}"


@table(
    "store", title="The feature store", seconds=300,
    count=640, rounds=1, kills=1, candidates=("SQLite, WAL", "safetensors shards"),
)  # fmt: skip
def store(
    count: int = 16_000,
    rounds: int = 3,
    kills: int = 5,
    folder: str | None = None,
    candidates: tuple[str, ...] = tuple(CANDIDATES),
) -> Iterator[str]:
    """Each candidate gets the same job, in turns, so that a busy machine is unfair to all alike.

    Batches of 64 rows of 512 float32, each batch durable before the next; then every row is read
    back by key in random order. `folder` is where to write; the temporary folder when not given.
    """
    warnings.simplefilter("ignore")
    present = [n for n in candidates if importlib.util.find_spec(CANDIDATES[n][0])]
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in present}
    for _ in range(rounds):
        for name in present:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                figures[name].append(speed(name, Path(own), count))
    yield head(
        "candidate", f"append {BATCH} rows, ms", f"open + read {count}, cold, ms", "warm, ms",
        "size / payload", "survives kill -9", "two writers", left=1,
    ).replace("---:|---:|---:|---:|---:|---:|", "---:|---:|---:|---:|---|---|")  # fmt: skip
    for name, found in figures.items():
        append, cold, warm, size = (statistics.median(f[k] for f in found) for k in found[0])
        alive = []
        for turn in range(kills):
            with tempfile.TemporaryDirectory(dir=folder) as own:
                alive.append(survives(name, Path(own), 0.2 + 0.137 * turn))
        lost = [verdict for verdict in alive if verdict != "yes"]
        verdict = f"{kills - len(lost)}/{kills}" + (f" ({lost[0]})" if lost else "")
        with tempfile.TemporaryDirectory(dir=folder) as own:
            pair = together(name, Path(own), 4096)
        numbers = f"{append:.1f}", f"{cold:.0f}", f"{warm:.0f}", f"{size:.2f}"
        yield row(name, *numbers, verdict, pair)
