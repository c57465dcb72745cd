"""Few-shot tasks on which zero-shot is not good, though the difference can be seen.

Three families. `novel`: made-up names, which the text tower never learned. `style`: ordinary names
in styles that training never showed. `fine`: differences finer than the captions of training tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handful.data.playground.render import Pixels, render
from handful.data.playground.sampling import background_colour, scene, scene_seed
from handful.data.playground.scene_types import Background
from handful.errors import InputError

FAMILIES = ("novel", "style", "fine")
_TEMPLATES = ("a photo of a {}.",)
_WORDS = ("blicket", "dax", "wug", "toma", "fep", "zorp", "kiva", "lurn")

Fixed = Mapping[str, Any]  # fields of one object that a class determines


@dataclass(frozen=True)
class TaskSpec:
    """How the images of a task are drawn.

    Args:
        classes: class name to the fields that fix one or more of its objects.
        style: a name in `STYLES`.
        objects: number of objects in an image.
        background: its tone, hue and kind; None for a random one.
    """

    classes: Mapping[str, Sequence[Fixed]]
    style: str = "photo"
    objects: int = 1
    background: tuple[str, str, str] | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One draw of a task.

    Args:
        name: from `tasks()`.
        classes: C names.
        templates: prompts with `{}`.
        support: C x shots images, `[H, W, 3]` uint8.
        support_labels: their class names.
        test: C x queries images, none of them in the support set.
        test_labels: their class names.
    """

    name: str
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    support: tuple[Pixels, ...]
    support_labels: tuple[str, ...]
    test: tuple[Pixels, ...]
    test_labels: tuple[str, ...]


def tasks(family: str | None = None) -> tuple[str, ...]:
    """Names of the tasks, all of them or those of one of `FAMILIES`.

    >>> tasks("fine")[0]
    'fine-points'
    """
    return tuple(name for name in TASKS if family is None or name.startswith(family))


def task(name: str, shots: int, seed: int, queries_per_class: int = 20, size: int = 64) -> Task:
    """Draw a task at random; the same arguments always give the same images.

    Fewer shots are the first of more shots, and the test images do not depend on the shots.

    Args:
        name: from `tasks()`.
        shots: support images a class.
        seed: another seed, other images of the same classes.
        queries_per_class: test images a class.
        size: width and height in pixels.

    Raises:
        InputError: no task is called so.
    """
    if name not in TASKS:
        raise InputError(f"no task named {name!r}; known: {', '.join(TASKS)}")
    return draw_task(name, TASKS[name], shots, seed, queries_per_class, size, key=name)


def draw_task(
    name: str, spec: TaskSpec, shots: int, seed: int, queries: int, size: int, *, key: str
) -> Task:
    """Draw the images of a task.

    Args:
        name: what `Task.name` becomes.
        spec: classes and looks.
        shots: support images a class.
        seed: another seed, other images.
        queries: test images a class.
        size: width and height in pixels.
        key: start of the text that each image's seed is made from.
    """
    parts: list[tuple[Any, ...]] = []
    for part, count in (("support", shots), ("test", queries)):
        labels = tuple(label for label in spec.classes for _ in range(count))
        keys = (f"{key}/{label}/{part}/{seed}/{i}" for label in spec.classes for i in range(count))
        images = tuple(
            _image(spec, y, scene_seed(k), size) for y, k in zip(labels, keys, strict=True)
        )
        parts += [images, labels]
    return Task(name, tuple(spec.classes), _TEMPLATES, *parts)


def write(task: Task, folder: str | Path) -> Path:
    """Write a task as `train/<class>/*.png` and `test/<class>/*.png`, for the command line."""
    root = Path(folder)
    halves = {
        "train": zip(task.support, task.support_labels, strict=True),
        "test": zip(task.test, task.test_labels, strict=True),
    }
    for split, pairs in halves.items():
        for i, (pixels, label) in enumerate(pairs):
            path = root / split / label / f"{i:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root


