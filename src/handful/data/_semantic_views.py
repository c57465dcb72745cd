"""Augmentation that keeps the meaning of a picture: small changes of viewpoint and light.

kornia computes them; everything random is drawn here, from a generator of its own.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from handful.errors import MissingExtraError

LARGEST = 384  # pixels of a square's side: what CLIP-like encoders read at most, as a rule

# How far each property may move, and why no further.
SCALE = (0.85, 1.0)  # of each side: 72 % of the area at least, so a subject is rarely cut off
ANGLE = 8.0  # degrees: as a camera is held askew; "slanted" and "upright" stay two things
# The next three together: 15 % of light and 20 % of saturation already took the playground's red
# for brown (nearest in CIELAB) where all were at their ends; colours may be classes.
BRIGHTNESS = (0.9, 1.1)  # and contrast: another lamp, not day and night
SATURATION = (0.85, 1.15)
HUE = 4.0  # degrees, the tint of a lamp: red and orange are 30 apart
BLUR = 0.004  # of a side, in standard deviations: 0.9 pixels of 224, less than any texture
NOISE = 0.02  # standard deviation of values from 0 to 1: a sensor's, in poor light

_import_lock = threading.Lock()


@dataclass(frozen=True)
class SemanticParams:
    """Parameters of one semantic view.

    Stretching and shearing are not among them: an oval must not become a circle.
    """

    scale: float
    left: float  # place of the window, from 0 to 1 of the way it can go
    top: float
    angle: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    blur: float
    noise: float
    flip: bool

    @classmethod
    def sample(cls, random: np.random.Generator) -> SemanticParams:
        """The same numbers are drawn whatever comes of them, so that none depends on another."""
        scale, left, top = random.uniform(*SCALE), random.random(), random.random()
        angle = random.uniform(-ANGLE, ANGLE)
        brightness, contrast = random.uniform(*BRIGHTNESS, size=2).tolist()
        saturation, hue = random.uniform(*SATURATION), random.uniform(-HUE, HUE)
        softness, roughness = random.uniform(0, BLUR), random.uniform(0, NOISE)
        kind = int(random.integers(3))  # a third is blurred, a third noisy, a third neither
        return cls(
            scale, left, top, angle, brightness, contrast, saturation, hue,
            softness if kind == 1 else 0.0, roughness if kind == 2 else 0.0, random.random() < 0.5,
        )  # fmt: skip


def apply_params(
    image: Image.Image, params: SemanticParams, side: float, random: np.random.Generator
) -> Image.Image:
    """The picture after all changes, RGB, in the proportions it had.

    Args:
        image: any size.
        params: what to change, and how far.
        side: the result is scaled so that it would be a square of this side, were it square.
        random: draws the noise.

    Raises:
        MissingExtraError: kornia is not there.
    """
    enhance, geometry, filters = _kornia()
    # autocast of a training loop around us would round pictures to bfloat16
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        pixels = _window(image, params, side, geometry)
        pixels = _coloured(pixels, params, enhance)
        if params.blur:
            sigma = params.blur * math.sqrt(pixels.shape[2] * pixels.shape[3])
            width = 2 * math.ceil(3 * sigma) + 1  # odd, 99.7 % of the Gaussian
            pixels = filters.gaussian_blur2d(
                pixels, (width, width), (sigma, sigma), border_type="replicate"
            )
        if params.noise:
            noise = random.standard_normal(tuple(pixels.shape), dtype=np.float32)
            pixels = pixels + params.noise * torch.from_numpy(noise)
        if params.flip:
            pixels = geometry.hflip(pixels)
        levels = (pixels[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def _window(image: Image.Image, params: SemanticParams, side: float, geometry: Any) -> Tensor:
    """`[1, 3, H, W]` from 0 to 1: a turned window on the picture, nothing of it stretched.

    Corners that stick out show the mirrored edge: black ones would be a thing to learn.
    """
    zoom = side / (params.scale * math.sqrt(image.width * image.height))
    width, height = (max(1, round(zoom * n)) for n in image.size)
    w, h = (max(1, round(params.scale * n)) for n in (width, height))
    # first Pillow's filter, which does not alias, then a window of the same scale
    small = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255
    left, top = round(params.left * (width - w)), round(params.top * (height - h))
    if min(w, h) == 1:  # a line of pixels has no angle
        return pixels[:, :, top : top + h, left : left + w]
    turn = math.radians(params.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = left + (w - 1) / 2, top + (h - 1) / 2
    # [2, 3] affine matrix: a turn about the window's middle (x, y), which then moves to its place
    placed = [
        [cos, sin, x - left - cos * x - sin * y],
        [-sin, cos, y - top + sin * x - cos * y],
    ]
    turned: Tensor = geometry.warp_affine(
        pixels, torch.tensor([placed]), (h, w), mode="bicubic", padding_mode="reflection"
    )
    return turned.clamp(0, 1)


def _coloured(pixels: Tensor, params: SemanticParams, enhance: Any) -> Tensor:
    """Light and colour, each step clipped to what a picture can hold."""
    pixels = enhance.adjust_brightness_accumulative(pixels, params.brightness)
    # contrast around the mean; in float64, or its last bit would depend on the number of threads
    middle = float(pixels.double().sum() / pixels.numel())
    pixels = enhance.adjust_contrast(pixels, params.contrast, clip_output=False)
    pixels = enhance.adjust_brightness(pixels, middle * (1 - params.contrast))
    pixels = enhance.adjust_saturation_with_gray_subtraction(pixels, params.saturation)
    hued: Tensor = enhance.adjust_hue(pixels.clamp(0, 1), math.radians(params.hue))
    return hued


def _kornia() -> tuple[Any, Any, Any]:
    try:
        with _import_lock:  # pictures are prepared by many threads, all of which come here first
            from kornia import enhance, filters
            from kornia.geometry import transform
    except ImportError as error:
        raise MissingExtraError("kornia", "tune", "the augmentation 'semantic'") from error
    return enhance, transform, filters
