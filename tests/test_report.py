"""Figures, tables and files: what a reader sees, and what the disk keeps when it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from handful import metrics, report
from handful.errors import StorageError
from handful.protocols.compare import Comparison
from handful.protocols.markdown import comparison_markdown
from handful.protocols.runner import Score


def comparison(seeds: int, **facts: object) -> Comparison:
    trials = [
        Score("Tip-Adapter", "tip", "", "test", 1, seed, 50.0 + seed, 0.1, 10)
        for seed in range(seeds)
    ]
    return Comparison(tuple(trials), facts)


def test_a_path_through_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        report.save("text", tmp_path / "file" / "report.md")
    with pytest.raises(StorageError, match="cannot be written"):
        report.check_folder(tmp_path / "file" / "deeper")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_refused_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(StorageError):
        report.save("text", tmp_path / "report.md")
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]


def test_another_writer_is_not_disturbed(tmp_path):
    other = tmp_path / ".report.md.part"
    other.write_text("half")
    report.save("text", tmp_path / "report.md")
    assert other.read_text() == "half"


def test_to_check_a_folder_makes_none(tmp_path):
    report.check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_can_be_saved(tmp_path):
    report.save("photo-\udcff.png", tmp_path / "answers.csv")
    assert (tmp_path / "answers.csv").read_text() == "photo-\\udcff.png"


def test_long_and_odd_class_names_fit_the_figure(tmp_path):
    names = ("a very long name of a class " * 8, "日本", "$x_{", "short")
    found = metrics.evaluate(np.eye(4), range(4), names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = report.confusion_figure(found)
        report.save(figure, tmp_path / "confusion.png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels[0] == "a very long …of a class "
    assert labels[1] in ("日本", r"\u65e5\u672c")  # escaped where no font here has it
    assert labels[2:] == list(names[2:])


def test_one_seed_has_no_interval_and_sentences_end_once():
    one = comparison_markdown(comparison(1, templates=["a photo of a {}."], ignored={}))
    assert "±" not in one
    assert "no interval" in one
    assert "templates: a photo of a {}.  " in one
    assert "ignored" not in one
    two = comparison_markdown(comparison(2, ignored={".heic": 3, "hidden": 1}))
    assert "± is half" in two
    assert "ignored: 3 .heic, 1 hidden.  " in two
