"""Arguments of a method: their ranges, defaults that depend on the shots, sizes that fit memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from handful.errors import InputError
from handful.features import memory

_LARGEST = torch.finfo(torch.float32).max
_LONGEST = torch.iinfo(torch.int64).max  # what torch takes as a seed or a count


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A constructor argument that has to be a finite number, also in float32.

    Raises:
        InputError: naming the argument.
    """
    try:
        given = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        given = math.inf
    if abs(given) <= _LARGEST and least <= given <= most:
        return given
    if _LARGEST < abs(given) < math.inf:
        raise InputError(f"{name}: expected a number that fits float32, got {value!r}")
    if math.isinf(most):
        bounds = "" if math.isinf(least) else f", {least:g} or more"
    else:
        bounds = f" between {least:g} and {most:g}"
    raise InputError(f"{name}: expected a finite number{bounds}, got {value!r}")


def whole(name: str, value: Any, least: int = 0) -> int:
    """A constructor argument that has to be a whole number that fits 64 bits.

    Raises:
        InputError: naming the argument.
    """
    given = int(value) if isinstance(value, Integral) else least - 1
    if least <= given <= _LONGEST:
        return given
    if given > _LONGEST:
        raise InputError(f"{name}: expected a whole number up to {_LONGEST}, got {value!r}")
    raise InputError(f"{name}: expected a whole number, {least} or more, got {value!r}")


def number_or_by_shots(
    name: str,
    value: Any,
    table: Mapping[int, float],
    targets: Tensor,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """`number`, or where the argument is None, the table's default for the shots there are.

    Raises:
        InputError: naming the argument.
    """
    return (
        interpolate_by_shots(table, targets) if value is None else number(name, value, least, most)
    )


def interpolate_by_shots(table: Mapping[int, float], targets: Tensor) -> float:
    """The table's value for the images a class there are, log-linear between its entries.

    The shots are the mean over the classes that have any. Outside the table its end holds.

    Args:
        table: shots, ascending, to a positive value.
        targets: `[N]` columns.

    >>> interpolate_by_shots({1: 0.01, 4: 1.0}, torch.tensor([0, 0, 1, 1]))  # halfway in log(shots)
    0.1
    """
    shots = len(targets) / int(torch.bincount(targets).count_nonzero())
    known = list(table)
    if shots <= known[0] or shots >= known[-1]:
        return table[known[0] if shots <= known[0] else known[-1]]
    above = next(k for k in known if k >= shots)
    below = known[known.index(above) - 1]
    part = math.log(shots / below) / math.log(above / below)
    ratio: float = table[above] / table[below]
    return round(table[below] * math.pow(ratio, part), 12)


def check_memory(size: int, what: str) -> None:
    """Refuse what cannot fit, before half of it has been made.

    Args:
        size: bytes that will be needed at once.
        what: what needs them, as the message calls it.

    Raises:
        InputError: less memory is free.
    """
    free = memory.available()
    if free is not None and size > free:
        raise InputError(
            f"{what} needs {size / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are available; "
            "use fewer shots or another method"
        )
