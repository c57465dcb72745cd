"""Ten tasks in worlds of their own, for learning one after another.

The hard tasks of `tasks` share one world: an image of one may be a correct image of another, so
the task of an image would be ambiguous. Data sets that follow one another in the field's protocol
(aircraft, food, satellite images, ...) differ in what they show and how; so do these. Some share
class names all the same.
"""

from __future__ import annotations

from dataclasses import replace

from handful.data.playground.tasks import TASKS, Task, TaskSpec, draw_task
from handful.errors import InputError


def _world(task: str, style: str, background: tuple[str, str, str] | None = None) -> TaskSpec:
    """The classes of a hard task, in another style and before another background."""
    return replace(TASKS[task], style=style, background=background)


WORLDS: dict[str, TaskSpec] = {
    "sketchbook": _world("style-sketch", "sketch"),
    "night": _world("style-dusk", "dusk"),
    "desert": _world("novel-objects", "photo", ("light", "yellow", "sloping")),
    "sea": _world("novel-materials", "photo", ("dark", "blue", "cloudy")),
    "forest": _world("novel-duos", "photo", ("dark", "green", "grainy")),
    "plaza": _world("fine-ovals", "mono", ("light", "gray", "tiled")),
    "dawn": _world("fine-rings", "photo", ("light", "red", "sloping")),
    "fog": _world("style-inverted", "faint", ("light", "gray", "cloudy")),
    "meadow": _world("novel-forms", "photo", ("light", "green", "cloudy")),
    "storm": _world("style-sketch", "noisy", ("dark", "purple", "grainy")),
}


def worlds() -> tuple[str, ...]:
    """Names of the worlds, in the order of the sequence.

    >>> len(worlds())
    10
    """
    return tuple(WORLDS)


def world(name: str, shots: int, seed: int, queries_per_class: int = 20, size: int = 64) -> Task:
    """Draw the task of a world at random; the same arguments always give the same images.

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
    if name not in WORLDS:
        raise InputError(f"no world named {name!r}; known: {', '.join(WORLDS)}")
    key = f"world/{name}"
    return draw_task(name, WORLDS[name], shots, seed, queries_per_class, size, key=key)
