"""`handful meta-train`: learn from many tasks how to learn the next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _console, _options, _paths


def run(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Labelled folders, tables or feature files; each a task.",
            callback=_paths.existing_sources,
        ),
    ],
    name: Annotated[str, typer.Option(help="What the weights are called: --param weights=NAME.")],
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    template: _options.Templates = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates, of eight episodes each.")] = 2000,
    seed: _options.Seed = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace weights of this name.")] = False,
    as_json: _options.Json = False,
) -> int:
    """Learn a Meta-Adapter's weights from tasks that it will not be judged by."""
    from handful.encoders import prompts
    from handful.protocols import meta_training

    path = meta_training.weights_path(name, overwrite=overwrite)
    templates = prompts.expand_templates(template or prompts.DEFAULT)
    with _console.progress("encoding") as progress:
        tasks = meta_training.load_tasks(
            sources, encoder, templates, precision=precision, device=device, progress=progress
        )
    with _console.training_progress("meta-training") as (_, show):
        network = meta_training.train(tasks, steps=steps, seed=seed, progress=_with_time_left(show))
    facts = {
        "tasks": [task.name for task in tasks],
        "encoders": sorted({task.encoder for task in tasks}),
        "steps": steps,
        "seed": seed,
    }
    meta_training.save_weights(network, path, facts)
    if as_json:
        _console.echo_json({"weights": name, "file": str(path), **facts})
    else:
        _console.echo(
            f"Learned from {len(tasks)} task{'s' * (len(tasks) > 1)}. "
            f"Try: handful fit PHOTOS --out SKILL --method meta --param weights={name}"
        )
    return 0


def _with_time_left(
    show: Callable[..., None] | None,
) -> Callable[[int, int, float], None] | None:
    """Steps and loss for the bar, and the time left by the pace so far."""
    if show is None:
        return None
    began = time.perf_counter()

    def progress(done: int, total: int, loss: float) -> None:
        show(done, total, loss, (time.perf_counter() - began) / done * (total - done))

    return progress
