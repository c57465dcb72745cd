"""What holds for all photos that are read within a `with`: the largest, and who hears remarks.

with handful.data.reading(max_pixels=200_000_000) as notes:
handful.fit("photos")
print(notes)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock

from PIL import Image

from handful.data._notes import Note
from handful.errors import InputError

MAX_PIXELS = 89_478_485  # Pillow's own limit: beyond it Pillow warns, or refuses


class Notes:
    """Remarks, and the names of the photos that each is about."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.names: dict[str, set[str]] = {}

    def add(self, text: str, name: str) -> None:
        """One remark about one photo; threads may call it at once."""
        with self._lock:
            self.names.setdefault(text, set()).add(name)  # some photos are read more than once

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """A line a remark, with how many photos it is about and the first of their names.

        >>> notes = Notes()
        >>> notes.add("has further pages, which are left out", "a.tif")
        >>> notes.add("has further pages, which are left out", "b.tif")
        >>> print(notes)
        2 photos, first a.tif: has further pages, which are left out
        """
        return [
            f"{min(names)}: {text}"
            if len(names) == 1
            else f"{len(names)} photos, first {min(names)}: {text}"
            for text, names in sorted(self.names.items())
        ]


@dataclass(frozen=True)
class Settings:
    """What `decode` goes by where its caller gives nothing.

    Args:
        max_pixels: width x height of the largest picture; None for the usual limit.
        notes: where remarks go.
    """

    max_pixels: int | None = None
    notes: Notes = field(default_factory=Notes)

    def limit(self) -> int:
        """The most pixels of a picture; Pillow's limit counts where nobody set one here."""
        if self.max_pixels is not None:
            return self.max_pixels
        return min(MAX_PIXELS, Image.MAX_IMAGE_PIXELS or MAX_PIXELS)

    def note_of(self, name: str) -> Note:
        """Takes the remarks about one photo."""
        return lambda text: self.notes.add(text, name)


_settings: ContextVar[Settings | None] = ContextVar("handful.data.reading", default=None)


def current() -> Settings | None:
    """Those of the innermost `reading`; a thread has none of its own and must be given them."""
    return _settings.get()


def settings() -> Settings:
    """The same, or the usual ones."""
    return current() or Settings()


def remark(text: str, name: str) -> None:
    """Remark on a file or folder: told at the end of a `reading`, else logged as a warning."""
    inner = current()
    if inner is None:
        logging.getLogger("handful").warning("%s: %s", name, text)
    else:
        inner.notes.add(text, name)


@contextmanager
def reading(max_pixels: int | None = None) -> Iterator[Notes]:
    """Read photos of up to `max_pixels`, and gather remarks about them.

    Args:
        max_pixels: width x height beyond which a photo is refused; None for the usual limit of
            89,478,485. A picture takes 3 bytes a pixel, and up to 16 while it is decoded.

    Raises:
        InputError: `max_pixels` is not above 0.
    """
    if max_pixels is not None and max_pixels < 1:
        raise InputError(f"max_pixels: expected a number of pixels above 0, got {max_pixels}")
    outer = _settings.get()
    inner = Settings(
        max_pixels or (outer.max_pixels if outer else None), outer.notes if outer else Notes()
    )
    token = _settings.set(inner)
    try:
        yield inner.notes
    finally:
        _settings.reset(token)
