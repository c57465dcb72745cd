"""A torchvision that does not fit torch, made to look absent before another library trips over it.

Nothing in Handful needs torchvision, but `transformers`, and with it `peft`, use it where it is
installed, and then fail if its binary does not fit torch ("operator torchvision::nms does not
exist"); upgrading torch alone is enough to get there. They look for it once, when imported.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def hide_if_broken() -> str:
    """The error of a torchvision that is installed and does not load, else nothing."""
    if sys.modules.get("torchvision") or find_spec("torchvision") is None:
        return ""
    try:
        import_module("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # Python's mark for absent
        return str(error) or type(error).__name__
    return ""
