"""`handful predict LIBRARY`: each image by the skill that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from handful.cli import _console

if TYPE_CHECKING:
    from handful.library import Library


@contextmanager
def opened(folder: Path, encoder: str | None, precision: str, device: str) -> Iterator[Library]:
    """A library; at the end its skills that could not be used are named."""
    from handful.library import Library

    library = Library(folder, encoder, precision=precision, device=device)
    try:
        yield library
    finally:
        for name, reason in library.broken.items():  # some turn out not to fit on the way
            _console.echo_err(f"left out {name}: {reason}")
