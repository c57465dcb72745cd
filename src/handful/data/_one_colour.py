"""Whether a picture shows anything at all."""

from __future__ import annotations

from PIL import Image

ONE_COLOUR = "is one colour: all of its pixels are equal"
_SAMPLE = (8, 8)


def is_one_colour(image: Image.Image) -> bool:
    """Whether all pixels are equal; of most pictures a few pixels tell that they are not."""
    return _is_flat(image.resize(_SAMPLE, Image.Resampling.NEAREST)) and _is_flat(image)


def _is_flat(image: Image.Image) -> bool:
    found = image.getextrema()
    bands = found if isinstance(found[0], tuple) else (found,)
    return all(low == high for low, high in bands)
