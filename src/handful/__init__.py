"""Handful: teach a frozen vision-language model a new skill from a handful of images.

    >>> import handful
    >>> fitted = handful.fit("photos", encoder="openai/clip-vit-base-patch32")  # doctest: +SKIP
    >>> fitted.predict(["new.jpg"])  # doctest: +SKIP
    >>> fitted.save("skill")  # doctest: +SKIP
    >>> handful.load("skill").predict(["new.jpg"])  # doctest: +SKIP

Importing the package imports nothing heavy: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from handful._version import __version__ as __version__

if TYPE_CHECKING:
    from handful.adapters import Adapter
    from handful.contracts import ClassText, ImageRef
    from handful.encoders import load as load_encoder
    from handful.library import Library
    from handful.packs import Pack
    from handful.protocols.compare import compare
    from handful.skills.evaluate import evaluate
    from handful.skills.fit import fit
    from handful.skills.predict import Predictor, load

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
    "load",
    "load_encoder",
]

_HOME = {  # name: (module, its name there)
    "Adapter": ("adapters", "Adapter"),
    "ClassText": ("contracts", "ClassText"),
    "ImageRef": ("contracts", "ImageRef"),
    "Library": ("library", "Library"),
    "Pack": ("packs", "Pack"),
    "Predictor": ("skills.predict", "Predictor"),
    "compare": ("protocols.compare", "compare"),
    "evaluate": ("skills.evaluate", "evaluate"),
    "fit": ("skills.fit", "fit"),
    "load": ("skills.predict", "load"),
    "load_encoder": ("encoders", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'handful' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f"handful.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
