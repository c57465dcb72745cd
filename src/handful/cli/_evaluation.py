"""What `evaluate` shows beyond the first numbers, and the files it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console

if TYPE_CHECKING:
    from handful.skills.evaluated import Evaluated

_SHARES = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "PPV",
    "npv": "NPV",
}
_MEANING = (
    "Sensitivity (recall): of the photos of a class, how many it finds. Specificity: of the "
    "others, how many it leaves alone. PPV (precision), NPV: how often its yes, its no is right. "
    "In %, with 95 % intervals."
)


def show_more(done: Evaluated, *, full: bool) -> None:
    """What was asked for: all rates of the classes, operating points, subgroups."""
    if full:
        _show_rates(done)
    _show_points(done)
    for column, values in done.subgroups.items():
        _show_subgroup(column, values)


def write(done: Evaluated, out: Path, by: Sequence[str]) -> None:
    """The figures that the numbers allow, every answer, and the numbers."""
    from handful import metrics, report
    from handful.skills.answers_file import answers_csv

    written = []
    if isinstance(done.result, metrics.Evaluation):
        figure = report.confusion_figure(done.result)
        if done.transductive:
            figure.suptitle("transductive: fitted with the test photos, without their labels")
        written.append(report.save(figure, out / "confusion.png"))
    if done.confidence:
        figure = report.reliability_figure(done.confidence)
        written.append(report.save(figure, out / "reliability.png"))
    if done.answers is not None:
        written.append(report.save(answers_csv(done, by), out / "answers.csv"))
    first, *others = [*written, report.save(done.as_dict(), out / "evaluation.json")]
    beside = ", ".join(path.name for path in others)
    _console.echo_err(f"wrote {first}" + (f", beside it {beside}" if beside else ""))


def _show_rates(done: Evaluated) -> None:
    rows = [
        [name, *(_share(row, rate) for rate in _SHARES), _area(done, name)]
        for name, row in done.result.per_class.items()
    ]
    headers = ["class", *_SHARES.values(), "AUROC"]
    _console.echo_table(headers, rows, right=range(1, len(headers)))
    _console.echo_text(_MEANING)
    if done.confidence:
        _console.echo_text(
            f"Brier score {done.confidence['brier']:.3f} (0 at best, 2 at worst), NLL "
            f"{done.confidence['nll']:.3f}, ECE {done.confidence['ece']:.3f}"
        )


def _show_points(done: Evaluated) -> None:
    for point in done.operating_points:
        groups = ""
        if point.support_units < point.support_images:
            groups = f" in {point.support_units} groups"
        rates = ", ".join(f"{name} {_share(point.measured, key)}" for key, name in _SHARES.items())
        _console.echo_text(
            f"{point.asked}: {point.asked.of} from a probability of {point.threshold:.3g} on, by "
            f"{point.support_images} left-out support images{groups}. On these photos: {rates}, "
            "in % with 95 % intervals."
        )


def _show_subgroup(column: str, values: Any) -> None:
    rows = [
        [value, str(row["count"]), str(row["units"]), _percent(row["accuracy"], row["interval"])]
        for value, row in values.items()
    ]
    headers = [column, "images", "groups", "accuracy, %"]
    _console.echo_table(headers, rows, right=[1, 2, 3])


def _share(row: Any, rate: str) -> str:
    """`83 (70-92)`; a dash where nothing is counted."""
    counted = row["support"] or rate not in ("recall", "f1")
    if not counted or (row["intervals"][rate] is None and not row[rate]):
        return "-"
    return _percent(row[rate], row["intervals"][rate])


def _area(done: Evaluated, name: str) -> str:
    row = done.areas["per_class"][name] if done.areas else {"auroc": None}
    return "-" if row["auroc"] is None else f"{row['auroc']:.3f}"


def _percent(value: float, interval: Sequence[float] | None) -> str:
    ends = "" if interval is None else f" ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})"
    return f"{100 * value:.0f}{ends}"
