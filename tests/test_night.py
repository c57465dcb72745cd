"""A long run of `handful predict`: rows as they come, killed and resumed, into any target."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

import handful
from commands import run
from handful import report
from handful.cli import _ask, _summary
from handful.data import playground
from handful.errors import InputError, StorageError
from handful.packs import novelty
from handful.skills import outputs
from handful.skills.answer_file import AnswerFile
from handful.skills.answer_table import Schema
from handful.skills.answer_target import JOURNAL
from handful.skills.prediction import Prediction
from handful.skills.sort_photos import folder_name
from handful.skills.tally import Tally

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and signals of Unix")


def make_desk(top: Path, count: int) -> Path:
    """A skill in `top/skill` and so many photos in `top/photos`."""
    playground.write(playground.task("style-rolled", 4, 6100, queries_per_class=5), top / "made")
    handful.fit(top / "made" / "train", encoder="tiny", method="tip").save(top / "skill")
    (top / "photos").mkdir()
    for i, photo in enumerate(sorted((top / "made" / "test").glob("*/*.png"))[:count]):
        shutil.copy(photo, top / "photos" / f"{i:03d}.png")
    return top


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A skill, 40 photos in two folders and one file that is none."""
    top = make_desk(tmp_path_factory.mktemp("night"), 40)
    (top / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    return top


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_photo_and_a_summary(desk, tmp_path, capsys):
    (desk / "photos" / "film.mov").touch()
    (desk / "photos" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    out = tmp_path / "a.csv"
    code, said, err = run(capsys, "predict", desk / "skill", desk / "photos", "--out", out)
    (desk / "photos" / "film.mov").unlink()
    (desk / "photos" / "IMG_1.HEIC").unlink()
    assert (code, said) == (1, "")
    rows = table(out)
    assert [Path(r["file"]).name for r in rows][-2:] == ["broken.jpg", "IMG_1.HEIC"]
    assert len(rows) == 42
    failed = [r for r in rows if r["error"]]
    assert [Path(r["file"]).name for r in failed] == ["broken.jpg", "IMG_1.HEIC"]
    assert all(r["label"] == r["score"] == "" for r in failed)
    counts = Counter(r["label"] for r in rows if not r["error"])
    best, number = counts.most_common(1)[0]
    assert f"{best} {number}" in err
    assert "ignored 1 .mov file" in err
    assert "2 of 42 images could not be used: " in err
    assert f"wrote 40 answers and 2 failures to {out}" in err
    assert "42 photos in " in err


def test_lines_of_a_long_run(monkeypatch, capsys):
    tally = Tally(rows=103, failures=Counter({"is empty": 3}))
    now = [1000.0]
    monkeypatch.setattr(_summary.time, "monotonic", lambda: now[0])
    clock = _summary.Clock(tally, before=100)
    for seconds, done in ((30, 1000), (61, 4100), (62, 4200), (121, 8000)):
        now[0] = 1000 + seconds
        clock(done, 19_900)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "4 200 of 20 000, 67 photos a second, 4 min left, 3 failed",
        "8 100 of 20 000, 66 photos a second, 3 min left, 3 failed",
    ]


def test_nothing_is_overwritten_unasked(desk, tmp_path, capsys):
    photo = desk / "photos" / "000.png"
    for name in ("a.csv", "a.jsonl", "a.json", "a.parquet"):
        out = tmp_path / name
        out.write_text("mine")
        code, _, err = run(capsys, "predict", desk / "skill", photo, "--out", out)
        assert (code, out.read_text()) == (2, "mine")
        assert "--resume" in err
        assert "--overwrite" in err
        code, _, err = run(capsys, "predict", desk / "skill", photo, "--out", out, "--resume")
        assert (code, out.read_text()) == (2, "mine")
        assert run(capsys, "predict", desk / "skill", photo, "--out", out, "--overwrite")[0] == 0
        assert b"mine" not in out.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.json", "a.jsonl", "a.parquet"]
    both = ("--overwrite", "--resume", "--out", tmp_path / "b.csv")
    assert run(capsys, "predict", desk / "skill", photo, *both)[0] == 2
    assert run(capsys, "predict", desk / "skill", photo, "--resume")[0] == 2


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize("cut", [0, 1, 20, 300, 1500])
def test_a_run_that_was_cut_anywhere_ends_as_one_that_was_not(desk, tmp_path, capsys, name, cut):
    out = tmp_path / name
    command = ("predict", desk / "skill", desk / "photos", "--out", out)
    run(capsys, *command)
    whole = out.read_bytes()
    out.write_bytes(whole[:cut])
    assert run(capsys, *command)[0] == 2 or cut == 0
    code, _, err = run(capsys, *command, "--resume")
    assert out.read_bytes() == whole
    assert code == 1  # of the whole table, whichever run met the broken photo
    assert "1 of 41 images could not be used" in err
    code, _, err = run(capsys, *command, "--resume")
    assert (code, out.read_bytes()) == (1, whole)


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.xlsx"])
def test_a_file_that_is_made_at_the_end_resumes_from_its_journal(
    desk, tmp_path, capsys, monkeypatch, name
):
    command = ("predict", desk / "skill", desk / "photos", "--out")
    run(capsys, *command, tmp_path / name)
    monkeypatch.setattr(_ask, "BATCH", 16)
    out = tmp_path / f"second-{name}"
    finish = AnswerFile.append
    seen = []

    def stops(self, rows):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(1)
        finish(self, rows)

    monkeypatch.setattr(AnswerFile, "append", stops)
    code, _, err = run(capsys, *command, out)
    journal = out.with_name(out.name + JOURNAL)
    assert code == 130
    assert "stopped; 16 rows are kept in " in err
    assert err.count("stopped") == 1
    assert (out.exists(), len(journal.read_bytes().splitlines())) == (False, 16)
    monkeypatch.setattr(AnswerFile, "append", finish)
    assert run(capsys, *command, out)[0] == 2
    code, _, err = run(capsys, *command, out, "--resume")
    assert (code, journal.exists()) == (1, False)
    assert "25 photos in " in err
    assert "(16 were there already)" in err
    if name == "a.parquet":
        first, second = (pyarrow.parquet.read_table(p) for p in (tmp_path / name, out))
        assert first.equals(second)
    elif name == "a.json":
        assert json.loads(out.read_text()) == json.loads((tmp_path / name).read_text())
    code, _, err = run(capsys, *command, out, "--resume")
    assert code == 2
    assert "is finished" in err


def test_only_the_same_question_is_gone_on_with(desk, tmp_path, capsys):
    out = tmp_path / "a.csv"
    ask = ("predict", desk / "skill", desk / "photos" / "000.png", "--out", out, "--resume")
    assert run(capsys, *ask)[0] == 0
    before = out.read_bytes()
    for other in (("--top-k", 2), ("--unknown", 0.3), ("--excel",), ("--separator", ";")):
        code, _, err = run(capsys, *ask, *other)
        assert code == 2, other
        assert "cannot be resumed" in err
    assert run(capsys, *ask, "--unknown", 0.3, "--overwrite")[0] == 2
    handful.fit(desk / "made" / "train", encoder="tiny", method="tip", shots=2).save(tmp_path / "o")
    code, _, err = run(capsys, "predict", tmp_path / "o", *ask[2:])
    assert code == 2
    assert "with the digest" in err
    assert out.read_bytes() == before
    loud = tmp_path / "b.csv"
    ask = ("predict", desk / "skill", desk / "photos" / "000.png", "--out", loud, "--unknown")
    run(capsys, *ask, 0.3)
    code, _, err = run(capsys, *ask, 0.4, "--resume")
    assert code == 2
    assert "unknown=0.3" in err


def test_new_photos_are_added_and_names_that_repeat_count(tmp_path):
    schema, output = Schema({"s": "0" * 64}), outputs.get("csv")
    path = tmp_path / "a.csv"

    def row(name):
        return schema.row(Prediction(name, [{"label": "x", "score": 1.0}]))

    with AnswerFile(path, output, schema) as file:
        assert [file.takes(n) for n in ("a", "a", "b")] == [True] * 3
        file.append(map(row, ("a", "=b")))
        file.finish()
        with pytest.raises(StorageError, match="by another run"):
            AnswerFile(path, output, schema, resume=True)
    with AnswerFile(path, output, schema, resume=True) as file:
        assert file.tally.labels == {"x": 2}
        assert [file.takes(n) for n in ("a", "a", "=b", "c")] == [False, True, False, True]
        file.append([row("c")])
    assert [r["file"] for r in table(path)] == ["a", "=b", "c"]
    path.write_bytes(path.read_bytes() + b'"' + b"x" * (2 << 20))
    with pytest.raises(InputError, match="bytes are no rows"):
        AnswerFile(path, output, schema, resume=True)
    assert path.stat().st_size > 2 << 20  # nothing was cut


@pytest.mark.slow
@posix
def test_killed_at_any_moment_no_row_is_lost_or_repeated(desk, tmp_path):
    """Two kills at moments drawn by chance; the run goes on as if there had been none."""
    photos = tmp_path / "photos"
    photos.mkdir()
    originals = sorted((desk / "photos").glob("*.png"))
    for i in range(240):  # other bytes each, so that each is encoded
        (photos / f"{i}.png").write_bytes(originals[i % 40].read_bytes() + i.to_bytes(2, "big"))
    code = (
        "import sys; from handful.cli import _ask, main; _ask.BATCH = 8; print(flush=True);"
        "main(sys.argv[1:])"
    )
    out, draw = tmp_path / "a.csv", random.Random(0)
    command = [
        sys.executable, "-c", code, "predict", str(desk / "skill"), str(photos), "--out", str(out),
        "--resume", "--encoder", "tiny",
    ]  # fmt: skip
    env = {**os.environ, "HANDFUL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    sizes = []
    for _ in range(2):
        started = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=2)
        before = out.stat().st_size if out.exists() else 0
        while started.poll() is None and (out.stat().st_size if out.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.1))
        started.send_signal(signal.SIGKILL)
        started.wait()
        sizes.append(out.read_bytes().count(b"\n"))
    assert sizes[0] < 241, "it was done before it was killed"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = table(out)
    names = [r["file"] for r in rows]
    assert names == [str(photos / f"{i}.png") for i in range(240)]
    answers = handful.load(desk / "skill").predict(photos, top_k=1)
    assert [r["label"] for r in rows] == [a.scores[0]["label"] for a in answers]


