"""Names with equals signs, in other Unicode forms, and longer than a terminal is wide."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from tests.commands import run

import handful
from handful import data
from handful.cli._options import read_classes
from handful.contracts import class_names
from handful.errors import InputError
from handful.packs import Pack
from handful.skills.edit.add import add
from handful.skills.edit.merge import shared_classes
from handful.skills.edit.remove import remove
from handful.skills.edit.rename import rename

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def plant(top: Path, *names: str, images: int = 3) -> Path:
    for c, name in enumerate(names):
        (top / name).mkdir(parents=True)
        for i in range(images):
            image = Image.new("RGB", (8, 8), (c * 60 % 256, i * 30, len(names)))
            image.save(top / name / f"{i}.png")
    return top


# ---------------------------------------------------------------------------- Unicode's forms


def test_one_class_in_every_form(tmp_path: Path) -> None:
    skill = handful.fit(plant(tmp_path / "p", NFD, "tea", "wine"), encoder="tiny").pack
    assert skill.classes == (NFC, "tea", "wine")
    assert rename(skill, {NFD: "coffee "}).pack.classes == ("coffee", "tea", "wine")
    assert rename(skill, {"tea": f"{NFD}s"}).pack.classes == (NFC, f"{NFC}s", "wine")
    assert remove(skill, drop=[NFD]).pack.classes == ("tea", "wine")
    left = remove(skill, ["1.png"], label=NFD).pack.support
    assert len(left.names) == 8
    other = rename(skill, {"tea": "milk", "wine": "beer"}).pack
    assert shared_classes(skill, other) == {NFC: NFC}


def test_words_and_class_files(tmp_path: Path) -> None:
    photos = plant(tmp_path / "p", NFC, "tea")
    words = {NFD: "a cup of coffee", "tea ": "a cup of tea"}
    assert handful.fit(photos, encoder="tiny", words=words).pack.classes == (NFC, "tea")
    path = tmp_path / "classes.txt"
    path.write_text(f"\ufeff{NFD} = a cup of coffee\n\ntea\u200b\r\na=b\n", encoding="utf-8")
    assert read_classes(path) == {NFC: "a cup of coffee", "tea": "tea", "a=b": "a=b"}
    path.write_text("a\u2028b\ntea\n", encoding="utf-8")  # such a letter ends no line
    with pytest.raises(InputError, match="control character"):
        class_names([*(read_classes(path) or ())])
    with pytest.raises(InputError, match="is there twice"):
        data.clean_words({NFC: "", NFD: ""})
    with pytest.raises(InputError, match="class names repeat"):
        class_names([NFC, NFD])
    assert data.check_classes([NFD, "tea"]) == (NFC, "tea")


def test_photos_of_a_class_in_another_form_are_added_to_it(tmp_path: Path) -> None:
    skill = handful.fit(plant(tmp_path / "p", NFC, "tea"), encoder="tiny").pack
    more = plant(tmp_path / "more", NFD, "x", "y", "z")
    for name in ("x", "y", "z"):
        for path in (more / name).iterdir():
            path.rename(more / NFD / f"{name}{path.name}")
        (more / name).rmdir()
    assert add(skill, more, encoder="tiny").pack.classes == (NFC, "tea")


def test_class_folders_with_spaces_around_their_names(tmp_path: Path) -> None:
    photos = plant(tmp_path, "train/River ", "train/ Forest", "test/River", "test/Forest\u200b")
    assert data.folder(photos).classes == ("Forest", "River")


# ---------------------------------------------------------------------------- equals signs


def test_equals_signs_in_names_and_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = plant(tmp_path / "a=b", "x=1", "x=2", "y")
    skill, other = tmp_path / "s=1", tmp_path / "s=2"
    fit = ["fit", photos, "--encoder", "tiny", f"--out={skill}"]
    assert run(capsys, *fit)[0] == 0
    assert Pack.load(skill).classes == ("x=1", "x=2", "y")
    code, _, err = run(capsys, "rename", skill, "x=1=z=1", "y=new", "--out", other)
    assert code == 0, err
    assert Pack.load(other).classes == ("z=1", "x=2", "new")
    code, _, err = run(capsys, "rename", skill, "q=1=z", "--out", tmp_path / "no")
    assert code == 2
    assert "one has to follow the name of a class, which none does" in err
    code, out, err = run(capsys, "predict", skill, photos / "x=1/0.png", "--format", "csv")
    assert (code, str(photos / "x=1/0.png") in out) == (0, True)
    code, _, err = run(capsys, "remove", skill, "x=1/0.png", "--out", tmp_path / "t")
    assert code == 0, err


def test_equals_signs_of_library_sources(tmp_path: Path) -> None:
    from handful.cli.library import _named_sources

    plant(tmp_path, "a=b/x=1")
    here = str(tmp_path / "a=b")
    assert _named_sources([f"birds={here}"], ["birds"]) == {"birds": here}
    assert _named_sources([here], ["a=b"]) == {"a=b": here}
    assert _named_sources([f"a=b={here}"], ["a", "a=b"]) == {"a=b": here}
    with pytest.raises(InputError, match=f"say whose images these are: NAME={here}"):
        _named_sources([here], ["birds"])


# ---------------------------------------------------------------------------- long names in a pipe


def test_a_long_name_is_never_folded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = plant(tmp_path / ("long " * 40).strip() / "x" / ("and longer" * 15), "cat", "dog")
    skill = tmp_path / "skill"
    assert run(capsys, "fit", photos, "--encoder", "tiny", "--out", skill)[0] == 0
    name = str(photos / "cat/0.png")
    assert len(name) > 350
    code, out, err = run(capsys, "predict", skill, photos)
    assert code == 0, err
    assert name in out
    assert len([line for line in out.splitlines() if ".png" in line]) == 6


def test_a_long_name_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = plant(tmp_path / ("long" * 50), "cat", "dog")
    skill = tmp_path / "skill"
    run(capsys, "fit", photos, "--encoder", "tiny", "--out", skill)
    _, out, _ = run(capsys, "predict", skill, photos, "--format", "csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert str(photos / "dog/2.png") in {row[0] for row in rows}


# ---------------------------------------------------------------------------- results among photos


@pytest.mark.parametrize("command", ["fit", "doctor", "evaluate"])
def test_results_among_the_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    photos = plant(tmp_path / "photos", "cat", "dog")
    skill = tmp_path / "skill"
    assert run(capsys, "fit", photos, "--encoder", "tiny", "--out", skill)[0] == 0
    asked = [photos, "--encoder", "tiny"] if command != "evaluate" else [skill, photos]
    asked += ["--keep-leaks"] if command == "evaluate" else []
    code, _, err = run(capsys, command, *asked, "--out", photos / "result")
    assert code == 0, err
    assert f"warning: {photos / 'result'} lies inside {photos}" in err
    found = data.folder(photos)
    assert found.classes == ("cat", "dog")
    assert found.ignored == {"written by Handful": 1}
    code, _, err = run(capsys, command, *asked, "--out", tmp_path / "elsewhere")
    assert "lies inside" not in err
