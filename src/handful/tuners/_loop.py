"""The training loop, on Hugging Face Accelerate: one process or many, any device.

The order of the images comes from a generator of its own, so that a run on one process, a run that
splits its batches to save memory, and a run that was interrupted and goes on, all see the same.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from handful.errors import InputError, MissingExtraError
from handful.towers import overridden
from handful.tuners import _checkpoint, _memory
from handful.tuners._callbacks import Callback
from handful.tuners._recipe import BASE_RATE, Recipe

Live = Callable[[int, int, float, float], None]


@dataclass
class Report:
    """What happened while training.

    Args:
        losses: mean loss of each epoch.
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

    def told(self) -> dict[str, Any]:
        """As plain values, without what differs from run to run."""
        said = asdict(self)
        return {k: said[k] for k in ("losses", "steps", "precision", "fell_back")}


class MixedPrecisionWarning(UserWarning):
    """Mixed precision left the finite numbers; training went on in float32."""


def train(
    objective: nn.Module,
    count: int,
    recipe: Recipe,
    *,
    unlabelled: int = 0,
    rates: Mapping[nn.Parameter, float] | None = None,
    device: torch.device | None = None,
    progress: Live | None = None,
    checkpoint: Path | None = None,
    about: str = "",
    callbacks: Sequence[Callback] = (),
) -> Report:
    """Minimise the sum of the losses that `objective(rows, others)` names.

    Args:
        objective: its parameters that want a gradient are trained, in place. It gathers its own
            data by row.
        count: N, labelled images.
        recipe: how long and how fast.
        unlabelled: U, further images without labels.
        rates: learning rates other than the recipe's.
        device: where it computes; a launcher of Accelerate's may say otherwise.
        progress: called with (steps done, steps in all, loss, seconds left).
        checkpoint: a folder that is written after each epoch, and gone on from where it is there.
        about: identity of what is trained on what; another one does not go on from a checkpoint.
        callbacks: told of the start, every step and the end.

    Raises:
        InputError: a loss that leaves the finite numbers in float32; a checkpoint of another
            training; too little memory.
    """
    run = Run(objective, count, recipe, unlabelled, rates or {}, device)
    with torch.random.fork_rng(devices=_gpus(device)), _memory.told(run.report, device):
        torch.manual_seed(recipe.seed)
        for callback in callbacks:
            callback.on_start(asdict(recipe))
        try:
            run.go(progress, checkpoint, about, callbacks)
        except (MemoryError, RuntimeError) as error:
            if not _memory.is_lack(error):
                raise
            raise InputError(_memory.cure(recipe)) from error
    for callback in callbacks:
        callback.on_end(run.report.told())
    return run.report


