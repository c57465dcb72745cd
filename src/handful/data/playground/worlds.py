"""Ten tasks in worlds of their own, for learning one after another.

The hard tasks of `tasks` share one world, so an image of one may truly be an image of another and
nobody could tell which was meant. Data sets that follow one another in the field's protocol
(aircraft, food, satellite images, ...) differ in what they show and how; so do these. Some share
class names all the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from handful.data.playground.draw import scene
from handful.data.playground.render import Pixels, render
from handful.data.playground.scene import HUES, Background
from handful.data.playground.tasks import _KINDS, _PROMPTS, Task
from handful.errors import InputError


@dataclass(frozen=True)
class _World:
    """The hard task whose classes it has, its style, and its background: tone, hue, kind."""

    classes: str
    style: str
    background: tuple[str, str, str] | None = None


_WORLDS = {
    "sketchbook": _World("style-sketch", "sketch"),
    "night": _World("style-dusk", "dusk"),
    "desert": _World("novel-objects", "photo", ("light", "yellow", "sloping")),
    "sea": _World("novel-materials", "photo", ("dark", "blue", "cloudy")),
    "forest": _World("novel-duos", "photo", ("dark", "green", "grainy")),
    "plaza": _World("fine-ovals", "mono", ("light", "gray", "tiled")),
    "dawn": _World("fine-rings", "photo", ("light", "red", "sloping")),
    "fog": _World("style-inverted", "faint", ("light", "gray", "cloudy")),
    "meadow": _World("novel-forms", "photo", ("light", "green", "cloudy")),
    "storm": _World("style-sketch", "noisy", ("dark", "purple", "grainy")),
}


def worlds() -> tuple[str, ...]:
    """Names of the worlds, in the order of the sequence.

    >>> len(worlds())
    10
    """
    return tuple(_WORLDS)


def world(name: str, shots: int, seed: int, queries_per_class: int = 20, size: int = 64) -> Task:
    """Draw the task of a world by lot; the same arguments always give the same images.

    Args:
        name: from `worlds()`.
        shots: support images a class.
        seed: another seed, other images of the same classes.
        queries_per_class: test images a class.
        size: width and height in pixels.

    Raises:
        InputError: no world is called so.

    >>> world("sea", 1, 0, 1).classes[:2]
    ('blicket', 'dax')
    """
    if name not in _WORLDS:
        raise InputError(f"no world named {name!r}; known: {', '.join(_WORLDS)}")
    classes = tuple(_KINDS[_WORLDS[name].classes].classes)
    parts: dict[str, tuple[tuple[Pixels, ...], tuple[str, ...]]] = {}
    for part, count in (("support", shots), ("test", queries_per_class)):
        wanted = [(label, i) for label in classes for i in range(count)]
        pictures = tuple(_picture(name, label, part, seed, i, size) for label, i in wanted)
        parts[part] = (pictures, tuple(label for label, _ in wanted))
    return Task(name, classes, _PROMPTS, *parts["support"], *parts["test"])


def _picture(name: str, label: str, part: str, seed: int, index: int, size: int) -> Pixels:
    """One image; its scene's seed is 63 bits of a digest, far above those of training."""
    world = _WORLDS[name]
    kind = _KINDS[world.classes]
    key = f"world/{name}/{label}/{part}/{seed}/{index}".encode()
    lot = int.from_bytes(hashlib.sha256(key).digest()[:8]) >> 1 | 1 << 62
    order = np.random.default_rng(lot).permutation(len(kind.classes[label]))
    fixed = [kind.classes[label][int(i)] for i in order]
    made = scene(lot, objects=kind.objects, compositions="any", fixed=fixed, style=world.style)
    if world.background is not None:
        made = replace(made, background=_background(*world.background, lot))
    return render(made, size)


def _background(tone: str, hue: str, kind: str, lot: int) -> Background:
    """One of a world: of its tone, hue and kind, otherwise by lot as every scene's."""
    rng = np.random.default_rng([lot, 0xBAC])
    level = rng.uniform(0.58, 0.78) if tone == "light" else rng.uniform(0.50, 0.72)
    goal = 255.0 if tone == "light" else 0.0
    rgb = np.asarray(HUES[hue]) * (1 - level) + goal * level + rng.normal(0, 5, 3)
    r, g, b = (int(v) for v in rgb.clip(4, 251))
    angle, period = float(rng.uniform(0, 180)), float(rng.uniform(0.12, 0.3))
    return Background(tone, hue, kind, (r, g, b), angle, period)
