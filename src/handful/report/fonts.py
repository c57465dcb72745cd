r"""Letters of every script in figures: a font of this machine that has them, or their code points.

matplotlib draws a box for a letter that its font lacks. Before a figure is drawn, the other fonts
of the machine are searched for its missing letters; one that no font has is written as its escape,
such as `\u732b`, which can be told from another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from handful.report.figures import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontEntry

_OWN = "DejaVu Sans"  # comes with matplotlib
_LONGEST = 32  # characters of a name with escapes
_LAST_RESORT = re.compile("last ?resort|noto sans symbols|emoji", re.IGNORECASE)  # boxes, colours


def use_fonts(figure: Figure) -> None:
    """Give every text of a figure the fonts that it needs, and escape what none of them has."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    wanted = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    missing = wanted - _letters(_own_font())
    if not missing:
        return
    families, absent = _fonts_with(frozenset(missing))
    for text in texts:
        content = text.get_text()
        if missing.isdisjoint(content):
            continue
        text.set_fontfamily([_OWN, *families])
        text.set_text("\n".join(_escaped(line, absent) for line in content.split("\n")))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if any(not absent.isdisjoint(label) for label in labels):  # an axis writes them anew
            axis.set_ticklabels([_escaped(label, absent) for label in labels])


def _escaped(text: str, letters: frozenset[str]) -> str:
    """The text as it can be drawn, not much longer than names are: six characters a letter."""
    if letters.isdisjoint(text):
        return text
    return shorten(
        "".join(c.encode("unicode_escape").decode() if c in letters else c for c in text), _LONGEST
    )


@cache
def _own_font() -> str:
    from matplotlib import font_manager

    return font_manager.findfont(_OWN)


@cache
def _fonts_with(letters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of fonts that together have most of the letters, and those that none has."""
    from matplotlib import font_manager

    families: list[str] = []
    left = set(letters)
    for entry in _in_order(font_manager.fontManager.ttflist):
        if not left:
            break
        found = left & _letters(entry.fname)
        if found:
            families.append(entry.name)
            left -= found
    return tuple(families), frozenset(left)


def _in_order(entries: Iterable[FontEntry]) -> list[FontEntry]:
    """Upright fonts of usual weight, those of few letters last; the same order in every run."""
    usual = [
        e
        for e in entries
        if e.style == "normal" and e.weight in (400, "normal", "regular", "book", "medium")
        if not _LAST_RESORT.search(e.name)
    ]
    return sorted(usual, key=lambda e: (not re.search("sans|gothic|hei", e.name, re.I), e.name))


@cache
def _letters(path: str) -> frozenset[str]:
    """What a font file has; nothing for one that cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
