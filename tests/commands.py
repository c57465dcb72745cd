"""Commands as a person types them: in this process, or in a fresh one with nothing loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from handful.cli import main

_NEXT = "--next-command--"
_END = "\x1e"  # the record separator of ASCII; no command writes it
_RUN = f"""
import sys
from handful.cli import main

commands = [[]]
for argument in sys.argv[1:]:
    commands.append([]) if argument == {_NEXT!r} else commands[-1].append(argument)
for command in commands:
    try:
        main(command)
    except SystemExit as stop:
        print({_END!r} + str(stop.code) + {_END!r}, end="")
        print({_END!r}, end="", file=sys.stderr)
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(stop.value.code or 0), out, err


@dataclass(frozen=True)
class Answer:
    """Exit code and streams of one command."""

    returncode: int
    stdout: str
    stderr: str


def run_fresh(*commands: Sequence[object], env: Mapping[str, str] | None = None) -> list[Answer]:
    """Run commands one after another in one new process; importing torch takes the longest."""
    arguments: list[str] = []
    for command in commands:
        arguments += [*([_NEXT] if arguments else []), *map(str, command)]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        capture_output=True, text=True, check=True, env=env,
    )  # fmt: skip
    out, err = done.stdout.split(_END), done.stderr.split(_END)
    assert len(out) == 2 * len(commands) + 1, done.stderr
    return [
        Answer(int(code), text, errors)
        for text, code, errors in zip(out[:-1:2], out[1::2], err[:-1], strict=True)
    ]
