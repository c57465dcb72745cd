"""Many skills on one frozen encoder: a folder of packs, and which of them an image belongs to."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from handful.library.names import is_library

if TYPE_CHECKING:
    from handful.library.folder import LibraryFolder
    from handful.library.library import Library
    from handful.library.prediction import LibraryPrediction

__all__ = ["Library", "LibraryFolder", "LibraryPrediction", "is_library"]

_HOME = {"Library": "library", "LibraryFolder": "folder", "LibraryPrediction": "prediction"}


def __getattr__(name: str) -> Any:
    """The classes on first use: asking whether a folder is a library imports no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
