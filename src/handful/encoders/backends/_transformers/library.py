"""The transformers library, without a torchvision that was built for another torch.

Nothing here needs torchvision, but `transformers` uses it where it is installed, and then fails at
its first image processor if the binary does not fit torch ("operator torchvision::nms does not
exist"); upgrading torch alone is enough to get there. So a torchvision that does not load is made
to look absent before `transformers` looks for it, which it does once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec


def _hide_broken_torchvision() -> str:
    """What torchvision says of itself if it is installed and does not load, else nothing."""
    if sys.modules.get("torchvision") or find_spec("torchvision") is None:
        return ""
    try:
        import_module("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # Python's word for absent
        return str(error) or type(error).__name__
    return ""


TORCHVISION_PROBLEM = _hide_broken_torchvision()

import transformers  # noqa: E402
from transformers.utils import logging  # noqa: E402

__all__ = ["TORCHVISION_PROBLEM", "logging", "transformers"]
