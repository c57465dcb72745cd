"""`handful predict`: what is on these images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _library, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.predict import Prediction


class Format(StrEnum):
    """How answers are written."""

    table = "table"
    csv = "csv"
    json = "json"


def run(
    skill: _options.Skill,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Answers an image; default 1, all that apply where there are several labels.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How to write them; default a table, or as --out ends."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write to (.csv, .json); default the screen.")
    ] = None,
    encoder: _options.OtherEncoder = None,
    unknown: Annotated[
        float | None,
        typer.Option(
            help="Answer 'unknown' to photos of none of the classes; at most this share of such "
            "photos, 0.05 say, is taken for a known one."
        ),
    ] = None,
    error: Annotated[
        float | None,
        typer.Option(
            help="List the classes a photo may be of; at most this share of photos, 0.1 say, is "
            "of another one."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--skill",
            "--task",
            help="Of a library: the skill to ask; by default each photo finds its own.",
        ),
    ] = None,
    json_too: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> int:
    """Classify photos with a skill, or with a library of skills."""
    from handful import data, report
    from handful.library import is_library
    from handful.skills.predict import Predictor

    form = _format(form, out, json_too=json_too)
    if out is not None:
        report.check_folder(out.parent)
    images = data.find_images(paths)
    several = is_library(skill)
    predictions: Sequence[Prediction]
    if several:
        meaning = "none of the tasks of the library; the class is what its text alone suggests"
        if error is not None:
            raise InputError("--error: a library gives no sets of classes; ask one of its skills")
        predictions = _library.predict(
            skill, images, top_k=top_k, encoder=encoder, task=task, unknown=unknown
        )
    elif task is not None:
        raise InputError(f"--skill {task}: {skill} is a single skill; leave --skill out")
    else:
        predictor = Predictor(skill, encoder=encoder, unknown=unknown, error=error)
        meaning = (
            f"none of the {len(predictor.pack.classes)} classes; its score is the share of such "
            "photos that look as familiar, or more so"
        )
        with _console.progress("looking") as progress:
            most = top_k or predictor.pack.task.default_top_k
            predictions = predictor.predict(images, top_k=most, progress=progress)
    if form is Format.table:
        (_library.show if several else _show)(predictions)
    else:
        text = {Format.csv: as_csv, Format.json: as_json}[form](predictions)
        if out is None:
            _console.echo(text.rstrip("\n"))
        else:
            report.save(text, out)
            _console.echo_err(f"wrote {len(predictions)} answers to {out}")
    if unknown is not None and form is Format.table:
        _console.echo_err(f"unknown: {meaning}")
    failed = [p for p in predictions if p.error]
    for prediction in failed:
        _console.echo_err(f"skipped {prediction.error}")
    if failed:
        _console.echo_err(f"{len(failed)} of {len(predictions)} images could not be used")
    return int(bool(failed))


def _format(form: Format | None, out: Path | None, *, json_too: bool) -> Format:
    """What was asked for, else what the file's name says, else a table."""
    if json_too and form not in (None, Format.json):
        raise InputError(f"--json and --format {form} contradict each other; leave one out")
    if json_too:
        form = Format.json
    if out is None:
        return form or Format.table
    if form is None:
        form = {".csv": Format.csv, ".json": Format.json}.get(out.suffix.lower())
    if form in (None, Format.table):
        raise InputError(
            f"--out {out}: a table is for the screen; add --format csv or --format json, "
            "or end the file's name with .csv or .json"
        )
    return form


def as_csv(predictions: Sequence[Prediction]) -> str:
    """`file_name,classification,score`, a row an answer; failed images have no row.

    An image of no class has the one row `unknown`. Where it was asked for, `may be` holds the
    classes that the image may be of, each in a line of its own; of a library, `task` the skill.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    sets = any(p.among is not None for p in predictions)
    tasks = any(_library.facts(p) for p in predictions)
    more = ["may be"] * sets + ["task"] * tasks
    writer.writerow(["file_name", "classification", "score", *more])
    for p in predictions:
        among = ["\n".join(p.among or ())] if sets else []
        task = [_library.facts(p)["task"] or ""] if tasks else []
        writer.writerows([p.name, *answer, *among, *task] for answer in _answers(p, 6))
    return text.getvalue()


def as_json(predictions: Sequence[Prediction]) -> str:
    """A list of `{file_name, predictions: [{label, score}]}`, or `{file_name, error}`.

    Of a library also `task`, its `share`, and `zero_shot` where the text alone answered. Where it
    was asked for, also `unknown` (true or false) and `familiar`, the share of unknown
    images that look as familiar; and `among`, the classes that the image may be of.
    """
    return _console.to_json([_row(p) for p in predictions]) + "\n"


def _row(p: Prediction) -> dict[str, Any]:
    if p.error:
        return {"file_name": p.name, "error": p.error}
    row: dict[str, Any] = {"file_name": p.name, "predictions": p.scores, **_library.facts(p)}
    if p.unknown is not None:
        row |= {"unknown": p.unknown, "familiar": p.familiar}
    if p.among is not None:
        row["among"] = list(p.among)
    return row


def _answers(p: Prediction, digits: int) -> list[tuple[str, str]]:
    """What is shown: the classes with their scores, or that it is none of them.

    One empty answer for an image of which a skill of several labels says yes to none.
    """
    if p.error:
        return []
    if p.unknown:
        return [("unknown", f"{p.familiar or 0:.{digits}f}")]
    return [(s["label"], f"{s['score']:.{digits}f}") for s in p.scores] or [("", "")]


def _show(predictions: Sequence[Prediction]) -> None:
    sets = any(p.among is not None for p in predictions)
    rows = [
        [p.name if i == 0 else "", label or "none of the classes", score]
        + ([", ".join(p.among or ()) if i == 0 else ""] if sets else [])
        for p in predictions
        for i, (label, score) in enumerate(_answers(p, 3))
    ]
    headers = ["image", "class", "score", *(["may be"] if sets else [])]
    _console.echo_table(headers, rows, right=[2])
