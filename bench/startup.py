"""How long a person waits for a command: whole processes, as they are started from a terminal."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samples import photos as made_photos
from tables import head, row, table

SHOTS = 16  # of 10 classes: 160 photos


@dataclass(frozen=True)
class Wait:
    """A command that is measured.

    Args:
        arguments: of Python.
        goal: seconds that it may take on two quiet cores; "" for yardsticks.
        code: the exit code that is expected.
        fresh: run with an empty feature store, so that its photos are encoded.
    """

    arguments: Sequence[str]
    goal: str = ""
    code: int = 0
    fresh: bool = False


@table("startup", title="Waiting for a command", seconds=150, rounds=1, demos=0)
def startup(rounds: int = 5, demos: int = 1, photos: str = "", encoder: str = "") -> Iterator[str]:
    """`photos`: a folder per class, of which 160 are taught; made photos when not given."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        taught = _support(work, Path(photos) if photos else None)
        chosen = ["--encoder", encoder] if encoder else []
        waits = _waits(work, taught, chosen)
        runs = {name: _process(wait, work) for name, wait in waits.items()}
        runs["handful fit PHOTOS, 160 photos"]()  # makes the skill that others ask, and warms up
        spent = _in_turns(runs, rounds)
        for _ in range(demos):
            waits["handful demo"] = Wait(_command("demo", "--out", str(work / "demo")), "60")
            demo = _process(waits["handful demo"], work)
            spent.setdefault("handful demo", []).append(demo())
            shutil.rmtree(work / "demo")
    yield (
        f"Median of {rounds} interleaved rounds (of the demo: {demos}), in seconds of the clock "
        f"and of all\nprocessors together; where the machine has other work the first exceeds the "
        f"second. Load average\nbefore: {load:.1f}. Importing torch is the floor of all that "
        f"computes. Encoder: {encoder or 'the default'}. Photos: "
        f"{'of a folder' if photos else 'made, 0.25 megapixels'}.\n"
    )
    yield head("", "clock", "processors", "goal", left=1)
    for name, wait in waits.items():
        clock, cores = (statistics.median(values) for values in zip(*spent[name], strict=True))
        yield row(name, f"{clock:.2f}", f"{cores:.2f}", wait.goal)


def _command(*arguments: str) -> list[str]:
    return ["-m", "handful.cli", *arguments]


def _waits(work: Path, taught: Path, encoder: Sequence[str]) -> dict[str, Wait]:
    photo, skill = str(next(taught.rglob("*.jpg"))), str(work / "skill")
    fit = _command("fit", str(taught), "--out", skill, "--overwrite", *encoder)
    return {
        "python, importing nothing": Wait(["-c", "pass"]),
        "python, import numpy": Wait(["-c", "import numpy"]),
        "python, import torch": Wait(["-c", "import torch"]),
        "handful --help": Wait(_command("--help")),
        "handful predict SKILL, no such photo": Wait(
            _command("predict", skill, "no.jpg"), "0.3", 2
        ),
        "handful fit, no such folder": Wait(_command("fit", "no", "--out", skill), "0.3", 2),
        "handful inspect, no such skill": Wait(_command("inspect", "no"), "0.3", 2),
        "handful inspect SKILL": Wait(_command("inspect", skill), "0.5"),
        "handful predict SKILL, 1 photo": Wait(
            _command("predict", skill, photo), "1.5", fresh=True
        ),
        "handful predict SKILL, 1 known photo": Wait(_command("predict", skill, photo), "1.5"),
        "handful fit PHOTOS, 160 photos": Wait(fit, "6", fresh=True),
        "handful fit PHOTOS, 160 known photos": Wait(fit),
    }


def _process(wait: Wait, work: Path) -> Callable[[], tuple[float, float]]:
    """A function that runs a command once: seconds of the clock, and of all processors."""

    def run() -> tuple[float, float]:
        home = work / ("fresh" if wait.fresh else "home")
        if wait.fresh:
            shutil.rmtree(home, ignore_errors=True)
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *wait.arguments],
            env=_environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        clock, after = time.perf_counter() - began, os.times()
        if done.returncode != wait.code:
            raise RuntimeError(f"{wait.arguments}: exit code {done.returncode}\n{done.stderr}")
        mine = after.children_user - before.children_user
        return clock, mine + after.children_system - before.children_system

    return run


def _environment(home: Path) -> dict[str, str]:
    """As a person has it: modules are compiled once, not at every start."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HANDFUL_HOME": str(home)}


def _in_turns(
    runs: Mapping[str, Callable[[], tuple[float, float]]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Every round runs all after each other; a first round warms the disk cache and is dropped."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            once = run()
            if turn:
                spent[name].append(once)
    return spent


def _support(work: Path, given: Path | None) -> Path:
    """A folder of 10 classes of 16 photos: the first of those given, or made ones."""
    folder = work / "photos"
    if given is None:
        everything = sorted(made_photos(work / "made", 10 * SHOTS, 0.25).iterdir())
        classes = {f"class {i}": everything[SHOTS * i : SHOTS * (i + 1)] for i in range(10)}
    else:
        top = given / "train" if (given / "train").is_dir() else given
        kinds = sorted(path for path in top.iterdir() if path.is_dir())[:10]
        classes = {kind.name: sorted(kind.glob("*.jpg"))[:SHOTS] for kind in kinds}
    for name, files in classes.items():
        (folder / name).mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / name)
    return folder
