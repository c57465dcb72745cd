"""The figures of an evaluation, from its values alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from handful import metrics, report
from handful.packs import figures
from handful.skills.evaluated import Evaluated

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# File name to what the figure shows, for readers who cannot see it.
SHOWS = {
    "confusion": "Confusion matrix: rows are true classes, columns answers",
    "curves": "ROC and precision-recall curves of each class against the rest",
    "reliability": "Reliability diagram: how often answers are right, by their probability",
    "subgroups": "Accuracy of each subgroup with its interval",
}

_SUBGROUPS = 40  # shown, those with the lowest accuracy


def figures_of(done: Evaluated) -> dict[str, Figure]:
    """Those that the numbers allow, by the names in `SHOWS`."""
    found: dict[str, Figure] = {}
    if isinstance(done.result, metrics.Evaluation):
        matrix, names = figures.shown(done.result.confusion, list(done.result.classes))
        found["confusion"] = report.matrix_figure(matrix, names, _title(done))
    if done.areas and (curves := _curves(done)) is not None:
        found["curves"] = curves
    if done.confidence:
        found["reliability"] = report.reliability_figure(done.confidence)
    if rows := [row for column in done.subgroups.items() for row in _subgroup(*column)]:
        what = "accuracy" if "confusion" in found else "all labels right"
        worst = sorted(rows, key=lambda row: row[2])[:_SUBGROUPS]
        found["subgroups"] = report.forest_figure([row for row in rows if row in worst], what)
    return found


def _title(done: Evaluated) -> str:
    """What was measured on what, in a line or two."""
    skill, data = (done.facts.get(key, {}).get("name", "") for key in ("skill", "data"))
    on = f"{report.shorten(skill, 40)} on {report.shorten(data, 40)}" if skill and data else ""
    numbers = f"{100 * done.result.accuracy:.1f} % of {done.result.count} images right"
    lines = [on, f"{numbers}; transductive" if done.transductive else numbers]
    return "\n".join(line for line in lines if line)


def _curves(done: Evaluated) -> Figure | None:
    answers, areas = done.answers, done.areas
    if answers is None or areas is None:
        return None
    shown, curves = answers.shown, {}
    for c, name in enumerate(answers.classes):
        if (one := metrics.curve(answers.probabilities[:, c], shown[:, c])) is not None:
            curves[name] = one
    if len(answers.classes) == 2 and answers.exclusive and len(curves) == 2:
        # both classes have one curve; the one that was asked for, or the second
        of = {point.asked.of for point in done.operating_points} or {answers.classes[1]}
        curves = {name: one for name, one in curves.items() if name in of}
    if not curves:
        return None
    rates = ("recall", "specificity", "precision")
    marks = [
        report.Mark(str(p.asked), p.asked.of, *(p.measured[rate] for rate in rates))
        for p in done.operating_points
    ]
    area = {name: areas["per_class"][name]["auroc"] for name in curves}
    precisions = {name: areas["per_class"][name]["average_precision"] for name in curves}
    return report.curves_figure(curves, area, marks, precisions)


def _subgroup(column: str, values: Mapping[str, Any]) -> list[tuple[str, int, float, Any]]:
    return [
        (f"{column}: {value or '(empty)'}", row["count"], row["accuracy"], row["interval"])
        for value, row in values.items()
    ]