# ------------------------------------------------------------------- links, pipes, devices


@posix
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet", "a.xlsx"])
def test_a_pipe_stays_a_pipe_and_its_reader_gets_all(desk, tmp_path, capsys, name):
    pipe, got = tmp_path / name, []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    photo = desk / "photos" / "000.png"
    assert run(capsys, "predict", desk / "skill", photo, "--out", pipe)[0] == 0
    reader.join(20)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    plain = tmp_path / "plain" / name
    run(capsys, "predict", desk / "skill", photo, "--out", plain)
    if name != "a.xlsx":  # it states the time
        assert got == [plain.read_bytes()]
    assert got[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "plain"])
    assert run(capsys, "predict", desk / "skill", photo, "--out", pipe, "--resume")[0] == 2


@posix
def test_a_link_stays_a_link_and_its_target_is_written(desk, tmp_path, capsys):
    (tmp_path / "nas").mkdir()
    photo = desk / "photos" / "000.png"
    for name in ("a.csv", "a.json"):
        link = tmp_path / name
        link.symlink_to(Path("nas") / name)
        for again in ([], ["--overwrite"]):  # to nothing yet, then to a file
            assert run(capsys, "predict", desk / "skill", photo, "--out", link, *again)[0] == 0
            assert link.is_symlink()
            assert not (tmp_path / "nas" / name).is_symlink()
            assert b"000.png" in (tmp_path / "nas" / name).read_bytes()
    figure = tmp_path / "f.md"
    figure.symlink_to("nas/f.md")
    report.save("text", figure)
    assert (figure.is_symlink(), (tmp_path / "nas" / "f.md").read_text()) == (True, "text")
    assert sorted(p.name for p in (tmp_path / "nas").iterdir()) == ["a.csv", "a.json", "f.md"]


