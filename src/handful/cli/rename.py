"""`handful rename`: other labels for a skill's classes."""

from __future__ import annotations

from typing import Annotated

import typer

from handful.cli import _changed, _console, _options


def run(
    skill: _options.Skill,
    names: Annotated[list[str], typer.Argument(help="OLD=NEW; two may change places.")],
    out: _changed.Out = None,
    overwrite: _changed.Overwrite = False,
    as_json: _options.Json = False,
) -> int:
    """Give classes other labels; prompts, answers and numbers stay as they are."""
    from handful.skills.edit import commands

    called = _changed.pairs(names, "rename")
    target = _changed.destination(skill, out, overwrite=overwrite)
    done = commands.rename(skill, called)
    if not as_json:
        for old, new in called.items():
            _console.say(f"{old} is now {new}")
    return _changed.tell(done, target, overwrite=overwrite, as_json=as_json, counts=False)
