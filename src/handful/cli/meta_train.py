"""`handful meta-train`: learn from many tasks how to learn the next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _console, _options


def run(
    sources: Annotated[
        list[Path], typer.Argument(help="Labelled folders, tables or feature files; each a task.")
    ],
    name: Annotated[str, typer.Option(help="What the weights are called: --param weights=NAME.")],
    encoder: _options.EncoderName = "tiny",
    template: _options.Templates = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates, of eight episodes each.")] = 2000,
    seed: _options.Seed = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace weights of this name.")] = False,
    as_json: _options.Json = False,
) -> int:
    """Learn a Meta-Adapter's weights from tasks that it will not be judged by."""
    from handful.encoders import prompts
    from handful.protocols import meta_training

    place = meta_training.free_place(name, overwrite=overwrite)
    templates = prompts.expand_templates(template or prompts.DEFAULT)
    with _console.progress("encoding") as progress:
        pools = meta_training.pools(sources, encoder, templates, progress=progress)
    with _console.training_progress("meta-training") as (_, live):
        refiner = meta_training.train(pools, steps=steps, seed=seed, progress=_told(live))
    facts = {
        "tasks": [pool.name for pool in pools],
        "encoders": sorted({pool.encoder for pool in pools}),
        "steps": steps,
        "seed": seed,
    }
    meta_training.keep(refiner, place, facts)
    if as_json:
        _console.say_json({"weights": name, "file": str(place), **facts})
    else:
        _console.say(
            f"Learned from {len(pools)} task{'s' * (len(pools) > 1)}. "
            f"Try: handful fit PHOTOS --out SKILL --method meta --param weights={name}"
        )
    return 0


def _told(live: Callable[..., None] | None) -> Callable[[int, int, float], None] | None:
    """Steps and loss for the bar, and the time left by the pace so far."""
    if live is None:
        return None
    began, tell = time.perf_counter(), live

    def told(done: int, total: int, loss: float) -> None:
        tell(done, total, loss, (time.perf_counter() - began) / done * (total - done))

    return told
