"""Checks of arguments from users and packs, before anything is built from them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from handful.errors import InputError


def check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` (to `high`)."""
    # bool is a subclass of int, and `true` on a command line must not count as 1
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"expected {name} as a whole number from {low}, got {value!r}")
    if high is not None and value > high:
        raise InputError(f"expected {name} of at most {high}, got {value}")


def check_number(name: str, value: object, low: float = 0, high: float = math.inf) -> None:
    """Refuse what is no number from `low` to below `high`."""
    # written as `not low <= value`, so that NaN is refused too
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        bound = "" if high == math.inf else f" to below {high:g}"
        raise InputError(f"expected {name} as a number from {low:g}{bound}, got {value!r}")


def check_positive(name: str, value: object) -> None:
    """Refuse what is no finite number above 0."""
    check_number(name, value)
    if not value:
        raise InputError(f"expected {name} above 0, got {value!r}")


def check_option(name: str, value: object, options: Iterable[str]) -> None:
    """Refuse what is none of `options`."""
    options = tuple(options)
    if value not in options:
        raise InputError(f"expected {name} {', '.join(options)}, got {value!r}")
