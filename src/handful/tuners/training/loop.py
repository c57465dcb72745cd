"""A training from beginning to end: isolated, reported, and its errors made plain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from handful.errors import InputError
from handful.tuners.training import memory, processes
from handful.tuners.training.callbacks import Callback
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.trainer import Report, Trainer, TrainingProgress


def train(
    objective: nn.Module,
    count: int,
    recipe: Recipe,
    *,
    unlabelled: int = 0,
    rates: Mapping[nn.Parameter, float] | None = None,
    device: torch.device | None = None,
    progress: TrainingProgress | None = None,
    checkpoint: Path | None = None,
    identity: str = "",
    callbacks: Sequence[Callback] = (),
) -> Report:
    """Minimise the sum of the losses that `objective(rows, others)` returns by name.

    Args:
        objective: its parameters that require a gradient are trained, in place. It gathers its own
            data by row.
        count: N, labelled images.
        recipe: how long and how fast.
        unlabelled: U, further images without labels.
        rates: learning rates other than the recipe's.
        device: where the objective's data is; Accelerate's when not given.
        progress: called with (steps done, steps in all, loss, seconds left), by one process.
        checkpoint: a folder that is written after each epoch, and resumed from if it is there.
        identity: of the data and the model; a checkpoint of another one is refused.
        callbacks: called at the start, every step and the end, also an early one, by one process.

    Raises:
        InputError: nothing to learn or to learn from; a loss that leaves the finite numbers in
            float32; a precision that the machine has not; a checkpoint of another training; too
            little memory.
    """
    if count < 1:
        raise InputError(f"expected one image or more to learn from, got {count}")
    if not any(p.requires_grad for p in objective.parameters()):
        raise InputError("nothing to learn: none of the parameters wants a gradient")
    with ExitStack() as stack:
        # outermost, for an Accelerator is made inside, and its state is global
        stack.enter_context(processes.isolated_state())
        stack.enter_context(processes.restored_forward(objective))
        trainer = Trainer(objective, count, recipe, unlabelled, rates or {}, device)
        stack.enter_context(processes.forked_rng(trainer.device))
        stack.enter_context(memory.record_peak(trainer.report, trainer.device))
        if trainer.accelerator.is_main_process:
            trainer.progress, trainer.callbacks = progress, callbacks
        for callback in trainer.callbacks:
            callback.on_start(asdict(recipe))
            stack.callback(_end, callback, trainer.report)
        try:
            trainer.run(checkpoint, identity)
        except (MemoryError, RuntimeError) as error:
            if not memory.is_out_of_memory(error):
                raise
            raise InputError(memory.advice(recipe)) from error
        finally:
            # also after an error: the model belongs to the caller
            trainer.optimiser.zero_grad()
    return trainer.report


def _end(callback: Callback, report: Report) -> None:
    callback.on_end(report.to_dict())
