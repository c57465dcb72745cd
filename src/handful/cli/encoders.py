"""`handful encoders`: models a user would choose."""

from __future__ import annotations

from dataclasses import asdict

from handful.cli import _console, _options


def run(as_json: _options.Json = False) -> int:
    """List encoders worth knowing, and which are on this disk already."""
    from handful.encoders import list_encoders

    found = list_encoders()
    if as_json:
        _console.echo_json([asdict(k) for k in found])
        return 0
    rows = [
        [k.name, str(k.dim or "?"), str(k.image), "yes" if k.here else "", k.licence, k.good_for]
        for k in found
    ]
    headers = ["name", "width", "pixels", "here", "licence", "good for"]
    _console.echo_table(headers, rows, right=[1, 2])
    _console.echo("Any other checkpoint of these families works by its hub name or its folder.")
    return 0
