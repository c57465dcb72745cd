"""Numbers that people and skills give, checked before anything is made of them."""

from __future__ import annotations

import math

from handful.errors import InputError


def whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number from `low` (to `high`)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError(f"expected {name} as a whole number from {low}, got {value!r}")
    if high is not None and value > high:
        raise InputError(f"expected {name} of at most {high}, got {value}")


def number(name: str, value: object, low: float = 0, high: float = math.inf) -> None:
    """Refuse what is no number from `low` to below `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
        bound = "" if high == math.inf else f" to below {high:g}"
        raise InputError(f"expected {name} as a number from {low:g}{bound}, got {value!r}")


def above_zero(name: str, value: object) -> None:
    """Refuse what is no finite number above 0."""
    number(name, value)
    if not value:
        raise InputError(f"expected {name} above 0, got {value!r}")