@posix
def test_a_link_to_standard_output_gives_it_the_answers(desk, tmp_path):
    link, held = tmp_path / "mystdout", tmp_path / "held.csv"
    link.symlink_to("/proc/self/fd/1")
    if not link.exists():
        pytest.skip("no /proc here")
    command = [sys.executable, "-m", "handful.cli", "predict", str(desk / "skill")]
    command += [str(desk / "photos" / "000.png"), "--format", "csv", "--out", str(link)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("file,label,score")
    assert done.stdout.count("\n") == 2
    held.write_text("mine\n")
    with held.open("a") as file:
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert held.read_text() == "mine\n" + done.stdout
    assert link.is_symlink()


@posix
def test_a_device_stays_a_device(desk, tmp_path, capsys):
    null = tmp_path / "mynull.csv"
    try:
        os.mknod(null, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        null.write_bytes(b"")
    except OSError:
        pytest.skip("making a device needs rights")
    assert (
        run(capsys, "predict", desk / "skill", desk / "photos" / "000.png", "--out", null)[0] == 0
    )
    report.save({"a": 1}, null)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["mynull.csv"]


# ------------------------------------------------------------------- lists, columns, folders


def with_exif(source: Path, to: Path) -> None:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Maker", "M 1"
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "2024:05:01 06:07:08"
    exif.get_ifd(IFD.GPSInfo).update(
        {GPS.GPSLatitude: (1.0, 30.0, 0.0), GPS.GPSLatitudeRef: "S"}
        | {GPS.GPSLongitude: (36.0, 0.0, 0.0), GPS.GPSLongitudeRef: "E"}
    )
    Image.open(source).convert("RGB").save(to, exif=exif)


def test_what_the_camera_wrote_and_columns_of_the_table(desk, tmp_path, capsys):
    with_exif(desk / "photos" / "000.png", tmp_path / "a.jpg")
    shutil.copy(desk / "photos" / "001.png", tmp_path / "b.png")
    listed = tmp_path / "list.csv"
    listed.write_text("site,path,night\nnorth,a.jpg,1\nsouth,b.png,2\neast,gone.png,3\n")
    out = tmp_path / "answers.csv"
    command = ("predict", desk / "skill", "--table", listed, "--out", out, "--exif")
    code, _, err = run(capsys, *command, "--keep", "site", "--keep", "night")
    assert code == 1
    assert "gone.png: does not exist" in err
    rows = table(out)
    assert [Path(r["file"]).name for r in rows] == ["a.jpg", "b.png", "gone.png"]
    assert [r["site"] + r["night"] for r in rows] == ["north1", "south2", "east3"]
    assert rows[0]["time"] == "2024-05-01T06:07:08"
    assert rows[0]["camera"] == "Maker M 1"
    assert (rows[0]["latitude"], rows[0]["longitude"]) == ("-1.500000", "36.000000")
    assert rows[1]["time"] == rows[1]["camera"] == rows[1]["latitude"] == ""
    parquet = tmp_path / "answers.parquet"
    run(capsys, *command[:5], parquet, "--exif")
    assert pyarrow.parquet.read_table(parquet).column("latitude").to_pylist() == [-1.5, None, None]
    for wrong in (("--keep", "label"), ("--keep", "nowhere")):
        assert run(capsys, *command, *wrong, "--overwrite")[0] == 2
    assert run(capsys, "predict", desk / "skill", listed, "--table", listed)[0] == 2
    assert run(capsys, "predict", desk / "skill")[0] == 2


def test_names_from_a_text_file_and_from_standard_input(desk, tmp_path, capsys, monkeypatch):
    odd = "line\nfeed é.png" if os.name == "posix" else "é.png"
    for i, name in enumerate(("a.png", odd)):
        shutil.copy(desk / "photos" / f"{i:03d}.png", tmp_path / name)
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.png\r\n\n" + b"b.png\n")
    _, out, _ = run(capsys, "predict", desk / "skill", "--table", tmp_path / "list.txt", "--json")
    rows = json.loads(out)
    assert [Path(r["file"]).name for r in rows] == ["a.png", "b.png"]
    assert [bool(r["error"]) for r in rows] == [False, True]
    monkeypatch.chdir(tmp_path)
    for given, names in ((b"a.png\n", ["a.png"]), (b"a.png\0" + odd.encode() + b"\0", None)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        code, out, _ = run(capsys, "predict", desk / "skill", "-", "--json")
        assert code == 0
        assert [r["file"] for r in json.loads(out)] == (names or ["a.png", odd])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert run(capsys, "predict", desk / "skill", "-")[0] == 2


@pytest.mark.parametrize("option", ["--copy-to", "--link-to"])
def test_photos_are_sorted_by_answer_and_nothing_is_overwritten(desk, tmp_path, capsys, option):
    photos, to = desk / "photos", tmp_path / "sorted"
    answers = handful.load(desk / "skill").predict(photos, top_k=1, unknown=0.3)
    best = {a.name: a.scores[0]["label"] for a in answers if not a.error}
    first = next(name for name in best if name.endswith("000.png"))
    (to / best[first]).mkdir(parents=True)
    (to / best[first] / "000.png").write_bytes(b"mine")
    command = ("predict", desk / "skill", photos, option, to, "--out", tmp_path / "a.csv")
    assert run(capsys, *command)[0] == 1  # for the broken photo
    assert (to / best[first] / "000.png").read_bytes() == b"mine"
    there = {p.relative_to(to).as_posix() for p in to.rglob("*.*")}
    wanted = {f"{label}/{Path(name).name}" for name, label in best.items()}
    assert there == wanted | {f"{best[first]}/000-2.png"}
    copied = to / best[first] / "000-2.png"
    assert copied.read_bytes() == Path(first).read_bytes()
    assert copied.is_symlink() == (option == "--link-to")
    assert run(capsys, *command, "--overwrite")[0] == 1
    assert {p.relative_to(to).as_posix() for p in to.rglob("*.*")} == there
    assert run(capsys, *command[:4], photos / "in", "--overwrite")[0] == 2
    assert not (photos / "in").exists()
    run(capsys, *command[:4], tmp_path / "again", "--unknown", "0.3")
    refused = {Path(a.name).name for a in answers if a.unknown}
    assert {p.name for p in (tmp_path / "again" / "_unknown").glob("*")} == refused != set()


def test_names_of_classes_as_folders():
    names = ["red panda", "cat/dog", "cat\\dog", "cat-dog", "CON", "_unknown", "..", "a.", "", "é"]
    folders = [folder_name(name) for name in names]
    assert len({f.casefold() for f in folders}) == len(names)
    assert folders[0] == "red panda"
    assert folders[-1] == "é"
    for folder in folders:
        assert not set(folder) & set('/\\:*?"<>|')
        assert folder not in ("_unknown", "..", "CON", "")
        assert folder[-1] not in ". "


@posix
def test_a_folder_that_cannot_be_listed_is_a_failure_and_ends_nothing(
    desk, tmp_path, capsys, monkeypatch
):
    (tmp_path / "p" / "shut").mkdir(parents=True)
    shutil.copy(desk / "photos" / "000.png", tmp_path / "p")
    scandir = os.scandir

    def refuses(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    out = tmp_path / "a.csv"
    code, _, err = run(capsys, "predict", desk / "skill", tmp_path / "p", "--out", out)
    rows = table(out)
    assert code == 1
    assert "shut: cannot be listed (Permission denied)" in err
    assert [bool(r["error"]) for r in rows] == [False, True]


def test_what_unknown_costs_is_said_once(desk, capsys, monkeypatch):
    monkeypatch.setattr(novelty, "cost_in_words", lambda manifest, rate: f"costs at {rate}")
    photo = desk / "photos" / "000.png"
    _, _, err = run(capsys, "predict", desk / "skill", photo, "--unknown", "0.3", "--json")
    assert err.count("costs at 0.3") == 1
    assert "costs" not in run(capsys, "predict", desk / "skill", photo)[2]
