"""How much memory training takes, and what to do when it is too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as recompute

from handful.encoders.towers import overridden
from handful.tuners.training.recipe import Recipe

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@contextmanager
def record_peak(report: Any, device: torch.device | None) -> Iterator[None]:
    """Writes the peak of what happens inside into `report.peak_memory`, in bytes."""
    gpu = device is not None and device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR.write_text("5")  # Linux: forget the peak so far
    yield
    report.peak_memory = torch.cuda.max_memory_allocated(device) if gpu else _peak()


def _peak() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with suppress(ImportError):  # not on Windows
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch has no type of its own for it on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    ways = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")
    return any(way in said for way in ways)


def advice(recipe: Recipe) -> str:
    """What to change, the cheapest first."""
    knobs = []
    if recipe.accumulation < recipe.batch:
        knobs.append(f"accumulation={min(recipe.batch, 2 * recipe.accumulation)} (same result)")
    if not recipe.checkpointing:
        knobs.append("checkpointing=true (same result, slower)")
    knobs.append("chunk=10, classes that the text tower reads at once (same result)")
    if recipe.views > 1:
        knobs.append(f"fewer views than {recipe.views}")
    knobs.append("fewer blocks, such as blocks=upper")
    return f"memory ran out while training; try, in this order: {'; '.join(knobs)}"


@contextmanager
def gradient_checkpointing(modules: Sequence[nn.Module]) -> Iterator[None]:
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
