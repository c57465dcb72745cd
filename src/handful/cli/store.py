"""`handful store`: look at the features on disk, check them, remove them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options

if TYPE_CHECKING:
    from handful.store import Health

app = typer.Typer(help="Features on disk: look, check, prune.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--path", help="The store's folder; default the user's own.")
]


@app.command()
@_console.exits
def look(path: Folder = None, as_json: _options.Json = False) -> int:
    """Show what is kept: one line an encoder and precision."""
    from dataclasses import asdict

    from handful.store import FeatureStore

    with FeatureStore(path) as store:
        spaces = store.summary()
        size = store.size
    if as_json:
        answer = {"file": str(store.file), "bytes": size, "spaces": [asdict(s) for s in spaces]}
        _console.say_json(answer)
        return 0
    rows = [
        [s.encoder or s.space, s.precision, str(s.views), str(s.dim), str(s.count),
         f"{s.bytes / 1e6:.1f}", time.strftime("%Y-%m-%d", time.localtime(s.used))]
        for s in spaces
    ]  # fmt: skip
    headers = ["encoder", "precision", "views", "width", "images", "MB", "last used"]
    _console.say_table(_console.table(headers, rows, right=[2, 3, 4, 5]))
    _console.say(f"{store.file}, {size / 1e6:.1f} MB")
    return 0


@app.command()
@_console.exits
def check(path: Folder = None, as_json: _options.Json = False) -> int:
    """Read every row and say what is wrong; changes nothing."""
    from handful.store import FeatureStore

    with FeatureStore(path) as store:
        health = store.check()
    if as_json:
        _console.say_json({"rows": health.rows, "problems": list(health.problems)})
    else:
        for problem in health.problems:
            _console.say(problem)
        _console.say(f"{health.rows} rows, {'healthy' if not health.problems else 'damaged'}")
    return int(bool(health.problems))


def _is_lost(health: Health) -> bool:
    """Is the file itself broken, so that no row can be saved?"""
    whole = any(problem.startswith("the file: ") for problem in health.problems)
    return whole or (health.rows == 0 and bool(health.problems))


@app.command()
@_console.exits
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
    path: Folder = None,
    as_json: _options.Json = False,
) -> int:
    """Remove features; what is missed later is computed again."""
    from handful.store import FeatureStore

    limit = None if max_mb is None else int(max_mb * 1e6)
    with FeatureStore(path) as store:
        lost = damaged and _is_lost(store.check())
        gone = store.prune(wanted, unused_days=unused_days, max_bytes=limit, damaged=damaged)
    if as_json:
        _console.say_json({"rows": gone.rows, "bytes": gone.bytes, "replaced": lost})
    else:
        if lost:
            _console.say("the damaged file was removed whole; an empty one is in its place")
        _console.say(f"removed {gone.rows} rows; the file is {gone.bytes / 1e6:.1f} MB smaller")
    return 0
