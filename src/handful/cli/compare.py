"""`handful compare`: which method does best on my images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options, _results

if TYPE_CHECKING:
    from handful.protocols.compare import Comparison


def run(
    images: _options.Images,
    out: Annotated[Path, typer.Option(help="Folder for report.md, accuracy.png, report.json.")],
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    methods: _options.Methods = None,
    shots: _options.Shots = None,
    seeds: _options.Seeds = 3,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    as_json: _options.Json = False,
) -> int:
    """Compare methods on labelled photos: a table, a figure, intervals over seeds."""
    from handful import report
    from handful.encoders import prompts
    from handful.protocols import compare

    report.check_folder(out)
    with _console.progress("encoding") as progress:
        result, failures = compare.compare(
            images,
            encoder=encoder,
            precision=precision,
            device=device,
            methods=_options.read_names(methods),
            shots=_options.read_integers(shots, "--shots"),
            seeds=seeds,
            templates=template or prompts.DEFAULT,
            words=_options.read_classes(classes),
            progress=progress,
        )
    _results.print_answer(result, show, as_json=as_json)
    write(result, out, f"# Methods compared on {images.resolve().name}\n\n")
    if not as_json:
        _results.report_written(out, "accuracy.png")
    return _console.report_failures(failures, result.facts["ignored"])


def show(result: Comparison) -> None:
    """The table on the screen."""
    _results.show_grid(result.grid)


def write(result: Comparison, out: Path, heading: str) -> None:
    """`accuracy.png`, `report.json` and, last, `report.md` in a folder."""
    from handful.protocols import figures, markdown

    text = heading + markdown.comparison_markdown(result) + "\n![accuracy](accuracy.png)\n"
    _results.write_report(result, out, figures.comparison_figure(result), text, "accuracy.png")
