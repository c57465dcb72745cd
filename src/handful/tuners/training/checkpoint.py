"""Checkpoints of a training: one safetensors file, replaced as a whole.

Not Accelerate's `save_state`: that is a folder of several files, some of which are unpickled, and
a pickle can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from handful.errors import InputError, StorageError
from handful.tuners.training.recipe import Recipe

FILE_NAME = "training.safetensors"
# Fields of the recipe that save memory or time and do not change the result.
_WITHOUT_EFFECT = ("accumulation", "checkpointing", "chunk", "cache")
_ADAMW_STATE = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Snapshot:
    """Parameters and the optimiser's state of each at one moment."""

    values: list[Tensor]
    state: list[dict[str, Tensor]]


def checkpoint_file(folder: Path) -> Path:
    """The file inside a checkpoint folder, which is created.

    Raises:
        StorageError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("training.*.new"):  # of a process that was killed while writing
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror})") from error
    return folder / FILE_NAME


def training_identity(
    identity: str, recipe: Recipe, counts: tuple[int, int], learned: Sequence[nn.Parameter]
) -> str:
    """A digest of what has to be the same for a training to be resumed.

    What only saves memory may change: whoever ran out of it changes a setting and resumes.
    """
    settings = {key: value for key, value in asdict(recipe).items() if key not in _WITHOUT_EFFECT}
    facts = [identity, settings, counts, [list(p.shape) for p in learned]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def snapshot(learned: Sequence[nn.Parameter], optimiser: Any) -> Snapshot:
    """A copy of everything that an epoch changes."""
    return Snapshot(
        [p.detach().clone() for p in learned],
        [{k: v.clone() for k, v in _state(optimiser, p).items()} for p in learned],
    )


def restore(taken: Snapshot, learned: Sequence[nn.Parameter], optimiser: Any) -> None:
    """Back to a snapshot."""
    for p, value, state in zip(learned, taken.values, taken.state, strict=True):
        p.data.copy_(value)
        p.grad = None
        _unwrapped(optimiser).state[p] = {k: v.clone() for k, v in state.items()}


def write(
    path: Path,
    identity: str,
    learned: Sequence[nn.Parameter],
    optimiser: Any,
    report: Any,
    epoch: int,
) -> None:
    """Replace the file; whoever reads it finds the one before or the new one, never a half.

    Raises:
        StorageError: the disk refused; the file before is as it was.
    """
    tensors = {}
    for i, p in enumerate(learned):
        for key, value in {"value": p, **_state(optimiser, p)}.items():
            tensors[f"{i}.{key}"] = value.detach().cpu().contiguous()
    facts = {key: getattr(report, key) for key in ("losses", "precision", "fell_back")}
    training = json.dumps({"epoch": epoch, **facts})
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        data = safetensors.torch.save(tensors, {"identity": identity, "training": training})
        with new.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def read(
    path: Path, identity: str, learned: Sequence[nn.Parameter], optimiser: Any, report: Any
) -> int:
    """Go back to what the file holds; returns the epochs that are done.

    Raises:
        InputError: of another training, or damaged; says what to do.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        training = json.loads(metadata["training"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({error}); remove it to begin anew"
        ) from error
    if metadata.get("identity") != identity:
        raise InputError(
            f"{path}: belongs to another training (other images, tuner, arguments or seed); give "
            "another --checkpoint folder, or remove it to begin anew"
        )
    for i, p in enumerate(learned):
        p.data.copy_(tensors[f"{i}.value"])
        state = {k: tensors[f"{i}.{k}"] for k in _ADAMW_STATE if f"{i}.{k}" in tensors}
        if state:  # AdamW keeps its step count on the CPU
            moved = {k: v if k == "step" else v.to(p.device) for k, v in state.items()}
            _unwrapped(optimiser).state[p] = moved
    report.losses = list(training["losses"])
    report.precision, report.fell_back = training["precision"], bool(training["fell_back"])
    return int(training["epoch"])


def _state(optimiser: Any, p: nn.Parameter) -> dict[str, Tensor]:
    held = _unwrapped(optimiser).state.get(p, {})
    return {k: v for k, v in held.items() if k in _ADAMW_STATE and isinstance(v, Tensor)}


def _unwrapped(optimiser: Any) -> torch.optim.Optimizer:
    """Torch's optimiser inside Accelerate's."""
    inner: torch.optim.Optimizer = getattr(optimiser, "optimizer", optimiser)
    return inner
