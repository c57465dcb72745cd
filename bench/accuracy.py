"""Accuracy of the methods: on the playground, on features of a real data set, on real photos."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from handful import compare, encoders, metrics, plugins, report
from handful.contracts import ClassText
from handful.protocols import demo, markdown
from handful.protocols.bench import Request, prepare
from handful.protocols.figures import bench_figure, comparison_figure
from handful.protocols.task import SHOTS
from samples import names, playground_draws, tiny
from tables import head, interval, row, seconds, table

# ---- what `handful demo` prints


@table("demo", title="Hard tasks of the playground", seconds=120, seeds=1)
def hard_tasks(seeds: int = 3, figures: str = "") -> Iterator[str]:
    """What `handful demo` measures; the figure is the README's picture."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = demo.run(Path(folder), seeds=seeds)
    yield markdown.comparison_markdown(done.comparison)
    result = done.evaluated.result
    low, high = (100 * x for x in result.interval)
    yield f"A skill fitted from files on `{done.comparison.facts['tasks'][0]}` is right on"
    yield f"{100 * result.accuracy:.1f} % ({low:.1f} to {high:.1f}) of {result.count} new images."
    yield f"All of it took {time.perf_counter() - began:.0f} s."
    if figures:
        report.save(comparison_figure(done.comparison), Path(figures) / "demo.png")


# ---- defaults on data that no reported number is measured on

CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "clip_adapter": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 3e-4}, {"learning_rate": 1e-3},
        {"learning_rate": 1e-2},
    ],
    "linear": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 1e-4}, {"learning_rate": 1e-3},
        {"init": "random"}, {"init": "random", "penalty": 0.001},
        {"init": "random", "penalty": 0.1},
    ],
    "tip_f": [{}, {"epochs": 5}, {"epochs": 100}],
    "ape": [
        {}, {"alpha": 1.0}, {"beta": 5.5}, {"gamma": 0.5}, {"share": 0.5}, {"share": 0.9},
        {"balance": 0.7},
    ],
    "ape_t": [
        {}, {"steps": 100}, {"steps": 1000}, {"learning_rate": 3e-4}, {"learning_rate": 3e-3},
        {"beta": 5.5}, {"share": 0.5}, {"share": 1.0},
    ],
    "transclip": [{}, {"labelled": 0.1}, {"labelled": 2.0}, {"labelled": 10.0}],
}  # fmt: skip
FIRST_SEED = 1000  # no other table has draws from here on


@table("defaults", title="Defaults of the trained methods", seconds=600, seeds=1, tasks=1)
def defaults(seeds: int = 2, tasks: int = 14) -> Iterator[str]:
    """Every candidate on the same draws; the first of each method is its default."""
    shots = (1, 4, 16)
    found: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    chosen = range(FIRST_SEED, FIRST_SEED + seeds)
    for _, _, k, task in playground_draws(encoders.load("tiny"), shots, chosen, tasks):
        for method, variants in CANDIDATES.items():
            for i, arguments in enumerate(variants):
                adapter = plugins.get("adapters", method)(**arguments)
                logits = adapter.fit(task.X, task.y, task.text).logits(task.Q)
                found[method, i, k].append(100 * metrics.accuracy(logits, task.targets))
    yield head("method", "arguments", *(f"{k} shots" for k in shots))
    for method, variants in CANDIDATES.items():
        for i, arguments in enumerate(variants):
            shown = ", ".join(f"{n}={v}" for n, v in arguments.items()) or "defaults"
            yield row(method, shown, *(f"{np.mean(found[method, i, k]):.1f}" for k in shots))
    yield f"\nMean accuracy, %, over {tasks} tasks and {seeds} seeds."


# ---- real data

WHU_RS19 = {
    "encoders": ["OpenAI CLIP ViT-B/32 (features as published, mean of 106 prompts a class)"],
    "test": "all images outside the support set",
    "note": "when the first trained methods were written, settings were tried on this set; "
    "CLIP-Adapter's rate was then chosen anew on the playground, its 300 steps and the linear "
    "probe's settings were kept; while Auto's members and first weights were chosen, its table on "
    "this set was looked at beside the others. So read these rows as slightly optimistic",
}


