"""The epochs and steps of a training, on Hugging Face Accelerate: one process or many, any device.

The order of the images comes from a generator of its own, so that a run on one process, a run that
splits its batches to save memory, and a run that was interrupted and resumed, all see the same.
Accelerate's own sampler, accumulation and saved state guarantee none of these, and its state is
unpickled; what it does here is devices, processes, mixed precision and the scaling of fp16's loss.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handful.errors import InputError
from handful.tuners.training import checkpoint as checkpoints
from handful.tuners.training import processes, schedule
from handful.tuners.training.callbacks import Callback
from handful.tuners.training.recipe import MAX_BASE_RATE, Recipe

_SEED_STRIDE = 0x9E3779B1  # between the seeds of two processes, so that their dropout differs

# (steps done, steps in all, loss, seconds left)
TrainingProgress = Callable[[int, int, float, float], None]


@dataclass
class Report:
    """What happened while training.

    Args:
        losses: mean loss of each epoch, over all processes.
        steps: updates.
        seconds: in all, of this process.
        precision: at the end: `no`, `bf16` or `fp16`.
        fell_back: whether mixed precision left the finite numbers and float32 took over.
        peak_memory: bytes that the process (or the GPU) held at most while training.
        resumed_at: epochs that a checkpoint spared.
    """

    losses: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    precision: str = "no"
    fell_back: bool = False
    peak_memory: int = 0
    resumed_at: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without what differs from run to run."""
        return {k: getattr(self, k) for k in ("losses", "steps", "precision", "fell_back")}


class MixedPrecisionWarning(UserWarning):
    """Mixed precision left the finite numbers; training went on in float32."""


