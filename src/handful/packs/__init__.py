"""Skills on disk: `Pack.of(...).save(folder)` and `Pack.load(folder)`; values only, never code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handful.packs.pack import Pack

__all__ = ["Pack"]


def __getattr__(name: str) -> Any:
    """`Pack` on first use, so that reading the format alone imports no torch."""
    if name == "Pack":
        from handful.packs.pack import Pack

        return Pack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
