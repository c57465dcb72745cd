"""True statements about a scene: phrases, relations and captions in varied wording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from handful.data.playground.scene_types import Background, Scene, SceneObject

Relation = tuple[int, str, int]  # (first, relation, second), positions in scene.objects

TEMPLATES = (
    "a photo of {}.",
    "{}",
    "a picture of {}",
    "an image of {}.",
    "this is {}.",
    "a scene with {}",
    "here is {}",
    "there is {} in the picture.",
    "a photo showing {}.",
    "we see {}",
)
SHAPE_WORDS = {
    "oval": ("oval", "ellipse"),
    "diamond": ("diamond", "rhombus"),
    "cross": ("cross", "plus sign"),
    "crescent": ("crescent", "moon"),
    "bolt": ("bolt", "lightning bolt"),
    "circle": ("circle", "disc"),
}
TEXTURE_WORDS = {
    "plain": ("plain", "solid"),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "checkered"),
    "striped": ("striped", "stripy"),
}
COLOUR_WORDS = {
    "gray": ("gray", "grey"),
    "purple": ("purple", "violet"),
    "teal": ("teal", "turquoise"),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium sized"),
    "large": ("large", "big", "huge"),
}
NUMBERS = ("no", "one", "two", "three")
PLURALS = {"cross": "crosses", "hexagon": "hexagons"}


def name(item: SceneObject) -> str:
    """The plain name of an object's composition: "striped red star"."""
    return f"{item.texture} {item.colour} {item.shape}"


def place(item: SceneObject) -> str:
    """Where in the image an object lies, in words."""
    row = "top" if item.y < 0.38 else "bottom" if item.y > 0.62 else ""
    column = "left" if item.x < 0.38 else "right" if item.x > 0.62 else ""
    if row and column:
        return f"at the {row} {column}"
    if row:
        return f"at the {row}"
    return f"on the {column}" if column else "in the middle"


def relations(scene: Scene) -> list[Relation]:
    """Every relation between two objects that is clear to the eye.

    Left, right, above and below ask for a distance of 0.15 of the canvas; bigger and smaller for
    a quarter in radius.

    >>> from handful.data import playground
    >>> s = playground.scene(5, objects=2)
    >>> all(r[1] in playground.RELATIONS for r in playground.relations(s))
    True
    """
    found: list[Relation] = []
    for i, a in enumerate(scene.objects):
        for j, b in enumerate(scene.objects):
            if i == j:
                continue
            if b.x - a.x > 0.15:
                found += [(i, "left of", j), (j, "right of", i)]
            if b.y - a.y > 0.15:
                found += [(i, "above", j), (j, "below", i)]
            if a.radius > 1.25 * b.radius:
                found += [(i, "bigger than", j), (j, "smaller than", i)]
    return found


RELATIONS = ("left of", "right of", "above", "below", "bigger than", "smaller than")


def phrase(item: SceneObject, rng: np.random.Generator, full: float = 0.7) -> str:
    """A noun phrase with an article; with probability `full` it has texture and colour."""
    noun = _word(SHAPE_WORDS, item.shape, rng)
    keep_texture = keep_colour = True
    if rng.random() > full:
        keep_texture, keep_colour = [(True, False), (False, True), (False, False)][rng.integers(3)]
        if rng.random() < 0.12:
            noun = "shape"
            keep_texture = keep_colour = True
    texture = _word(TEXTURE_WORDS, item.texture, rng) if keep_texture else ""
    colour = _word(COLOUR_WORDS, item.colour, rng) if keep_colour else ""
    size = _word(SIZE_WORDS, item.size, rng) if rng.random() < 0.25 else ""
    if texture and colour and rng.random() < 0.08:
        return _article(_join(size, noun)) + f" that is {colour} and {texture}"
    pair = (texture, colour) if rng.random() < 0.7 else (colour, texture)
    return _article(_join(size, *pair, noun))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One true caption, drawn at random."""
    body = _describe_one(scene, rng) if len(scene.objects) == 1 else _describe_several(scene, rng)
    if rng.random() < 0.18:
        body += " " + _describe_background(scene.background, rng)
    k = int(rng.integers(len(TEMPLATES))) if rng.random() < 0.6 else int(rng.integers(2))
    return TEMPLATES[k].format(body)


def captions(scene: Scene, rng: np.random.Generator, count: int = 5) -> list[str]:
    """Several true captions of a scene, each drawn anew.

    >>> from handful.data import playground
    >>> len(playground.captions(playground.scene(4), np.random.default_rng(0), 3))
    3
    """
    return [caption(scene, rng) for _ in range(count)]


def _describe_one(scene: Scene, rng: np.random.Generator) -> str:
    item = scene.objects[0]
    text = phrase(item, rng)
    return f"{text} {place(item)}" if rng.random() < 0.25 else text


def _describe_several(scene: Scene, rng: np.random.Generator) -> str:
    draw = rng.random()
    order = rng.permutation(len(scene.objects))
    if draw < 0.10:
        return _describe_count(scene, rng)
    if draw < 0.22:
        item = scene.objects[int(order[0])]
        text = phrase(item, rng, full=1.0)
        return f"{text} {place(item)}" if rng.random() < 0.4 else text
    if draw < 0.52:
        known = relations(scene)
        if known:
            i, how, j = known[int(rng.integers(len(known)))]
            how = f"to the {how}" if how.endswith(" of") and rng.random() < 0.4 else how
            return f"{phrase(scene.objects[i], rng)} {how} {phrase(scene.objects[j], rng)}"
    parts = [phrase(scene.objects[int(k)], rng) for k in order]
    if len(parts) == 2:
        joint = " next to " if rng.random() < 0.1 else " and "
        return joint.join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def _describe_count(scene: Scene, rng: np.random.Generator) -> str:
    objects = scene.objects
    number = NUMBERS[len(objects)]
    for key in ("shape", "colour", "texture"):
        values = {getattr(t, key) for t in objects}
        if len(values) == 1:
            value = str(values.pop())
            if key == "shape":
                return f"{number} {PLURALS.get(value, value + 's')}"
            words = COLOUR_WORDS if key == "colour" else TEXTURE_WORDS
            return f"{number} {_word(words, value, rng)} shapes"
    return f"{number} {('shapes', 'objects', 'things')[rng.integers(3)]}"


def _describe_background(back: Background, rng: np.random.Generator) -> str:
    kind = f"{back.kind} " if rng.random() < 0.4 else ""
    hue = f"{back.hue} " if rng.random() < 0.6 else ""
    return f"on {_article(f'{back.tone} {kind}{hue}background')}"


def _word(table: Mapping[str, tuple[str, ...]], key: str, rng: np.random.Generator) -> str:
    """The usual word three times out of four, else one of its synonyms."""
    words = table.get(key)
    if words is None or rng.random() < 0.75:
        return key
    return words[int(rng.integers(1, len(words)))]


def _join(*words: str) -> str:
    return " ".join(w for w in words if w)


def _article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
