"""The README's blocks run as they stand, and print what the README says they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import readme


def test_there_are_blocks_and_outputs() -> None:
    kinds = [kind for kind, _ in readme.blocks()]
    assert {"sh", "python", "output"} == set(kinds)


_CHECK = """
import sys
from pathlib import Path
import readme

readme.draw_photos(Path.cwd())
page = readme.blocks()
for index, printed in readme.run(page):
    kind, shown = page[index + 1] if index + 1 < len(page) else ("", "")
    if kind == "output":
        assert readme.agree(printed, shown), (
            f"printed:\\n{printed}\\nthe README says (python tests/readme.py writes it):\\n{shown}"
        )
"""


def test_blocks_run_in_their_order_and_print_what_stands_below_them(tmp_path: Path) -> None:
    """In a process of its own, with the encoder that a reader has: `photo`."""
    kept = {k: v for k, v in os.environ.items() if k != "HANDFUL_ENCODER"}
    places = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", _CHECK], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=kept | {"PYTHONPATH": os.pathsep.join(places), "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_output_that_differs_is_found() -> None:
    assert readme.agree("right 81.0 % in 2.1 s", "right  81.01 %\nin 15 s")
    assert not readme.agree("right 81.0 %", "right 84.0 %")
    assert not readme.agree("right 81.0 %", "wrong 81.0 %")
    assert not readme.agree("right", "right and more")


@pytest.mark.parametrize("word", ["pip install handful\n", "pip install handful "])
def test_nothing_is_installed_from_a_registry_where_it_is_not(word: str) -> None:
    for page in (readme.PAGE, *readme.PAGE.parent.glob("docs/*.md")):
        assert word not in page.read_text(encoding="utf-8"), page
