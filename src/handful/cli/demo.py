"""`handful demo`: compare, fit and use on drawn pictures; no download, no photos needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _console, _options, _results, compare

_MOST = 4  # processes; each holds an encoder and its libraries, half a gigabyte


def run(
    out: Annotated[Path, typer.Option(help="Folder for the report, the photos and the skill.")] = (
        Path("handful-demo")
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Draws of every task.")] = 3,
    shots: Annotated[str, typer.Option(help="Shot counts.")] = "1,4,16",
    tasks: Annotated[
        str | None,
        typer.Option(help="Tasks of the playground, joined by commas, or all; default two."),
    ] = None,
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    as_json: _options.Json = False,
) -> int:
    """Compare methods on the playground, teach a skill, use it; about a minute."""
    from handful import report
    from handful.features import processors
    from handful.protocols import demo

    report.check_folder(out)
    with _console.progress("comparing methods") as progress:
        done = demo.run(
            out,
            encoder=encoder,
            shots=_options.read_integers(shots, "--shots") or (),
            seeds=seeds,
            tasks=_tasks(tasks),
            jobs=min(_MOST, processors()),
            precision=precision,
            device=device,
            progress=progress,
        )
    _results.print_answer(done.comparison, compare.show, as_json=as_json)
    report.save(report.confusion_figure(done.evaluated.result), out / "confusion.png")
    compare.write(done.comparison, out, "# Handful on the playground's hard tasks\n\n")
    if as_json:
        return 0
    accuracy = 100 * done.evaluated.result.accuracy
    photo = next(p for p in sorted((done.photos / "test").rglob("*.png")))
    _console.echo(f"The skill {done.skill} is right on {accuracy:.1f} % of photos it has not seen.")
    _console.echo(f"Look at {out / 'report.md'} and {out / 'accuracy.png'}, then try:")
    _console.echo(f"  handful predict {done.skill} {photo} --top-k 3")
    return 0


def _tasks(names: str | None) -> list[str] | None:
    """Names of `--tasks`; None for all of them."""
    from handful.protocols import demo

    if names == "all":
        return None
    return _options.read_names(names) or list(demo.TASKS)
