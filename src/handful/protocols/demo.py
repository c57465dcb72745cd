"""Methods compared and one skill fitted on the playground: `handful demo`.

Drawn pictures, since no photos come with Handful. The tasks are those where zero-shot is *not*
good: made-up names, styles that no photograph has, differences too fine for words.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from handful import data, encoders
from handful.contracts import Encoder, ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.errors import InputError, StorageError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.protocols.compare import Comparison, compare_features
from handful.protocols.runner import Score
from handful.protocols.task import Task
from handful.skills import evaluate, fit
from handful.skills.evaluate import Evaluated
from handful.skills.predict import Predictor

METHODS = ("zero_shot", "tip", "tip_f", "linear", "clip_adapter", "auto")
QUERIES = 16  # test images a class
# two of fourteen, which take a minute on two cores
TASKS = ("style-sketch", "novel-objects")
SHOTS = (1, 4, 16)
_MARK = ".handful-demo"  # in a folder that a later demo may clear


@dataclass(frozen=True)
class Demo:
    """What the demo made: the table, and one skill measured on photos it has not seen."""

    comparison: Comparison
    skill: Path
    photos: Path
    evaluated: Evaluated


def run(
    out: Path,
    *,
    tasks: Sequence[str] | None = None,
    encoder: str = encoders.DEFAULT,
    shots: Sequence[int] = SHOTS,
    seeds: int = 3,
    jobs: int = 1,
    precision: str = "auto",
    device: str = "auto",
    progress: Progress | None = None,
) -> Demo:
    """Compare methods on the playground's hard tasks, then teach one skill from files.

    Args:
        out: folder for `photos/` and `skill/`: a new one, an empty one, or that of an earlier demo.
        encoder: see `handful.encoders.load`.
        tasks: names from `playground.tasks()`; all of them when not given.
        shots: shot counts.
        seeds: draws a task.
        jobs: processes that compare methods side by side.
        precision: of the encoder; see `handful.encoders.load`.
        device: likewise.
        progress: called with (trials done, trials in all).

    Raises:
        InputError: `out` holds something else; nothing of it is touched.
    """
    _claim(out)
    names = tuple(tasks or playground.tasks())
    draws = [(task, seed) for task in names for seed in range(seeds)]
    every = Parallel(jobs, return_as="generator")(
        delayed(_trials)(encoder, task, shots, seed, precision, device) for task, seed in draws
    )
    trials: list[Score] = []
    for some in every:
        trials += some
        if progress:
            progress(len(trials), len(draws) * len(shots) * len(METHODS))
    loaded = _loaded(encoder, precision, device)
    facts = {
        "encoder": loaded.name,
        "tasks": list(names),
        "test images": f"{QUERIES} a class and task, drawn anew for every seed",
        "seeds": seeds,
        "hyper-parameters": "each method's defaults; no validation set",
    }
    photos, skill = out / "photos", out / "skill"
    playground.write(playground.task(names[0], max(shots), 0, QUERIES), photos)
    store = FeatureStore(out / "store")
    fit.fit(photos, encoder=loaded, store=store).pack.save(skill, overwrite=True)
    evaluated = evaluate.evaluate(
        Predictor(skill, encoder=loaded, store=store), photos, store=store
    )
    return Demo(Comparison(tuple(trials), facts), skill, photos, evaluated)


def _claim(out: Path) -> None:
    """Make the folder ours: clear what an earlier demo left, refuse what is not a demo's."""
    mark = out / _MARK
    if out.exists() and not mark.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds something that is not a demo's; choose another folder")
    for name in ("photos", "skill"):
        shutil.rmtree(out / name, ignore_errors=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from error


def draw(encoder: Encoder, name: str, shots: int, seed: int, queries: int = 20) -> Task:
    """Draw a task of the playground at random and encode it, the support set first."""
    made = playground.task(name, shots, seed, queries)
    text = prompts.embed(encoder, made.classes, made.templates)
    pictures = [ImageRef.of(pixels) for pixels in (*made.support, *made.test)]
    values = encoder.images([encoder.prepare(data.decode(p)) for p in pictures])
    labels = np.array([made.classes.index(c) for c in (*made.support_labels, *made.test_labels)])
    splits = np.repeat(["train", "test"], [len(made.support), len(made.test)])
    return Task.of_features(name, values, labels, text, splits=splits, encoder=encoder.name)


@cache
def _loaded(encoder: str, precision: str, device: str) -> Encoder:
    """Once a process."""
    return encoders.load(encoder, precision=precision, device=device)


def _trials(
    encoder: str,
    name: str,
    shots: Sequence[int],
    seed: int,
    precision: str,
    device: str,
) -> list[Score]:
    """Every method at every shot count on one draw of one task."""
    task = draw(_loaded(encoder, precision, device), name, max(shots), seed, QUERIES)
    return compare_features(task, METHODS, shots, [seed])
