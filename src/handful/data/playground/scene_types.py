"""Vocabulary and data types of a scene, and which compositions stay out of training."""

from __future__ import annotations

from dataclasses import dataclass

Rgb = tuple[int, int, int]

SHAPES = (
    "circle", "oval", "square", "triangle", "diamond", "hexagon", "star",
    "cross", "heart", "ring", "crescent", "arrow", "flower", "bolt",
)  # fmt: skip
COLOURS: dict[str, Rgb] = {
    "red": (214, 38, 38),
    "orange": (243, 134, 28),
    "yellow": (240, 216, 48),
    "green": (46, 156, 60),
    "teal": (34, 182, 178),
    "blue": (40, 84, 212),
    "purple": (132, 54, 180),
    "pink": (246, 138, 190),
    "brown": (124, 76, 40),
    "black": (24, 24, 26),
    "white": (244, 244, 242),
    "gray": (136, 138, 140),
}
TEXTURES = ("plain", "striped", "dotted", "checked", "ringed", "shaded")
SIZES: dict[str, tuple[float, float]] = {  # radius range, as a share of the canvas
    "small": (0.105, 0.130),
    "medium": (0.155, 0.185),
    "large": (0.220, 0.270),
}
TONES = ("light", "dark")
HUES: dict[str, Rgb] = {
    "gray": (128, 128, 128),
    "red": (156, 112, 112),
    "yellow": (146, 134, 98),
    "green": (112, 140, 112),
    "blue": (108, 122, 150),
    "purple": (134, 114, 146),
}
KINDS = ("flat", "sloping", "grainy", "cloudy", "tiled")


@dataclass(frozen=True)
class SceneObject:
    """One object. Lengths are shares of the canvas, angles are degrees, y grows downwards."""

    shape: str
    colour: str
    texture: str
    size: str
    x: float
    y: float
    radius: float
    rotation: float
    rgb: Rgb  # the base colour as painted
    mark: Rgb  # the colour of stripes, dots, ...
    period: float  # the distance from one stripe or dot to the next
    slant: float  # the angle of the texture against the object
    form: tuple[tuple[str, float], ...] = ()  # (parameter, value) of the outline, e.g. points

    @property
    def composition(self) -> tuple[str, str, str]:
        """(texture, colour, shape)."""
        return (self.texture, self.colour, self.shape)


@dataclass(frozen=True)
class Speck:
    """One piece of clutter: a short line or a crumb too small to be an object."""

    x: float
    y: float
    dx: float
    dy: float
    width: float
    rgb: Rgb


@dataclass(frozen=True)
class Background:
    """What lies behind the objects: a tone and hue in words, and the colour as painted."""

    tone: str
    hue: str
    kind: str
    rgb: Rgb
    angle: float  # of slopes and tiles, degrees
    period: float  # of tiles and clouds, share of the canvas


@dataclass(frozen=True)
class Scene:
    """The exact description of one image; `render` turns it into pixels.

    >>> from handful.data import playground
    >>> len(playground.scene(7, objects=2).objects)
    2
    """

    seed: int
    objects: tuple[SceneObject, ...]
    background: Background
    clutter: tuple[Speck, ...] = ()
    light: float = 0.0  # how much brighter one side is than the other, -1 to 1
    light_angle: float = 0.0
    grain: float = 0.0  # sensor noise, grey levels
    style: str = "photo"


def held_out(texture: str, colour: str, shape: str) -> bool:
    """Whether a composition never occurs in training scenes.

    (5 t + 7 c + 11 s) mod 17 = 3 over the positions of texture, colour and shape in their lists:
    59 of 1008, and at most one for any pair of attributes, so that every pair stays well seen.

    >>> sum(held_out(t, c, s) for t in TEXTURES for c in COLOURS for s in SHAPES)
    59
    """
    if shape not in SHAPES:
        return False
    t, c, s = TEXTURES.index(texture), list(COLOURS).index(colour), SHAPES.index(shape)
    return (5 * t + 7 * c + 11 * s) % 17 == 3


ALL_COMPOSITIONS = tuple((t, c, s) for t in TEXTURES for c in COLOURS for s in SHAPES)
HELD_OUT = tuple(x for x in ALL_COMPOSITIONS if held_out(*x))
SEEN = tuple(x for x in ALL_COMPOSITIONS if not held_out(*x))
