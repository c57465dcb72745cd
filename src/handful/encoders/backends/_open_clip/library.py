"""The open_clip library, or a clear word why it cannot be used here."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from handful.encoders.backends._transformers.library import TORCHVISION_PROBLEM
from handful.errors import BrokenLibraryError, MissingExtraError

_FAILURES = (ImportError, RuntimeError, OSError, AttributeError)


def open_clip() -> ModuleType:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
        BrokenLibraryError: it is, and does not load, most often for its torchvision.
    """
    try:
        return import_module("open_clip")
    except ModuleNotFoundError as error:
        if error.name == "open_clip":
            raise MissingExtraError("open_clip", "open_clip", "this encoder") from error
        hidden = "torchvision" in sys.modules and sys.modules["torchvision"] is None
        if hidden and TORCHVISION_PROBLEM:
            raise BrokenLibraryError(
                "open_clip needs torchvision, and the torchvision that is installed does not fit "
                f"this torch ({TORCHVISION_PROBLEM[:120]}). Install the pair that belongs "
                "together, both at once: pip install --force-reinstall torch torchvision"
            ) from error
        raise _broken(error) from error
    except _FAILURES as error:
        raise _broken(error) from error


def _broken(error: BaseException) -> BrokenLibraryError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return BrokenLibraryError(
        f"the library 'open_clip' is installed and does not load ({said}). "
        "Install it again with what it needs: pip install --force-reinstall 'handful[open_clip]'"
    )
