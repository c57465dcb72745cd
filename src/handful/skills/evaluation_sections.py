"""The sections of `report.html`, each a title with texts, a table or a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from handful import metrics, report
from handful.report.page import Cell
from handful.skills.evaluated import Evaluated
from handful.skills.evaluation_figures import SHOWS
from handful.skills.operating_points import OperatingPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NARROW = 7.0  # inches up to which a figure can be read on a telephone
RATES = {
    "recall": "sensitivity (recall)",
    "specificity": "specificity",
    "precision": "PPV (precision)",
    "npv": "NPV",
    "f1": "F1",
}


def sections(done: Evaluated, figures: Mapping[str, Figure]) -> Iterable[dict[str, Any]]:
    """Those that the evaluation has something for, as the template takes them."""
    if "confusion" in figures:
        yield _section("confusion", "What is taken for what", figures)
    for point in done.operating_points:
        yield _point(point)
    if done.areas:
        yield _section("curves", "At every threshold", figures, _means(done.areas["macro"]))
    if done.confidence:
        yield _section(
            "reliability", "How far its probabilities can be believed", figures, _believed(done)
        )
        yield _sets(done.confidence["sets"])
    if done.unknown:
        yield _unknown(done.unknown)
    if done.subgroups:
        yield _section("subgroups", "Subgroups", figures, table=_subgroups(done.subgroups))


def _section(
    name: str,
    title: str,
    figures: Mapping[str, Figure] | None = None,
    said: Sequence[str] = (),
    table: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    figure = figures.get(name) if figures else None
    return {
        "id": name,
        "title": title,
        "words": said,
        "table": table,
        "figure": "" if figure is None else report.svg_uri(figure),
        "wide": figure is not None and figure.get_figwidth() > _NARROW,
        "alt": SHOWS.get(name, title),
    }


def _means(macro: Mapping[str, Any]) -> list[str]:
    """Both areas as means over the classes, with their intervals."""
    if macro["auroc"] is None:
        return []
    names = {"auroc": "area under the ROC curve (AUC)", "average_precision": "average precision"}
    parts = []
    for key, name in names.items():
        ends = macro["intervals"][key]
        between = f" (95 % interval {ends[0]:.2f} to {ends[1]:.2f})" if ends else ""
        parts.append(f"{name} {macro[key]:.3f}{between}")
    return [f"Each class against the rest; means over the classes: {', '.join(parts)}."]


def _point(point: OperatingPoint) -> dict[str, Any]:
    groups = in_groups(point.support_units, point.support_images)
    rests = f"{point.support_images} support images{groups}"
    said = (
        f"“{point.asked.of}” is answered from a probability of {point.threshold:.4g} on. The "
        f"threshold was chosen for {point.asked}, by {rests} that were left out of the fit, never "
        "by the photos of this report."
    )
    cells = [rate_cell(point.measured, rate) for rate in RATES]
    rows = [
        [name, cell.value, cell.interval] for name, cell in zip(RATES.values(), cells, strict=True)
    ]
    table = {"headers": ["on these photos", "", "95 % interval"], "rows": rows}
    return _section(f"at-{point.asked.rate}", f"At {point.asked}", said=[said], table=table)


def _believed(done: Evaluated) -> list[str]:
    found = done.confidence or {}
    return [
        metrics.calibration_in_words(found["bins"]["ece"], found["ece"]) + ".",
        f"Brier score {found['brier']:.3f} (0 at best, 2 at worst), negative log-likelihood "
        f"{found['nll']:.3f} nats.",
    ]


def _sets(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    known = {rate: row for rate, row in sets.items() if "cannot" not in row}
    title = "Sets of answers"
    if not known:
        return _section("sets", title, said=[str(next(iter(sets.values()))["cannot"])])
    rows = [
        [f"{100 * float(rate):g} %", f"{100 * (1 - row['coverage']):.1f} %", f"{row['size']:.2f}"]
        for rate, row in known.items()
    ]
    headers = ["asked to miss the class in", "missed it", "classes in a set"]
    return _section("sets", title, table={"headers": headers, "rows": rows})


def _unknown(found: Mapping[str, Any]) -> dict[str, Any]:
    title = "Photos of none of the classes"
    if "cannot" in found:
        return _section("unknown", title, said=[str(found["cannot"])])
    said = (
        f"{found['unknown']} photos of no class; AUROC {found['auroc']:.3f} against those of one."
    )
    rows = [
        [f"{float(rate):g}", *(f"{100 * e[key]:.1f} %" for key in ("false_accept", "false_reject"))]
        for rate, e in found["at"].items()
    ]
    headers = ["--unknown", "taken for a class", "wrongly unknown"]
    return _section("unknown", title, said=[said], table={"headers": headers, "rows": rows})


def _subgroups(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            f"{column}: {value or '(empty)'}",
            f"{row['count']}",
            f"{row['units']}",
            f"{100 * row['accuracy']:.1f} %",
            in_percent(row["interval"]) if row["interval"] else "-",
        ]
        for column, values in groups.items()
        for value, row in values.items()
    ]
    return {"headers": ["subgroup", "photos", "groups", "right", "95 % interval"], "rows": rows}


def rate_cell(row: Mapping[str, Any], rate: str) -> Cell:
    """One of `RATES` with its interval; a dash where nothing is counted."""
    ends = row["intervals"][rate]
    if math.isnan(row[rate]):
        return Cell("-")
    return Cell(f"{100 * row[rate]:.1f} %", in_percent(ends) if ends else "")


def area_cell(row: Mapping[str, Any]) -> Cell:
    """The area under the ROC curve; a dash where all or none of the photos are of the class."""
    if row["auroc"] is None:
        return Cell("-")
    ends = row["intervals"]["auroc"]
    return Cell(f"{row['auroc']:.3f}", f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else "")


def in_groups(units: int, count: int) -> str:
    """What to add to a number of photos where they belong together."""
    return f" in {units} groups" if units < count else ""


def in_percent(ends: Sequence[float]) -> str:
    """An interval in words."""
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
