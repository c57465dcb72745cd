"""Imports of open_clip and transformers that survive a broken torchvision, without their log."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType

from safetensors import SafetensorError

from handful.encoders.checkpoint import first_line
from handful.encoders.torchvision import hide_if_broken
from handful.errors import BrokenLibraryError, HandfulError, InputError, MissingExtraError

TORCHVISION_PROBLEM = hide_if_broken()

import transformers  # noqa: E402
from transformers.utils import logging as _reports  # noqa: E402

__all__ = ["TORCHVISION_PROBLEM", "open_clip", "quietly", "transformers"]

_LOADING_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError,
    ArithmeticError, AssertionError, IndexError, SafetensorError, UnpicklingError,
)  # fmt: skip
_lock = threading.Lock()  # log levels and torch's generator are shared by all threads


def open_clip() -> ModuleType:
    """The open_clip library.

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
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise _broken(error) from error


def _broken(error: BaseException) -> BrokenLibraryError:
    return BrokenLibraryError(
        f"the library 'open_clip' is installed and does not load ({first_line(error, 160)}). "
        "Install it again with what it needs: pip install --force-reinstall open_clip_torch timm"
    )


@contextlib.contextmanager
def quietly(folder: Path) -> Iterator[None]:
    """Loading without progress bars and reports, one thread at a time.

    Raises:
        InputError: for every error of the libraries; names the folder.
    """
    root, silent = logging.getLogger(), logging.NullHandler()
    with _lock:
        level, bars = _reports.get_verbosity(), _reports.is_progress_bar_enabled()
        _reports.set_verbosity_error()
        _reports.disable_progress_bar()
        # without a handler, open_clip's first message would set up logging for the whole process
        root.addHandler(silent)
        try:
            yield
        except HandfulError:
            raise
        except _LOADING_ERRORS as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise InputError(f"{folder}: cannot be loaded ({reason})") from error
        finally:
            root.removeHandler(silent)
            _reports.set_verbosity(level)
            if bars:
                _reports.enable_progress_bar()
