"""Synthetic scenes with exact ground truth: their pixels, captions, boxes, relations, and tasks.

Everything is drawn at random from a seed, so nothing needs to be stored: the same seed gives the
same image, captions, boxes and relations on every machine.
"""

from __future__ import annotations

from handful.data.playground.captions import (
    RELATIONS,
    TEMPLATES,
    caption,
    captions,
    name,
    phrase,
    place,
    relations,
)
from handful.data.playground.render import STYLES, boxes, masks, render
from handful.data.playground.sampling import scene
from handful.data.playground.scene_types import (
    COLOURS,
    HELD_OUT,
    SEEN,
    SHAPES,
    SIZES,
    TEXTURES,
    Background,
    Scene,
    SceneObject,
    Speck,
    held_out,
)
from handful.data.playground.tasks import FAMILIES, Task, task, tasks, write
from handful.data.playground.worlds import world, worlds

__all__ = [
    "COLOURS", "FAMILIES", "HELD_OUT", "RELATIONS", "SEEN", "SHAPES", "SIZES", "STYLES",
    "TEMPLATES", "TEXTURES", "Background", "Scene", "SceneObject", "Speck", "Task", "boxes",
    "caption", "captions", "held_out", "masks", "name", "phrase", "place", "relations", "render",
    "scene", "task", "tasks", "world", "worlds", "write",
]  # fmt: skip