def _image(spec: TaskSpec, label: str, seed: int, size: int) -> Pixels:
    """One image of a class; the order of its fixed objects is random."""
    objects = spec.classes[label]
    order = np.random.default_rng(seed).permutation(len(objects))
    fixed = [objects[int(i)] for i in order]
    drawn = scene(seed, objects=spec.objects, compositions="any", fixed=fixed, style=spec.style)
    if spec.background is not None:
        tone, hue, kind = spec.background
        rng = np.random.default_rng([seed, 0xBAC])  # apart from the stream of the scene
        rgb = background_colour(rng, tone, hue)
        angle, period = float(rng.uniform(0, 180)), float(rng.uniform(0.12, 0.3))
        drawn = replace(drawn, background=Background(tone, hue, kind, rgb, angle, period))
    return render(drawn, size)


def _named(values: Sequence[Fixed]) -> dict[str, Sequence[Fixed]]:
    """A made-up word for each combination, in the order of `_WORDS`."""
    return {word: (fixed,) for word, fixed in zip(_WORDS, values, strict=False)}


def _grid(**choices: Sequence[str]) -> list[Fixed]:
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def _each(field: str, values: Sequence[str]) -> dict[str, Sequence[Fixed]]:
    return {value: ({field: value},) for value in values}


_SHAPES = ("circle", "square", "triangle", "diamond", "hexagon", "star", "cross", "heart")
_COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
_NUMBERS = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
_BIG = {"size": "large"}  # fine differences need pixels

TASKS: dict[str, TaskSpec] = {
    "novel-objects": TaskSpec(
        _named(
            _grid(
                texture=("striped", "checked"), colour=("red", "orange"), shape=("star", "flower")
            )
        )
    ),
    "novel-materials": TaskSpec(
        _named(_grid(texture=("dotted", "ringed"), colour=("blue", "purple", "teal", "green")))
    ),
    "novel-forms": TaskSpec(
        _named(_grid(shape=("oval", "crescent", "arrow", "bolt"), texture=("plain", "shaded")))
    ),
    "novel-duos": TaskSpec(
        {
            word: tuple({"shape": shape} for shape in pair)
            for word, pair in zip(
                _WORDS, combinations(("circle", "heart", "arrow", "ring"), 2), strict=False
            )
        },
        objects=2,
    ),
    "style-sketch": TaskSpec(_each("shape", _SHAPES), "sketch"),
    "style-inverted": TaskSpec(_each("colour", _COLOURS), "inverted"),
    "style-rolled": TaskSpec(_each("colour", _COLOURS), "rolled"),
    "style-mosaic": TaskSpec(_each("shape", _SHAPES), "mosaic"),
    "style-dusk": TaskSpec(
        {f"{t} {c}": ({"texture": t, "colour": c},)
         for t in ("striped", "dotted") for c in ("red", "green", "blue", "yellow")},
        "dusk",
    ),
    "fine-points": TaskSpec(
        {f"star with {_NUMBERS[n]} points": (
            {"shape": "star", "form": (("points", n), ("inner", 0.5)), **_BIG},)
         for n in (4, 5, 6, 8)}
    ),
    "fine-sides": TaskSpec(
        {f"shape with {_NUMBERS[n]} sides": (
            {"shape": "polygon", "form": (("sides", n),), **_BIG},)
         for n in (4, 5, 6, 9)}
    ),
    "fine-ovals": TaskSpec(
        {f"{word} oval": ({"shape": "oval", "form": (("aspect", a),), **_BIG},)
         for word, a in (("flat", 0.35), ("slim", 0.5), ("full", 0.65), ("round", 0.8))}
    ),
    "fine-rings": TaskSpec(
        {f"{word} ring": ({"shape": "ring", "form": (("inner", a), ("gap", 0.0)), **_BIG},)
         for word, a in (("thick", 0.3), ("firm", 0.45), ("light", 0.6), ("thin", 0.75))}
    ),
    "fine-stripes": TaskSpec(
        {f"{word} stripes": (
            {"texture": "striped", "slant": a, "rotation": 0.0, **_BIG},)
         for word, a in (("upright", 0.0), ("rising", 45.0), ("lying", 90.0), ("falling", -45.0))}
    ),
}  # fmt: skip
