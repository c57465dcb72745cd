"""`handful methods`: every adapter that is installed."""

from __future__ import annotations

import inspect

from handful.cli import _console, _options


def run(as_json: _options.Json = False) -> int:
    """List the methods with their parameters."""
    from handful import plugins

    rows = []
    for name in plugins.names("adapters"):
        adapter = plugins.get("adapters", name)()
        rows.append(
            {
                "name": name,
                "title": adapter.title,
                "summary": (inspect.getdoc(type(adapter)) or "").partition("\n")[0],
                "semantics": adapter.semantics,
                "params": adapter.get_params(),
            }
        )
    if as_json:
        _console.echo_json(rows)
        return 0
    for row in rows:
        row["params"] = ", ".join(f"{name}={value}" for name, value in row["params"].items())
    cells = [[row[key] for key in ("name", "summary", "semantics", "params")] for row in rows]
    _console.echo_table(["name", "what it does", "an answer is", "parameters"], cells)
    return 0
