"""`handful library`: many skills on one encoder, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _console, _options, _paths
from handful.errors import InputError, MissingModelError

app = typer.Typer(help="Many skills on one encoder: a folder that grows.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The library's folder.")]


@app.command()
@_console.as_command
def init(
    library: Folder,
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
) -> int:
    """Make an empty library for one encoder."""
    from handful.library import Library

    made = Library.init(library, encoder, precision=precision, device=device)
    _console.echo(f"{library}: an empty library for {made.folder.encoder['name']}")
    return 0


@app.command()
@_console.as_command
def add(
    library: Folder,
    skills: Annotated[
        list[Path],
        typer.Argument(help="Skills: folders, or .skill files.", callback=_paths.existing_skills),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call the skill; default its folder's name.")
    ] = None,
) -> int:
    """Put skills into a library; those that are there do not change."""
    from handful.library import LibraryFolder

    if name is not None and len(skills) > 1:
        raise InputError(f"--name {name!r} is for one skill, got {len(skills)}; add them singly")
    folder = LibraryFolder.open(library)
    for skill in skills:
        added = folder.add(skill, name)
        _console.echo(f"added {added}")
        twins = folder.same_support(added)
        if twins:  # the router cannot tell them apart
            _console.echo_err(
                f"{added} was taught with the same images as {', '.join(twins)}: an image finds "
                "one of them at most; remove one, or name the task when you ask"
            )
    return 0


@app.command("list")
@_console.as_command
def show(library: Folder, as_json: _options.Json = False) -> int:
    """Show what is in a library, as the skills state it; nothing is verified."""
    from handful.library import LibraryFolder

    folder = LibraryFolder.open(library)
    entries = folder.entries()
    if as_json:
        skills = [asdict(e) for e in entries]
        _console.echo_json({"encoder": dict(folder.encoder), "skills": skills})
        return int(any(e.problem for e in entries))
    rows = [
        [e.name, e.method, str(len(e.classes)), str(e.images), f"{e.bytes / 1e3:.0f}"]
        for e in entries
        if not e.problem
    ]
    headers = ["skill", "method", "classes", "images", "kB"]
    _console.echo_table(headers, rows, right=[2, 3, 4])
    _console.echo(f"{len(rows)} skills on {folder.encoder['name']}")
    return _problems({e.name: e.problem for e in entries if e.problem})


@app.command()
@_console.as_command
def check(
    library: Folder,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    as_json: _options.Json = False,
) -> int:
    """Verify every skill: digests, format, answers, encoder; changes nothing."""
    from handful.library import Library

    read = Library(library, precision=precision, device=device)
    try:
        read.check_tuned()
    except MissingModelError as error:
        _console.echo_err(f"what skills change of the encoder was not tried: {error}")
    left = read.folder.unfinished()
    if left:
        _console.echo_err(
            f"{', '.join(left)}: not finished; unless a skill is being added just now, somebody "
            "was stopped while adding one, and these folders can be removed"
        )
    if as_json:
        _console.echo_json({"skills": list(read.names), "broken": read.broken})
        return int(bool(read.broken))
    _console.echo(
        f"{len(read.names)} skills are whole" + (f": {', '.join(read.names)}" * bool(read.names))
    )
    return _problems(read.broken)


@app.command()
@_console.as_command
def evaluate(
    library: Folder,
    sources: Annotated[
        list[str],
        typer.Argument(help="Test images: NAME=FOLDER, or a folder called as the skill is."),
    ],
    unknown: Annotated[
        float | None, typer.Option(help="Measure also who is accepted at this false-accept rate.")
    ] = None,
    stranger: Annotated[
        list[Path] | None, typer.Option(help="Labelled images of no task; repeatable.")
    ] = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    as_json: _options.Json = False,
) -> int:
    """Measure a library on labelled photos, with the tasks named and without."""
    from handful.library import Library
    from handful.library.evaluation import evaluate as measure

    read = Library(library, precision=precision, device=device)
    _problems(read.broken)
    named = _named_sources(sources, read.names)
    with _console.progress("encoding") as progress:
        done = measure(
            read, named, unknown=unknown, unknown_sources=stranger or (), progress=progress
        )
    if as_json:
        _console.echo_json(done.as_dict())
        return _console.report_failures(done.failures)
    metrics = done.metrics
    rows = [
        [name, str(one.images), *(f"{100 * getattr(one, metric):.1f}" for metric in metrics)]
        for name, one in done.tasks.items()
    ]
    rows.append(["mean", "", *(f"{100 * done.mean(metric):.1f}" for metric in metrics)])
    titles = {"unnamed": "not named", "found": "task found"}
    headers = ["task", "images", *(f"{titles.get(metric, metric)}, %" for metric in metrics)]
    _console.echo_table(headers, rows, right=range(1, len(headers)))
    if done.false_accept is not None:
        _console.echo(
            f"{done.unknown_images} images of no task: {100 * done.false_accept:.1f} % taken for "
            f"one of a task, {100 * (unknown or 0):g} % asked for"
        )
    for name, one in done.tasks.items():
        if one.leaks:
            _console.echo_err(f"{name}: {one.leaks} of its images taught the skill; left out")
    return _console.report_failures(done.failures)


@app.command()
@_console.as_command
def remove(
    library: Folder, names: Annotated[list[str], typer.Argument(help="Skills to take out.")]
) -> int:
    """Take skills out of a library; the others stay as they are."""
    from handful.library import LibraryFolder

    folder = LibraryFolder.open(library)
    for name in names:  # all or none
        folder.require(name)
    for name in dict.fromkeys(names):
        folder.remove(name)
        _console.echo(f"removed {name}")
    return 0


def _named_sources(sources: list[str], names: Sequence[str]) -> dict[str, str]:
    """Task to source, of arguments `NAME=SOURCE` or a folder that is named as its skill is."""
    named: dict[str, str] = {}
    for argument in sources:
        name, given, source = _name_and_source(argument, names)
        if name in named:
            raise InputError(f"{name}: two sources are of this task; unite them, or ask twice")
        if not given and name not in names:
            raise InputError(
                f"{source}: no skill of the library is called {name!r}; say whose images these "
                f"are: NAME={source}"
            )
        named[name] = source
    return named


def _name_and_source(argument: str, names: Sequence[str]) -> tuple[str, bool, str]:
    """The task, whether it was stated, and the source; a path or a name may hold an `=`."""
    stated = [name for name in names if argument.startswith(f"{name}=")]
    if stated:
        name = max(stated, key=len)
        return name, True, argument[len(name) + 1 :]
    if "=" in argument and not Path(argument).exists():
        name, _, source = argument.partition("=")
        return name, True, source
    return Path(argument).resolve().name, False, argument


def _problems(broken: dict[str, str]) -> int:
    """Name the skills that cannot be used; returns the exit code, 1 where there are any."""
    for name, reason in broken.items():
        _console.echo_err(f"left out {name}: {reason}")
    return int(bool(broken))
