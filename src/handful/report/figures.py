"""What all charts share: size, colours, names that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
_LONGEST = 24  # letters of a class name in a figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches; not by pyplot, so no global state and no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def shorten(text: str, most: int = _LONGEST, *, keep_end: bool = False) -> str:
    """At most `most` letters: both ends, or with `keep_end` the last ones (of a path).

    Names of classes and files differ at their ends as often as at their beginnings.

    >>> shorten("station_7_IMG_0031.JPG", 12), shorten("folder/a.png", 6, keep_end=True)
    ('statio…1.JPG', '…a.png')
    """
    if len(text) <= most:
        return text
    if keep_end:
        return "…" + text[1 - most :]
    end = (most - 1) // 2
    return text[: most - 1 - end] + "…" + text[len(text) - end :]
