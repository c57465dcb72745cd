"""What docs/tuners.md shows runs as it stands, and what it counts is so."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handful import plugins
from handful.cli._app import app

PAGE = (Path(__file__).parents[1] / "docs" / "tuners.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ELSEWHERE = ("accelerate ",)  # a launcher of several processes; see tests/test_tuner_loop.py
# what the page leaves at its default and what takes long; a later argument of a name wins
QUICK = shlex.split(
    "--tune weight=1 --tune epochs=1 --tune views=1 --tune augmentation=none --shots 4"
)


def test_every_tuner_is_told_of():
    for name in plugins.names("tuners"):
        assert f"| `{name}` |" in PAGE


@pytest.mark.filterwarnings("ignore")
def test_blocks_run_in_their_order(desk, monkeypatch):
    monkeypatch.chdir(desk)
    ran = 0
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "docs/tuners.md", "exec"), {"__name__": "page"})
            ran += 1
            continue
        for line in block.splitlines():
            if line.startswith(ELSEWHERE):
                continue
            words = [
                found
                for word in shlex.split(line)[1:]
                for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
            ]
            quick = QUICK if words[0] == "fit" else []
            done = CliRunner().invoke(app, [*words, *quick], env=dict(os.environ))
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            ran += 1
    assert ran > 7
