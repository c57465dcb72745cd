"""Formats of data and of answers: one file each, also in a plug-in folder."""

from __future__ import annotations

import csv
import io
import json
import textwrap
import zipfile
from xml.etree import ElementTree

import pyarrow.parquet
import pytest

import handful
from handful import data, plugins
from handful.cli import main
from handful.errors import InputError
from handful.skills import outputs
from handful.skills.answer_table import Schema
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

    from handful.skills.outputs import TextOutput


    class Best(TextOutput):
        suffixes = (".best",)

        def chunks(self, rows, schema, *, ascii_only=False):
            return (f"{row['predictions'][0]['label']}\\n" for row in rows)
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


ANSWERS = [
    Prediction("a.png", [{"label": "é, cat", "score": 0.75}], None, False, 0.01, ("é, cat", "dog")),
    Prediction("b.png", [], "b.png: is empty"),
    Prediction("c|\n.png", [{"label": "unknown", "score": 0.5}], None, True, 0.25, ()),
]
SCHEMA = Schema({"birds": "0123456789abcdef"}, top_k=1, unknown=0.05, error=0.1)
ROWS = [SCHEMA.row(answer) for answer in ANSWERS]


def written(output: outputs.Output, rows=ROWS, schema=SCHEMA) -> bytes:
    file = io.BytesIO()
    output.write(rows, schema, file)
    return file.getvalue()


@pytest.mark.parametrize("name", plugins.names("outputs"))
def test_what_every_output_must_do(name):
    output = outputs.get(name)
    assert plugins.name_of("outputs", type(output)) == name
    assert all(suffix.startswith(".") for suffix in output.suffixes)
    output.check()
    once = written(output)
    assert len(once) > len(written(output, [])) or name == "jsonl"
    if isinstance(output, outputs.TextOutput):
        assert "".join(output.chunks(ROWS, SCHEMA)).encode() == once
        assert once.endswith(b"\n")
    if isinstance(output, outputs.LineOutput):
        whole = [r for r in output.records(io.BytesIO(once), SCHEMA) if r[1]]
        assert [row["file"] for _, row in whole] == [output.spelled(a.name) for a in ANSWERS]
        assert [row["error"] for _, row in whole] == [None, "is empty", None]
        assert [bool(row["unknown"]) for _, row in whole] == [False, False, True]
        assert [[p["label"] for p in row["predictions"]] for _, row in whole] == [
            ["é, cat"], [], ["unknown"],
        ]  # fmt: skip
        for size in range(len(once)):  # cut anywhere: only whole records count, none is wrong
            kept = [r for r in output.records(io.BytesIO(once[:size]), SCHEMA) if r[1]]
            assert kept == whole[: len(kept)]
            assert all(end <= size for end, _ in kept)


def test_the_table_says_one_thing_under_one_name():
    flat = [dict(zip(SCHEMA.columns, SCHEMA.cells(row), strict=True)) for row in ROWS]
    table = list(csv.DictReader(io.StringIO(written(outputs.get("csv")).decode(), newline="")))
    assert [row["unknown"] for row in table] == ["no", "", "yes"]
    # a class of this name is no refusal, and the refusal keeps its best class
    assert [row["label"] for row in table] == ["é, cat", "", "unknown"]
    assert [row["may_be"] for row in table] == ["é, cat|dog", "", ""]
    assert table[0]["score"] == "0.750000"
    assert table[0]["digest"] == "0123456789ab"
    assert table[0]["handful"] == handful.__version__
    assert table[0]["options"] == "top_k=1 unknown=0.05 error=0.1"
    objects = json.loads(written(outputs.get("json")))
    lines = written(outputs.get("jsonl")).decode().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == objects == ROWS
    assert {*objects[0]} - {"predictions"} == {*SCHEMA.columns} - {"label", "score"}
    found = pyarrow.parquet.read_table(io.BytesIO(written(outputs.get("parquet")))).to_pylist()
    assert found == flat


