"""The two stores, for tests that hold for both: rows, keys, and processes that write."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.errors import HandfulError
from handful.features.store import ActivationStore, FeatureStore, activation_space, space

Store = FeatureStore | ActivationStore


def ids_of(*numbers: int) -> list[str]:
    return [hashlib.sha256(b"%d" % n).hexdigest() for n in numbers]


def normal(numbers: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack([np.random.default_rng(abs(n)).normal(size=shape) for n in numbers])


def features_of(*numbers: int, shape: tuple[int, ...] = (8,)) -> np.ndarray:
    rows = normal(numbers, shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


def activations_of(*numbers: int, shape: tuple[int, ...] = (5, 12)) -> np.ndarray:
    return normal(numbers, shape).astype("f4")


@dataclass(frozen=True)
class Kind:
    """One of the stores: how it is made, what errors call it, two of its spaces, its rows."""

    make: type[Store]
    title: str
    key: str
    other: str
    rows_of: Callable[..., np.ndarray]
    row_bytes: int


FEATURES = Kind(
    FeatureStore,
    "feature store",
    space("model:a weights:01", "float32"),
    space("model:b weights:02", "bfloat16"),
    features_of,
    4 * 8,
)
ACTIVATIONS = Kind(
    ActivationStore,
    "activation store",
    activation_space("model:a weights:01", "float32", 10),
    activation_space("model:b weights:02", "bfloat16", 3),
    activations_of,
    4 * 5 * 12,
)
KINDS = {"features": FEATURES, "activations": ACTIVATIONS}


def raw(store: Store) -> sqlite3.Connection:
    return sqlite3.connect(store.file, isolation_level=None)


def used_before(store: Store, key: str, seconds: float) -> None:
    raw(store).execute("UPDATE spaces SET used = used - ? WHERE space = ?", [seconds, key])


def data_file(store: ActivationStore, number: int = 1) -> Path:
    return store.path / "activations" / f"{number}.f32"


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


def as_somebody(work: Callable[[], object]) -> str:
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
