"""`handful predict`: what is on these images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options

if TYPE_CHECKING:
    from rich.table import Table

    from handful.predictor import Prediction


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    csv = "csv"
    json = "json"


def run(
    skill: _options.Skill,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    top_k: Annotated[int, typer.Option(min=1, help="Answers an image.")] = 1,
    form: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.table,
    out: Annotated[Path | None, typer.Option(help="File to write to; default the screen.")] = None,
    encoder: _options.OtherEncoder = None,
) -> int:
    """Classify photos with a skill."""
    from handful import data, report
    from handful.predictor import Predictor

    images = data.find(paths)
    predictor = Predictor(skill, encoder=encoder)
    with _console.progress("looking") as progress:
        predictions = predictor.predict(images, top_k=top_k, progress=progress)
    if out is None and form is Format.table:
        _console.say_table(_table(predictions))
    else:
        text = {Format.csv: as_csv, Format.json: as_json, Format.table: as_csv}[form](predictions)
        if out is None:
            _console.say(text.rstrip("\n"))
        else:
            report.save(text, out)
            _console.complain(f"wrote {len(predictions)} answers to {out}")
    failed = [p for p in predictions if p.error]
    for prediction in failed:
        _console.complain(f"skipped {prediction.error}")
    if failed:
        _console.complain(f"{len(failed)} of {len(predictions)} images could not be used")
    return int(bool(failed))


def as_csv(predictions: Sequence[Prediction]) -> str:
    """`file_name,classification,score`, a row an answer; failed images have no row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file_name", "classification", "score"])
    for p in predictions:
        writer.writerows([p.name, s["label"], f"{s['score']:.6f}"] for s in p.scores)
    return text.getvalue()


def as_json(predictions: Sequence[Prediction]) -> str:
    """A list of `{file_name, predictions: [{label, score}]}`, or `{file_name, error}`."""
    rows = [
        {"file_name": p.name, "error": p.error}
        if p.error
        else {"file_name": p.name, "predictions": p.scores}
        for p in predictions
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def _table(predictions: Sequence[Prediction]) -> Table:
    rows = [
        [p.name if i == 0 else "", str(s["label"]), f"{s['score']:.3f}"]
        for p in predictions
        for i, s in enumerate(p.scores)
    ]
    return _console.table(["image", "class", "score"], rows, right=[2])
