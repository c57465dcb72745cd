"""`report.html`: an evaluation as one page that opens anywhere, with its figures and mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import metrics, report
from handful.contracts import ImageRef
from handful.metrics import words
from handful.report.page import Cell
from handful.skills.evaluated import Evaluated
from handful.skills.evaluation_figures import figures_of
from handful.skills.evaluation_origin import (
    LIMITS,
    about,
    folds_of,
    intervals,
    keeps_leaks,
    left_out,
    warnings,
)
from handful.skills.evaluation_sections import (
    RATES,
    area_cell,
    in_groups,
    in_percent,
    rate_cell,
    sections,
)
from handful.skills.locate import decode_or_none
from handful.skills.mistakes import surest_mistakes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 24  # photos of mistakes, each up to 20 kB
_CLASSES = (
    "Sensitivity: of the photos of a class, the share that is found. Specificity: of the other "
    "photos, the share that is left alone. PPV and NPV: how often the answer “this class”, or “not "
    "this class”, is right, for classes as frequent as among these photos. F1 unites sensitivity "
    "and PPV. AUC: of one photo of the class and one of another, how often the former scores "
    "higher. Small: 95 % intervals."
)


def report_page(
    done: Evaluated, figures: Mapping[str, Figure] | None = None, *, photos: bool = True
) -> str:
    """The text of the page.

    Args:
        done: an evaluation.
        figures: its figures, by `figures_of`, where they were drawn already.
        photos: whether the photos of the surest mistakes stand in the page; else their names.
    """
    drawn = figures_of(done) if figures is None else figures
    skill, data = (done.facts.get(key, {}).get("name", "") for key in ("skill", "data"))
    named = skill or ("Cross-validation" if folds_of(done) else "A skill")
    title = f"{named} on {data or 'labelled photos'}"
    return report.render_page(
        "evaluation.html",
        {
            "title": title,
            "subtitle": _subtitle(done),
            "warnings": [*warnings(done)],
            "headline": _headline(done),
            "classes": _classes(done),
            "sections": [*sections(done, drawn)],
            "mistakes": _mistakes(done, photos=photos),
            "left_out": [*left_out(done)],
            "about": [*about(done)],
            "limits": [intervals(done), *LIMITS],
        },
    )


def _subtitle(done: Evaluated) -> str:
    facts = done.facts
    skill = facts.get("skill", {}).get("digest", "")[:12]
    parts = [facts.get("date", "")[:10], f"skill {skill}" if skill else ""]
    parts.append(f"Handful {facts['handful']}" if "handful" in facts else "")
    return " · ".join(part for part in parts if part)


def _headline(done: Evaluated) -> dict[str, str]:
    result = done.result
    exclusive = isinstance(result, metrics.Evaluation)
    value, ends = (
        (result.accuracy, result.interval) if exclusive else (result.exact, result.exact_interval)
    )
    between = f", 95 % interval {in_percent(ends)}" if ends else ""
    photos = f"{result.count} photos{in_groups(result.units, result.count)}"
    said = ""
    if exclusive:
        counts = {name: int(row["support"]) for name, row in result.per_class.items()}
        said = f" Without looking: {words.guessing(counts)[1]}."
    what = "right" if exclusive else "with all labels right"
    seen = done.leaks and keeps_leaks(done)
    unseen = "some of which taught the skill" if seen else "that are not among its support photos"
    if folds := folds_of(done):
        unseen = f"in {folds} folds, each answered by a skill taught with the other folds"
    return {
        "value": f"{100 * value:.1f} %",
        "name": f"{what}{between}",
        "words": f"Of {photos} {unseen}.{said} Macro-F1 {result.macro_f1:.3f}.",
    }


def _classes(done: Evaluated) -> dict[str, Any]:
    grouped = _groups(done)
    headers = ["class", "photos", *(["groups"] if grouped else []), *RATES.values()]
    headers += ["AUC"] if done.areas else []
    rows = []
    for name, row in done.result.per_class.items():
        cells = [Cell(f"{row['support']:g}")]
        cells += [Cell(f"{grouped[name]}")] if grouped else []
        cells += [rate_cell(row, rate) for rate in RATES]
        if done.areas:
            cells.append(area_cell(done.areas["per_class"][name]))
        rows.append({"name": name, "cells": cells})
    return {"headers": headers, "rows": rows, "words": _CLASSES}


def _groups(done: Evaluated) -> dict[str, int]:
    """Class to the groups among its photos, each photo without one being its own; {} without."""
    answers = done.answers
    if answers is None or not any(answers.groups):
        return {}
    shown = answers.shown
    found = {}
    for c, name in enumerate(answers.classes):
        own = [answers.groups[row] for row in np.flatnonzero(shown[:, c])]
        found[name] = len({group for group in own if group}) + own.count("")
    return found


def _mistakes(done: Evaluated, *, photos: bool) -> dict[str, Any] | None:
    answers = done.answers
    if answers is None or not answers.exclusive or answers.right.all():
        return None
    found = surest_mistakes(answers, _MOST)
    wrong = int((~answers.right).sum())
    each = ", one of each group" if any(answers.groups) else ""
    tiles = [
        {
            "source": _photo(one.name) if photos else "",
            "name": "/".join(Path(one.name).parts[-2:]),
            "answer": one.answer,
            "truth": one.truth,
            "score": f"{100 * one.score:.0f} %",
        }
        for one in found
    ]
    which = "All of them" if len(found) == wrong else f"The {len(found)} surest of them"
    said = f"{wrong} photos were answered wrongly. {which}{each}:"
    return {"words": said, "tiles": tiles, "photos": photos}


def _photo(name: str) -> str:
    picture = decode_or_none(ImageRef.of(name))
    return report.jpeg_uri(picture) if picture is not None else ""
