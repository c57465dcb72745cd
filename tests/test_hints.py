"""Hints of `fit`: groups that the data seem to state, empty groups, classes that mean none."""

from __future__ import annotations

import numpy as np
import pytest

from commands import run
from handful.cli import _console
from handful.cli._folding import fold
from handful.contracts import ImageRef
from handful.data import Dataset
from handful.data.grouping import group_images
from handful.errors import UnknownNameError
from handful.plugins import get
from handful.skills.grouping import near_copies_notes
from handful.skills.hints import group_hint, none_of_them_hint


def dataset(names, **more) -> Dataset:
    labels = tuple("ab"[i % 2] for i in range(len(names)))
    return Dataset(tuple(ImageRef.of(n) for n in names), labels, **more)


def test_names_that_many_photos_share_are_hinted_at():
    names = [f"Forest_{k // 3:02d}_f{k % 3}.jpg" for k in range(12)]
    assert "Forest_00_f0.jpg" in group_hint(dataset(names))
    assert "--group-by '(.+)_' would make 4 groups" in group_hint(dataset(names))
    groups = group_images(dataset(names), "(.+)_").dataset.groups
    assert len({*groups}) == 4
    for other in (
        [f"IMG_{k:04d}.jpg" for k in range(12)],  # a camera's numbers
        [f"{'ab'[k % 2]}_{k}.jpg" for k in range(12)],  # a name a class
        [f"{k}_1.jpg" for k in range(12)],
        [f"{k}.jpg" for k in range(12)],
    ):
        assert group_hint(dataset(other)) == ""


def test_a_column_that_looks_like_groups_is_hinted_at():
    names = [f"{k}.jpg" for k in range(4)]
    columns = {"Seq_ID": ("1", "1", "2", "2"), "age": ("1", "1", "2", "2")}
    assert "--group-by Seq_ID" in group_hint(dataset(names, columns=columns))
    assert group_hint(dataset(names, columns={"patient": tuple("abcd")})) == ""
    assert group_hint(dataset(names, columns={"age": tuple("aabb")})) == ""


def test_photos_without_a_stated_group_are_counted_with_auto_too():
    found = group_images(dataset(["a", "b", "c"], groups=("x", "", "x")))
    assert found.note == "1 of 3 photos have no group stated and are each alone, such as b"
    assert group_images(dataset(["a", "b"])).note == ""


def test_bursts_that_were_found_are_an_upper_bound():
    (note,) = near_copies_notes(np.array([0, 0, 1]), "")
    assert note.startswith("3 photos are at most 2 bursts or single pictures")
    assert near_copies_notes(np.array([0, 1, 2]), "") == []


def test_a_class_that_means_none_of_them_is_hinted_at():
    assert "call the folder" in none_of_them_hint(["cat", "Empty"])
    assert none_of_them_hint(["cat", "dog"]) == ""


def test_wrong_options_are_named_as_users_know_them(tmp_path, capsys):
    with pytest.raises(UnknownNameError, match="no method named 'tipf'"):
        get("adapters", "tipf")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "taken.txt").write_text("x")
    options = ("--out", tmp_path / "out", "--on-conflict", "dorp")
    code, _, err = run(capsys, "fit", tmp_path, *options)
    assert code == 2
    assert "expected refuse or drop, got 'dorp'" in err


def test_long_lines_on_a_terminal_are_broken_between_words(monkeypatch, capsys):
    path = "/" + "x" * 100 + "/a-b.jpg"
    message = f"error: {path}: " + "words and more words " * 10
    _console.echo_err(message)
    assert capsys.readouterr().err == message + "\n"  # in a pipe never
    monkeypatch.setenv("COLUMNS", "80")
    folded = fold(message).split("\n")
    assert path + ":" in folded
    assert all(len(line) <= 80 for line in folded if path not in line)
    assert fold("  short\n\tlines") == "  short\n\tlines"
