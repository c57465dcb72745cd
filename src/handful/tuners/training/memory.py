"""How much memory training takes, and what to do when it is too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from handful.encoders.towers import overridden
from handful.tuners.training.recipe import Recipe

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")


@contextmanager
def record_peak(report: Any, device: torch.device) -> Iterator[None]:
    """Context: writes the peak memory of its block into `report.peak_memory`, in bytes."""
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR_REFS.write_text("5")  # Linux: reset the peak
    yield
    report.peak_memory = torch.cuda.max_memory_allocated(device) if gpu else _process_peak()


def _process_peak() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with suppress(ImportError):  # not on Windows
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch has no type of its own for it on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(message in str(error).lower() for message in _MESSAGES)


def advice(recipe: Recipe) -> str:
    """What to change, the cheapest first."""
    settings = []
    if recipe.accumulation < recipe.batch:
        parts = min(recipe.batch, 2 * recipe.accumulation)
        settings.append(f"accumulation={parts} (same result)")
    if not recipe.checkpointing:
        settings.append("checkpointing=true (same result, slower)")
    settings.append("chunk=10, classes that the text tower reads at once (same result)")
    if recipe.views > 1:
        settings.append(f"fewer views than {recipe.views}")
    settings.append("fewer blocks, such as blocks=upper")
    return f"memory ran out while training; try, in this order: {'; '.join(settings)}"


@contextmanager
def gradient_checkpointing(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Activations inside these modules are computed again in the backward pass, and not kept.

    The libraries' own switches differ, hold for a whole tower and stay on; this takes the blocks
    that are trained, of any library, for the length of a training.
    """
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(overridden(module, "forward", _recomputing(module.forward)))
        yield


def _recomputing(forward: Any) -> Any:
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return recomputed