class Run:
    """One training: what is trained, how far it is, and what it takes to go back."""

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
        self.unlabelled, self.rates, self.device = unlabelled, rates, device
        self.learned = [p for p in objective.parameters() if p.requires_grad]
        self.report = Report(precision=recipe.precision)
        self.per_epoch = math.ceil(count / recipe.batch)
        self.began = time.perf_counter()
        self.accelerator: Any = None
        self.model: Any = objective
        self.optimiser: Any = None
        self._prepare(recipe.precision)

    def go(
        self,
        progress: Live | None,
        checkpoint: Path | None,
        about: str,
        callbacks: Sequence[Callback],
    ) -> None:
        """All epochs that are not behind us yet."""
        file = None if checkpoint is None else _checkpoint.file(checkpoint)
        identity = _checkpoint.identity(about, self.recipe, self.unlabelled, self.learned)
        first = 0
        if file is not None and file.exists():
            first = _checkpoint.read(file, identity, self.learned, self.optimiser, self.report)
            self.report.resumed_at = first
            if self.report.precision != self.recipe.precision:
                self._prepare(self.report.precision, keep=True)
        self.objective.train()
        self.steps_before = first * self.per_epoch
        for epoch in range(first, self.recipe.epochs):
            before = None  # only mixed precision goes back, and a copy can be large
            if self.report.precision != "no":
                before = _checkpoint.snapshot(self.learned, self.optimiser)
            if not self._epoch(epoch, progress, callbacks) and before is not None:
                self._fall_back(before)
                self._epoch(epoch, progress, callbacks)
            if file is not None and self.accelerator.is_main_process:
                done = epoch + 1
                _checkpoint.write(file, identity, self.learned, self.optimiser, self.report, done)
        self.objective.eval()
        self.report.steps = self.recipe.epochs * self.per_epoch
        self.report.seconds = time.perf_counter() - self.began

    def _epoch(self, epoch: int, progress: Live | None, callbacks: Sequence[Callback]) -> bool:
        """One pass over the images; false where mixed precision left the finite numbers."""
        recipe, total = self.recipe, 0.0
        steps = self.recipe.epochs * self.per_epoch
        for number, (rows, others) in enumerate(self._batches(epoch)):
            step = epoch * self.per_epoch + number
            self._set_rates(step, steps)
            torch.manual_seed(recipe.seed * 1_000_003 + step)  # of views and dropout
            told = self._step(rows, others)
            if told is None:
                if self.report.precision != "no":
                    return False
                raise InputError(
                    f"training diverged at step {step + 1} of {steps}: the loss or its gradient is "
                    f"not a finite number; lower learning_rate={recipe.learning_rate:g}"
                )
            loss = sum(told.values())
            total += loss * len(rows)
            for callback in callbacks:
                callback.on_step(step, {**told, "loss": loss})
            if progress is not None:
                spent = time.perf_counter() - self.began
                done = step + 1 - self.steps_before
                progress(step + 1, steps, loss, spent / done * (steps - step - 1))
        self.report.losses.append(total / self.count)
        return True

    def _step(self, rows: Tensor, others: Tensor | None) -> dict[str, float] | None:
        """One update, its batch in parts where memory is short; None where it is not finite."""
        parts = self._share(rows, others)
        told: dict[str, float] = {}
        self.optimiser.zero_grad()
        for number, (part, more, weight) in enumerate(parts):
            last = number == len(parts) - 1
            quiet = nullcontext() if last else self.accelerator.no_sync(self.model)
            with quiet:
                losses = self.model(part, more)
                whole = torch.stack([loss.float() for loss in losses.values()]).sum() * weight
                if not torch.isfinite(whole):
                    return None
                self.accelerator.backward(whole)
            for name, loss in losses.items():
                told[name] = told.get(name, 0.0) + float(loss.detach()) * weight
        if self.report.precision != "fp16" and not self._finite():  # fp16's scaler looks itself
            return None
        self.optimiser.step()
        return told

    def _share(
        self, rows: Tensor, others: Tensor | None
    ) -> list[tuple[Tensor, Tensor | None, float]]:
        """This process's part of a batch, split for accumulation; weights make it the mean."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = rows[rank::world] if len(rows) > rank else rows[:1]
        theirs = None if others is None else others[rank::world]
        size = math.ceil(len(mine) / self.recipe.accumulation)
        split = torch.split(mine, size)
        more = (
            [None] * len(split) if theirs is None else list(torch.tensor_split(theirs, len(split)))
        )
        share = world / len(rows) if len(rows) > rank else 0.0
        return [
            (part, extra if extra is not None and len(extra) else None, len(part) * share)
            for part, extra in zip(split, more, strict=True)
        ]

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Rows in an order drawn anew for each epoch, and as many images without labels."""
        order = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + epoch)
        rows = torch.randperm(self.count, generator=order)
        for part in torch.split(rows, self.recipe.batch):
            others = None
            if self.unlabelled:
                others = torch.randint(self.unlabelled, part.shape, generator=order)
            yield part, others

    def _set_rates(self, step: int, steps: int) -> None:
        """Up from zero over the warm-up, then half a cosine down to zero."""
        warm = round(self.recipe.warmup * steps)
        if step < warm:
            factor = (step + 1) / warm
        else:
            factor = (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * factor

    def _finite(self) -> bool:
        return all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in self.learned)

    def _prepare(self, precision: str, *, keep: bool = False) -> None:
        state = None
        if keep:
            state = self.optimiser.state_dict()
            self.objective = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator = _accelerator(precision, self.device)
        bare = self._optimiser()
        self.model, self.optimiser = self.accelerator.prepare(self.objective, bare)
        if state is not None:
            self.optimiser.load_state_dict(state)
        self.report.precision = precision

    def _fall_back(self, before: _checkpoint.Snapshot) -> None:
        warnings.warn(
            f"{self.report.precision} left the finite numbers; training goes on in float32, which "
            "takes longer",
            MixedPrecisionWarning,
            stacklevel=2,
        )
        _checkpoint.restore(before, self.learned, self.optimiser)
        self._prepare("no", keep=True)
        self.report.fell_back = True

    def _optimiser(self) -> torch.optim.Optimizer:
        """AdamW; matrices decay, biases and norms do not, nor the encoder's own weights."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for p in self.learned:
            rate = self.rates.get(p, self.recipe.learning_rate)
            small = p.ndim < 2 or rate <= BASE_RATE
            decay = 0.0 if small else self.recipe.weight_decay
            groups.setdefault((rate, decay), []).append(p)
        return torch.optim.AdamW(
            [
                {"params": params, "lr": rate, "top": rate, "weight_decay": decay}
                for (rate, decay), params in groups.items()
            ]
        )


@contextmanager
def checkpointed(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Activations inside these modules are computed again on the way back, and not held."""
    with ExitStack() as stack:
        for module in modules:
            inside = module.forward

            def again(*args: Any, inside: Any = inside, **kwargs: Any) -> Any:
                if not torch.is_grad_enabled():
                    return inside(*args, **kwargs)
                return recompute(inside, *args, use_reentrant=False, **kwargs)

            stack.enter_context(overridden(module, "forward", again))
        yield


def _accelerator(precision: str, device: torch.device | None) -> Any:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtraError("accelerate", "tune", "training a tuner") from error
    # One process has one state, made by whoever comes first; each training has its own precision.
    AcceleratorState._reset_state()
    cpu = device is not None and device.type == "cpu"
    try:
        return Accelerator(mixed_precision=precision, cpu=cpu)
    except ValueError as error:
        raise InputError(
            f"precision={precision!r} cannot be used on this machine ({error}); use bf16 or no"
        ) from error


def _gpus(device: torch.device | None) -> list[int]:
    return [device.index or 0] if device is not None and device.type == "cuda" else []
