"""From a scene to pixels, boxes and masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from handful.data.playground.outlines import outline
from handful.data.playground.scene_types import Background, Scene, SceneObject
from handful.errors import InputError

Box = tuple[float, float, float, float]
Pixels = np.ndarray  # [H, W, 3] uint8


def render(scene: Scene, size: int = 64) -> Pixels:
    """Paint a scene; anti-aliased by painting larger and averaging down.

    Args:
        scene: what to paint; its `style` is a name in `STYLES`.
        size: edge of the square image, pixels.

    Returns:
        [size, size, 3] uint8.

    Raises:
        InputError: the style is not known.

    >>> from handful.data import playground
    >>> playground.render(playground.scene(3), 32).shape
    (32, 32, 3)
    """
    if scene.style not in STYLES:
        raise InputError(f"unknown style {scene.style!r}; known: {', '.join(STYLES)}")
    factor = _oversampling(size)
    # a stream of its own: noise does not depend on how many numbers the scene took
    rng = np.random.default_rng([scene.seed, 0xA17])
    canvas = _background_image(scene.background, size, rng, scene.style == "sketch")
    canvas = canvas.resize((size * factor, size * factor), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    edge = size * factor
    for s in () if scene.style == "sketch" else scene.clutter:
        ends = (s.x * edge, s.y * edge, (s.x + s.dx) * edge, (s.y + s.dy) * edge)
        draw.line(ends, fill=s.rgb, width=max(1, round(s.width * edge)))
    for item in scene.objects:
        (_sketch if scene.style == "sketch" else _paint)(canvas, item, edge, scene.light)
    small = np.asarray(canvas.reduce(factor), np.float32)
    return STYLES[scene.style](_add_light_and_noise(small, scene, rng), rng)


def boxes(scene: Scene, size: int = 64) -> list[Box]:
    """The tight box of every object, pixels: (left, top, right, bottom), clipped to the image.

    >>> from handful.data import playground
    >>> all(len(b) == 4 for b in playground.boxes(playground.scene(3)))
    True
    """
    found: list[Box] = []
    for item in scene.objects:
        points = _polygons(item)[0] * size
        (x0, y0), (x1, y1) = points.min(0).clip(0, size), points.max(0).clip(0, size)
        found.append((float(x0), float(y0), float(x1), float(y1)))
    return found


def masks(scene: Scene, size: int = 64) -> np.ndarray:
    """The share of every pixel that each object covers, later objects on top.

    Returns:
        [objects, size, size] float32 in [0, 1].
    """
    factor = _oversampling(size)
    edge = size * factor
    layers: list[Image.Image] = []
    for item in scene.objects:
        mask, (left, top) = _mask(item, edge)
        layer = Image.new("L", (edge, edge))
        layer.paste(mask, (left, top))
        for below in layers:
            below.paste(0, (0, 0), layer)
        layers.append(layer)
    return np.stack([np.asarray(x.reduce(factor), np.float32) / 255 for x in layers])


def _oversampling(size: int) -> int:
    return 3 if size <= 96 else 2


def _polygons(item: SceneObject) -> list[np.ndarray]:
    """Outline polygons in canvas shares."""
    t = np.radians(item.rotation)
    turn = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    polygons = outline(item.shape, dict(item.form))
    return [p @ turn * item.radius + (item.x, item.y) for p in polygons]


def _mask(item: SceneObject, edge: int) -> tuple[Image.Image, tuple[int, int]]:
    """A mask of the object alone and where its corner lies on the painted canvas."""
    polygons = [p * edge for p in _polygons(item)]
    low = np.floor(polygons[0].min(0)).astype(int)
    high = np.ceil(polygons[0].max(0)).astype(int) + 1
    mask = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
    draw = ImageDraw.Draw(mask)
    for i, p in enumerate(polygons):
        draw.polygon((p - low).ravel().tolist(), fill=255 if i == 0 else 0)
    return mask, (int(low[0]), int(low[1]))


def _texture_mask(
    item: SceneObject, mask: Image.Image, corner: tuple[int, int], edge: int
) -> Image.Image:
    """Where the texture's second colour goes (255), inside the object's mask."""
    inside = np.asarray(mask)
    h, w = inside.shape
    y = (np.arange(h, dtype=np.float32) + corner[1])[:, None] / edge - np.float32(item.y)
    x = (np.arange(w, dtype=np.float32) + corner[0])[None, :] / edge - np.float32(item.x)
    t = np.radians(item.slant + item.rotation)
    c, s, p = np.float32(np.cos(t)), np.float32(np.sin(t)), np.float32(item.period)
    # coordinates along and across the texture, in periods
    u, v = (x * c + y * s) / p, (y * c - x * s) / p
    if item.texture == "striped":
        on = (u - np.floor(u)) < 0.42
    elif item.texture == "dotted":
        a, b = u - np.round(u), v - np.round(v)
        on = a * a + b * b < 0.095
    elif item.texture == "checked":
        on = (np.floor(u * 1.25) + np.floor(v * 1.25)) % 2 == 0
    elif item.texture == "ringed":
        d = np.sqrt(u * u + v * v) + 0.25
        on = (d - np.floor(d)) < 0.42
    else:  # shaded: from nothing to full along the texture's direction
        span = np.float32(item.radius / item.period)
        level = ((u / span + 0.55) / 1.1).clip(0, 1) * 255
        return Image.fromarray((level * (inside > 0)).astype(np.uint8))
    return Image.fromarray(np.where(on, inside, np.uint8(0)))


def _paint(canvas: Image.Image, item: SceneObject, edge: int, light: float) -> None:
    mask, corner = _mask(item, edge)
    shade = round(0.018 * edge)
    shadow = mask.point(lambda v: v // 4)  # a quarter opaque, away from the light
    canvas.paste(
        (0, 0, 0), (corner[0] + (shade if light > 0 else -shade), corner[1] + shade), shadow
    )
    canvas.paste(item.rgb, corner, mask)
    if item.texture != "plain":
        canvas.paste(item.mark, corner, _texture_mask(item, mask, corner, edge))


def _sketch(canvas: Image.Image, item: SceneObject, edge: int, light: float) -> None:
    """Pencil on paper: outline and the edges of the texture, no colour."""
    del light
    mask, corner = _mask(item, edge)
    canvas.paste((250, 249, 244), corner, mask)
    if item.texture != "plain":
        marks = _texture_mask(item, mask, corner, edge).point(lambda v: v // 3)
        canvas.paste((60, 60, 64), corner, marks)
    draw = ImageDraw.Draw(canvas)
    for p in _polygons(item):
        draw.polygon((p * edge).ravel().tolist(), outline=(40, 40, 46), width=max(1, edge // 64))


def _background_image(
    back: Background, size: int, rng: np.random.Generator, paper: bool
) -> Image.Image:
    if paper:
        return Image.new("RGB", (size, size), (250, 249, 244))
    if back.kind == "flat":
        return Image.new("RGB", (size, size), back.rgb)
    base = np.asarray(back.rgb, np.float32)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    t = np.radians(back.angle)
    along = line[None, :] * np.float32(np.cos(t)) + line[:, None] * np.float32(np.sin(t))
    if back.kind == "sloping":
        change = along * 70
    elif back.kind == "grainy":
        change = rng.standard_normal((size, size), np.float32) * 17
    elif back.kind == "cloudy":
        n = max(3, round(1 / back.period))
        coarse = rng.standard_normal((n, n), np.float32) * 26
        change = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
    else:  # tiled
        across = line[:, None] * np.float32(np.cos(t)) - line[None, :] * np.float32(np.sin(t))
        change = ((np.floor(along / back.period) + np.floor(across / back.period)) % 2) * 26 - 13
    return Image.fromarray((base + change[..., None]).clip(0, 255).astype(np.uint8))


def _add_light_and_noise(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Uneven light and sensor noise."""
    size = image.shape[0]
    line = np.linspace(-1, 1, size, dtype=np.float32)
    t = np.radians(scene.light_angle)
    gain = line[None, :] * np.float32(np.cos(t)) + line[:, None] * np.float32(np.sin(t))
    image = image * (1 + np.float32(0.4 * scene.light) * gain)[..., None]
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(scene.grain)
    return np.asarray(image + grain)


