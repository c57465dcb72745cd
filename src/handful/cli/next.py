"""`handful next`: which photos to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.next import Suggested

SHEET, TABLE = "next.png", "next.csv"


def run(
    skill: _options.Skill,
    paths: Annotated[list[Path], typer.Argument(help="Photos without labels, or folders of them.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many to name.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help=f"Folder for {SHEET}, and {TABLE} to fill in labels.")
    ] = None,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    overwrite: Annotated[bool, typer.Option(help=f"Replace a {TABLE} that is there.")] = False,
    as_json: _options.Json = False,
) -> int:
    """Name the photos whose labels would help a skill most."""
    from handful import report
    from handful.skills import next as next_photos

    if out is not None:
        report.check_folder(out)
        if (out / TABLE).exists() and not overwrite:
            raise InputError(
                f"{out / TABLE}: exists already, and may have labels in it; choose another folder, "
                "or add --overwrite"
            )
    with _console.progress("encoding") as progress:
        found = next_photos.suggest(
            *(skill, paths, n),
            encoder=encoder,
            precision=precision,
            device=device,
            progress=progress,
        )
    if as_json:
        failures = _console.failures_json(found.failures)
        _console.echo_json({**found.as_dict(), "failures": failures})
    else:
        _show(found)
    _console.flush()
    if out is not None:
        sheet = report.save(next_photos.contact_sheet(found), out / SHEET)
        report.save(found.to_csv(), out / TABLE)
        _console.echo_err(
            f"wrote {sheet} and {TABLE} beside it; fill in its column label, then: "
            f"handful add {skill} {out / TABLE} --out NEW"
        )
    _report(found)
    return _console.report_failures(found.failures)


def _show(found: Suggested) -> None:
    rows = [
        [str(p.rank), p.name, p.looks_like, p.or_like, f"{100 * p.doubt:.0f}"] for p in found.photos
    ]
    headers = ["", "photo", "looks like", "or", "doubt, %"]
    _console.echo_table(headers, rows, right=[0, 4])


def _report(found: Suggested) -> None:
    """What was left out, and whether there were fewer photos than asked for."""
    if len(found.photos) < found.asked:
        _console.echo_err(
            f"{found.asked} were asked for, and there are {found.candidates} photos to choose "
            "from: these are all of them"
        )
    _results.report_left_out(found.in_support, "photos are in the support set already")
    _results.report_left_out(found.repeated, "photos are there more than once, byte for byte")
