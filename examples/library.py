"""Many skills on one frozen encoder, taught one after another; each photo finds its own.

Run it as it is: it needs no network and no data, only `pip install handful`.

    python examples/library.py [FOLDER]

Eight skills are taught in turn, each from sixteen photos a class of a made world, and put into one
library. Nothing that was learned before changes, which is checked byte by byte and bit by bit. A
mixed heap of photos is answered without saying which task is meant. One skill travels to a second
library as a `.skill` file. At the end stands the table of the continual protocol.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import handful
from handful import Library
from handful.data import playground
from handful.features.store import FeatureStore
from handful.packs import exchange
from handful.protocols import continual, continual_report
from handful.protocols.bench import Request

SKILLS = playground.worlds()[:8]
STRANGE = playground.worlds()[8:]
SHOTS, QUERIES, RATE = 16, 20, 0.1

Tasks = Mapping[str, playground.Task]


def main(top: Path) -> None:
    encoder, store = handful.load_encoder("tiny"), FeatureStore(top / "store")
    tasks = {name: playground.world(name, SHOTS, 0, QUERIES) for name in SKILLS}
    library = Library.init(top / "library", encoder, store)
    teach(library, tasks, top)
    route(library, tasks)
    exchange_one(library, tasks["night"], top)
    print("The continual protocol, all ten worlds, 3 seeds:\n")
    done = continual.prepare(["playground"], Request(seeds=3), store=store).run()
    print(continual_report.continual_markdown(done, "Continual"))


def teach(library: Library, tasks: Tasks, top: Path) -> None:
    print("Eight skills, one after another:")
    probe = list(tasks[SKILLS[0]].test)
    answers: list[object] = []
    files: dict[str, bytes] = {}
    for name, task in tasks.items():
        photos = playground.write(task, top / "photos" / name)
        skill = handful.fit(photos, encoder=library.encoder, store=library.store).pack
        library.add(skill, name)
        said, held = library.predict(probe, task=SKILLS[0]), content(library.folder.path)
        if said != (answers or said) or not files.items() <= held.items():
            raise SystemExit("something that was learned before has changed")
        answers, files = list(said), held
        print(f"  {name:10s} {len(skill.classes)} classes; {len(library.names)} skills")
    print("  every earlier file and every earlier answer is as it was\n")


def route(library: Library, tasks: Tasks) -> None:
    print("A mixed heap, no task named:")
    heap = [(name, pixels) for name, task in tasks.items() for pixels in task.test]
    heap = [heap[i] for i in np.random.default_rng(0).permutation(len(heap))]
    answers = library.predict([pixels for _, pixels in heap], top_k=1)
    for (name, _), answer in list(zip(heap, answers, strict=True))[:5]:
        best = answer.scores[0]
        print(f"  from {name:10s} -> {answer.task:10s} {best['label']} ({best['score']:.2f})")
    found = sum(name == a.task for (name, _), a in zip(heap, answers, strict=True))
    print(f"  {100 * found / len(heap):.1f} % of {len(heap)} found their task")
    for name in STRANGE:
        strange = library.predict(list(playground.world(name, 0, 0, QUERIES).test), unknown=RATE)
        taken = sum(not answer.unknown for answer in strange)
        print(f"  {name}, which was never taught: {taken} of {len(strange)} taken for known")
    print(f"  (asked for at most {100 * RATE:g} %, on average over such tasks)\n")


def exchange_one(library: Library, task: playground.Task, top: Path) -> None:
    print("One skill travels:")
    file = top / "night.skill"
    exchange.push(library.folder.path / "night", file)
    other = Library.init(top / "other", library.encoder, library.store)
    other.add(file)
    here, there = (one.predict(list(task.test), task="night") for one in (library, other))
    same = "the same" if here == there else "something else"
    print(f"  {file.name}, {file.stat().st_size / 1e3:.0f} kB; the other library says {same}\n")


def content(folder: Path) -> dict[str, bytes]:
    """Name to bytes of every file."""
    files = (f for f in folder.rglob("*") if f.is_file())
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
