"""Tables as spreadsheets, data frames and people write them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from handful.data import MultiLabelDataset, load, multi_label_table, read_source, table
from handful.data.text import case_twins, clean_name, same_name
from handful.errors import InputError

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
NAMES = ("1.png", "2.png", "3.png", "4.png")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for i, name in enumerate(NAMES):
        Image.new("RGB", (2, 2), (i * 50, 0, i)).save(tmp_path / name)
    return tmp_path


def written(place: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (place / name).write_bytes(text.encode(encoding))
    return place / name


def complaint(call: Any, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


# ---------------------------------------------------------------------------- columns


@pytest.mark.parametrize("again", ["label", "Label", "label ", "lab\u200bel"])
def test_two_columns_of_one_name_are_refused(place: Path, again: str) -> None:
    path = written(place, f"path,label,{again}\n1.png,cat,site0\n2.png,dog,site1\n")
    assert "two columns are called label" in complaint(table, path)
    frame = pd.DataFrame([["1.png", "cat", "a"]], columns=["path", "label", again])
    assert "two columns are called label" in complaint(load, frame)


def test_a_key_of_json_that_stands_twice_is_refused(place: Path) -> None:
    line = '{"path": "1.png", "label": "cat", "label": "site0"}\n'
    message = complaint(table, written(place, line, "t.jsonl"))
    assert "line 1 has a column twice" in message


def test_headers_without_what_cannot_be_seen(place: Path) -> None:
    text = f"\ufeffpa\u200bth ,label,,{NFD}\n1.png,cat,,x\n2.png,dog,7,y\n"
    found = table(written(place, text))
    assert found.labels == ("cat", "dog")
    assert found.columns == {NFC: ("x", "y")}


# ---------------------------------------------------------------------------- separators, encodings


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_separator_line_of_spreadsheets(place: Path, first: str, end: str) -> None:
    text = end.join([first, "path;label;a,b,c", "1.png;cat;1", "2.png;dog;2", ""])
    found = table(written(place, text))
    assert (found.labels, found.columns) == (("cat", "dog"), {"a,b,c": ("1", "2")})
    wrong = end.join([first, "path;label", "1.png;cat", "9.png;dog"])
    assert "9.png (line 4)" in complaint(table, written(place, wrong))  # lines keep their numbers


def test_any_stated_separator(place: Path) -> None:
    assert table(written(place, "sep=|\npath|label\n1.png|cat\n")).labels == ("cat",)
    assert table(written(place, "sep=\\t\npath\tlabel\n1.png\tcat\n")).labels == ("cat",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(place: Path, encoding: str) -> None:
    path = written(place, "path\tlabel\n1.png\tB\u00e4r\n", encoding=encoding)
    assert table(path).labels == ("B\u00e4r",)


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
def test_json_lines_end_at_line_feeds_alone(place: Path, letter: str) -> None:
    rows = [
        {"file_name": name, "label": label, "text": f"a{letter}b"}
        for name, label in zip(NAMES, "xyxy", strict=True)
    ]
    # as any writer may: only letters below U+0020 have to be escaped in JSON
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    found = table(written(place, "\r\n".join(lines), "t.jsonl"))
    assert found.labels == ("x", "y", "x", "y")
    lines[3] = lines[3].replace("4.png", "9.png")
    assert "9.png (line 4)" in complaint(table, written(place, "\n".join(lines), "t.jsonl"))


# ---------------------------------------------------------------------------- labels


@pytest.mark.parametrize("text", ["nan", "NaN", "null", "None", "N/A"])
def test_a_label_that_says_there_is_none(place: Path, text: str) -> None:
    message = complaint(table, written(place, f"path,label\n1.png,cat\n2.png,{text}\n"))
    assert f"labels that say there is none (1): '{text}' (line 3)" in message
    assert "take rows without a label out" in message
    message = complaint(multi_label_table, written(place, f"path,labels\n1.png,a\n2.png,{text}\n"))
    assert "labels that say there is none" in message
    frame = pd.DataFrame({"path": NAMES[:2], "label": ["cat", text]})
    frame["path"] = [str(place / name) for name in frame["path"]]
    assert "labels that say there is none" in complaint(load, frame)


def test_none_in_small_letters_is_the_label_of_photos_of_no_class(place: Path) -> None:
    found = table(written(place, "path,label\n1.png,cat\n2.png,none\n"))
    assert found.classes == ("cat", "none")


TWINS = [
    ("cat", "ca\u200bt"),  # zero-width space
    ("cat", "cat\ufeff"),
    ("cat", "c\u00adat"),  # soft hyphen
    ("cat", "\u200ecat\u200d"),
    (NFC, NFD),
    ("cat", " cat\u00a0"),
    ("house cat", "house\u00a0cat"),
    ("1", "1.0"),
    ("-3", "-3.00"),
]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_labels_that_look_the_same_are_one(place: Path, one: str, other: str) -> None:
    path = written(place, f"path,label\n1.png,{one}\n2.png,{other}\n3.png,dog\n")
    assert table(path).labels == (one, one, "dog")
    path = written(place, f"path,labels\n1.png,{one}|x\n2.png,{other}\n")
    assert set(multi_label_table(path).classes) == {one, "x"}


@pytest.mark.parametrize("name", ["2.0", "نمی\u200cشود", "👩\u200d🌾", "a b"])
def test_letters_that_mean_something_stay(place: Path, name: str) -> None:
    assert table(written(place, f"path,label\n1.png,{name}\n2.png,dog\n")).labels[0] == name


def test_labels_that_differ_by_case_are_refused_by_both_names(place: Path) -> None:
    message = complaint(table, written(place, "path,label\n1.png,Cat\n2.png,dog\n3.png,cat \n"))
    assert "differ in upper and lower case alone (1): 'Cat' (line 2) and 'cat' (line 4)" in message


def test_names(place: Path) -> None:
    assert clean_name(clean_name(NFD)) == NFC
    assert same_name(NFD, ["tea", NFC]) == NFC
    assert same_name(NFC, [NFD]) == NFD  # a skill's own name, as it was written
    assert same_name(" new ", ["tea"]) == "new"
    assert case_twins(["a", "B", "A", "b", "a"]) == [("a", "A"), ("B", "b")]


# ---------------------------------------------------------------------------- several labels


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a|b", "a"),
        ("a ; b", "a"),
        ("\"['a', 'b']\"", "['a']"),
        ('"[""a"", ""b""]"', '"[""a""]"'),
        ("\"('a', 'b')\"", "\"('a',)\""),
        ("\"{'a', 'b'}\"", "{'a'}"),
    ],
)
def test_ways_of_writing_several_labels(place: Path, first: str, second: str) -> None:
    path = written(place, f"path,labels\n1.png,{first}\n2.png,{second}\n3.png,[]\n4.png,\n")
    if "|" in first or ";" in first:
        path = written(place, f"path,labels\n1.png,{first}\n2.png,{second}\n3.png,\n4.png,\n")
    found = multi_label_table(path)
    assert found.classes == ("a", "b")
    assert found.labels == (("a", "b"), ("a",), (), ())


def test_lists_of_a_data_frame_and_of_its_csv_are_the_same(place: Path) -> None:
    frame = pd.DataFrame({"path": NAMES, "labels": [["Forest", "Road"], ["River"], [], ["Road"]]})
    frame.to_csv(place / "t.csv", index=False)
    found = multi_label_table(place / "t.csv")
    assert found.classes == ("Forest", "River", "Road")
    in_memory = multi_label_table(read_source(frame, root=place))  # type: ignore[arg-type]
    assert isinstance(in_memory, MultiLabelDataset)
    assert in_memory.labels == found.labels


def test_commas_between_labels_are_refused(place: Path) -> None:
    text = 'path,labels\n1.png,"Forest, Road"\n2.png,Forest\n3.png,River\n4.png,"River, Road"\n'
    message = complaint(multi_label_table, written(place, text))
    assert "'Forest, Road' seem to be several" in message
    assert "put | or ; between" in message
    alone = 'path,labels\n1.png,"dog, small"\n2.png,cat\n'
    assert multi_label_table(written(place, alone)).classes == ("cat", "dog, small")
    lists = 'path,labels\n1.png,"[""dog, small""]"\n2.png,"[""dog""]"\n'
    assert multi_label_table(written(place, lists)).classes == ("dog", "dog, small")


@pytest.mark.parametrize("cell", ["['a' 'b']", '"[a, b]"', '"[None, 1.5]"'])
def test_what_looks_like_a_list_and_is_none(place: Path, cell: str) -> None:
    message = complaint(multi_label_table, written(place, f"path,labels\n1.png,{cell}\n2.png,c\n"))
    assert "cells that are no list of names in quotes (1)" in message


def test_several_labels_where_one_is_expected(place: Path) -> None:
    message = complaint(table, written(place, "path,label\n1.png,\"['a', 'b']\"\n2.png,a\n"))
    assert """lists of labels (1): "['a', 'b']" (line 2)""" in message
    assert "--multi-label" in message
    assert table(written(place, "path,label\n1.png,['a']\n2.png,b\n")).labels == ("a", "b")


# ---------------------------------------------------------------------------- paths


@pytest.mark.parametrize(("disk", "cell"), [(NFD, NFC), (NFC, NFD)])
def test_unicode_forms_of_paths(place: Path, disk: str, cell: str) -> None:
    (place / disk / "in").mkdir(parents=True)
    for i in range(2):
        Image.new("RGB", (2, 2), (i, 9, 9)).save(place / disk / "in" / f"{disk}{i}.png")
    found = table(
        written(place, f"path,label\n{cell}/in/{cell}0.png,a\n{cell}\\in\\{cell}1.png,b\n")
    )
    assert [image.path.name for image in found.images if image.path] == [
        f"{disk}0.png",
        f"{disk}1.png",
    ]
    assert "missing files (1)" in complaint(
        table, written(place, f"path,label\n{cell}/in/none{cell}.png,a\n")
    )


def test_a_path_of_the_user_s_home(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    (place / "tables").mkdir()
    found = table(written(place / "tables", "path,label\n~/1.png,a\n~/2.png,b\n"))
    assert [image.path for image in found.images] == [place / "1.png", place / "2.png"]


def test_a_photo_listed_again_counts_once_and_is_told(place: Path) -> None:
    text = "path,label\n1.png,cat\n2.png,dog\n./1.png,cat\n1.png,cat \n"
    found = table(written(place, text))
    assert found.labels == ("cat", "dog")
    assert found.ignored == {"listed again": 2}
    message = complaint(table, written(place, text + "1.png,dog\n"))
    assert "images listed twice (1)" in message
    assert "(line 2 and line 6)" in message
    marks = written(place, "path,cat,dog\n1.png,1,0\n1.png,1,0\n2.png,0,1\n")
    assert multi_label_table(marks).ignored == {"listed again": 1}


# ---------------------------------------------------------------------------- further columns


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "frame"])
@pytest.mark.parametrize("several", [False, True])
def test_further_columns_are_kept(place: Path, name: str, several: bool) -> None:
    frame = pd.DataFrame(
        {
            "path": [str(place / each) for each in NAMES],
            "labels" if several else "label": ["a", "b", "a", "b"],
            "group": ["g1", "g2", "g3", "g4"],
            "site": ["north", "south", None, "north"],
            "year": [2023, 2024, 2024, 2025],
        }
    )
    path: Any = place / name
    if name == "t.csv":
        frame.to_csv(path, index=False)
    elif name == "t.jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif name == "t.parquet":
        frame.to_parquet(path)
    source: Any = read_source(frame) if name == "frame" else path
    found = multi_label_table(source) if several else table(source)
    assert found.columns == {
        "site": ("north", "south", "", "north"),
        "year": ("2023", "2024", "2024", "2025"),
    }
    assert found.groups == ("g1", "g2", "g3", "g4")


@pytest.mark.parametrize(
    "header", ["filePath,scientificName", "photo,species", "image_path,Species", "file,label"]
)
def test_tables_of_the_field(place: Path, header: str) -> None:
    found = table(written(place, f"{header}\n1.png,Vulpes vulpes\n2.png,Sus scrofa\n"))
    assert found.labels == ("Vulpes vulpes", "Sus scrofa")


def test_a_class_of_taxonomy_is_not_taken_for_the_label(place: Path) -> None:
    text = "path,class,species\n1.png,Mammalia,fox\n2.png,Mammalia,boar\n"
    assert "the columns class and species may both be the label; rename" in complaint(
        table, written(place, text)
    )
    found = table(written(place, text.replace("species", "label")))
    assert found.labels == ("fox", "boar")
    found = table(written(place, "path,label,species\n1.png,x,fox\n2.png,y,boar\n"))
    assert found.labels == ("x", "y")


@pytest.mark.parametrize("last", ["2.png,dog\n", '2.png,"dog"\n', "2.png,dog\n" * 20_000])
def test_a_quote_that_is_not_closed_is_named_with_its_line(place: Path, last: str) -> None:
    path = written(place, f'path,label\n1.png,cat\n"1.png,cat\n{last}')
    message = complaint(table, path)
    assert message.startswith(f'{path}: line 3: a quote (") is opened here and not closed')
    assert "\n" not in message
