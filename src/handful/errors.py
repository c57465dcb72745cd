"""What can go wrong, as types.

Every error Handful raises on purpose is a `HandfulError` *and* the built-in kind a caller would
expect, so `except ValueError` works without an import of these types. Messages name the cause, the
cure and, where there is one, the file.
"""

from __future__ import annotations


class HandfulError(Exception):
    """Base of every error raised on purpose; the command line shows it without a traceback."""


class InputError(HandfulError, ValueError):
    """An argument, a folder, a table or an array that cannot be used as it is."""


class DeviceError(InputError):
    """A device that torch does not support or that is not there."""


class ImageError(InputError):
    """One image that cannot be decoded safely; a batch reports it by name and goes on."""


class PackError(InputError):
    """A skill pack that is cut short, tampered with, too new, or not a pack at all."""


class MismatchError(HandfulError, ValueError):
    """Two things that do not belong together, such as a pack and another encoder."""


class MissingModelError(HandfulError, FileNotFoundError):
    """A model that is neither on this disk nor reachable."""


class MissingExtraError(HandfulError, ImportError):
    """A library that only some uses need and that is not installed."""

    def __init__(self, library: str, extra: str | None, purpose: str) -> None:
        # not on a registry: an extra is installed from the folder that Handful was installed from
        package = f"-e '.[{extra}]'  (in Handful's folder)" if extra else library
        super().__init__(
            f"{purpose} needs the library {library!r}, which is not installed. "
            f"Install it with: pip install {package}"
        )


class BrokenLibraryError(HandfulError, ImportError):
    """A library that is installed and does not load."""


class StorageError(HandfulError, OSError):
    """The disk refused: full, read-only, or locked by another process."""


class UnknownNameError(HandfulError, KeyError):
    """A method, encoder or task that no plug-in provides."""

    def __str__(self) -> str:  # KeyError would show the repr, with quotes and escapes
        return str(self.args[0]) if self.args else ""
