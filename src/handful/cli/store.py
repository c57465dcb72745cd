"""`handful store`: look at the features and activations on disk, check them, remove them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from handful.cli import _console, _options

app = typer.Typer(
    help="Features and activations on disk: look, check, prune.", no_args_is_help=True
)

_SPACE = ("space", "encoder", "precision", "views", "dim", "count", "bytes", "used")  # in JSON
Folder = Annotated[
    Path | None, typer.Option("--path", help="The store's folder; default the user's own.")
]


@app.command()
@_console.as_command
def look(path: Folder = None, as_json: _options.Json = False) -> int:
    """Show what is kept: one line an encoder and precision, and for activations block and view."""
    from dataclasses import asdict

    from handful.features.store import ActivationStore, FeatureStore

    with FeatureStore(path) as store, ActivationStore(path) as activations:
        spaces, size = store.summary(), store.size
        larger, taken, budget = activations.summary(), activations.size, activations.budget
    if as_json:
        kept = [asdict(each) | {"bytes": each.bytes} for each in larger]
        _console.echo_json(
            {
                "file": str(store.file),
                "bytes": size,
                "spaces": [{name: getattr(s, name) for name in _SPACE} for s in spaces],
                "activations": {"bytes": taken, "budget": budget, "spaces": kept},
            }
        )
        return 0
    rows = [
        [_name(s), s.precision, str(s.views), str(s.dim), str(s.count),
         f"{s.bytes / 1e6:.1f}", _day(s.used)]
        for s in spaces
    ]  # fmt: skip
    headers = ["encoder", "precision", "views", "width", "images", "MB", "last used"]
    _console.echo_table(headers, rows, right=[2, 3, 4, 5])
    _console.echo(f"{store.file}, {size / 1e6:.1f} MB")
    if not larger:
        return 0
    rows = [
        [_name(r), r.part("precision"), r.part("tower"), r.part("block"),
         f"{r.part('augmentation')} {r.part('view')}".strip() or "as it is",
         " x ".join(map(str, r.shape)), str(r.count), f"{r.bytes / 1e6:.1f}", _day(r.used)]
        for r in larger
    ]  # fmt: skip
    headers = ["encoder", "precision", "tower", "block", "view", "shape", "rows", "MB", "last used"]
    _console.echo("")
    _console.echo_table(headers, rows, right=[3, 6, 7])
    _console.echo(f"activations, {taken / 1e6:.1f} MB of at most {budget / 1e6:.0f} MB")
    return 0


def _name(space: Any) -> str:
    """The encoder, and which tuning of it; `handful store prune tuner:...` takes that one away."""
    tuned = [part for part in space.space.split() if part.startswith("tuner:")]
    return " ".join([space.encoder, *tuned]) if space.encoder else str(space.space)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


@app.command()
@_console.as_command
def check(path: Folder = None, as_json: _options.Json = False) -> int:
    """Read every row and say what is wrong; changes nothing."""
    from handful.features import store

    health = store.check(path)
    if as_json:
        _console.echo_json({"rows": health.rows, "problems": list(health.problems)})
    else:
        for problem in health.problems:
            _console.echo(problem)
        _console.echo(f"{health.rows} rows, {'healthy' if not health.problems else 'damaged'}")
    return int(bool(health.problems))


@app.command()
@_console.as_command
def prune(
    wanted: Annotated[
        str | None, typer.Argument(help="An encoder's name, or a part such as precision:bfloat16.")
    ] = None,
    unused_days: Annotated[
        float | None, typer.Option(min=0, help="Remove what nobody used for so many days.")
    ] = None,
    max_mb: Annotated[
        float | None, typer.Option(min=0, help="Shrink to this size, longest unused first.")
    ] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Remove what check finds.")] = False,
    activations: Annotated[
        bool,
        typer.Option("--activations", help="Only activations, never features; alone: all of them."),
    ] = False,
    path: Folder = None,
    as_json: _options.Json = False,
) -> int:
    """Remove features and activations; what is missed later is computed again.

    With --max-mb both together shrink to that size, activations first.
    """
    from handful.features import store

    limit = None if max_mb is None else int(max_mb * 1e6)
    gone = store.prune(
        path,
        wanted,
        unused_days=unused_days,
        max_bytes=limit,
        damaged=damaged,
        activations=activations,
    )
    if as_json:
        _console.echo_json({"rows": gone.rows, "bytes": gone.bytes, "replaced": gone.replaced})
    else:
        if gone.replaced:
            _console.echo("the damaged file was removed whole; an empty one is in its place")
        _console.echo(f"removed {gone.rows} rows; {gone.bytes / 1e6:.1f} MB of the disk are free")
    return 0
