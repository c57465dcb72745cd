"""The contact sheet of an examination: the photographs that something was found of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from handful import report
from handful.skills.doctor.findings import Examination, Finding
from handful.skills.locate import decode_or_none

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.contracts import ImageRef

_ACROSS = 6  # photographs in a row
_MOST = 24  # photographs of each kind of finding; a sheet has to be looked at
_LONGEST = 26  # letters of a class name
_TALLEST = 60  # inches
_ALARM, _QUIET = report.COLOURS[4], report.COLOURS[5]


class _Photo(NamedTuple):
    finding: Finding
    caption: str
    colour: str


def contact_sheet(examination: Examination, pictures: Mapping[str, ImageRef]) -> Figure:
    """Suspected labels, duplicates side by side, outliers, tiny pictures.

    Args:
        examination: what was found.
        pictures: digest to image, for those at hand.
    """
    sections = _sections(examination)
    if not sections:
        figure = report.new_figure(1.75 * 4, 2.75)
        axes = figure.subplots()
        axes.axis("off")
        axes.text(0.5, 0.5, "Nothing to look at: no photo stands out.", ha="center", va="center")
        return figure
    across = min(_ACROSS, max(4, *(len(photos) for photos in sections.values())))
    heights = [-(-len(photos) // across) for photos in sections.values()]
    figure = report.new_figure(1.75 * across, min(2.35 * sum(heights) + 0.4, _TALLEST))
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, height, (title, photos) in zip(parts, heights, sections.items(), strict=True):
        part.suptitle(title, fontsize="medium", x=0.01, ha="left", fontweight="bold")
        # decoded one at a time: a sheet of full-size photographs may not fit into memory
        decoded = (
            (decode_or_none(pictures.get(p.finding.id)), p.finding.name, p.caption, p.colour)
            for p in photos
        )
        report.show_photos(part, height, across, decoded)
    return figure


def _sections(found: Examination) -> dict[str, list[_Photo]]:
    """Title to the photographs of each kind of finding, without empty kinds."""
    by_row = found.by_row()
    duplicates = [
        _Photo(
            by_row[row],
            f"{'same file' if d.exact else f'cosine {d.cosine:.3f}'}\n{_cut(by_row[row].label)}",
            _ALARM if d.across else _QUIET,
        )
        for d in found.duplicates
        for row in (d.first, d.second)
    ]
    # a photograph with a suspected label is shown once, unless it is too small
    suspected = {f.row for f in (*found.clearly("label"), *found.perhaps("label"))}

    def photos(findings: Sequence[Finding], caption: Callable[[Finding], str]) -> list[_Photo]:
        rest = [f for f in findings if f.row not in suspected]
        return [_Photo(f, f"{caption(f)}{_cut(f.label)}", _QUIET) for f in rest]

    def suspects(findings: Sequence[Finding]) -> list[_Photo]:
        return [
            _Photo(f, f"is “{_cut(f.label)}”\nlooks “{_cut(f.looks_like)}” {f.wrong:.2f}", _ALARM)
            for f in findings
        ]

    small = [
        _Photo(f, f"{f.size[0]} x {f.size[1]} pixels\n{_cut(f.label)}", _QUIET)
        for f in found.having("small")
        if f.size
    ]
    sections = {
        "Labels that look wrong": suspects(found.clearly("label")),
        "Labels that may be wrong": suspects(found.perhaps("label")),
        "Copies and near-copies, in pairs": duplicates,
        "Others are recognised better without these": photos(found.clearly("hurts"), _nothing),
        "Others may be recognised better without these": photos(found.perhaps("hurts"), _nothing),
        "Far from their class": photos(found.clearly("far"), _deviations),
        "Perhaps far from their class": photos(found.perhaps("far"), _deviations),
        "Too small to help": small,
    }
    return {
        _titled(title, len(photos)): photos[:_MOST] for title, photos in sections.items() if photos
    }


def _nothing(_: Finding) -> str:
    return ""


def _deviations(finding: Finding) -> str:
    return f"{finding.distance:.1f} deviations\n"


def _titled(title: str, count: int) -> str:
    return f"{title}: the first {_MOST} of {count}" if count > _MOST else f"{title}: {count}"


def _cut(text: str) -> str:
    return report.shorten(text, _LONGEST)
