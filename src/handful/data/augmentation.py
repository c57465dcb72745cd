"""Augmentation: random views of a picture, to average features over or to train with."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from handful.data.splits import check_seed, seeded_generator
from handful.errors import InputError

KINDS = ("crop", "semantic")
SCALE = (0.5, 1.0)  # part of the picture's area that a view shows
RATIO = (3 / 4, 4 / 3)  # width to height of what it shows
LARGEST = 512  # pixels a side: more than the encoders read, and soon resized
_ATTEMPTS = 10


def random_view(
    image: Image.Image,
    seed: int,
    index: int,
    *,
    key: str = "",
    size: int | None = None,
    kind: str = "crop",
) -> Image.Image:
    """A random view of a picture; the same arguments give the same one, in any thread.

    `crop`: a random crop made square, mirrored half of the time: Tip-Adapter's published
    augmentation. The crop's area is uniform in `SCALE` of the picture's, its ratio log-uniform in
    `RATIO`; ten crops are tried, then the largest allowed one in the middle is taken. Bicubic.
    Differs from the published code in the size: that one resizes straight to the encoder's input,
    this one to a square of the crop's area (at most `LARGEST` a side), which the encoder's own
    preparation then resizes; give `size` to do it in one step.

    `semantic`: what the picture shows is left alone. A window of at least 85 % of each side, turned
    by up to 8 degrees, never stretched; brightness and contrast within 10 %, saturation within
    15 %, hue within 4 degrees; a third of the views slightly blurred, a third slightly noisy; half
    mirrored. The limits and their reasons stand in `data/_semantic_views.py`. The result keeps the
    picture's proportions, in at most 384 x 384 pixels or as many in another shape. By kornia, with
    parameters from a generator of its own.

    Both mirror: where left and right make the difference (writing, stripes that rise or fall),
    neither leaves the meaning alone.

    Every index is such a random view; none is the picture itself.

    Args:
        image: RGB.
        seed: of the whole set of views.
        index: number of the view, from 0.
        key: what distinguishes pictures, such as the digest; without it, pictures of one size get
            the same crop for the same seed and index.
        size: pixels a side of the result; of `semantic`, of its shorter side.
        kind: one of `KINDS`.

    Raises:
        InputError: a negative index or seed, a size below 1, a kind that is none.
        MissingExtraError: `semantic` without kornia.

    >>> random_view(Image.new("RGB", (40, 30)), seed=0, index=1).mode
    'RGB'
    """
    if index < 0 or (size is not None and size < 1):
        raise InputError(f"expected an index from 0 and a size from 1, got {index} and {size}")
    if kind not in KINDS:
        raise InputError(f"expected a kind of view among {', '.join(KINDS)}, got {kind!r}")
    seed = check_seed(seed)  # the whole number: it is the text of the seed that is drawn from
    if kind == "semantic":
        return _semantic_view(image, seeded_generator("semantic view", seed, index, key), size)
    return _crop_view(image, seeded_generator("view", seed, index, key), size)


def _crop_view(image: Image.Image, random: np.random.Generator, size: int | None) -> Image.Image:
    """A random crop made square, mirrored half of the time."""
    left, top, width, height = _crop(image.width, image.height, random)
    side = size or max(1, min(LARGEST, round(math.sqrt(width * height))))
    shown = image.resize(
        (side, side),
        Image.Resampling.BICUBIC,
        box=(left, top, left + width, top + height),
    )
    mirrored = random.random() < 0.5
    return shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else shown


def _semantic_view(
    image: Image.Image, random: np.random.Generator, size: int | None
) -> Image.Image:
    """A view that leaves the meaning alone."""
    from handful.data import _semantic_views  # needs torch, which reading images does not

    params = _semantic_views.SemanticParams.sample(random)
    short, area = min(image.size), math.sqrt(image.width * image.height)
    side = size * area / short if size else min(_semantic_views.LARGEST, params.scale * area)
    return _semantic_views.apply_params(image, params, side, random)


def _crop(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """(left, top, width, height) inside a picture."""
    area = width * height
    low, high = (math.log(r) for r in RATIO)  # log-uniform: 3:4 is as likely as 4:3
    for _ in range(_ATTEMPTS):
        shown = area * (SCALE[0] + (SCALE[1] - SCALE[0]) * random.random())
        ratio = math.exp(low + (high - low) * random.random())
        w, h = round(math.sqrt(shown * ratio)), round(math.sqrt(shown / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(random.integers(width - w + 1))
            return left, int(random.integers(height - h + 1)), w, h
    w = min(width, max(1, round(height * RATIO[1])))
    h = min(height, max(1, round(width / RATIO[0])))
    return (width - w) // 2, (height - h) // 2, w, h
