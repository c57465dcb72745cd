"""docs/python.md: its examples run as they stand, one after another, on a reader's desk."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

import handful
from handful.data._image_table import PATH
from handful.data.table import LABEL
from handful.skills.fit import fit

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"^```(python|)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_examples_run_in_their_order(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setattr(handful, "fit", partial(fit, encoder="tiny"), raising=False)
    names: dict[str, object] = {"__name__": "page"}
    assert len(BLOCKS) >= 10
    printed = ""
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "docs/python.md", "exec"), names)
            printed = capsys.readouterr().out
        else:  # what the block before it prints, but for a number
            assert re.fullmatch(re.escape(block).replace("N", r"\d+"), printed)


def test_it_names_every_column() -> None:
    for column in (*PATH, *LABEL, "split", "group"):
        assert f"`{column}`" in PAGE
