"""The README's code blocks run as they stand, with `tiny` in place of a model from the hub."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
HUB = re.compile(r"(openai|google)/[\w.-]+")
ELSEWHERE = ("make ", "git ", "pip ")  # what sets the project up has its own test: CI


def test_there_are_blocks() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}


def test_blocks_run_in_their_order(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: starting each command anew would take longer than the commands."""
    (script,) = entry_points(group="console_scripts", name="handful")
    monkeypatch.chdir(desk)
    for kind, block in BLOCKS:
        text = HUB.sub("tiny", block)
        if kind == "python":
            exec(compile(text, "README.md", "exec"), {"__name__": "readme"})
            continue
        for line in text.splitlines():
            if line.startswith(ELSEWHERE):
                continue
            command, *arguments = shlex.split(line, comments=True)
            assert command == "handful", line
            with pytest.raises(SystemExit) as stop:
                script.load()(arguments)
            assert stop.value.code == 0, f"{line}\n{capsys.readouterr()}"
