"""`handful compare`: which method does best on my images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options, _results

if TYPE_CHECKING:
    from handful.protocols.compare import Comparison

_MARKS = {"best": "best", "alike": "=", "worse": ""}


def run(
    images: _options.Images,
    out: Annotated[Path, typer.Option(help="Folder for report.md, accuracy.png, report.json.")],
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
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
    """Methods from the best down, what cannot be told from it, and what would tell more."""
    from handful.protocols.ranking import explained

    for ranking in result.rankings:
        if ranking.note:
            names = ", ".join(row.method for row in ranking.rows)
            _console.echo_text(f"\n{names}: {ranking.note}.")
        single = len(ranking.shots) == 1  # its mean says it all, with the interval
        first, *others = ranking.shots
        shots = [f"{first} shot{'s' * (first > 1)}", *map(str, others)]
        headers = ["", "method", *(shots if single else ["mean", *shots])]
        rows = [
            [
                _MARKS[row.place], row.method, str(row.mean),
                *([] if single else (f"{cell.accuracy:.1f}" for cell in row.cells)),
            ]
            for row in ranking.rows
        ]  # fmt: skip
        _console.echo_table(headers, rows, right=range(2, len(headers)))
        _console.echo("Accuracy in %, by labelled images a class (shots).")
        for line in explained(ranking, equal=result.facts.get("equal draws", ())):
            _console.echo_text(line)


def write(result: Comparison, out: Path, heading: str) -> None:
    """`accuracy.png`, `report.json` and, last, `report.md` in a folder."""
    from handful.protocols import figures, markdown

    text = heading + markdown.comparison_markdown(result) + "\n![accuracy](accuracy.png)\n"
    _results.write_report(result, out, figures.comparison_figure(result), text, "accuracy.png")
