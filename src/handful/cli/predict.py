"""`handful predict`: what is on these images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _library, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.prediction import Prediction


TABLE = "table"  # for the screen alone


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
        str | None,
        typer.Option(
            "--format",
            help="How to write them: table, csv, json; default a table, or as --out ends.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write to (.csv, .json); default the screen.")
    ] = None,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
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
    # long, for every option of the command is declared with its help
    # Over 60 lines for its options alone, which typer reads from the signature.
    from handful import data, report

    images = data.find_images(paths)  # before the slow imports: a wrong path is refused at once
    form = _format(form, out, json_too=json_too)
    if out is not None:
        report.check_folder(out.parent)
    from handful.library import is_library
    from handful.skills.predict import Predictor

    several = is_library(skill)
    where: Any = {"encoder": encoder, "precision": precision, "device": device}
    predictions: Sequence[Prediction]
    if several:
        meaning = "none of the tasks of the library; the class is what its text alone suggests"
        if error is not None:
            raise InputError("--error: a library gives no sets of classes; ask one of its skills")
        predictions = _library.predict(
            skill, images, top_k=top_k, task=task, unknown=unknown, **where
        )
    elif task is not None:
        raise InputError(f"--skill {task}: {skill} is a single skill; leave --skill out")
    else:
        predictor = Predictor(skill, unknown=unknown, error=error, **where)
        meaning = (
            f"none of the {len(predictor.pack.classes)} classes; its score is the share of such "
            "photos that look as familiar, or more so"
        )
        with _console.progress("looking") as progress:
            most = top_k or predictor.pack.task.default_top_k
            predictions = predictor.predict(images, top_k=most, progress=progress)
    if form == TABLE:
        (_library.show if several else _show)(predictions, unknown)
        if unknown is not None:
            _console.echo_err(f"unknown: {meaning}")
    else:
        _write(predictions, form, out)
    return _report_failures(predictions)


def _write(predictions: Sequence[Prediction], form: str, out: Path | None) -> None:
    """To a file, or as text to standard output."""
    from handful import report
    from handful.skills import outputs

    text = outputs.get(form).write(predictions, ascii_only=not _console.writes_unicode())
    if out is None:
        _console.echo(text.rstrip("\n"))
    else:
        report.save(text, out)
        _console.echo_err(f"wrote {len(predictions)} answers to {out}")


def _report_failures(predictions: Sequence[Prediction]) -> int:
    """Name the images without an answer; returns the exit code, 1 where there are any."""
    failed = [p for p in predictions if p.error]
    for prediction in failed:
        _console.echo_err(f"skipped {prediction.error}")
    if failed:
        _console.echo_err(f"{len(failed)} of {len(predictions)} images could not be used")
    return int(bool(failed))


def _format(form: str | None, out: Path | None, *, json_too: bool) -> str:
    """The format of the options, else of the file's ending, else a table."""
    from handful import plugins
    from handful.skills import outputs

    if json_too and form not in (None, "json"):
        raise InputError(f"--json and --format {form} contradict each other; leave one out")
    if json_too:
        form = "json"
    if out is not None and form is None:
        form = outputs.for_file(out)
    if out is not None and form in (None, TABLE):
        raise InputError(
            f"--out {out}: a table is for the screen; add --format csv or --format json, "
            "or end the file's name with .csv or .json"
        )
    form = form or TABLE
    known = [TABLE, *plugins.names("outputs")]
    if form not in known:
        raise InputError(f"--format {form}: expected one of {', '.join(known)}")
    return form


def _show(predictions: Sequence[Prediction], rate: float | None) -> None:
    """A row an answer; the image's name and its set of classes stand in its first row.

    A photo at the edge of being unknown is said to be, the same on both sides of the rate.
    """
    from handful.skills.outputs import answer_rows

    def answers(p: Prediction) -> list[tuple[str, str]]:
        if rate is not None and p.is_near(rate):
            return [(f"{p.scores[0]['label']} or unknown", f"{p.familiar:.3f}")]
        return answer_rows(p, 3)

    sets = any(p.among is not None for p in predictions)
    rows = [
        [p.name if i == 0 else "", label or "none of the classes", score]
        + ([", ".join(p.among or ()) if i == 0 else ""] if sets else [])
        for p in predictions
        for i, (label, score) in enumerate(answers(p))
    ]
    headers = ["image", "class", "score", *(["may be"] if sets else [])]
    _console.echo_table(headers, rows, right=[2])
