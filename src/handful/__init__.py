"""Handful: teach a frozen vision-language model a new skill from a handful of images.

    >>> import handful
    >>> fitted = handful.fit("photos", encoder="openai/clip-vit-base-patch32")  # doctest: +SKIP
    >>> fitted.pack.save("skill")  # doctest: +SKIP
    >>> handful.Predictor("skill").predict(["new.jpg"])  # doctest: +SKIP

Importing the package imports nothing heavy: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handful.adapters import Adapter
    from handful.comparison import compare
    from handful.contracts import ClassText, ImageRef
    from handful.encoders import load as load_encoder
    from handful.evaluation import evaluate
    from handful.library import Library
    from handful.packs import Pack
    from handful.pipeline import fit
    from handful.predictor import Predictor

__version__ = "0.1.0.dev0"
__all__ = [
    "Adapter",
    "ClassText",
    "ImageRef",
    "Library",
    "Pack",
    "Predictor",
    "compare",
    "evaluate",
    "fit",
    "load_encoder",
]

_HOME = {  # name: (module, its name there)
    "Adapter": ("adapters", "Adapter"),
    "ClassText": ("contracts", "ClassText"),
    "ImageRef": ("contracts", "ImageRef"),
    "Library": ("library", "Library"),
    "Pack": ("packs", "Pack"),
    "Predictor": ("predictor", "Predictor"),
    "compare": ("comparison", "compare"),
    "evaluate": ("evaluation", "evaluate"),
    "fit": ("pipeline", "fit"),
    "load_encoder": ("encoders", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f"handful.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
