"""`handful predict`: what is on these images."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _ask, _console, _options, _photos, _shares
from handful.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handful.skills.outputs import Output, TextOutput
    from handful.skills.sort_photos import PhotoSorter

TABLE = "table"  # for the screen alone


def run(
    skill: _options.Skill,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Images, or folders of images; - reads names from standard input, one a line or "
            "as find -print0 writes them."
        ),
    ] = None,
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
            help="How to write them: table, csv, jsonl, json, parquet, xlsx; default a table, or "
            "as --out ends.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write to, a row a photo (.csv, .jsonl, .json, .parquet, .xlsx); default "
            "the screen."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file of --out.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on with the file of --out: photos that have a row in it are passed over."
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="A table with a column of paths, or a text file with a path a line."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="A column of --table that is carried along; repeatable."),
    ] = None,
    exif: Annotated[
        bool, typer.Option("--exif", help="Columns time, camera, latitude and longitude.")
    ] = False,
    copy_to: Annotated[
        Path | None,
        typer.Option(help="Copy each photo to FOLDER/CLASS/, or to FOLDER/_unknown/."),
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option(help="The same with links in place of copies.")
    ] = None,
    excel: _options.Excel = False,
    separator: _options.Separator = None,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    unknown: Annotated[
        float | None,
        typer.Option(
            parser=_shares.read_share,
            metavar="SHARE",
            help="Say which photos are of none of the classes; at most this share of such photos, "
            "0.05 say, is taken for a known one.",
        ),
    ] = None,
    error: Annotated[
        float | None,
        typer.Option(
            parser=_shares.read_share,
            metavar="SHARE",
            help="List the classes a photo may be of; at most this share of photos, 0.1 say, is "
            "of another one.",
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
    photos = _photos.find(paths or [], table, keep)  # before slow imports: refused at once
    form = _format(form, out, json_too=json_too)
    output = _output(form, out, excel=excel, separator=separator)
    if output is not None and out is not None:
        from handful.skills.answer_target import check_target

        check_target(out, output, overwrite=overwrite, resume=resume)
    elif overwrite or resume:
        raise InputError("--overwrite and --resume are about a file; name it with --out")
    if output is None and (exif or keep):
        raise InputError(
            "--exif and --keep add columns to a file: name one with --out, or add --format csv"
        )
    where = {"encoder": encoder, "precision": precision, "device": device}
    with ExitStack() as stack:
        asked = _ask.Asked(top_k, unknown, error, task)
        answering = _ask.open_skill(stack, skill, asked, **where)
        from handful.cli import _predict_run, _summary

        answering = _ask.with_columns(answering, _predict_run.EXIF if exif else (), keep or ())
        sorter = _sorter(copy_to, link_to, photos.read, several=answering.schema.several)
        given = (answering, photos.with_cells, sorter)
        if out is not None and output is not None:
            done = _predict_run.to_file(*given, output, out, overwrite=overwrite, resume=resume)
        elif output is not None:
            done = _predict_run.to_output(*given, _shown(output, form))
        else:
            done = _predict_run.to_screen(*given)
    if unknown is not None and output is None:
        _console.echo_err(f"unknown: {answering.meaning}")
    _console.flush()
    _summary.summary(done, photos.ignored, sorter)
    return int(done.tally.failed > 0 or bool(sorter and sorter.failed))


def _sorter(
    copy_to: Path | None, link_to: Path | None, read: Sequence[Path], *, several: bool
) -> PhotoSorter | None:
    """What sorts photos into a folder a class, where that was asked for."""
    if copy_to is not None and link_to is not None:
        raise InputError("--copy-to and --link-to: choose one of the two")
    folder = copy_to or link_to
    if folder is None:
        return None
    from handful.skills.sort_photos import PhotoSorter

    return PhotoSorter(folder, read, link=link_to is not None, several=several)


def _output(form: str, out: Path | None, *, excel: bool, separator: str | None) -> Output | None:
    """The format of the options; None for a table on the screen."""
    from handful.skills import outputs

    if form != "csv" and (excel or separator is not None):
        option = "--excel" if excel else "--separator"
        what = "the screen" if form == TABLE else form
        raise InputError(
            f"{option} is about CSV, not about {what}; name a file with --out answers.csv, or add "
            "--format csv"
        )
    if form == "csv":
        tabs = out is not None and out.suffix.lower() == ".tsv"
        letter = _options.read_separator(separator or ("tab" if tabs else ","))
        if tabs and letter != "\t":
            raise InputError(
                f"--separator {separator!r} and --out {out}: a .tsv file has tabs between its "
                "cells; end the name in .csv"
            )
        return outputs.get("csv", excel=excel, separator=letter)
    return None if form == TABLE else outputs.get(form)


def _shown(output: Output, form: str) -> TextOutput:
    from handful.skills import outputs

    if not isinstance(output, outputs.TextOutput):
        raise InputError(f"--format {form}: is no text; name a file with --out")
    return output


def _format(form: str | None, out: Path | None, *, json_too: bool) -> str:
    """The format of the options, else of the file's ending, else a table."""
    from handful import plugins

    if json_too and form not in (None, "json", "jsonl"):
        raise InputError(f"--json and --format {form} contradict each other; leave one out")
    if json_too:
        form = form or "json"
    if out is not None:
        form = _format_of_file(form, out)
    form = form or TABLE
    known = [TABLE, *plugins.names("outputs")]
    if form not in known:
        raise InputError(f"--format {form}: expected one of {', '.join(known)}")
    return form


def _format_of_file(form: str | None, out: Path) -> str:
    """The format that a file's name and the options agree on.

    Raises:
        InputError: they do not agree, or say none.
    """
    from handful.skills import outputs

    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file in it: {out / 'answers.csv'}")
    ending = outputs.for_file(out)
    if form is not None and ending is not None and ending != form:
        raise InputError(
            f"--out {out}: its name says {ending}, and {form} is asked for; leave --format and "
            f"--json out, or end the name in {outputs.get(form).suffixes[0]}"
            if form != TABLE
            else f"--out {out}: a table is for the screen; leave --format table out"
        )
    form = form or ending
    if form in (None, TABLE):
        old = f"{out.suffix} is not written, use .xlsx; " if out.suffix.lower() == ".xls" else ""
        raise InputError(
            f"--out {out}: {old}end the file's name in .csv, .tsv, .jsonl, .json, .parquet or "
            ".xlsx, or add --format csv, jsonl, json, parquet or xlsx"
        )
    return str(form)
