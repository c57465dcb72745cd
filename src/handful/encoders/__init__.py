"""Images and texts to features: one `load` for every encoder, and a catalogue of encoders.

This file imports no torch; a backend (a file of this folder without an underscore) does, when it
is needed. A name may have a backend as prefix, as in `transformers:openai/clip-vit-base-patch32`.
"""

from __future__ import annotations

import os
from pathlib import Path

from handful import plugins
from handful.contracts import Encoder, is_address
from handful.encoders.catalogue import EncoderInfo, list_encoders
from handful.encoders.families import is_open_clip
from handful.errors import InputError

__all__ = ["DEFAULT", "PRECISIONS", "EncoderInfo", "check_precision", "list_encoders", "load"]

DEFAULT = os.environ.get("HANDFUL_ENCODER") or "photo"
"""The encoder where none is named: `photo`, or what the environment says."""
PRECISIONS = ("auto", "float32", "bfloat16")


def load(
    name: str | Path | Encoder = DEFAULT, *, precision: str = "auto", device: str = "auto"
) -> Encoder:
    """Load an encoder by name; one that is loaded already is returned as it is.

    Args:
        name: `photo` or `tiny` (both embedded), a folder with a checkpoint, or a hub name such as
            `openai/clip-vit-base-patch32`. A prefix names the backend: `transformers:...`, or
            `open_clip:ViT-B-32/openai`; `hf-hub:...` and `local-dir:...` are open_clip's too.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the processor or GPU computes
            it and the features stay the same (cosine >= 0.999, measured while loading).
        device: `auto` takes a GPU where there is one; else as torch names it (`cpu`, `cuda:1`).

    Raises:
        MissingModelError: neither on this disk nor reachable; says what to do.
        InputError: a folder or file that is no usable checkpoint.
        UnknownNameError: a prefix that names no backend.
    """
    if not isinstance(name, str | Path):
        if not hasattr(name, "images"):
            raise InputError(
                f"encoder: expected a name, a folder or a loaded encoder, got {name!r}"
            )
        return name
    check_precision(precision)
    if not str(name).strip():
        raise InputError(
            "encoder: the name is empty; give photo (the default), a hub name or a folder"
        )
    backend, rest = _backend(str(name))
    encoder: Encoder = plugins.get("encoders", backend).load(
        rest, precision=precision, device=device
    )
    return encoder


def check_precision(name: str) -> str:
    """The name, if it is one of `PRECISIONS`.

    Raises:
        InputError: another one.
    """
    if name not in PRECISIONS:
        raise InputError(f"expected precision {', '.join(PRECISIONS)}, got {name!r}")
    return name


def _backend(name: str) -> tuple[str, str]:
    """The backend that a name means, and the name without its prefix."""
    if name == "photo":
        return "photo", name
    if name.startswith(("hf-hub:", "local-dir:")):
        return "open_clip", name
    backend, _, rest = name.partition(":")
    if is_address(name):
        return "transformers", name  # which refuses it, saying why
    if rest and len(backend) > 1 and backend.isidentifier():  # C:\models is a folder
        return backend, rest
    folder = Path(name).expanduser()
    return ("open_clip" if is_open_clip(folder) else "transformers"), name
