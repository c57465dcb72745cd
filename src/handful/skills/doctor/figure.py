"""The contact sheet of an examination: the photographs that something was found of, each once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handful import report
from handful.selection.links import Links
from handful.skills.doctor.findings import Examination, Finding
from handful.skills.locate import decode_or_none

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.contracts import ImageRef

_ACROSS = 6  # photographs in a row
_MOST = 24  # photographs of each section; a sheet has to be looked at
_LONGEST = 26  # letters of a class name
_TALLEST = 60  # inches
_PHOTO, _LINE, _HEAD = 2.15, 0.15, 0.45  # inches: a photo with its name, a line above it, a title
_ALARM, _QUIET = report.COLOURS[4], report.COLOURS[5]
_TORN, _COPIES = "torn", "copies"
_TITLES = {
    _TORN: "Copies under two labels, side by side",
    "label": "Labels that look wrong, or may be",
    "hurts": "Others are recognised better without these, or may be",
    "far": "Far from their class, or perhaps",
    "small": "Too small to help",
    _COPIES: "Copies and near-copies, side by side",
}


@dataclass(frozen=True)
class Tile:
    """One photograph of the sheet.

    Args:
        finding: of the photograph.
        lines: its label, then all that was found of it.
        alarm: whether its label is in doubt.
    """

    finding: Finding
    lines: tuple[str, ...]
    alarm: bool


def contact_sheet(examination: Examination, pictures: Mapping[str, ImageRef]) -> Figure | None:
    """Every photograph that something was found of, with all of it; None where nothing was.

    Args:
        examination: what was found.
        pictures: digest to image, for those at hand.
    """
    found = sections(examination)
    if not found:
        return None
    across = min(_ACROSS, max(4, *(len(tiles) for tiles in found.values())))
    rows = [-(-len(tiles[:_MOST]) // across) for tiles in found.values()]
    tall = [max(len(tile.lines) for tile in tiles[:_MOST]) for tiles in found.values()]
    heights = [
        _HEAD + count * (_PHOTO + _LINE * lines) for count, lines in zip(rows, tall, strict=True)
    ]
    figure = report.new_figure(1.9 * across, min(sum(heights), _TALLEST))
    # a name below a photo has to be nearer to it than to the next row
    figure.set_layout_engine("constrained", h_pad=0.09)
    parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, count, (name, tiles) in zip(parts, rows, found.items(), strict=True):
        title = _titled(_TITLES[name], len(tiles))
        part.suptitle(title, fontsize="medium", x=0.01, ha="left", fontweight="bold")
        # decoded one at a time: a sheet of full-size photographs may not fit into memory
        decoded = (
            (
                decode_or_none(pictures.get(tile.finding.id)),
                tile.finding.name,
                "\n".join(tile.lines),
                _ALARM if tile.alarm else _QUIET,
            )
            for tile in tiles[:_MOST]
        )
        report.show_photos(part, count, across, decoded)
    return figure


def sections(found: Examination) -> dict[str, list[Tile]]:
    """Section to its photographs, without empty sections; each stands in the first that fits."""
    copies = _copy_sets(found)
    tiles = {f.row: _tile(f, copies.get(f.row)) for f in found.images}
    members = sorted(copies, key=lambda row: copies[row][0])
    torn = {number for number, _, across in copies.values() if across}
    made, shown = dict[str, list[Tile]](), set[int]()
    for section in _TITLES:
        if section in (_TORN, _COPIES):
            rows = [r for r in members if section == _COPIES or copies[r][0] in torn]
        else:
            rows = [f.row for f in found.images if section in f.named]
        rows = [row for row in rows if row not in shown]
        made[section] = [tiles[row] for row in rows]
        shown |= set(rows)
    return {name: some for name, some in made.items() if some}


def _copy_sets(found: Examination) -> dict[int, tuple[int, str, bool]]:
    """Row to the number of its set of copies, how alike they are, and whether labels differ."""
    links = Links(len(found.images))
    for d in found.duplicates:
        links.join(d.first, d.second)
    number: dict[int, int] = {}
    result: dict[int, tuple[int, str, bool]] = {}
    for d in found.duplicates:
        for row in (d.first, d.second):
            own = number.setdefault(links.root(row), len(number) + 1)
            _, alike, across = result.get(row, (own, "", False))
            alike = alike or ("same file" if d.exact else f"cosine {d.cosine:.3f}")
            result[row] = (own, alike, across or d.across)
    return result


def _tile(f: Finding, copy: tuple[int, str, bool] | None) -> Tile:
    lines = [f"labelled {_cut(f.label)}", *_said(f)]
    if copy is not None:
        number, alike, across = copy
        lines.append(f"copies {number}: {alike}{', labels differ' * across}")
    return Tile(f, tuple(lines), "label" in f.named or (copy is not None and copy[2]))


def _said(f: Finding) -> Iterable[str]:
    """A line for each finding, in words that are true in any precision."""
    perhaps = {name: "perhaps " * (name in f.near) for name in _TITLES}
    if "label" in f.named:
        yield f"{perhaps['label']}looks like {_cut(f.looks_like)}, {100 * f.wrong:.0f} %"
    if "hurts" in f.named:
        yield f"{perhaps['hurts']}hurts the others"
    if "far" in f.named:
        away = "" if f.distance is None else f" ({f.distance:.1f})"
        yield f"{perhaps['far']}far from its class{away}"
    if "small" in f.named and f.size:
        yield f"{f.size[0]} x {f.size[1]} pixels"


def _titled(title: str, count: int) -> str:
    return f"{title}: the first {_MOST} of {count}" if count > _MOST else f"{title}: {count}"


def _cut(text: str) -> str:
    return report.shorten(text, _LONGEST)
