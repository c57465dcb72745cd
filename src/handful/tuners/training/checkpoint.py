"""Checkpoints of a training: one safetensors file, replaced as a whole.

Not Accelerate's `save_state`: that is a folder of several files, some of which are unpickled, and
a pickle can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
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

    Settings that only save memory may change, to resume after running out of it.
    """
    settings = {key: value for key, value in asdict(recipe).items() if key not in _WITHOUT_EFFECT}
    facts = [identity, settings, counts, [list(p.shape) for p in learned]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def state_tensors(learned: Sequence[nn.Parameter], optimiser: Any) -> dict[str, Tensor]:
    """Everything that an epoch changes, not copied: `0.value`, `0.exp_avg`, ... by parameter."""
    tensors: dict[str, Tensor] = {}
    for i, p in enumerate(learned):
        tensors[f"{i}.value"] = p.detach()
        state = _unwrapped(optimiser).state.get(p, {})
        tensors |= {f"{i}.{key}": state[key] for key in _ADAMW_STATE if key in state}
    return tensors


def load_state_tensors(
    tensors: Mapping[str, Tensor], learned: Sequence[nn.Parameter], optimiser: Any
) -> None:
    """Go back to what `state_tensors` gave; the optimiser takes its tensors over."""
    for i, p in enumerate(learned):
        p.data.copy_(tensors[f"{i}.value"])
        p.grad = None
        state = {key: tensors[f"{i}.{key}"] for key in _ADAMW_STATE if f"{i}.{key}" in tensors}
        # AdamW keeps its step count on the CPU
        moved = {key: t if key == "step" else t.to(p.device) for key, t in state.items()}
        _unwrapped(optimiser).state[p] = moved


def write(path: Path, identity: str, tensors: Mapping[str, Tensor], facts: Any) -> None:
    """Replace the file atomically: a reader gets the old one or the new one, never a part.

    Args:
        path: the file.
        identity: see `training_identity`.
        tensors: see `state_tensors`.
        facts: plain values that are kept beside them.

    Raises:
        StorageError: the disk refused; the file before is as it was.
    """
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        data = safetensors.torch.save(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            {"identity": identity, "training": json.dumps(facts)},
        )
        with new.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def read(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values of the file.

    Raises:
        InputError: of another training, or damaged; names the cure.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        facts = json.loads(metadata["training"])
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as a checkpoint ({error}); remove it to begin anew"
        ) from error
    if metadata.get("identity") != identity:
        raise InputError(
            f"{path}: belongs to another training (other images, tuner, arguments or seed); give "
            "another --checkpoint folder, or remove it to begin anew"
        )
    return tensors, facts


def _unwrapped(optimiser: Any) -> torch.optim.Optimizer:
    """Torch's optimiser inside Accelerate's."""
    inner: torch.optim.Optimizer = getattr(optimiser, "optimizer", optimiser)
    return inner
