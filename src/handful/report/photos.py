"""Photographs within a figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.report.figures import shorten

if TYPE_CHECKING:
    from PIL.Image import Image

_PIXELS = (256, 256)  # whole, not cropped; squares, so that rows and titles stay in line
_LONGEST = 30  # letters of a file name


def show_photo(axes: Any, picture: Image | None, name: str, caption: str, colour: str) -> None:
    """One photograph with a coloured frame, a caption above and its name below.

    Args:
        axes: of matplotlib.
        picture: None where the image is not at hand.
        name: of the file, shortened in the middle.
        caption: above it, in one line or more.
        colour: of the frame.
    """
    from PIL import ImageOps

    axes.axis("on")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(2)
    if picture is None:
        axes.set_box_aspect(1)
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.imshow(np.asarray(ImageOps.pad(picture, _PIXELS, color="white")))
    axes.set_title(caption, fontsize=7, parse_math=False)
    axes.set_xlabel(shorten(name, _LONGEST), fontsize=6, parse_math=False)


def show_photos(
    figure: Any, rows: int, across: int, photos: Iterable[tuple[Image | None, str, str, str]]
) -> None:
    """A grid of photographs; cells left over stay empty.

    Args:
        figure: or part of a figure, of matplotlib.
        rows: of the grid.
        across: photographs in a row.
        photos: picture, name, caption and colour of each, as for `show_photo`.
    """
    grid = list(figure.subplots(rows, across, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, photo in zip(grid, photos, strict=False):
        show_photo(axes, *photo)
