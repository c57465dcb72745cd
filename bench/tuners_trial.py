"""One trial of `bench/tuners.py`: a tuner, or the frozen encoder, on one draw of one task."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful import encoders, metrics
from handful.adapters import create_adapter
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.data import decode, playground
from handful.encoders import prompts
from handful.protocols import trials
from handful.tuners.training import tune

QUERIES = 20
HEADS = ("zero_shot", "auto")
_KNOWN = 5_100_000  # scenes of scripts/evaluate_tiny.py: held-out compositions
_EACH = 5  # images of a name that the encoder knows


@cache
def tiny() -> Any:
    torch.set_num_threads(1)
    return encoders.load("tiny", precision="float32", device="cpu")


def measured(method: str, name: str, shots: int, seed: int) -> dict[str, Any]:
    """Accuracy by head in percent, and what the training cost.

    Args:
        method: `frozen`, or tuners joined by `+`; the first one's recipe holds.
        name: of the task.
        shots: images a class.
        seed: of the draw, the training and the heads.
    """
    base = tiny()
    task = playground.task(name, shots, seed, QUERIES)
    support = [ImageRef.of(p) for p in task.support]
    text = prompts.write(task.classes, task.templates)
    encoder, templates = base, task.templates
    facts: dict[str, Any] = {"seconds": 0.0}
    heads: Sequence[str] = HEADS
    if method == "frozen":
        heads = trials.inductive()
    else:
        before, began = _held(), time.process_time()
        asked = tune.Tuning(tuple(method.split("+")))
        with store_of_its_own():
            done = tune.tune(asked, base, support, list(task.support_labels), text, seed=seed)
        encoder, templates = done.encoder, done.templates
        facts = {
            "seconds": time.process_time() - began,
            "peak": done.report.peak_memory - before,
            "parameters": sum(delta.size for delta in encoder.deltas.values()),
            "losses": [done.report.losses[0], done.report.losses[-1]],
        }
    spoken = prompts.ClassPrompts(text.classes, text.names, templates)
    read = prompts.read(encoder, spoken)
    rows, asked_of = pictures(encoder, task.support), pictures(encoder, task.test)
    targets = np.array([task.classes.index(label) for label in task.test_labels])
    right = {}
    for head in heads:
        adapter = create_adapter(head, seed).fit(rows, np.array(task.support_labels), read)
        right[head] = 100 * metrics.accuracy(adapter.logits(asked_of), targets)
    return {"accuracy": right, "known": _known(encoder), **facts}


def pictures(encoder: Encoder, pixels: Sequence[Any]) -> Array:
    prepared = [encoder.prepare(decode(ImageRef.of(p))) for p in pixels]
    parts = range(0, len(prepared), 64)
    return np.concatenate([encoder.images(prepared[s : s + 64]) for s in parts])


@contextmanager
def store_of_its_own() -> Iterator[None]:
    """Nothing is found that another trial has computed."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("HANDFUL_HOME")
        os.environ["HANDFUL_HOME"] = folder
        yield
        os.environ.pop("HANDFUL_HOME")
        if before is not None:
            os.environ["HANDFUL_HOME"] = before


@cache
def _scenes() -> tuple[Any, ...]:
    return tuple(
        playground.render(
            playground.scene(
                _KNOWN + i,
                objects=1,
                compositions="held_out",
                fixed=[dict(zip(("texture", "colour", "shape"), what, strict=True))],
            )
        )
        for i, what in enumerate(playground.HELD_OUT * _EACH)
    )


def _known(encoder: Encoder) -> float:
    """Zero-shot over the 59 compositions of docs/tiny.md, in percent, with hand-written prompts."""
    names = tuple(" ".join(what) for what in playground.HELD_OUT)
    text: ClassText = prompts.embed(encoder, names, ("a photo of a {}.",))
    logits = pictures(encoder, _scenes()) @ text.weights.T
    return 100 * metrics.accuracy(logits, np.tile(np.arange(len(names)), _EACH))


def _held() -> int:
    """Bytes that this process holds now (Linux)."""
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
