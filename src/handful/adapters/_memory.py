"""Whether something fits into memory, asked before it is tried."""

from __future__ import annotations

import os
from pathlib import Path

from handful.errors import InputError

_LINUX = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # where a container's own, smaller limit stands


def available() -> int | None:
    """Bytes of physical memory that can still be had; None where the system does not say."""
    found = [n for n in (_system(), _group()) if n is not None]
    return min(found) if found else None


def check_memory(size: int, what: str) -> None:
    """Refuse what cannot fit, before half of it has been made.

    Args:
        size: bytes that will be needed at once.
        what: what needs them, as the message calls it, with what makes it smaller.

    Raises:
        InputError: there is less memory than that.
    """
    free = available()
    if free is not None and size > free:
        raise InputError(
            f"{what} needs {size / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are available; "
            "use fewer shots or another method"
        )


def _system() -> int | None:
    try:
        for line in _LINUX.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # not Linux, or a Linux that says it in another way
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group() -> int | None:
    try:
        limit, used = (
            int((_GROUP / name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # no such group, or "max": no limit
        return None
    return max(limit - used, 0)
