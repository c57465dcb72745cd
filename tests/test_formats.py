"""Formats of data and of answers: one file each, also in a plug-in folder."""

from __future__ import annotations

import json
import textwrap

import pytest

from handful import data, plugins
from handful.cli import main
from handful.errors import InputError
from handful.skills import outputs
from handful.skills.fit import fit
from handful.skills.predict import Predictor
from handful.skills.prediction import Prediction

LINES = '''
    """One line an image: `label<tab>path`."""

    from handful.contracts import ImageRef
    from handful.data import Dataset
    from handful.data.formats import Format


    class Lines(Format):
        expected = "a list of images (.lines)"

        def reads(self, path):
            return path.suffix == ".lines"

        def load(self, path):
            rows = [line.split("\\t") for line in path.read_text().splitlines()]
            images = tuple(ImageRef.of(image) for _, image in rows)
            return Dataset(images, tuple(label for label, _ in rows))
'''
BEST = '''
    """The best class of each image, one a line."""

    from handful.skills.outputs import Output


    class Best(Output):
        suffixes = (".best",)

        def write(self, predictions, *, ascii_only=False):
            return "".join(f"{p.scores[0]['label']}\\n" for p in predictions)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for kind, name, code in (("formats", "lines", LINES), ("outputs", "best", BEST)):
        (tmp_path / "plugins" / kind).mkdir(parents=True)
        (tmp_path / "plugins" / kind / f"{name}.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("HANDFUL_PLUGINS", str(tmp_path / "plugins"))
    return tmp_path


def test_a_new_format_is_one_file(folder, photos, capsys):
    images = sorted((photos / "train").glob("*/*.png"))
    source = folder / "photos.lines"
    source.write_text("\n".join(f"{p.parent.name}\t{p}" for p in images))
    assert len(data.load(source)) == len(images)
    fit(source, method="tip").pack.save(folder / "skill")
    chosen = [str(p) for p in sorted((photos / "test").glob("*/*.png"))[:3]]
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(folder / "skill"), *chosen, "--out", str(folder / "answers.best")])
    assert stop.value.code == 0
    capsys.readouterr()
    best = [p.scores[0]["label"] for p in Predictor(folder / "skill").predict(chosen)]
    assert (folder / "answers.best").read_text().split("\n")[:-1] == best


def test_a_path_of_no_format_names_them_all(folder):
    (folder / "a.txt").write_text("no images")
    with pytest.raises(InputError, match=r"is none of the kinds of source; .*\(\.lines\)"):
        data.load(folder / "a.txt")
    with pytest.raises(InputError, match="does not exist; expected a folder with one folder per"):
        data.load(folder / "nothing.lines")


@pytest.mark.parametrize("name", plugins.names("outputs"))
def test_what_every_output_must_do(name):
    output = outputs.get(name)
    assert plugins.name_of("outputs", type(output)) == name
    assert all(suffix.startswith(".") for suffix in output.suffixes)
    answers = [
        Prediction("a.png", [{"label": "é, cat", "score": 0.75}], among=("é, cat", "dog")),
        Prediction("b.png", [], "b.png: is empty"),
        Prediction("c.png", [{"label": "dog", "score": 0.5}], unknown=True, familiar=0.25),
    ]
    text = output.write(answers)
    assert text.endswith("\n")
    assert "a.png" in text
    assert "é, cat" in text
    assert output.write([]).endswith("\n")


def test_json_where_letters_cannot_be_written():
    text = outputs.get("json").write([Prediction("é", [])], ascii_only=True)
    assert text.isascii()
    assert json.loads(text) == [{"file_name": "é", "predictions": []}]
