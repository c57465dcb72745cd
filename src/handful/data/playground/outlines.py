"""Outlines: every shape is one closed polygon, some with holes, inside the unit circle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from handful.errors import InputError

Points = np.ndarray  # [n, 2] float64, x to the right, y down

# What a shape's outline takes; a task may give other values through `SceneObject.form`.
DEFAULT_FORMS: dict[str, tuple[tuple[str, float], ...]] = {
    "star": (("points", 5), ("inner", 0.45)),
    "oval": (("aspect", 0.58),),
    "flower": (("petals", 6),),
    "ring": (("inner", 0.55), ("gap", 0.0)),
    "polygon": (("sides", 5),),
}

_BOLT = [(-0.05, -1), (0.55, -1), (0.2, -0.25), (0.62, -0.25), (-0.35, 1), (-0.08, 0.12), (-0.55, 0.12)]  # noqa: E501  # fmt: skip
_ARROW = [(-1, -0.28), (0.1, -0.28), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.28), (-1, 0.28)]
_CROSS = [(-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33), (0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)]  # noqa: E501  # fmt: skip


def outline(shape: str, form: Mapping[str, float]) -> list[Points]:
    """The polygons of a shape in its own frame: the first is filled, the others are holes.

    Args:
        shape: a name in `SHAPES`, or "polygon".
        form: parameters of the outline; missing ones take their defaults.

    Raises:
        InputError: the shape is not known.

    >>> outline("square", {})[0].shape
    (4, 2)
    """
    p = {**dict(DEFAULT_FORMS.get(shape, ())), **form}
    if shape == "ring":
        return _ring(p["inner"], p["gap"])
    if shape == "star":
        return [_star(int(p["points"]), p["inner"])]
    if shape == "oval":
        return [_arc(0, 360, 40) * (1.0, p["aspect"])]
    if shape == "flower":
        return [_flower(int(p["petals"]))]
    if shape == "polygon":
        return [_regular(int(p["sides"]), -90.0)]
    if shape not in _FIXED:
        raise InputError(f"unknown shape {shape!r}; known: {', '.join([*_FIXED, *DEFAULT_FORMS])}")
    return [_FIXED[shape]]


def _polar(degrees: np.ndarray, radius: np.ndarray | float = 1.0) -> Points:
    """Points at angles from the x axis, towards y."""
    t = np.radians(degrees)
    return np.stack([radius * np.cos(t), radius * np.sin(t)], 1)


def _arc(start: float, stop: float, n: int) -> Points:
    return _polar(np.linspace(start, stop, n, endpoint=stop - start < 360))


def _regular(sides: int, first: float) -> Points:
    return _polar(first + np.arange(sides) * 360 / sides)


def _star(points: int, inner: float) -> Points:
    corners = np.arange(2 * points)
    return _polar(-90 + corners * 180 / points, np.where(corners % 2 == 0, 1.0, inner))


def _flower(petals: int) -> Points:
    degrees = np.linspace(0, 360, 72, endpoint=False)
    return _polar(degrees, 0.72 + 0.28 * np.cos(petals * np.radians(degrees)))  # a rose curve


def _ring(inner: float, gap: float) -> list[Points]:
    """A ring; `gap` degrees of it are missing on the right (before rotation)."""
    if gap <= 0:
        return [_arc(0, 360, 40), _arc(0, 360, 40) * inner]
    outer = _arc(gap / 2, 360 - gap / 2, 40)
    return [np.concatenate([outer, outer[::-1] * inner])]


def _heart() -> Points:
    """The heart curve x = 16 sin^3 t, scaled into the unit circle; y grows downwards."""
    t = np.radians(np.linspace(0, 360, 48, endpoint=False))
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x / 17, -(y + 2.5) / 17], 1)


def _crescent() -> Points:
    outer = _arc(50, 310, 36)
    tip = outer[0]
    bite = _arc(65, 295, 30) * 0.82
    shift = tip[0] - bite[0][0]  # so that both arcs start at one tip
    inner = bite + (shift, 0)
    inner[:, 1] *= tip[1] / inner[0, 1]
    return np.concatenate([outer, inner[::-1]]) + (0.2, 0)


_FIXED: dict[str, Points] = {
    "circle": _arc(0, 360, 40),
    "square": _regular(4, 45.0),
    "triangle": _regular(3, -90.0),
    "diamond": _regular(4, 0.0) * (0.58, 1.0),
    "hexagon": _regular(6, 0.0),
    "cross": np.asarray(_CROSS) * 0.95,
    "heart": _heart(),
    "crescent": _crescent(),
    "arrow": np.asarray(_ARROW),
    "bolt": np.asarray(_BOLT),
}
