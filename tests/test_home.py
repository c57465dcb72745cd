"""`~` is the user's own folder wherever a person gives a path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from tests.commands import run

import handful
from handful import data
from handful.cli._paths import expand_home
from handful.contracts import ImageRef, at_home
from handful.features.store.database import default_folder
from handful.library import is_library
from handful.packs import Pack
from handful.skills.locate import locate_images


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with photos, and another folder to work in."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "ada"))
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "ada/photos" / name).mkdir(parents=True)
        for i in range(3):
            image = Image.new("RGB", (8, 8), (c * 200, i * 40, 0))
            image.save(tmp_path / "ada/photos" / name / f"{i}.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "ada"


def test_arguments_of_the_command_line(home: Path) -> None:
    asked = ["fit", "~/photos", "--out=~/skill", "cats=~/photos/cat", "~", "--class", "~x", "a~/b"]
    assert expand_home(asked) == [
        *("fit", f"{home}/photos", f"--out={home}/skill", f"cats={home}/photos/cat", f"{home}"),
        *("--class", "~x", "a~/b"),
    ]
    assert expand_home(["~nobody-of-this-name/x", "--tune=a=~/x"]) == [
        "~nobody-of-this-name/x",
        "--tune=a=~/x",
    ]


def test_commands(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "fit", "~/photos", "--encoder", "tiny", "--out=~/skill")
    assert code == 0, out + err
    assert (home / "skill/pack.json").is_file()
    code, out, err = run(
        capsys, "predict", "~/skill", "~/photos/cat", "--format=csv", "--out=~/answers.csv"
    )
    assert code == 0, out + err
    assert (home / "answers.csv").is_file()
    assert os.listdir(home.parent / "work") == []  # noqa: PTH208  # no folder called ~


def test_functions_of_python(home: Path) -> None:
    fitted = handful.fit("~/photos", encoder="tiny")
    fitted.save("~/skill")
    assert Pack.load("~/skill").classes == ("cat", "dog")
    assert len(data.find_images("~/photos")) == 6
    assert len(list(data.images_of("~/photos/cat"))) == 3
    assert data.folder("~/photos").classes == ("cat", "dog")
    assert ImageRef.of("~/photos/cat/0.png").path == home / "photos/cat/0.png"
    pairs = [("photos/cat/0.png", "cat"), ("photos/dog/0.png", "dog")]
    assert handful.fit(pairs, encoder="tiny", root="~").pack.classes == ("cat", "dog")
    (home / "t.csv").write_text("path,label\nphotos/cat/0.png,cat\nphotos/dog/0.png,dog\n")
    assert data.table("~/t.csv").labels == data.load("~/t.csv").labels == ("cat", "dog")
    assert len(locate_images(Path("~/photos"), fitted.pack.support.ids, ())) == 6
    (home / "library.json").write_text("{}")
    assert is_library("~")
    answers = handful.Predictor("~/skill").predict("~/photos/dog")
    assert len(answers) == 3


def test_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDFUL_HOME", "~/cache")
    assert default_folder() == home / "cache"


def test_nobody_s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    assert at_home("a/~/b") == Path("a/~/b")
