"""The README's code blocks run as they stand, with `tiny` in place of a model from the hub."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
HUB = re.compile(r"(openai|google)/[\w.-]+")
ELSEWHERE = ("make ", "git ", "pip ")  # what sets the project up has its own test: CI


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder as the README's reader has it: `photos/`, and `new_photos/` to classify."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(photos, folder / "photos")
    (folder / "new_photos").mkdir()
    for i, image in enumerate(sorted((photos / "test").rglob("*.png"))[:3]):
        shutil.copy(image, folder / "new_photos" / f"{i}.jpg")
    return folder


def test_there_are_blocks() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}


def test_blocks_run_in_their_order(desk: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for kind, block in BLOCKS:
        text = HUB.sub("tiny", block)
        if kind == "sh":
            lines = [x for x in text.splitlines() if not x.startswith(ELSEWHERE)]
            command = ["bash", "-ec", "\n".join(lines)]
        else:
            command = [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=desk, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
