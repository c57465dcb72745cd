"""docs/methods.md: its examples run, it names every method, and its numbers were printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from handful import plugins
from handful.cli import main
from handful.contracts import ClassText
from handful.data import FeatureSet, save_features
from handful.protocols.anchors import anchors

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "methods.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for kind, block in BLOCKS if kind == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, "methods.md", "exec"), {})  # the page's own words
    assert "support images" in capsys.readouterr().out


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(4), 10)
    names = ("cat", "dog", "owl", "fox")
    text = ClassText(rng.standard_normal((4, 2, 24)), names, 100.0)
    rows = (text.weights[labels] + 0.3 * rng.standard_normal((40, 24))).astype(np.float32)
    save_features(tmp_path / "mine.safetensors", FeatureSet("mine", rows, labels, text))
    monkeypatch.chdir(tmp_path)
    lines = [x for kind, block in BLOCKS if kind == "sh" for x in block.splitlines()]
    assert lines
    for line in lines:
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(line)[1:])
        assert not stop.value.code, capsys.readouterr().err


def test_every_method_has_a_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == plugins.names("adapters")


def test_every_accuracy_was_printed() -> None:
    """One decimal is an accuracy or a gap: where the section is measured anew, the page follows."""
    benchmarks = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    section = benchmarks.split("<!-- bench:conditions -->")[1].split("<!-- bench:")[0]
    printed = set(re.findall(r"\d+\.\d+", section))
    printed |= {f"{v:.1f}" for a in anchors() for v in a.accuracy.values()}
    words = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    quoted = set(re.findall(r"(?<![\d.])\d+\.\d(?![\d.])", words))
    assert quoted
    assert sorted(quoted - printed) == []
