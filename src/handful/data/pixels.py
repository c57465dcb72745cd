"""Whatever a program holds as an image, as an `ImageRef`: paths, bytes, PIL, arrays, tensors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.contracts import ImageRef, at_home
from handful.errors import InputError

_OVERSHOOT = 1e-3  # of floats beyond 0 and 1, as resizing leaves it; it is cut off
_EXPECTED = (
    "expected an image: a path, the bytes of a file, a PIL image, an array [H, W, 3] or a tensor "
    "[3, H, W], uint8 or floats from 0 to 1"
)
_RESIZED = 0.2  # the most that bicubic resizing of floats goes beyond 0 and 1
_NORMALISED = (
    "they look normalised, and the encoder normalises by itself: leave Normalize out of the "
    "transform"
)


def image_ref(value: Any, name: str = "") -> ImageRef:
    """A reference to an image, from whatever stands for one.

    Args:
        value: a path, the bytes of a file, a PIL image, an array `[H, W, 3]` (grey also `[H, W]`
            uint8 or `[H, W, 1]`, with transparency `[H, W, 4]`), a tensor `[3, H, W]` or
            `[1, H, W]`; uint8, or floats from 0 to 1.
        name: what reports call it, where it has no path.

    Raises:
        InputError: none of these; says what it is, and what would do.
    """
    if isinstance(value, ImageRef | str | Path | bytes) or hasattr(value, "convert"):
        return ImageRef.of(value, name)
    if isinstance(value, os.PathLike):
        return ImageRef.of(at_home(value), name)
    if isinstance(value, bytearray | memoryview):
        return ImageRef.of(bytes(value), name)
    if is_tensor(value):
        array = _channels_last(value)
    elif isinstance(value, np.ndarray):
        array = value
    else:
        raise InputError(f"{_EXPECTED}; got {_described(value)}")
    pixels = to_uint8(array)
    if pixels.shape[-1] == 4:
        return ImageRef.of(Image.fromarray(pixels, "RGBA"), name)
    return ImageRef.of(pixels, name)


def is_tensor(value: Any) -> bool:
    """Whether something is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_uint8(array: NDArray[Any]) -> NDArray[np.uint8]:
    """`[H, W, 3]`, `[H, W, 4]`, or grey `[H, W]` (uint8) and `[H, W, 1]`, to uint8 with channels.

    Grey becomes three equal channels; floats are read as 0 to 1.

    Raises:
        InputError: another shape or type, floats outside 0 to 1 or not finite.
    """
    if array.ndim == 2 and array.dtype == np.uint8:
        array = array[:, :, None]
    shape = list(array.shape)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        turned = array.ndim == 3 and array.shape[0] in (1, 3) and array.size
        cure = "; turn it with array.transpose(1, 2, 0)" if turned else ""
        raise InputError(f"expected pixels [H, W, 3], got {shape} {array.dtype}{cure}")
    if np.issubdtype(array.dtype, np.floating):
        check_range(array)
        array = np.rint(array.clip(0, 1) * 255)
    elif array.dtype != np.uint8:
        raise InputError(
            f"expected pixels of type uint8, or floats from 0 to 1, got {array.dtype}; "
            "where they are 0 to 255, use .astype('uint8')"
        )
    return np.repeat(array, 3, axis=2).astype(np.uint8) if shape[2] == 1 else array.astype(np.uint8)


def check_range(array: NDArray[Any]) -> None:
    """Refuse floats that are not from 0 to 1.

    Raises:
        InputError: says which they are, and what they look like.
    """
    if not np.isfinite(array).all():
        raise InputError("its pixels contain NaN or infinity")
    low, high = float(array.min()), float(array.max())
    if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        return
    cure = "where they are 0 to 255, use .astype('uint8')"
    if low >= -_RESIZED and high <= 1 + _RESIZED:
        cure = "where resizing did this, cut it off with .clip(0, 1)"
    elif low < -_OVERSHOOT:
        cure = _NORMALISED
    raise InputError(f"expected floats from 0 to 1, got {low:.3g} to {high:.3g}; {cure}")


def _channels_last(tensor: Any) -> NDArray[Any]:
    """`[3, H, W]` or `[1, H, W]` to `[H, W, channels]`."""
    value = tensor.detach().cpu()
    if value.ndim != 3 or value.shape[0] not in (1, 3):
        turned = value.ndim == 3 and value.shape[2] in (1, 3)
        cure = "; turn it with tensor.permute(2, 0, 1)" if turned else ""
        raise InputError(
            f"expected a tensor [3, H, W] of pixels, got {list(value.shape)} {value.dtype}{cure}"
        )
    value = value.float() if value.is_floating_point() else value  # numpy has no bfloat16
    array: NDArray[Any] = value.permute(1, 2, 0).numpy()
    return array


def _described(value: Any) -> str:
    """What something is, in a few words."""
    return "None" if value is None else type(value).__name__
