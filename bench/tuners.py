"""Inside the encoder or after it: every tuner with its default recipe on the playground.

Long because it holds the trials, which go on after a stop, and the three tables of them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from handful import metrics
from handful.adapters import create_adapter
from handful.contracts import Encoder, ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.protocols.journal import Journal
from handful.protocols.methods import inductive_methods
from handful.tuners.training import tune
from samples import encoded, own_store, tiny
from tables import head, interval, memory, row, table

SHOTS, QUERIES = 16, 20
FROZEN = "frozen"
TUNERS = ("block", "lora", "norm", "projection", "soft_prompt", "block+soft_prompt", "full")
TASKS = (
    "style-sketch", "style-inverted", "style-rolled", "style-mosaic", "style-dusk",
    "novel-objects", "novel-duos", "fine-points", "fine-ovals",
)  # fmt: skip

Key = tuple[str, str, int]  # method, task, seed
Draws = Sequence[tuple[str, int]]  # task, seed
Found = Mapping[Key, Mapping[str, Any]]


@table(
    "tuners", title="Tuners", seconds=36_000,
    seeds=1, tuners=("projection",), tasks=("style-sketch",), jobs=1, out="",
)  # fmt: skip
def tuners(
    out: str = "runs/tuners.jsonl",
    jobs: int = 2,
    seeds: int = 5,
    tasks: tuple[str, ...] = TASKS,
    tuners: tuple[str, ...] = TUNERS,
    tables: bool = False,
) -> Iterator[str]:
    """16 shots a class, 20 test images a class; each process has one thread.

    Every trial goes to the journal `out` as soon as it is done, and the same command goes on after
    a stop; `tables` measures nothing and prints what the journal has. `--tasks all` takes all 14.
    """
    journal = Journal(Path(out) if out else None)
    methods = [FROZEN, *tuners]
    tasks = playground.tasks() if list(tasks) == ["all"] else tasks
    asked = [(m, task, seed) for seed in range(seeds) for m in methods for task in tasks]
    if not tables:
        first: dict[str, Key] = {}
        for key in asked:
            first.setdefault(key[0], key)
        # one training of each tuner in a fresh process, whose memory nobody else has grown
        measure(list(first.values()), journal, jobs, alone=True)
        measure(asked, journal, jobs, alone=False)
    found = {key: known for key in asked if (known := journal.get(in_journal(key))) is not None}
    yield from report(found, methods)


def measure(asked: Sequence[Key], journal: Journal, jobs: int, *, alone: bool) -> None:
    """What the journal lacks, several processes at once; `alone` takes a fresh one each time."""
    left = [key for key in asked if journal.get(in_journal(key)) is None]
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    fresh = 1 if alone else None
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=fresh) as pool:
        running = {pool.submit(trial, *key): key for key in left}
        for done in as_completed(running):
            journal.add(in_journal(running[done]), {**done.result(), "alone": alone})


def in_journal(key: Key) -> str:
    method, task, seed = key
    return json.dumps([method, task, SHOTS, seed])


# ---- one trial


def trial(method: str, name: str, seed: int) -> dict[str, Any]:
    """Accuracy by head in percent, and what the training cost.

    Args:
        method: `frozen`, or tuners joined by `+`; the first one's recipe holds.
        name: of the task.
        seed: of the draw, the training and the heads.
    """
    torch.set_num_threads(1)
    task = playground.task(name, SHOTS, seed, QUERIES)
    text = prompts.class_prompts(task.classes, task.templates)
    encoder, templates, heads = tiny(), task.templates, inductive_methods()
    facts: dict[str, Any] = {"seconds": 0.0}
    if method != FROZEN:
        support = [ImageRef.of(p) for p in task.support]
        before, began = memory(), time.process_time()
        asked = tune.Tuning(tuple(method.split("+")))
        with own_store():
            done = tune.tune(asked, tiny(), support, list(task.support_labels), text, seed=seed)
        encoder, templates, heads = done.encoder, done.templates, ("zero_shot", "auto")
        facts = {
            "seconds": time.process_time() - began,
            "peak": done.report.peak_memory - before,
            "parameters": sum(delta.size for delta in encoder.deltas.values()),
            "losses": [done.report.losses[0], done.report.losses[-1]],
        }
    read = prompts.encode_prompts(
        encoder, prompts.ClassPrompts(text.classes, text.names, templates)
    )
    rows, queries = encoded(encoder, task.support), encoded(encoder, task.test)
    targets = np.array([task.classes.index(label) for label in task.test_labels])
    right = {}
    for name in heads:
        adapter = create_adapter(name, seed).fit(rows, np.array(task.support_labels), read)
        right[name] = 100 * metrics.accuracy(adapter.logits(queries), targets)
    return {"accuracy": right, "known": known_before(encoder), **facts}


FIRST_SCENE = 5_100_000  # scenes of scripts/evaluate_tiny.py: held-out compositions
EACH = 5  # images of a name that the encoder knows


def known_before(encoder: Encoder) -> float:
    """Zero-shot over the 59 compositions of docs/tiny.md, in percent, with hand-written prompts."""
    names = tuple(" ".join(what) for what in playground.HELD_OUT)
    text = prompts.embed(encoder, names, ("a photo of a {}.",))
    logits = encoded(encoder, held_out_scenes()) @ text.weights.T
    return 100 * metrics.accuracy(logits, np.tile(np.arange(len(names)), EACH))


@cache
def held_out_scenes() -> tuple[Any, ...]:
    return tuple(
        playground.render(
            playground.scene(
                FIRST_SCENE + i,
                objects=1,
                compositions="held_out",
                fixed=[dict(zip(("texture", "colour", "shape"), what, strict=True))],
            )
        )
        for i, what in enumerate(playground.HELD_OUT * EACH)
    )


# ---- the tables

SHOWN = ("zero_shot", "auto", "clip_adapter", "linear", "tip_f")
AUTO, BEST = ("auto", "`auto`"), ("", "best head")  # name and title of a head
NAMES = {"block+soft_prompt": "prompt + adapter (`block` with `soft_prompt`)"}


def report(found: Found, methods: Sequence[str]) -> Iterator[str]:
    """Accuracy, gains and costs of the draws that every method has."""
    draws = sorted({key[1:] for key in found if all((m, *key[1:]) in found for m in methods)})
    if not draws:
        yield "No draw has been measured with every tuner yet."
        return
    families = {f: [d for d in draws if d[0].startswith(f)] for f in playground.FAMILIES}
    families = {f: d for f, d in families.items() if d}
    names = sorted({task for task, _ in draws})
    yield (
        f"`tiny`, 16 shots a class, 20 test images a class; {len(names)} tasks, {len(draws)} draws "
        f"({', '.join(f'{f} {len(d)}' for f, d in families.items())}): {', '.join(names)}. Every "
        "tuner has its default recipe, which was chosen on other draws. Accuracy in percent with "
        "the 95 % interval of the mean over (task, seed) draws (Student's t); the spread between "
        "tasks is in it, so compare methods by the paired differences of the second table.\n"
    )
    yield from accuracy(found, methods, families)
    yield ""
    yield from gains(found, methods, families)
    yield ""
    yield from costs(found, methods, draws)


def accuracy(found: Found, methods: Sequence[str], families: Mapping[str, Draws]) -> Iterator[str]:
    yield head("features", "head", *families, left=2)
    for name in SHOWN:
        cells = (interval(column(found, FROZEN, name, draws)) for draws in families.values())
        yield row("frozen", f"`{name}`", *cells)
    best = [(best_head(found, draws), draws) for draws in families.values()]
    cells = (f"{interval(column(found, FROZEN, name, draws))} (`{name}`)" for name, draws in best)
    yield row("frozen", "best of all heads, seen on these test images", *cells)
    for method in methods:
        for name, title in () if method == FROZEN else (("zero_shot", "text alone"), AUTO):
            cells = (interval(column(found, method, name, draws)) for draws in families.values())
            yield row(shown(method), title, *cells)


def gains(found: Found, methods: Sequence[str], families: Mapping[str, Draws]) -> Iterator[str]:
    yield (
        "Paired differences in points, tuned features with `auto` minus frozen features with the "
        "head named; the best head of a family is chosen with the test images in hand, in its "
        "favour. An interval that leaves out 0 is a difference.\n"
    )
    yield head("tuner", "against", *families, left=2)
    for method in methods:
        for name, title in () if method == FROZEN else (("zero_shot", "zero-shot"), AUTO, BEST):
            cells = []
            for draws in families.values():
                tuned = column(found, method, "auto", draws)
                frozen = column(found, FROZEN, name or best_head(found, draws), draws)
                cells.append(interval(np.subtract(tuned, frozen), "+.1f"))
            yield row(shown(method), title, *cells)


def costs(found: Found, methods: Sequence[str], draws: Draws) -> Iterator[str]:
    whole = sum(p.numel() for p in tiny().model.parameters())
    yield (
        "What it costs. Seconds: processor time on one thread, views and what is computed once "
        "included, median. Memory: how much the process grew while training, one training in a "
        "fresh process. Forgetting: zero-shot accuracy of the tuned encoder on what `tiny` knew "
        "before, 59 held-out compositions under their names (docs/tiny.md), with hand-written "
        "prompts.\n"
    )
    yield head(
        "tuner", "learned numbers", "share of the encoder, %", "seconds", "memory, MB", "known, %",
        left=1,
    )  # fmt: skip
    for method in methods:
        rows = [found[(method, *d)] for d in draws]
        if method == FROZEN:
            yield row("none", 0, 0, 0, "", f"{rows[0]['known']:.1f}")
            continue
        sizes = sorted({r["parameters"] for r in rows})
        size = " to ".join(f"{n:,}".replace(",", " ") for n in dict.fromkeys((sizes[0], sizes[-1])))
        alone = [r["peak"] for k, r in found.items() if k[0] == method and r.get("alone")]
        yield row(
            shown(method), size, f"{100 * sizes[-1] / whole:.2f}",
            f"{median(r['seconds'] for r in rows):.1f}",
            f"{alone[0] / 2**20:.0f}" if alone else "", interval(r["known"] for r in rows),
        )  # fmt: skip


def column(found: Found, method: str, name: str, draws: Draws) -> list[float]:
    """Accuracies of a head, draw by draw."""
    return [found[(method, *d)]["accuracy"][name] for d in draws]


def best_head(found: Found, draws: Draws) -> str:
    """The single head that is best on average, `auto` aside, which is none of its own."""
    heads: list[str] = [h for h in found[(FROZEN, *draws[0])]["accuracy"] if h != "auto"]
    return max(heads, key=lambda h: sum(column(found, FROZEN, h, draws)))


def shown(method: str) -> str:
    return NAMES.get(method, f"`{method}`")
