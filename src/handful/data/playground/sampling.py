"""Draws random scenes from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from handful.data.playground.outlines import DEFAULT_FORMS
from handful.data.playground.scene_types import (
    ALL_COMPOSITIONS,
    COLOURS,
    HELD_OUT,
    HUES,
    KINDS,
    SEEN,
    SHAPES,
    SIZES,
    TEXTURES,
    TONES,
    Background,
    Rgb,
    Scene,
    SceneObject,
    Speck,
)
from handful.errors import InputError

Compositions = Literal["train", "held_out", "any"]


def scene(
    seed: int,
    *,
    objects: int | None = None,
    compositions: Compositions = "train",
    fixed: Sequence[Mapping[str, Any]] = (),
    style: str = "photo",
) -> Scene:
    """Draw one scene at random; the same arguments always give the same scene.

    Args:
        seed: any whole number from 0 up.
        objects: 1 to 3, or None for mostly one and two.
        compositions: "train" leaves the held-out compositions out, "held_out" draws only them,
            "any" draws from all.
        fixed: per object, fields of `SceneObject` that are given rather than drawn (first objects
            first). A fixed shape, colour or texture narrows the compositions that can be drawn.
        style: a name in `render.STYLES`.

    Raises:
        InputError: no composition is left to draw from.

    >>> scene(1) == scene(1)
    True
    """
    rng = np.random.default_rng([seed, 0x5CE])  # a stream of its own: render uses another
    n = objects if objects is not None else int(rng.choice([1, 2, 3], p=[0.45, 0.40, 0.15]))
    background = _background(rng)
    found: list[SceneObject] = []
    for i in range(n):
        given = dict(fixed[i]) if i < len(fixed) else {}
        found.append(_object(rng, given, compositions, found, n, background))
    count = int(rng.choice([0, 4, 10], p=[0.4, 0.35, 0.25]))
    return Scene(
        seed=seed,
        objects=tuple(found),
        background=background,
        clutter=tuple(_speck(rng) for _ in range(count)),
        light=float(rng.uniform(-0.35, 0.35)),
        light_angle=float(rng.uniform(0, 180)),
        grain=float(rng.uniform(0, 7)),
        style=style,
    )


def scene_seed(key: str) -> int:
    """The seed of a scene that a text names: 63 bits of its digest, the highest of them set.

    So it is far above the seeds of training, which count up from small numbers.
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 1 | 1 << 62


def background_colour(rng: np.random.Generator, tone: str, hue: str) -> Rgb:
    """A colour of a hue, mixed with white (`light`) or black (`dark`) and jittered."""
    level = rng.uniform(0.58, 0.78) if tone == "light" else rng.uniform(0.50, 0.72)
    goal = 255.0 if tone == "light" else 0.0
    return _rgb(np.asarray(HUES[hue]) * (1 - level) + goal * level + rng.normal(0, 5, 3))


def _background(rng: np.random.Generator) -> Background:
    tone = TONES[int(rng.integers(2))]
    hue = list(HUES)[int(rng.integers(len(HUES)))]
    rgb = background_colour(rng, tone, hue)
    return Background(
        tone=tone,
        hue=hue,
        kind=KINDS[int(rng.integers(len(KINDS)))],
        rgb=rgb,
        angle=float(rng.uniform(0, 180)),
        period=float(rng.uniform(0.12, 0.3)),
    )


def _composition(
    rng: np.random.Generator, given: Mapping[str, Any], which: Compositions
) -> tuple[str, str, str]:
    texture, colour, shape = given.get("texture"), given.get("colour"), given.get("shape")
    if shape is not None and shape not in SHAPES:  # a task's own shape: nothing is held out
        t = texture or TEXTURES[int(rng.integers(len(TEXTURES)))]
        return t, colour or list(COLOURS)[int(rng.integers(len(COLOURS)))], shape
    pool = {"train": SEEN, "held_out": HELD_OUT, "any": ALL_COMPOSITIONS}[which]
    if given:
        pool = tuple(
            x
            for x in pool
            if texture in (None, x[0]) and colour in (None, x[1]) and shape in (None, x[2])
        )
    if not pool:
        raise InputError(f"no {which} composition has {dict(given)}")
    return pool[int(rng.integers(len(pool)))]


def _object(
    rng: np.random.Generator,
    given: dict[str, Any],
    which: Compositions,
    others: list[SceneObject],
    n: int,
    background: Background,
) -> SceneObject:
    texture, colour, shape = _composition(rng, given, which)
    rgb = _contrasting(rng, colour, background)
    size = given.get("size") or list(SIZES)[int(rng.integers(3))]
    size, radius, x, y = _place(rng, size, others, n)
    values: dict[str, Any] = {
        "size": size,
        "x": x,
        "y": y,
        "radius": radius,
        "rotation": float(rng.uniform(-30, 30)),
        "rgb": rgb,
        "mark": _mark(rng, rgb),
        "period": float(rng.uniform(0.075, 0.105)),
        "slant": float(rng.uniform(-45, 45)),
        "form": DEFAULT_FORMS.get(shape, ()),
    }
    values.update({k: v for k, v in given.items() if k != "size"})
    values.update(texture=texture, colour=colour, shape=shape)
    return SceneObject(**values)


def _place(
    rng: np.random.Generator, size: str, others: list[SceneObject], n: int
) -> tuple[str, float, float, float]:
    """A free spot; where there is none, the next smaller size is tried."""
    names = list(SIZES)
    if n == 3 and size == "large":
        size = "medium"
    while True:
        low, high = SIZES[size]
        for _ in range(24):
            r = float(rng.uniform(low, high))
            x, y = (float(v) for v in rng.uniform(r + 0.01, 0.99 - r, 2))
            if all((x - o.x) ** 2 + (y - o.y) ** 2 > (r + o.radius) ** 2 for o in others):
                return size, r, x, y
        if size == "small":
            return size, low, x, y  # crowded: overlap a little rather than fail
        size = names[names.index(size) - 1]


def _contrasting(rng: np.random.Generator, colour: str, background: Background) -> Rgb:
    """The colour's value, jittered, and pushed off a background of nearly the same value."""
    rgb = np.asarray(COLOURS[colour], float) * rng.uniform(0.9, 1.06) + rng.normal(0, 7, 3)
    gap = np.abs(rgb - background.rgb).max()  # the largest difference of a channel, grey levels
    if gap < 45:
        rgb += (45 - gap) * (1 if rgb.mean() > np.mean(background.rgb) else -1)
    return _rgb(rgb)


def _mark(rng: np.random.Generator, rgb: Rgb) -> Rgb:
    base = np.asarray(rgb, float)
    brightness = float(base @ (0.3, 0.59, 0.11))  # luma, ITU-R BT.601
    darker = base * rng.uniform(0.3, 0.45)
    lighter = base + (255 - base) * rng.uniform(0.6, 0.8)
    if brightness > 170:
        return _rgb(darker)
    if brightness < 70:
        return _rgb(lighter)
    return _rgb(darker if rng.random() < 0.5 else lighter)


def _speck(rng: np.random.Generator) -> Speck:
    dx, dy = rng.normal(0, 0.03, 2)
    x, y = rng.random(2)
    rgb = _rgb(rng.uniform(20, 235, 3))
    return Speck(float(x), float(y), float(dx), float(dy), float(rng.uniform(0.012, 0.03)), rgb)


def _rgb(values: np.ndarray) -> Rgb:
    r, g, b = (int(v) for v in np.clip(values, 4, 251))
    return (r, g, b)
