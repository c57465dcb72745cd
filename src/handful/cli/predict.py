"""`handful predict`: what is on these images."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _answers, _console, _library, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.answer_table import Schema
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
    max_pixels: _options.MaxPixels = None,
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
    # Over 60 lines for its options alone, which typer reads from the signature.
    from handful import data, report

    images = data.find_images(paths)  # before the slow imports: a wrong path is refused at once
    form = _format(form, out, json_too=json_too)
    if out is not None:
        report.check_folder(out.parent)
    asked = _Asked(images, top_k, unknown, error)
    where = {"encoder": encoder, "precision": precision, "device": device}
    from handful.library import is_library

    with ExitStack() as stack:
        if is_library(skill):
            found = _ask_library(stack, skill, task, asked, **where)
        elif task is not None:
            raise InputError(f"--skill {task}: {skill} is a single skill; leave --skill out")
        else:
            found = _ask_skill(stack, skill, asked, **where)
        predictions = list(found.answers)
    if form == TABLE:
        _answers.show(predictions, found.schema)
        if unknown is not None:
            _console.echo_err(f"unknown: {found.meaning}")
    else:
        _write(predictions, found.schema, form, out)
    return _report_failures(predictions)


@dataclass(frozen=True)
class _Asked:
    """What is asked about the photos; see the options."""

    images: Sequence[Any]
    top_k: int | None
    unknown: float | None
    error: float | None


@dataclass(frozen=True)
class _Found:
    """Answers as they come, their columns, and what `unknown` means among them."""

    answers: Iterable[Prediction]
    schema: Schema
    meaning: str


def _ask_skill(stack: ExitStack, skill: Path, asked: _Asked, **where: Any) -> _Found:
    from handful.skills.predict import Predictor

    predictor = Predictor(skill, unknown=asked.unknown, error=asked.error, **where)
    pack = predictor.pack
    top_k = asked.top_k or pack.task.default_top_k
    progress = stack.enter_context(_console.progress("looking"))
    answers = predictor.predict(asked.images, top_k=top_k, progress=progress)
    meaning = (
        f"yes: none of the {len(pack.classes)} classes; familiar: the share of such photos that "
        "look as familiar, or more so"
    )
    return _Found(answers, predictor.schema(top_k), meaning)


def _ask_library(
    stack: ExitStack, folder: Path, task: str | None, asked: _Asked, **where: Any
) -> _Found:
    if asked.error is not None:
        raise InputError("--error: a library gives no sets of classes; ask one of its skills")
    library = stack.enter_context(_library.opened(folder, **where))
    progress = stack.enter_context(_console.progress("looking"))
    rest: dict[str, Any] = {"task": task, "unknown": asked.unknown, "top_k": asked.top_k or 1}
    answers = library.predict(asked.images, **rest, progress=progress)
    meaning = "yes: none of the tasks of the library; the label is what its text alone suggests"
    return _Found(answers, library.schema(**rest), meaning)


def _write(predictions: Sequence[Prediction], schema: Schema, form: str, out: Path | None) -> None:
    """To a file, or as text to standard output."""
    from handful import report
    from handful.skills import outputs

    output = outputs.get(form)
    rows = map(schema.row, predictions)
    if out is None and isinstance(output, outputs.TextOutput):
        for chunk in output.chunks(rows, schema, ascii_only=not _console.writes_unicode()):
            sys.stdout.write(chunk)
    elif out is None:
        raise InputError(f"--format {form}: cannot be shown; name a file with --out")
    else:
        held = io.BytesIO()
        output.write(rows, schema, held)
        report.save(held.getvalue(), out)
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
