"""How much memory is free, checked before a large array is allocated."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

_SHARE = 0.8  # of what is free: training needs the rest
_CGROUP = Path("/sys/fs/cgroup")  # a container's own limit, which the system's figures do not show


def available() -> int | None:
    """Bytes of memory that can be taken now; None where the system does not report it."""
    known = [each for each in (_system(), _container()) if each is not None]
    return min(known, default=None)


def refusal(wanted: int) -> str:
    """Why so many bytes do not fit into memory; `""` where they do."""
    free = available()
    if free is None or wanted <= _SHARE * free:
        return ""
    return f"need {wanted / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def _system() -> int | None:
    if importlib.util.find_spec("psutil") is not None:  # comes with accelerate and peft
        return int(importlib.import_module("psutil").virtual_memory().available)
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        facts = (_CGROUP / "memory.stat").read_text().split()
        cached = int(facts[facts.index("inactive_file") + 1])  # page cache: given back on demand
        return None if limit == "max" else int(limit) - used + cached
    except (OSError, ValueError):
        return None
