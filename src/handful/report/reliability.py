"""The reliability diagram: how often answers are right, by how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.report.figures import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN, _SKILL = COLOURS[4], COLOURS[5]
_BARS = "bars: 95 % intervals, by groups; no bar: one group"
_ASIDE = 0.008  # the two curves' points beside each other, where they have the same place


def reliability_figure(calibration: Mapping[str, Any]) -> Figure:
    """How often answers are right, by how sure they are (`Evaluated.confidence`).

    A point on the diagonal is a calibrated probability; its bar is the 95 % interval of the share
    that the bin states, which photos of one group narrow less than others. Below stands how many
    answers are in the bin.
    """
    figure = new_figure(5.0, 5.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    above.plot([0, 1], [0, 1], "--", color=COLOURS[7], linewidth=1)
    bins, own = (calibration["bins"][key] for key in ("ece", "ece_uncalibrated"))
    same = bins == own
    ece = f"ECE {100 * calibration['ece']:.1f} %"
    if same:
        _curve(above, bins, _SKILL, "o", 0, f"this skill, {ece}; the method's own is the same")
    else:
        label = f"method's own, ECE {100 * calibration['ece_uncalibrated']:.1f} %"
        _curve(above, own, _OWN, "s", _ASIDE, label)
        _curve(above, bins, _SKILL, "o", -_ASIDE, f"this skill, {ece}")
    _counts(below, bins)
    above.set(xlim=(0, 1.02), ylim=(0, 1.04), ylabel="share that is right")
    below.set(xlabel=f"probability of the answer\n{_BARS}", ylabel="answers")
    above.grid(alpha=0.25)
    above.legend(frameon=False, fontsize="small", loc="upper left")
    return figure


def _curve(
    axes: Any, bins: Sequence[Mapping[str, Any]], colour: str, mark: str, aside: float, label: str
) -> None:
    filled = [b for b in bins if b["count"]]
    x, y = (np.array([b[side] for b in filled]) for side in ("confidence", "accuracy"))
    # NaN: no bar
    ends = np.array([b["interval"] or (np.nan, np.nan) for b in filled]).T
    hollow = {"markerfacecolor": "white"} if mark == "s" else {}
    style = "--" if mark == "s" else "-"
    axes.errorbar(
        x + aside, y, yerr=np.abs(ends - y), color=colour, marker=mark, markersize=5, linewidth=1,
        linestyle=style, elinewidth=0.8, capsize=2, label=label, **hollow,
    )  # fmt: skip


def _counts(axes: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    places = [(b["from"] + b["to"]) / 2 for b in bins]
    counts = [b["count"] for b in bins]
    width = 0.9 * (bins[0]["to"] - bins[0]["from"])
    axes.bar(places, counts, width=width, color=_SKILL, alpha=0.6)
    for place, count in zip(places, counts, strict=True):
        if count:
            axes.text(place, count, str(count), ha="center", va="bottom", fontsize=7)
    axes.margins(y=0.3)  # room for the numbers
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
