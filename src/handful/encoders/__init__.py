"""Images and texts to features: one `load` for every encoder, and a list of those worth knowing.

This file imports no torch; a backend (a file of this folder without an underscore) does, when it
is needed. A name may say its backend, as in `transformers:openai/clip-vit-base-patch32`.
"""

from __future__ import annotations

from handful import plugins
from handful.contracts import Encoder
from handful.encoders._known import Known, known
from handful.errors import InputError

__all__ = ["DEFAULT", "Known", "known", "load"]

DEFAULT = "tiny"
_PRECISIONS = ("auto", "float32", "bfloat16")


def load(name: str = DEFAULT, *, precision: str = "auto", device: str = "auto") -> Encoder:
    """Load an encoder by name.

    Args:
        name: `tiny` (shipped with Handful), a folder with a checkpoint, or a hub name such as
            `openai/clip-vit-base-patch32`. A prefix names the backend: `transformers:...`.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the processor or GPU computes
            it and the features stay the same (cosine >= 0.999, measured while loading).
        device: `auto` takes a GPU where there is one; else as torch names it (`cpu`, `cuda:1`).

    Raises:
        MissingModelError: neither on this disk nor reachable; says what to do.
        InputError: a folder or file that is no usable checkpoint.
        UnknownNameError: a prefix that names no backend.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"expected precision {', '.join(_PRECISIONS)}, got {precision!r}")
    backend, _, rest = name.partition(":")
    if not rest or len(backend) < 2 or not backend.isidentifier():  # C:\models is a folder
        backend, rest = "transformers", name
    encoder: Encoder = plugins.get("encoders", backend).load(
        rest, precision=precision, device=device
    )
    return encoder