def _to_uint8(image: np.ndarray) -> Pixels:
    return image.clip(0, 255).astype(np.uint8)


def _noisy(image: np.ndarray, rng: np.random.Generator) -> Pixels:
    return _to_uint8(image + rng.standard_normal(image.shape, np.float32) * 55)


def _mosaic(image: np.ndarray, rng: np.random.Generator) -> Pixels:
    del rng
    size = image.shape[0]
    coarse = Image.fromarray(_to_uint8(image)).resize((26, 26), Image.Resampling.BOX)
    return np.asarray(coarse.resize((size, size), Image.Resampling.NEAREST))


def _blurred(image: np.ndarray, rng: np.random.Generator) -> Pixels:
    del rng
    radius = image.shape[0] / 40
    return np.asarray(Image.fromarray(_to_uint8(image)).filter(ImageFilter.GaussianBlur(radius)))


def _dusk(image: np.ndarray, rng: np.random.Generator) -> Pixels:
    tint = np.array([0.20, 0.25, 0.42], np.float32)  # dark, and bluer than red
    return _to_uint8(image * tint + rng.standard_normal(image.shape, np.float32) * 4)


Finish = Callable[[np.ndarray, np.random.Generator], Pixels]
STYLES: dict[str, Finish] = {  # training uses "photo" alone
    "photo": lambda image, rng: _to_uint8(image),
    "sketch": lambda image, rng: _to_uint8(image),
    "inverted": lambda image, rng: 255 - _to_uint8(image),
    "poster": lambda image, rng: _to_uint8(np.floor(image.clip(0, 255) / 86) * 127),
    "noisy": _noisy,
    "faint": lambda image, rng: _to_uint8(150 + (image - 128) * 0.2),
    "mono": lambda image, rng: _to_uint8(
        np.repeat(image @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=-1)
    ),
    "rolled": lambda image, rng: _to_uint8(image[..., [1, 2, 0]]),  # red becomes blue, and so on
    "mosaic": _mosaic,
    "blurred": _blurred,
    "dusk": _dusk,
}
