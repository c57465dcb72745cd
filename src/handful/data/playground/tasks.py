"""Few-shot tasks on which zero-shot is not good, though the difference can be seen.

Three families. `novel`: made-up names, which the text tower never learned. `style`: ordinary names
in styles that training never showed. `fine`: differences finer than the captions of training tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handful.data.playground.draw import scene
from handful.data.playground.render import Pixels, render
from handful.errors import InputError

FAMILIES = ("novel", "style", "fine")
_PROMPTS = ("a photo of a {}.",)
_WORDS = ("blicket", "dax", "wug", "toma", "fep", "zorp", "kiva", "lurn")

Fixed = Mapping[str, Any]  # fields of one object that a class determines


@dataclass(frozen=True)
class _Kind:
    """What the classes of a task have in common, and each class's objects."""

    classes: Mapping[str, Sequence[Fixed]]
    style: str = "photo"
    objects: int = 1


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
    return tuple(name for name in _KINDS if family is None or name.startswith(family))


def task(name: str, shots: int, seed: int, queries_per_class: int = 20, size: int = 64) -> Task:
    """Draw a task by lot; the same arguments always give the same images.

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
    if name not in _KINDS:
        raise InputError(f"no task named {name!r}; known: {', '.join(_KINDS)}")
    classes = tuple(_KINDS[name].classes)
    parts: dict[str, tuple[tuple[Pixels, ...], tuple[str, ...]]] = {}
    for part, count in (("support", shots), ("test", queries_per_class)):
        wanted = [(label, i) for label in classes for i in range(count)]
        pictures = tuple(_picture(name, label, part, seed, i, size) for label, i in wanted)
        parts[part] = (pictures, tuple(label for label, _ in wanted))
    return Task(name, classes, _PROMPTS, *parts["support"], *parts["test"])


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


def _picture(name: str, label: str, part: str, seed: int, index: int, size: int) -> Pixels:
    """One image; its scene's seed is 63 bits of a digest, far above those of training."""
    kind = _KINDS[name]
    key = f"{name}/{label}/{part}/{seed}/{index}".encode()
    lot = int.from_bytes(hashlib.sha256(key).digest()[:8]) >> 1 | 1 << 62
    order = np.random.default_rng(lot).permutation(len(kind.classes[label]))
    fixed = [kind.classes[label][int(i)] for i in order]
    made = scene(lot, objects=kind.objects, compositions="any", fixed=fixed, style=kind.style)
    return render(made, size)


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

_KINDS: dict[str, _Kind] = {
    "novel-objects": _Kind(
        _named(
            _grid(
                texture=("striped", "checked"), colour=("red", "orange"), shape=("star", "flower")
            )
        )
    ),
    "novel-materials": _Kind(
        _named(_grid(texture=("dotted", "ringed"), colour=("blue", "purple", "teal", "green")))
    ),
    "novel-forms": _Kind(
        _named(_grid(shape=("oval", "crescent", "arrow", "bolt"), texture=("plain", "shaded")))
    ),
    "novel-duos": _Kind(
        {
            word: tuple({"shape": shape} for shape in pair)
            for word, pair in zip(
                _WORDS, combinations(("circle", "heart", "arrow", "ring"), 2), strict=False
            )
        },
        objects=2,
    ),
    "style-sketch": _Kind(_each("shape", _SHAPES), "sketch"),
    "style-inverted": _Kind(_each("colour", _COLOURS), "inverted"),
    "style-rolled": _Kind(_each("colour", _COLOURS), "rolled"),
    "style-mosaic": _Kind(_each("shape", _SHAPES), "mosaic"),
    "style-dusk": _Kind(
        {f"{t} {c}": ({"texture": t, "colour": c},)
         for t in ("striped", "dotted") for c in ("red", "green", "blue", "yellow")},
        "dusk",
    ),
    "fine-points": _Kind(
        {f"star with {_NUMBERS[n]} points": (
            {"shape": "star", "form": (("points", n), ("inner", 0.5)), **_BIG},)
         for n in (4, 5, 6, 8)}
    ),
    "fine-sides": _Kind(
        {f"shape with {_NUMBERS[n]} sides": (
            {"shape": "polygon", "form": (("sides", n),), **_BIG},)
         for n in (4, 5, 6, 9)}
    ),
    "fine-ovals": _Kind(
        {f"{word} oval": ({"shape": "oval", "form": (("aspect", a),), **_BIG},)
         for word, a in (("flat", 0.35), ("slim", 0.5), ("full", 0.65), ("round", 0.8))}
    ),
    "fine-rings": _Kind(
        {f"{word} ring": ({"shape": "ring", "form": (("inner", a), ("gap", 0.0)), **_BIG},)
         for word, a in (("thick", 0.3), ("firm", 0.45), ("light", 0.6), ("thin", 0.75))}
    ),
    "fine-stripes": _Kind(
        {f"{word} stripes": (
            {"texture": "striped", "slant": a, "rotation": 0.0, **_BIG},)
         for word, a in (("upright", 0.0), ("rising", 45.0), ("lying", 90.0), ("falling", -45.0))}
    ),
}  # fmt: skip
