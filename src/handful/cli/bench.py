"""`handful bench`: the field's protocols over data sets and feature files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _continual, _options, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.protocols.results import BenchResult


def run(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Data sets: folders of images, tables, split files, feature files, or cache "
            "folders of Tip-Adapter's code. Of cross and domain the first is taught. Of continual "
            "the order is that of learning, and 'playground' stands for ten made tasks."
        ),
    ],
    protocol: Annotated[
        str, typer.Option(help="few-shot, base-to-new, cross, domain, ablation or continual.")
    ] = "few-shot",
    methods: _options.Methods = None,
    shots: _options.Shots = None,
    seeds: _options.Seeds = 3,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.md, figure.png, report.json; a stopped run goes on."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A hub name, a folder with a model, or tiny (the default for images). Feature "
            "files that state another one are refused."
        ),
    ] = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    ablate: Annotated[
        str | None,
        typer.Option(
            help="What the ablation varies: ratio, reduction, branch, alpha, beta, views, "
            "templates, or any argument of the methods named."
        ),
    ] = None,
    value: Annotated[
        list[str] | None, typer.Option(help="A value of what is varied; repeatable.")
    ] = None,
    allow_fewer: Annotated[
        bool,
        typer.Option(help="Take all images of a class that has fewer than the shots."),
    ] = False,
    anchors: Annotated[
        str | None,
        typer.Option(
            help="Show the published numbers of this encoder (ViT-B/32, ViT-B/16, RN50, RN101) "
            "also where they are on other data; those on the same data show by themselves."
        ),
    ] = None,
    unknown: Annotated[
        float | None,
        typer.Option(help="Of continual: share of unknown images that may pass; default 0.05."),
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Run a protocol of the field: tables, a figure, intervals."""
    # long, for every option of the command is declared with its help
    # Over 60 lines for its options alone, which typer reads from the signature.
    from handful import report
    from handful.protocols import bench, figures, markdown

    if out is not None:
        report.check_folder(out)
    request = bench.Request(
        protocol="ablation" if ablate and protocol == "few-shot" else protocol,
        methods=_options.read_names(methods),
        shots=_options.read_integers(shots, "--shots"),
        seeds=seeds,
        encoder=encoder,
        templates=template,
        words=_options.read_classes(classes),
        vary=ablate,
        values=None if value is None else [_options.read_value(v) for v in value],
        allow_fewer=allow_fewer,
        anchors=anchors,
        precision=precision,
        device=device,
    )
    if protocol == "continual":
        return _continual.run(sources, request, unknown, out, as_json=as_json)
    if unknown is not None:
        raise InputError("--unknown is for the protocol continual; leave it out")
    with _console.progress("encoding") as encoding:
        prepared = bench.prepare(sources, request, out=out, progress=encoding)
    with _console.progress("trials") as progress:
        done = prepared.run(progress)
    _results.print_answer(done, show, as_json=as_json)
    if out is not None:
        names = ", ".join(path.resolve().name for path in sources)
        text = markdown.bench_markdown(done, f"{done.protocol}: {names}")
        _results.write_report(done, out, figures.bench_figure(done), text)
        _results.report_written(out)
    return _console.report_failures(done.failures, done.ignored)


def show(done: BenchResult) -> None:
    """The tables on the screen, published ones below ours."""
    from handful.protocols.published import apart

    for grid in done.grids():
        _console.echo(f"\n{grid.title}")
        _results.show_grid(grid)
        published = done.published(grid)
        for rows in apart(published):
            _console.echo(f"\npublished with {done.anchors}, {rows[0].kind}:")
            _results.show_rows(grid, [[row.label, *row.cells] for row in rows])
        if any(row.anchor.leaky for row in published):
            _console.echo("† chosen on images that an honest test keeps apart")
    _console.echo_text(f"\n{done.interval}")
    for name in ("equal draws", "fewer"):
        if done.facts[name]:
            _console.echo_err("; ".join(done.facts[name]))
