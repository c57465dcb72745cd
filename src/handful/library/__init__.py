"""Many skills on one frozen encoder: a folder of packs, and which of them an image belongs to."""

from __future__ import annotations

from handful.library.folder import LibraryFolder, is_library
from handful.library.library import Library
from handful.library.prediction import LibraryPrediction

__all__ = ["Library", "LibraryFolder", "LibraryPrediction", "is_library"]
