"""Accelerate's processes, state and random numbers, isolated for one training.

Accelerate keeps its state in class attributes, one for the process. A training here has a precision
and device of its own and leaves the caller's Accelerator, generators and module as they were.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from handful.errors import InputError, MissingExtraError


@contextmanager
def isolated_state() -> Iterator[None]:
    """An empty Accelerate state inside; afterwards that of the user's own Accelerator again."""
    try:
        from accelerate.state import AcceleratorState, PartialState
    except ImportError as error:
        raise MissingExtraError("accelerate", "tune", "training a tuner") from error
    saved = [(state, dict(state._shared_state)) for state in (AcceleratorState, PartialState)]
    try:
        for state, _ in saved:
            state._shared_state.clear()
        yield
    finally:
        for state, values in saved:
            state._shared_state.clear()
            state._shared_state.update(values)


def create_accelerator(precision: str, device: torch.device | None) -> Any:
    """An Accelerator of this precision, on this device or its launcher's.

    Raises:
        InputError: the machine cannot compute in this precision, or the launcher has given this
            process another GPU than `device`.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._shared_state.clear()  # or a second precision would be refused
    cpu = device is not None and device.type == "cpu"
    refusal = f"precision={precision!r} cannot be used on this machine; use bf16 or no"
    try:
        made = Accelerator(mixed_precision=precision, cpu=cpu, device_placement=device is None)
    except ValueError as error:
        raise InputError(f"{refusal} ({error})") from error
    if precision == "fp16" and made.device.type == "cpu":
        raise InputError(f"{refusal} (Accelerate would compute in float32 on a CPU, in silence)")
    elsewhere = device is not None and (device.index or 0) != (made.device.index or 0)
    if elsewhere and made.num_processes > 1:
        raise InputError(
            f"process {made.process_index} was given {made.device} by its launcher, but its "
            f"encoder is on {device}; load the encoder with device='{made.device}'"
        )
    if made.num_processes > 1:
        _leave_at_exit()
    return made


@cache
def _leave_at_exit() -> None:
    """End the process group before Python ends, or it can abort this process and so the others.

    Not sooner: a second training of this process, and the caller, may still need it.
    """
    atexit.register(_leave)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def mean_over_processes(accelerator: Any, losses: Mapping[str, float]) -> dict[str, float]:
    """The mean over all processes, so all of them see when one is not finite."""
    if accelerator.num_processes == 1:
        return dict(losses)
    values = torch.tensor(list(losses.values()), dtype=torch.float64, device=accelerator.device)
    mean = accelerator.reduce(values, "mean")
    return dict(zip(losses, mean.tolist(), strict=True))


@contextmanager
def restored_forward(module: nn.Module) -> Iterator[None]:
    """Removes what Accelerate puts in the place of the module's `forward` inside."""
    before = vars(module).get("forward")
    try:
        yield
    finally:
        for name in ("forward", "_original_forward"):
            vars(module).pop(name, None)
        if before is not None:
            module.forward = before


@contextmanager
def forked_rng(device: torch.device) -> Iterator[None]:
    """Random numbers drawn inside, on the CPU and `device`, leave the generators as they were."""
    gpus = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        yield


def seed_rng(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and `device`; `torch.manual_seed` would seed all devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