def test_a_workbook_holds_the_same_and_runs_no_formula():
    names = ["=cmd|' /C calc'!A0", "https://example.org/a.jpg", "0012", "+1", "a" * 40_000]
    rows = [SCHEMA.row(Prediction(name, [{"label": "=1+1", "score": 0.5}])) for name in names]
    with zipfile.ZipFile(io.BytesIO(written(outputs.get("xlsx"), rows))) as book:
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(sheet.iter(f"{space}f"))
    assert not list(sheet.iter(f"{space}hyperlink"))
    cells = [[*row] for row in sheet.iter(f"{space}row")]
    texts = ["".join(c.itertext()) for c in (row[0] for row in cells)]
    assert texts == ["file", *(name[:32_767] for name in names)]
    assert float("".join(cells[1][2].itertext())) == 0.5


def test_csv_for_spreadsheets():
    names = ["=cmd|' /C calc'!A0", "+1.jpg", "-2.jpg", "@a.jpg", "\t=1", "'b.jpg", "c.jpg"]
    rows = [SCHEMA.row(Prediction(name, [{"label": "-x", "score": 0.5}])) for name in names]
    excel = outputs.get("csv", excel=True, separator=";")
    text = written(excel, rows)
    assert text.startswith(b"\xef\xbb\xbffile;label;")
    table = csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=""), delimiter=";")
    cells = list(table)[1:]
    assert [row[0] for row in cells] == ["'" + n for n in names[:5]] + names[5:]
    assert {row[1] for row in cells} == {"'-x"}
    kept = [row["file"] for _, row in excel.records(io.BytesIO(text), SCHEMA) if row]
    assert kept == [excel.spelled(name) for name in names]
    plain = written(outputs.get("csv"), rows).decode()  # a program that reads it wants the names
    assert [row[0] for row in csv.reader(io.StringIO(plain, newline=""))][1:] == names
    for wrong in ("", ";;", '"', "\n"):
        with pytest.raises(InputError, match="one letter between cells"):
            outputs.get("csv", separator=wrong)


def test_several_labels_and_further_columns():
    schema = Schema({"s": ""}, several=True, exif=("time", "latitude"), carried=("site_2",))
    two = [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.8}]
    rows = [
        schema.row(Prediction("a", two), {"time": "2024-05-01T06:00:00", "latitude": -1.5}),
        schema.row(Prediction("b", []), {"site_2": "north"}),
    ]
    table = list(csv.DictReader(io.StringIO(written(outputs.get("csv"), rows, schema).decode())))
    assert [row["labels"] for row in table] == ["cat|dog", ""]
    assert table[0]["scores"] == "0.900000|0.800000"
    assert (table[0]["latitude"], table[1]["site_2"]) == ("-1.500000", "north")
    found = pyarrow.parquet.read_table(io.BytesIO(written(outputs.get("parquet"), rows, schema)))
    assert found.column("latitude").to_pylist() == [-1.5, None]
    top = Schema({"s": ""}, top_k=3)
    assert top.columns[:7] == ("file", "label", "score", "label_2", "score_2", "label_3", "score_3")
    assert top.cells(top.row(Prediction("a", two)))[1:7] == ["cat", 0.9, "dog", 0.8, None, None]


def test_json_where_letters_cannot_be_written():
    row = Schema({"": ""}).row(Prediction("é", []))
    for name in ("json", "jsonl"):
        text = "".join(outputs.get(name).chunks([row], Schema(), ascii_only=True))
        assert text.isascii()
        assert (json.loads(text) if name == "jsonl" else json.loads(text)[0]) == row
    torn = "half \udce9.jpg"  # a name that is not Unicode
    row = Schema().row(Prediction(torn, []))
    assert json.loads(written(outputs.get("jsonl"), [row]))["file"] == torn
    assert b"half \\udce9.jpg" in written(outputs.get("csv"), [row], Schema())