class Trainer:
    """One training: the objective, how far it is, and what it takes to go back."""

    def __init__(
        self,
        objective: nn.Module,
        count: int,
        recipe: Recipe,
        unlabelled: int,
        rates: Mapping[nn.Parameter, float],
        device: torch.device | None,
    ) -> None:
        self.objective, self.count, self.recipe = objective, count, recipe
        self.unlabelled, self.rates, self._given_device = unlabelled, rates, device
        self.learned = [p for p in objective.parameters() if p.requires_grad]
        self.report = Report()
        self.epoch_steps = math.ceil(count / recipe.batch)
        self.began = time.perf_counter()
        self.progress: TrainingProgress | None = None
        self.callbacks: Sequence[Callback] = ()
        self._prepare(recipe.precision)

    def run(self, checkpoint: Path | None, identity: str) -> None:
        """All epochs that are not done yet."""
        report, first = self.report, 0
        file = None if checkpoint is None else checkpoints.checkpoint_file(checkpoint)
        counts = (self.count, self.unlabelled)
        digest = checkpoints.training_identity(identity, self.recipe, counts, self.learned)
        if file is not None and file.exists():
            tensors, facts = checkpoints.read(file, digest)
            checkpoints.load_state_tensors(tensors, self.learned, self.optimiser)
            report.losses, report.fell_back = list(facts["losses"]), bool(facts["fell_back"])
            report.resumed_at = first = int(facts["epoch"])
            report.steps = first * self.epoch_steps
            if facts["precision"] != self.recipe.precision:  # it had fallen back
                self._prepare(facts["precision"], keep=True)
        self.objective.train()
        for epoch in range(first, self.recipe.epochs):
            before: dict[str, Tensor] = {}
            if report.precision != "no":  # only mixed precision goes back, and a copy can be large
                before = {name: tensor.clone() for name, tensor in self._state().items()}
            if not self._epoch(epoch):
                self._fall_back(before)
                self._epoch(epoch)
            if file is not None and self.accelerator.is_main_process:
                facts = {"epoch": epoch + 1, "losses": report.losses}
                facts |= {"precision": report.precision, "fell_back": report.fell_back}
                checkpoints.write(file, digest, self._state(), facts)
        self.objective.eval()
        report.seconds = time.perf_counter() - self.began

    def _state(self) -> dict[str, Tensor]:
        return checkpoints.state_tensors(self.learned, self.optimiser)

    def _epoch(self, epoch: int) -> bool:
        """One pass over the images; false where mixed precision left the finite numbers."""
        recipe, total = self.recipe, 0.0
        steps = recipe.steps(self.count)
        batches = schedule.batches(self.count, self.unlabelled, recipe, epoch)
        for step, (rows, others) in enumerate(batches, epoch * self.epoch_steps):
            factor = schedule.learning_rate_factor(step, steps, recipe.warmup)
            for group in self.optimiser.param_groups:
                group["lr"] = group["top"] * factor
            losses = self._step(rows, others, recipe.seed * 1_000_003 + step)
            if losses is None:
                if self.report.precision != "no":
                    return False
                raise InputError(
                    f"training diverged at step {step + 1} of {steps}: the loss or its gradient is "
                    f"not a finite number; lower learning_rate={recipe.learning_rate:g}"
                )
            loss = sum(losses.values())
            total += loss * len(rows)
            self.report.steps = step + 1
            for callback in self.callbacks:
                callback.on_step(step, {**losses, "loss": loss})
            if self.progress is not None:
                done = step + 1 - self.report.resumed_at * self.epoch_steps
                left = (time.perf_counter() - self.began) / done * (steps - step - 1)
                self.progress(step + 1, steps, loss, left)
        self.report.losses.append(total / self.count)
        return True

    def _step(self, rows: Tensor, others: Tensor | None, seed: int) -> dict[str, float] | None:
        """One update; None where it is not finite.

        fp16's losses are scaled up, and an update whose gradients overflow by that is left out;
        few images have few updates, so it is taken again with the scale that was halved.
        """
        scaler = self.accelerator.scaler
        while True:
            # views and dropout: a function of the step alone, so a resumed run draws the same
            processes.seed_rng(seed + _SEED_STRIDE * self.accelerator.process_index, self.device)
            losses = self._gradients(rows, others)
            finite = all(math.isfinite(loss) for loss in losses.values())
            if not finite or (scaler is None and not self._gradients_are_finite()):
                return None
            self.optimiser.step()
            if scaler is None or not self.optimiser.step_was_skipped:
                return losses
            if scaler.get_scale() < 1:
                return None

    def _gradients(self, rows: Tensor, others: Tensor | None) -> dict[str, float]:
        """Losses of a batch, which is computed in parts where memory is short.

        Not by `Accelerator.accumulate`, which would count every part alike: the parts of a batch
        can differ in size, and each has the weight of its rows.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        parts = schedule.split_batch(rows, others, rank, world, self.recipe.accumulation)
        means: dict[str, float] = {}
        self.optimiser.zero_grad()
        for number, (part, more, weight) in enumerate(parts, 1):
            last = number == len(parts)  # gradients travel between processes once a batch
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                losses = self.model(part, more)
                whole = torch.stack([loss.float() for loss in losses.values()]).sum() * weight
                # Not left out where it is not finite: other processes wait for its gradients.
                self.accelerator.backward(whole)
            for name, loss in losses.items():
                means[name] = means.get(name, 0.0) + float(loss.detach()) * weight
        return processes.mean_over_processes(self.accelerator, means)

    def _gradients_are_finite(self) -> bool:
        return all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in self.learned)

    def _prepare(self, precision: str, *, keep: bool = False) -> None:
        """An accelerator of this precision; `keep` the optimiser's state of the one before."""
        state = None
        if keep:
            state = self.optimiser.state_dict()
            self.objective = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator: Any = processes.create_accelerator(precision, self._given_device)
        self.device: torch.device = self._given_device or self.accelerator.device
        if self._given_device is not None:
            self.objective.to(self._given_device)
        self.model: Any
        self.optimiser: Any
        self.model, self.optimiser = self.accelerator.prepare(self.objective, self._adamw())
        if state is not None:
            self.optimiser.load_state_dict(state)
        self.report.precision = precision

    def _fall_back(self, before: Mapping[str, Tensor]) -> None:
        """Back to the beginning of the epoch, in float32."""
        warnings.warn(
            f"{self.report.precision} left the finite numbers; training goes on in float32, which "
            "takes longer",
            MixedPrecisionWarning,
            stacklevel=2,
        )
        checkpoints.load_state_tensors(before, self.learned, self.optimiser)
        self._prepare("no", keep=True)
        self.report.fell_back = True

    def _adamw(self) -> torch.optim.Optimizer:
        """AdamW; matrices decay, biases and norms do not, nor the encoder's own weights."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for p in self.learned:
            rate = self.rates.get(p, self.recipe.learning_rate)
            no_decay = p.ndim < 2 or rate <= MAX_BASE_RATE
            groups.setdefault((rate, 0.0 if no_decay else self.recipe.weight_decay), []).append(p)
        return torch.optim.AdamW(
            [
                {"params": params, "lr": rate, "top": rate, "weight_decay": decay}
                for (rate, decay), params in groups.items()
            ]
        )
