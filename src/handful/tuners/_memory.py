"""How much memory training takes, and what to do when it is too little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from handful.tuners._recipe import Recipe

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@contextmanager
def told(report: Any, device: torch.device | None) -> Iterator[None]:
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


def is_lack(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch has no type of its own for it on a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    return "can't allocate memory" in said or "not enough memory" in said


def cure(recipe: Recipe) -> str:
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
