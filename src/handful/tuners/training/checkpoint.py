"""Training on disk, so that it can go on: one safetensors file, replaced as a whole."""

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

NAME = "training.safetensors"
_MEMORY_ONLY = (
    "accumulation",
    "checkpointing",
    "chunk",
    "cache",
)  # of memory alone, not of the result
_STATE = ("exp_avg", "exp_avg_sq", "step")  # what AdamW remembers of a parameter


@dataclass(frozen=True)
class Snapshot:
    """Parameters and the optimiser's memory at one moment."""

    values: list[Tensor]
    state: list[dict[str, Tensor]]


def checkpoint_file(folder: Path) -> Path:
    """The file inside a checkpoint folder, which is made.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for cut in folder.glob("training.*.new"):  # of a process that was killed while writing
            cut.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror})") from error
    return folder / NAME


def training_identity(
    about: str, recipe: Recipe, counts: tuple[int, int], learned: Sequence[nn.Parameter]
) -> str:
    """What has to be the same for a training to go on.

    What only saves memory may change: who ran out of it turns a knob and goes on.
    """
    asked = {key: value for key, value in asdict(recipe).items() if key not in _MEMORY_ONLY}
    said = [about, asked, counts, [list(p.shape) for p in learned]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def snapshot(learned: Sequence[nn.Parameter], optimiser: Any) -> Snapshot:
    """A copy of everything that an epoch changes."""
    return Snapshot(
        [p.detach().clone() for p in learned],
        [{k: v.clone() for k, v in _optimiser_state(optimiser, p).items()} for p in learned],
    )


def restore(taken: Snapshot, learned: Sequence[nn.Parameter], optimiser: Any) -> None:
    """Back to a moment."""
    for p, value, state in zip(learned, taken.values, taken.state, strict=True):
        p.data.copy_(value)
        p.grad = None
        _unwrapped(optimiser).state[p] = {k: v.clone() for k, v in state.items()}


def write(
    path: Path,
    who: str,
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
        tensors[f"{i}.value"] = p.detach().cpu().contiguous()
        for key, value in _optimiser_state(optimiser, p).items():
            tensors[f"{i}.{key}"] = value.detach().cpu().contiguous()
    said = {"epoch": epoch, "losses": report.losses, "precision": report.precision}
    said |= {"fell_back": report.fell_back}
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        data = safetensors.torch.save(tensors, {"identity": who, "training": json.dumps(said)})
        with new.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def read(path: Path, who: str, learned: Sequence[nn.Parameter], optimiser: Any, report: Any) -> int:
    """Go back to what the file holds; returns the epochs that are done.

    Raises:
        InputError: of another training, or damaged; says what to do.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as held:
            facts = held.metadata() or {}
            tensors = {key: held.get_tensor(key) for key in held.keys()}  # noqa: SIM118
        said = json.loads(facts["training"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({error}); remove it to begin anew"
        ) from error
    if facts.get("identity") != who:
        raise InputError(
            f"{path}: belongs to another training (other images, tuner, arguments or seed); give "
            "another --checkpoint folder, or remove it to begin anew"
        )
    for i, p in enumerate(learned):
        p.data.copy_(tensors[f"{i}.value"])
        state = {k: tensors[f"{i}.{k}"] for k in _STATE if f"{i}.{k}" in tensors}
        if state:
            moved = {k: v if k == "step" else v.to(p.device) for k, v in state.items()}
            _unwrapped(optimiser).state[p] = moved
    report.losses = list(said["losses"])
    report.precision, report.fell_back = said["precision"], bool(said["fell_back"])
    return int(said["epoch"])


def _optimiser_state(optimiser: Any, p: nn.Parameter) -> dict[str, Tensor]:
    held = _unwrapped(optimiser).state.get(p, {})
    return {k: v for k, v in held.items() if k in _STATE and isinstance(v, Tensor)}


def _unwrapped(optimiser: Any) -> torch.optim.Optimizer:
    """Torch's optimiser inside Accelerate's."""
    inner: torch.optim.Optimizer = getattr(optimiser, "optimizer", optimiser)
    return inner
