"""`handful bench`: the field's protocols over data sets and feature files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _continual, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.protocols.result import Bench


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
    methods: Annotated[
        str | None, typer.Option(help="Names joined by commas; default all inductive ones.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="Default: those of 1,2,4,8,16 the images allow.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws.")] = 3,
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
    """Run a protocol of the field: tables, a figure, intervals over seeds."""
    from handful import report
    from handful.protocols import bench, figure, text
    from handful.protocols.request import Request

    if out is not None:
        report.check_folder(out)
    request = Request(
        protocol="ablation" if ablate and protocol == "few-shot" else protocol,
        methods=None if methods is None else [m.strip() for m in methods.split(",")],
        shots=_options.numbers(shots, "--shots"),
        seeds=seeds,
        encoder=encoder,
        templates=template,
        words=_options.read_classes(classes),
        vary=ablate,
        values=None if value is None else [_value(v) for v in value],
        allow_fewer=allow_fewer,
        anchors=anchors,
    )
    if protocol == "continual":
        return _continual.run(sources, request, unknown, out, as_json=as_json)
    if unknown is not None:
        raise InputError("--unknown is for the protocol continual; leave it out")
    with _console.progress("encoding") as encoding:
        ready = bench.prepare(sources, request, out=out, encoding=encoding)
    with _console.progress("trials") as progress:
        done = ready.run(progress)
    if as_json:
        _console.say_json(done.as_dict())
    else:
        show(done)
    _console.finish()  # the answer first: a bad disk must not lose it
    if out is not None:
        named = ", ".join(path.resolve().name for path in sources)
        report.save(figure.figure(done), out / "figure.png")
        report.save(done.as_dict(), out / "report.json")
        report.save(text.markdown(done, f"{done.protocol}: {named}"), out / "report.md")
        _console.complain(f"wrote {out / 'report.md'}, figure.png and report.json")
    _console.tell_ignored(done.ignored)
    return _console.report_failures(done.failures)


def show(done: Bench) -> None:
    """The tables on the screen."""
    from handful.protocols.published import apart

    for grid in done.grids():
        _console.say(f"\n{grid.title}")
        for _, note, rows in grid.blocks():
            if note:
                _console.say(f"\n{', '.join(r.label for r in rows)}: {note}.")
            cells = [[r.label, *map(str, r.cells)] for r in rows]
            headers = ["accuracy, %", *grid.columns]
            _console.say_table(_console.table(headers, cells, right=range(1, len(headers))))
        published = done.published(grid)
        for block in apart(published):
            _console.say(f"\npublished with {done.anchors}, {block[0].kind}:")
            cells = [[other.label, *other.cells] for other in block]
            headers = ["accuracy, %", *grid.columns]
            _console.say_table(_console.table(headers, cells, right=range(1, len(headers))))
        if any(other.anchor.leaky for other in published):
            _console.say("† chosen on images that an honest test keeps apart")
    for name in ("equal draws", "fewer"):
        if done.facts[name]:
            _console.complain("; ".join(done.facts[name]))


def _value(text: str) -> Any:
    """`0.2` to a number, `image` to a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
