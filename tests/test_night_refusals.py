"""What `handful predict` refuses, and what it says where a run ends before its end."""

from __future__ import annotations

import csv
import errno
import shlex
import shutil
from pathlib import Path

import pytest

import handful
from commands import run
from handful.cli import _ask, _predict_run
from handful.data import playground
from handful.report import files
from handful.skills import sort_photos
from handful.skills.answer_file import AnswerFile


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A skill and 20 photos."""
    top = tmp_path_factory.mktemp("refusals")
    playground.write(playground.task("style-rolled", 4, 6100, queries_per_class=5), top / "made")
    handful.fit(top / "made" / "train", encoder="tiny", method="tip").save(top / "skill")
    (top / "photos").mkdir()
    for i, photo in enumerate(sorted((top / "made" / "test").glob("*/*.png"))[:20]):
        shutil.copy(photo, top / "photos" / f"{i:03d}.png")
    return top


# ------------------------------------------------------------------- before the work


@pytest.mark.parametrize(
    "command",
    [
        "predict ''", "predict SKILL ''", "predict SKILL PHOTOS ''", "predict SKILL --table ''",
        "predict SKILL PHOTOS --out ''", "predict SKILL PHOTOS --out=",
        "predict SKILL PHOTOS --copy-to ''", "predict SKILL PHOTOS --link-to ''",
        "predict SKILL PHOTOS --encoder ''", "fit ''", "fit PHOTOS --out ''",
        "fit PHOTOS --classes ''", "evaluate SKILL ''", "compare ''", "doctor ''",
        "inspect ''", "verify ''", "pull ''", "push SKILL ''", "add SKILL ''", "merge SKILL ''",
        "explain SKILL ''", "next SKILL ''", "library list ''", "demo --out ''",
    ],
)  # fmt: skip
def test_an_empty_path_is_not_the_folder_one_stands_in(
    desk, tmp_path, capsys, monkeypatch, command
):
    shutil.copy(desk / "photos" / "000.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    given = [
        {"SKILL": desk / "skill", "PHOTOS": desk / "photos"}.get(part, part)
        for part in shlex.split(command)
    ]
    code, out, err = run(capsys, *given)
    assert (code, out) == (2, "")
    assert "an empty name was given; is a variable not set?" in err
    assert [p.name for p in tmp_path.iterdir()] == ["000.png"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--out x.csv --json", "its name says csv"),
        ("--out q.json --format csv", "end the name in .csv"),
        ("--out q.jsonl --json", "its name says jsonl"),
        ("--out q.csv --format table", "a table is for the screen"),
        ("--out x.xls", ".xls is not written, use .xlsx"),
        ("--out nas", "nas: is a folder"),
        ("--out x.tsv --separator ';'", "end the name in .csv"),
        ("--excel", "--out answers.csv"),
        ("--exif", "--format csv"),
        ("--unknown 5%", "for 5 % say 0.05"),
        ("--unknown 5", "for 5 % say 0.05"),
        ("--error 0,05", "for 5 % say 0.05"),
        ("--error many", "expected a share from 0 to 1, such as 0.05"),
        ("--copy-to x.txt", "--copy-to x.txt: is a file"),
        ("--copy-to x.txt/deeper", "a part of its path is a file"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_with_their_cure(
    desk, tmp_path, capsys, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nas").mkdir()
    (tmp_path / "x.txt").write_text("mine")
    code, out, err = run(capsys, "predict", desk / "skill", desk / "photos", *shlex.split(options))
    assert (code, out) == (2, "")
    assert said in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nas", "x.txt"]
    assert (tmp_path / "x.txt").read_text() == "mine"


def test_columns_of_the_camera_need_no_file_and_tabs_have_an_ending(desk, tmp_path, capsys):
    photo = desk / "photos" / "000.png"
    code, out, _ = run(capsys, "predict", desk / "skill", photo, "--exif", "--format", "csv")
    assert code == 0
    assert ",camera," in out
    tabs = tmp_path / "a.tsv"
    for more in ([], ["--separator", "tab", "--overwrite"]):
        assert run(capsys, "predict", desk / "skill", photo, "--out", tabs, *more)[0] == 0
        with tabs.open(newline="") as file:
            assert next(csv.reader(file, delimiter="\t"))[:3] == ["file", "label", "score"]


@pytest.mark.parametrize(
    ("number", "cure", "wrong"),
    [
        (errno.ENOSPC, "free some space", "rights"),
        (errno.EACCES, "check the rights", "free some space"),
        (errno.EROFS, "choose another folder", "free some space"),
        (errno.ENOTDIR, "choose another name", "free some space"),
        (errno.EISDIR, "choose another name", "free some space"),
        (errno.EIO, "choose another folder", "free some space"),
    ],
)
def test_the_cure_is_of_the_refusal(number, cure, wrong):
    said = str(files.cannot_be_written(Path("a.csv"), OSError(number, "words of the system")))
    assert said.startswith("a.csv: cannot be written (words of the system); ")
    assert cure in said
    assert wrong not in said


# ------------------------------------------------------------------- ends on the way


def test_photos_that_could_not_be_copied_are_counted_in_one_line(
    desk, tmp_path, capsys, monkeypatch
):
    copy = shutil.copy2

    def refuses(source, to):
        if Path(source).name in ("003.png", "007.png"):
            raise PermissionError(13, "Permission denied", str(to))
        return copy(source, to)

    monkeypatch.setattr(sort_photos.shutil, "copy2", refuses)
    to = tmp_path / "sorted"
    code, _, err = run(capsys, "predict", desk / "skill", desk / "photos", "--copy-to", to)
    lines = [line for line in err.splitlines() if "could not be" in line]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"18 photos copied to {to}/; 2 photos could not be (the first: ")
    assert "check the rights" in lines[0]
    assert len(list(to.rglob("*.png"))) == 18


@pytest.mark.parametrize("options", [["--format", "csv"], []])
def test_ctrl_c_without_a_file_says_what_would_have_kept_the_rows(
    desk, capsys, monkeypatch, options
):
    monkeypatch.setattr(_ask, "BATCH", 8)
    rows = _predict_run.Rows.__call__
    seen = []

    def stops(self, batch):
        if seen:
            raise KeyboardInterrupt
        seen.append(1)
        return rows(self, batch)

    monkeypatch.setattr(_predict_run.Rows, "__call__", stops)
    code, _, err = run(capsys, "predict", desk / "skill", desk / "photos", *options)
    assert code == 130
    written = "8 rows were" if options else "nothing was"
    assert (
        f"stopped; {written} written; name a file with --out to be able to go on with --resume"
        in err
    )
    assert "training" not in err


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_a_full_disk_keeps_the_rows_and_says_how_to_go_on(
    desk, tmp_path, capsys, monkeypatch, name
):
    monkeypatch.setattr(_ask, "BATCH", 8)
    write, seen = AnswerFile._write, []

    class Full:
        """A file on a disk without space: what is written is refused, and again at the close."""

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def refuses(self, text):
        seen.append(text)
        if len(seen) > 2 and text.count("\n") == 8:
            self._file, held = Full(), self._file
            self._stack.callback(held.close)
            self._stack.callback(Full().write, b"")
        write(self, text)

    monkeypatch.setattr(AnswerFile, "_write", refuses)
    command = ("predict", desk / "skill", desk / "photos", "--out", tmp_path / name)
    code, _, err = run(capsys, *command)
    assert code == 2
    assert f"{name}: cannot be written (No space left on device); free some space" in err
    assert "8 rows are kept in " in err
    assert "the same command with --resume goes on from there" in err
    monkeypatch.setattr(AnswerFile, "_write", write)
    code, _, err = run(capsys, *command, "--resume")
    assert code == 0
    assert "(8 were there already)" in err
