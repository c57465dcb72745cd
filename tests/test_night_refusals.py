"""What `handful predict` refuses, and what it says where a run ends before its end."""

from __future__ import annotations

import csv
import errno
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from commands import run
from handful.cli import _ask, _predict_run, _summary
from handful.packs import Pack
from handful.report import files
from handful.skills import sort_photos
from handful.skills.answer_file import AnswerFile
from handful.skills.tally import Tally
from test_night import make_desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A skill and 20 photos."""
    return make_desk(tmp_path_factory.mktemp("refusals"), 20)


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


# ------------------------------------------------------------------- what is said at the end


def test_failures_are_told_by_kind_and_the_screen_names_each_once(
    desk, tmp_path, capsys, monkeypatch
):
    photos = tmp_path / "a folder with a long name" / "DCIM"
    photos.mkdir(parents=True)
    shutil.copy(desk / "photos" / "000.png", photos / "IMG_0001.png")
    (photos / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + b"0" * 40)
    (photos / "b.jpg").write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 40)
    code, out, err = run(capsys, "predict", desk / "skill", photos)
    assert code == 1
    assert "error" not in out
    assert str(photos / "IMG_0001.png") in out  # whole in a pipe
    assert err.count("is a JPEG 2000 picture, which is not read") == 1
    assert "2 of 3 images could not be used: is a JPEG 2000 picture 1; is an MPEG-4" in err
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = run(capsys, "predict", desk / "skill", photos)
    plain = re.sub("\x1b\\[[0-9;]*m", "", out)
    lines = [line for line in plain.splitlines() if line.strip()]
    assert len(lines) == 5, out  # a head, a rule and one line a photo
    assert max(map(len, lines)) <= 60
    assert (
        sum("..." in line and line.split("  ")[0].endswith("IMG_0001.png") for line in lines) == 1
    )


def test_many_kinds_of_failures_fit_on_short_lines(capsys):
    tally = Tally()
    for i, letter in enumerate("abcdefg"):
        name = f"photos/{letter}.jpg"
        error = f"{name}: is a kind of file that is called {letter}, which is not read"
        for _ in range(i + 4):
            tally.add({"file": name, "error": error, "predictions": []})
    _summary.summary(_summary.Finished(tally, 1.0, 49, 0, out=Path("pics.csv")), {})
    lines = capsys.readouterr().err.splitlines()
    assert "skipped 29 more: see the column error of pics.csv" in lines
    start = next(i for i, line in enumerate(lines) if line.startswith("49 of 49 images"))
    assert max(map(len, lines[start:-1])) <= 80
    told = " ".join(line.strip() for line in lines[start:-1])
    assert told.count("is a kind of") == 5
    assert told.endswith("more: see the column error of pics.csv")


def test_a_row_names_its_photo_once_and_the_summary_counts_what_is_asked(
    desk, tmp_path, capsys, monkeypatch
):
    def sets(_, features, error):
        return np.arange(len(features))[:, None].repeat(8, axis=1) > 2

    monkeypatch.setattr(Pack, "sets", sets)
    (tmp_path / "p").mkdir()
    shutil.copytree(desk / "photos", tmp_path / "p", dirs_exist_ok=True)
    (tmp_path / "p" / "empty.jpg").touch()
    out = tmp_path / "a.csv"
    command = ("predict", desk / "skill", tmp_path / "p", "--out", out, "--unknown", "0.3")
    _, _, err = run(capsys, *command, "--error", "0.9")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["error"].startswith("is empty")
    assert f"skipped {tmp_path / 'p' / 'empty.jpg'}: is empty" in err
    assert f"wrote 20 answers and 1 failure to {out}" in err
    refused = sum(r["unknown"] == "yes" for r in rows)
    labels = Counter(r["label"] for r in rows if r["unknown"] == "no")
    assert refused
    assert f"{labels.most_common(1)[0][0]} {labels.most_common(1)[0][1]}" in err
    assert f", unknown {refused}\n" in err
    without = sum(not r["may_be"] and not r["error"] for r in rows)
    assert without == 3
    assert f"{without} photos with no class at --error 0.9" in err
    assert "0 computed now, the others were known" in run(capsys, *command, "--overwrite")[2]
    again = run(capsys, *command, "--overwrite", "--error", "0.9")[2]
    assert run(capsys, *command, "--resume", "--error", "0.9")[2].count("with no class at") == 1
    assert f"{without} photos with no class" in again


def test_may_be_empty_is_explained_where_columns_are():
    page = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    line = next(x for x in page.splitlines() if x.startswith("| `may_be` |"))
    assert "empty where no class is likely enough" in line