@table(
    "whu_rs19", title="Methods on real features", seconds=1800, needs=["features"],
    seeds=1, shots=(1,),
)  # fmt: skip
def real_features(
    features: str | None = None, seeds: int = 10, shots: tuple[int, ...] = SHOTS, out: str = ""
) -> Iterator[str]:
    """CLIP ViT-B/32 on WHU-RS19, 1005 aerial photos of 19 classes, as `handful bench` measures it.

    With a folder `out`, a stopped run goes on where it was, and a figure is drawn. Rows in brackets
    are yardsticks from bench/reference.
    """
    plugins.add_folder(Path(__file__).parent / "reference")
    request = Request(methods=plugins.names("adapters"), shots=shots, seeds=seeds)
    ready = prepare([Path(features)], request, out=Path(out) if out else None)
    done = ready.run(show_progress if sys.stderr.isatty() else None)
    done = replace(done, facts={**done.facts, **WHU_RS19})
    if out:
        report.save(bench_figure(done), Path(out) / "figure.png")
    yield markdown.bench_tables(done, level=3)


def show_progress(done: int, total: int) -> None:
    print(f"\r{done} of {total}", end="", file=sys.stderr)


@table("photos", title="Real photos through `tiny`", seconds=600, needs=["photos"], seeds=1)
def real_photos(photos: tuple[str, ...] = (), seeds: int = 3) -> Iterator[str]:
    """`tiny` was trained on coloured shapes: what it reaches is what it is.

    Each folder holds `train/<class>/` and `test/<class>/`; all steps from files, as a user has it.
    """
    for folder in map(Path, photos):
        result, failures = compare(folder, encoder="tiny", seeds=seeds)
        yield f"### {folder.name}\n\n{markdown.comparison_markdown(result)}"
        yield f"{len(failures)} images could not be read.\n"


# ---- Meta-Adapter on tasks it never saw


@table("meta", title="Learning to learn", seconds=240, seeds=1, tasks=1)
def meta(seeds: int = 5, tasks: int = 14) -> Iterator[str]:
    """Against Tip-Adapter, GDA, zero-shot and `auto`.

    The shipped weights were learned with `tiny` on playground tasks that share no class with these
    (scripts/train_meta.py). For another encoder: `handful bench FEATURES --methods meta`.
    """
    methods = ("zero_shot", "tip", "gda", "text_gda", "auto", "meta")
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _, _, k, task in playground_draws(tiny(), SHOTS, range(seeds), tasks):
        for method in methods:
            adapter = plugins.get("adapters", method)().fit(task.X, task.y, task.text)
            answers = adapter.logits(task.Q).argmax(axis=1)
            found[method, k].append(100 * float((answers == task.targets).mean()))
    yield (
        f"`tiny`, the playground's {tasks} hard tasks, {seeds} draws each, 20 test images a class; "
        f"mean accuracy in percent over the {tasks * seeds} draws with its 95 % interval.\n"
    )
    yield head("method", *(f"{k} shots" for k in SHOTS), left=1)
    for method in methods:
        yield row(f"`{method}`", *(interval(found[method, k]) for k in SHOTS))
    for other in ("zero_shot", "tip", "auto"):
        gaps = (np.subtract(found["meta", k], found[other, k]) for k in SHOTS)
        yield row(f"`meta` less `{other}`", *(interval(gap, "+.1f") for gap in gaps))
    yield f"\nA fit of 100 classes x 16 shots x 512 takes {1000 * meta_seconds():.0f} ms."


def meta_seconds() -> float:
    rng = np.random.default_rng(0)
    words = ClassText(rng.normal(size=(100, 1, 512)), names(100), 100.0)
    labels = np.repeat(np.array(words.classes), 16)
    X = np.repeat(words.weights, 16, axis=0) + 0.1 * rng.normal(size=(1600, 512))
    adapter = plugins.get("adapters", "meta")()
    return statistics.median(seconds(lambda: adapter.fit(X, labels, words), 7))
