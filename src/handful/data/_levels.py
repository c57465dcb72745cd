"""Samples of more than 8 bits to the 256 levels of a picture: what is black, what is white.

What the file says counts first. Where it says nothing, only the picture's own values do, so that a
picture looks the same whatever it is read together with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from handful.data._notes import Note

# Depths that sensors have: samples of a deeper file are taken for the least that holds them all.
# 10 is not among them: a dim picture of a 12-bit camera is met more often than a 10-bit camera.
_DEPTHS = (8, 12, 14)
DEEPEST_GUESS = 1 << _DEPTHS[-1]
# Values that programs write where a raster holds nothing.
_SENTINELS = (-9999.0, -99999.0, -999.0, -32768.0, -32767.0, 1e20, -1e20)
_HUGE = 1e37  # so are the largest floats
_FAR = 10.0  # times the range of all other values: so far off, any single value holds nothing
_FLAT = 8  # of 256 levels: fewer are nearly one colour


class EmptyPictureError(ValueError):
    """A picture of sound form that holds nothing."""


@dataclass(frozen=True)
class Meaning:
    """What a file says of its samples.

    Args:
        bits: that a sample has in the file.
        significant: how many of them the file calls significant.
        low, high: the samples that are black and white, where the file says so.
        no_data: the sample of pixels that hold nothing; they become black.
        white_is_zero: whether low samples are bright.
    """

    bits: int = 16
    significant: int | None = None
    low: float | None = None
    high: float | None = None
    no_data: float | None = None
    white_is_zero: bool = False

    @property
    def says_anything(self) -> bool:
        """Whether the file says more than how many bits a sample has."""
        fewer = self.significant is not None and self.significant < self.bits
        return fewer or self.no_data is not None or None not in (self.low, self.high)


def to_levels(values: NDArray[Any], meaning: Meaning, note: Note) -> NDArray[np.uint8]:
    """Samples of any shape to 0..255.

    Unsigned samples are `v * 255 / white`, rounded to nearest, `white` the most that the file's
    bits hold, or that the bits hold which the picture uses; others go from their lowest to their
    highest finite value.

    Raises:
        EmptyPictureError: no sample is a number that means something.
    """
    there = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    if meaning.no_data is not None:
        there &= values != np.asarray(meaning.no_data).astype(values.dtype)
    known = values[there]
    if not known.size:
        raise EmptyPictureError(
            "holds no numbers: every pixel is NaN, infinite or what it calls no data; leave it out"
        )
    if meaning.low is not None and meaning.high is not None and meaning.low < meaning.high:
        found = _span(values, there, meaning.low, meaning.high)
    elif values.dtype == np.uint16:
        white = (1 << _depth(known, meaning, note)) - 1
        table = (np.arange(1 << 16) * 255 + white // 2) // white
        found = table.clip(0, 255).astype(np.uint8)[values]
        found[~there] = 0
    else:
        lone = _lone_values(known)
        if lone:
            note("one value far from all others is taken for no data")
            there &= ~np.isin(values, lone)
            known = values[there]
        low, high = float(known.min()), float(known.max())
        found = _span(values, there, low, high)
    lit = found[there]
    if found.min() < found.max() and int(lit.max()) - int(lit.min()) < _FLAT:
        note(f"is nearly one colour: fewer than {_FLAT} of its 256 levels are used")
    if meaning.white_is_zero:
        found[there] = 255 - found[there]
    return found


def _span(
    values: NDArray[Any], there: NDArray[np.bool_], low: float, high: float
) -> NDArray[np.uint8]:
    found = np.zeros(values.shape, np.uint8)
    scaled = (values[there].astype(np.float64) - low) * (255 / ((high - low) or 1.0))
    found[there] = np.rint(scaled.clip(0, 255))
    return found


def _depth(known: NDArray[Any], meaning: Meaning, note: Note) -> int:
    """How many bits the samples use, by what the file says or by the largest of them."""
    top = int(known.max())
    stated = meaning.significant
    if stated is not None and 0 < stated <= meaning.bits:
        is_raw = top < 1 << stated and not _are_shifted(known, meaning.bits, stated)
        return stated if is_raw else meaning.bits
    if not top:
        return meaning.bits
    fits = (each for each in _DEPTHS if each < meaning.bits and top < 1 << each)
    bits = next(fits, meaning.bits)
    if bits < meaning.bits:
        note(f"uses {bits} of {meaning.bits} bits; taken as {bits}-bit")
    return bits


def _are_shifted(known: NDArray[Any], bits: int, stated: int) -> bool:
    """Whether samples fill the upper bits, as the PNG standard has it, and not the lower ones."""
    return not (known & ((1 << (bits - stated)) - 1)).any()


def _lone_values(known: NDArray[Any]) -> list[float]:
    """Values at either end that are so far from all others that they stand for "nothing here"."""
    found: list[float] = []
    for end in (np.min, np.max, np.min):  # again: one at the other end may have hidden it
        if not known.size:
            break
        value = float(end(known))
        rest = known[known != value]
        if not rest.size:
            break
        low, high = float(rest.min()), float(rest.max())
        gap, span = max(low - value, value - high), high - low
        usual = value in _SENTINELS or abs(value) > _HUGE
        if span > 0 and gap > span * (1 if usual else _FAR):
            found.append(value)
            known = rest
    return found


def lower_bytes(image: ImageFile) -> NDArray[np.uint8] | None:
    """The lower eight bits of colours of 16, of which Pillow keeps the upper eight.

    Samples are read as if they were of the other order of bytes, by the name that Pillow has for
    it. None where the file has no such samples.

    Args:
        image: opened and not loaded; is loaded.
    """
    tiles = [_swapped(tile) for tile in image.tile]
    if not tiles or None in tiles:
        return None
    image.tile = tiles
    image.load()
    return np.asarray(image)


def _swapped(tile: Any) -> Any:
    """The tile, its samples read in the other order of bytes."""
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    name, _, order = str(args[0]).partition(";16")
    if name not in ("RGB", "RGBA", "RGBX") or order not in ("L", "B", "N"):
        return None
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    swapped = f"{name};16{'B' if little else 'L'}"
    return tile._replace(args=(swapped, *args[1:]) if isinstance(tile.args, tuple) else swapped)
