"""`handful methods`: every adapter that is installed."""

from __future__ import annotations

import inspect

from handful.cli import _console, _options


def run(as_json: _options.Json = False) -> int:
    """List the methods with their parameters."""
    from handful import plugins

    rows = []
    for name in plugins.names("adapters"):
        cls = plugins.get("adapters", name)
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        rows.append(
            {
                "name": name,
                "title": cls.title,
                "summary": summary,
                "semantics": cls.semantics,
                "params": cls().get_params(),
            }
        )
    if as_json:
        _console.echo_json(rows)
        return 0
    cells = [
        [
            r["name"],
            r["summary"],
            r["semantics"],
            ", ".join(f"{k}={v}" for k, v in r["params"].items()),
        ]
        for r in rows
    ]
    _console.echo_table(["name", "what it does", "an answer is", "parameters"], cells)
    return 0
