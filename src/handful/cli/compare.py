"""`handful compare`: which method does best on my images, or which of two skills."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _compare_skills, _console, _options, _paths, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.protocols.compare import Comparison

_MARKS = {"best": "best", "alike": "=", "worse": ""}


def run(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES | SKILL_A SKILL_B IMAGES",
            help="A folder per class, a table, or a split file; or two skills and such images.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.md, accuracy.png, report.json; of two skills for answers.csv "
            "and comparison.json."
        ),
    ] = None,
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    methods: _options.Methods = None,
    shots: _options.Shots = None,
    seeds: _options.Seeds = 3,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            "--group",
            help="Photos that belong together: never torn apart by draws, counted once in "
            "intervals; auto (as stated), none, parent, 60s, a pattern on names, a column.",
        ),
    ] = "auto",
    as_json: _options.Json = False,
) -> int:
    """Compare methods on labelled photos, or two skills: a table, a figure, intervals."""
    # Over 60 lines for its options alone, which typer reads from the signature.
    # long, for every option of the command is declared with its help
    if _compare_skills.is_skill(paths[0]):
        idle = {"--methods": methods, "--shots": shots, "--template": template}
        _compare_skills.refuse_idle(idle | {"--classes": classes})
        _compare_skills.refuse_typed(context, {"encoder": "--encoder", "seeds": "--seeds"})
        return _compare_skills.run(
            paths, out, as_json=as_json, precision=precision, device=device, group_by=group_by
        )
    if len(paths) != 1:
        raise InputError(
            f"expected labelled photos alone, or two skills and photos; {paths[0]} is no skill"
        )
    if out is None:
        raise InputError("comparing methods writes a report; name a folder for it: --out FOLDER")
    images = _paths.existing_images(paths[0])
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
            group_by=group_by,
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
        _console.echo_text(result.interval)
        for line in explained(ranking, equal=result.facts.get("equal draws", ())):
            _console.echo_text(line)


def write(result: Comparison, out: Path, heading: str) -> None:
    """`accuracy.png`, `report.json` and, last, `report.md` in a folder."""
    from handful.protocols import figures, markdown

    text = heading + markdown.comparison_markdown(result) + "\n![accuracy](accuracy.png)\n"
    _results.write_report(result, out, figures.comparison_figure(result), text, "accuracy.png")
