"""How much memory there is for a large array, asked before it is filled."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

_SHARE = 0.8  # of what is free: training needs the rest
_LINUX = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")  # a container's own limit, which the system's figures do not show


def available() -> int | None:
    """Bytes of memory that can be taken now; None where the system does not tell."""
    told = [each for each in (_system(), _container()) if each is not None]
    return min(told) if told else None


def refusal(wanted: int) -> str:
    """Why so many bytes do not fit into memory; `""` where they do."""
    free = available()
    if free is None or wanted <= _SHARE * free:
        return ""
    return f"need {wanted / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def _system() -> int | None:
    try:
        lines = _LINUX.read_text(encoding="ascii").splitlines()
        return next(int(n.split()[1]) for n in lines if n.startswith("MemAvailable:")) * 1024
    except (OSError, ValueError, StopIteration):
        pass  # not Linux
    if importlib.util.find_spec("psutil") is not None:
        return int(importlib.import_module("psutil").virtual_memory().available)
    try:  # all there is, free or not: the most that can be had
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> int | None:
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
        told = (_GROUP / "memory.stat").read_text().split()
        cached = int(told[told.index("inactive_file") + 1])  # given back when someone needs it
        return None if limit == "max" else int(limit) - used + cached
    except (OSError, ValueError):
        return None
