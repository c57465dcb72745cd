"""Folders, tables and split files become one kind of data set, or say what is wrong with them."""

from __future__ import annotations

import builtins
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful import data
from handful.contracts import ImageRef
from handful.data import Dataset, coop, find_images, folder, load, table
from handful.errors import InputError, MissingExtraError

parquet = pytest.importorskip("pyarrow.parquet")
arrow = pytest.importorskip("pyarrow")


def plant(top: Path, *names: str) -> Path:
    """Small real images, each another colour, under these names."""
    for i, name in enumerate(names):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (2, 2), (i * 7 % 256, len(name), i))
        image.save(path, format="PNG")
    return top


def where(dataset: Dataset, top: Path) -> list[str]:
    return [Path(i.name).relative_to(top).as_posix() for i in dataset.images]


def complaint(call: Any, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


# ---------------------------------------------------------------------------- a folder per class


def test_a_folder_per_class(tmp_path: Path) -> None:
    plant(tmp_path, "dog/10.png", "dog/9.png", "dog/more/1.jpg", "cat/b.JPEG", "cat/a.webp")
    found = folder(tmp_path)
    assert where(found, tmp_path) == [
        *("cat/a.webp", "cat/b.JPEG"),
        *("dog/9.png", "dog/10.png", "dog/more/1.jpg"),
    ]
    assert found.labels == ("cat", "cat", "dog", "dog", "dog")
    assert (found.classes, set(found.splits), set(found.groups)) == (("cat", "dog"), {""}, {""})
    assert found.counts == {"cat": 2, "dog": 3}


def test_what_is_no_image_is_passed_over_and_counted(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "a/.hidden.png", "a/.cache/2.png", "b/1.png", "__MACOSX/a/1.png")
    plant(tmp_path, "loose.png", "b/x.heic", "b/notes.TXT", "b/README", ".DS_Store")
    found = folder(tmp_path)
    assert found.labels == ("a", "b")
    assert found.ignored == {
        "hidden": 3,
        "system or trash": 1,
        ".heic": 1,
        ".txt": 1,
        "no extension": 1,
        "outside the class folders": 1,
    }
    assert found.subset([0]).ignored == found.ignored


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_splits_above_the_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    train, val, test = names
    plant(tmp_path, f"{train}/a/1.png", f"{train}/b/1.png", f"{val}/a/2.png", f"{test}/c/3.png")
    found = folder(tmp_path)
    assert found.splits == ("train", "train", "val", "test")
    assert found.classes == ("a", "b", "c")
    assert where(found.split("validation"), tmp_path) == [f"{val}/a/2.png"]
    assert found.split("test").classes == ("a", "b", "c")


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.png", "train/a/2.png", "test/a/3.png")
    message = complaint(folder(tmp_path).split, "val")
    assert message == "no images in the split 'val'; the splits are: train (2), test (1)"


def test_classes_may_be_called_like_splits(tmp_path: Path) -> None:
    plant(tmp_path, "train/1.png", "bus/1.png", "test/1.png")
    assert folder(tmp_path).classes == ("bus", "test", "train")


def test_splits_without_classes_are_no_classes(tmp_path: Path) -> None:
    plant(tmp_path, "train/1.png", "Val/2.png")
    message = complaint(folder, tmp_path)
    assert "splits are no classes" in message
    assert "Val/<class>/" in message


def test_splits_beside_other_folders_are_not_guessed_at(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.png", "test/a/1.png", "extra/1.png")
    assert "holds the splits" in complaint(folder, tmp_path)
    assert "and other folders (extra)" in complaint(folder, tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    plant(tmp_path, "cat/1.png", "dog/1.heic", "dog/2.heic", "dog/x.txt")
    message = complaint(folder, tmp_path)
    assert "class 'dog' has no images (passed over: 2 x .heic, 1 x .txt)" in message
    assert str(tmp_path / "dog") in message


def test_images_without_a_class_are_diagnosed(tmp_path: Path) -> None:
    plant(tmp_path / "flat", "1.png", "2.png")
    message = complaint(folder, tmp_path / "flat")
    assert "2 images lie in this folder without a class" in message
    assert "flat/<class>/" in message


def test_no_images_and_no_folder(tmp_path: Path) -> None:
    assert "has no images; expected one folder per class" in complaint(folder, tmp_path)
    assert "is not a folder" in complaint(folder, tmp_path / "none")


def test_links_are_followed_but_never_round_in_circles(tmp_path: Path) -> None:
    plant(tmp_path / "far", "1.png", "deep/2.png")
    plant(tmp_path / "set", "a/1.png", "b/1.png")
    (tmp_path / "set/a/far").symlink_to(tmp_path / "far")
    (tmp_path / "set/a/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/a/self").symlink_to(tmp_path / "set/a")
    (tmp_path / "set/a/snake").symlink_to(tmp_path / "set/a/snake")
    (tmp_path / "far/back").symlink_to(tmp_path / "far")
    found = folder(tmp_path / "set")
    assert found.counts == {"a": 3, "b": 1}


def test_a_broken_link_is_kept_for_the_report(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a/gone.png").symlink_to(tmp_path / "nothing")
    assert folder(tmp_path).counts == {"a": 2, "b": 1}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b").chmod(0)
    try:
        assert "cannot be listed (Permission denied)" in complaint(folder, tmp_path)
    finally:
        (tmp_path / "b").chmod(0o700)


def test_a_name_written_in_two_ways_is_one_class(tmp_path: Path) -> None:
    plant(tmp_path, unicodedata.normalize("NFD", "train/café/1.png"), "train/tea/1.png")
    plant(tmp_path, unicodedata.normalize("NFC", "test/café/1.png"))
    assert folder(tmp_path).classes == (unicodedata.normalize("NFC", "café"), "tea")


def test_class_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    plant(tmp_path, "Cat/1.png", "cat/1.png")
    assert "class names repeat: 'Cat' and 'cat'" in complaint(folder, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b/1.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/b/\xe9.png"))
    found = folder(tmp_path)
    assert found.images[1].name.endswith("/b/\\xe9.png")
    assert found.images[1].content()
    (tmp_path / "b").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    assert "is not UTF-8; rename it" in complaint(folder, tmp_path)


# ---------------------------------------------------------------------------- images to predict


def test_find_takes_files_and_folders_in_the_order_given(tmp_path: Path) -> None:
    plant(tmp_path, "z.png", "f/10.png", "f/9.png", "f/sub/1.png", "f/x.txt", "odd.dat")
    asked = [tmp_path / "z.png", str(tmp_path / "f"), tmp_path / "odd.dat", tmp_path / "f/9.png"]
    names = [Path(i.name).relative_to(tmp_path).as_posix() for i in find_images(asked)]
    assert names == ["z.png", "f/9.png", "f/10.png", "f/sub/1.png", "odd.dat"]


def test_find_tells_what_it_passed_over_and_takes_every_photo(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "2.HEIC", "3.CR2", "a.mov", "b.mov", "noext", ".hidden.png")
    found = find_images(tmp_path)
    assert [Path(i.name).name for i in found] == ["1.png", "2.HEIC", "3.CR2"]
    assert found.ignored == {".mov": 2, "no extension": 1, "hidden": 1}


def test_find_leaves_a_missing_file_to_the_report(tmp_path: Path) -> None:
    plant(tmp_path, "1.png")
    assert len(find_images([tmp_path / "1.png", tmp_path / "2.png"])) == 2
    assert "none.png: does not exist" in complaint(find_images, [tmp_path / "none.png"])
    assert "none: does not exist" in complaint(find_images, str(tmp_path / "none"))


def test_find_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "f/x.txt")
    assert "the folder has no images (passed over: 1 x .txt)" in complaint(
        find_images, tmp_path / "f"
    )
    assert "no images given" in complaint(find_images, [])


# ---------------------------------------------------------------------------- tables

ROWS = [
    {"path": "i/1.png", "label": "cat", "split": "train", "group": "g1"},
    {"path": "i/2.png", "label": "dog, small", "split": "validation", "group": ""},
    {"path": "i/3.png", "label": "cat", "split": "Test", "group": "g2"},
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return plant(tmp_path, "i/1.png", "i/2.png", "i/3.png")


def written(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(r) for r in rows) + "\n", encoding="utf-8")
    else:
        cells = [list(rows[0]), *(list(r.values()) for r in rows)]
        quoted = [[f'"{c}"' if delimiter in str(c) else str(c) for c in r] for r in cells]
        text = "\r\n".join(delimiter.join(r) for r in quoted)
        path.write_text("\ufeff" + text + "\r\n\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [
        ("t.csv", ","),
        ("t.csv", ";"),
        ("t.tsv", "\t"),
        ("t.csv", "\t"),
        ("t.jsonl", ""),
        ("t.parquet", ""),
    ],
)
def test_a_table_of_images(images: Path, name: str, delimiter: str) -> None:
    found = table(written(images / name, ROWS, delimiter))
    assert where(found, images) == ["i/1.png", "i/2.png", "i/3.png"]
    assert found.labels == ("cat", "dog, small", "cat")
    assert found.splits == ("train", "val", "test")
    assert found.groups == ("g1", "", "g2")
    assert found.classes == ("cat", "dog, small")


@pytest.mark.parametrize("path", ["file_name", "filename", "Image", " PATH "])
@pytest.mark.parametrize("label", ["class", "Category", "label"])
def test_columns_by_their_usual_names(images: Path, path: str, label: str) -> None:
    rows = [{"note": "a;b;c;d;e;f", label: 3, path: "i/1.png"}]
    found = table(written(images / "t.csv", rows))
    assert (where(found, images), found.labels, found.splits) == (["i/1.png"], ("3",), ("",))


def test_paths_may_lead_anywhere(images: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    far = plant(tmp_path_factory.mktemp("far"), "4.png")
    (images / "t").mkdir()
    rows = [
        {"path": str(far / "4.png"), "label": "a"},
        {"path": "../i/1.png", "label": "b"},
        {"path": "..\\i\\2.png", "label": "b"},
    ]
    assert len(table(written(images / "t/t.csv", rows))) == 3


def test_everything_wrong_with_a_table_is_said_at_once(images: Path) -> None:
    rows = [
        *(dict(ROWS[0], path=f"i/none{i}.png") for i in range(7)),
        ROWS[0],
        dict(ROWS[1], label=" "),
        dict(ROWS[0], label="dog"),
        dict(ROWS[0], path=""),
        dict(ROWS[0], path="i"),
        dict(ROWS[2], split=""),
    ]
    message = complaint(table, written(images / "t.csv", rows))
    for part in [
        f"{images / 't.csv'}: 13 rows, with ",
        "missing files (7): i/none0.png (line 2), ",
        "i/none4.png (line 6) and 2 more",
        f"relative paths start at {images}",
        "empty labels (1): line 10",
        f"images listed twice (1): {images / 'i/1.png'} (line 9 and line 11)",
        "empty paths (1): line 12",
        "things that are no files (1): i (line 13)",
        "empty splits, where other rows state one (1): line 14",
    ]:
        assert part in message, part


def test_splits_nobody_knows_are_named(images: Path) -> None:
    rows = [ROWS[0], dict(ROWS[1], split="training "), dict(ROWS[2], split="tset")]
    message = complaint(table, written(images / "t.csv", rows))
    assert "unknown splits, expected train, val or test (1): 'tset' (line 4)" in message


def test_gaps_in_a_parquet_table_are_empty_cells(images: Path) -> None:
    rows = [{"path": "i/1.png", "label": 1.5}, {"path": "i/2.png", "label": float("nan")}]
    rows.append({"path": None, "label": None})
    message = complaint(table, written(images / "t.parquet", rows))
    assert "empty labels (2): row 2, row 3; empty paths (1): row 3" in message


def test_a_group_in_two_splits_is_found(images: Path) -> None:
    rows = [dict(ROWS[0], group="camera 3"), dict(ROWS[2], group="camera 3")]
    message = complaint(table, written(images / "t.csv", rows))
    assert "groups in more than one split (1): camera 3; a group belongs" in message
    assert "t.csv: " in message


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("name,label\nx,y\n", "has no column for the path; expected one named path, file_name, "),
        ("name,label\nx,y\n", "got name, label"),
        (
            "path;kind\ni/1.png;y\n",
            "has no column for the label; expected one named label, class, category, class_name",
        ),
        ("path,label\n", "has no rows; expected one an image"),
        ("", "has no rows; expected one an image"),
        ("path,label\ni/1.png,a,b,c\n", "line 2 has 4 cells for 2 columns; put quotes"),
        ("path,label\ni/1.png\n", "empty labels (1): line 2"),
    ],
)
def test_tables_that_are_none(images: Path, text: str, cause: str) -> None:
    (images / "t.csv").write_text(text)
    assert cause in complaint(table, images / "t.csv")


def test_tables_that_cannot_be_parsed(images: Path) -> None:
    (images / "t.csv").write_bytes("path,label\ni/1.png,Bär\n".encode("latin-1"))
    assert "is not UTF-8 text (byte 20); save it as 'CSV UTF-8'" in complaint(
        table, images / "t.csv"
    )
    (images / "t.jsonl").write_text('{"path": "i/1.png", "label": "a"}\n{oops\n')
    assert "line 2 is not JSON" in complaint(table, images / "t.jsonl")
    (images / "t.jsonl").write_text("[1, 2]\n")
    assert "line 1: expected an object, got [1, 2]" in complaint(table, images / "t.jsonl")
    (images / "t.parquet").write_text("path,label")
    assert "is not a sound Parquet file" in complaint(table, images / "t.parquet")
    (images / "t.xlsx").write_text("")
    assert "expected a table that ends in .csv, .tsv" in complaint(table, images / "t.xlsx")
    assert "is not a file" in complaint(table, images / "none.csv")


def test_a_parquet_table_without_the_library(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(images / "t.parquet", ROWS)
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[parquet\]'"):
        table(path)


def test_hugging_face_s_parquet_with_images_and_class_names(tmp_path: Path) -> None:
    plant(tmp_path, "1.png", "2.png")
    images = [{"bytes": (tmp_path / f"{i}.png").read_bytes(), "path": f"{i}.png"} for i in (1, 2)]
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    made = arrow.table({"image": images, "label": [1, 0]})
    made = made.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(made, tmp_path / "train.parquet")
    found = table(tmp_path / "train.parquet")
    assert found.labels == ("dog", "cat")
    assert found.images[0].name.endswith("train.parquet, row 1 1.png")
    assert data.decode(found.images[0]).size == (2, 2)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_a_hostile_table_raises_an_input_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile{suffix}"
    for start in (b"", b"path,label\n", b'{"path": "', b"PAR1"):
        path.write_bytes(start + content)
        with pytest.raises(InputError):
            table(path)


# ---------------------------------------------------------------------------- CoOp's split files

SPLIT = {
    "train": [["cats/1.png", 1, "cat"], ["dogs/1.png", 0, "dog"]],
    "val": [["cats/2.png", 1, "cat"]],
    "test": [["dogs/2.png", 0, "dog"]],
}


@pytest.mark.parametrize("base", ["", "images", "jpg", "2750", "101_ObjectCategories", "SUN397"])
def test_coop_s_splits(tmp_path: Path, base: str) -> None:
    plant(tmp_path / base, *(row[0] for rows in SPLIT.values() for row in rows))
    path = tmp_path / "split_zhou_Pets.json"
    path.write_text(json.dumps(SPLIT))
    found = coop(path)
    assert found.classes == ("dog", "cat")  # by number
    assert found.labels == ("cat", "dog", "cat", "dog")
    assert found.splits == ("train", "train", "val", "test")
    assert where(found, tmp_path / base)[0] == "cats/1.png"
    assert where(load(tmp_path), tmp_path) == where(found, tmp_path)


def test_coop_s_missing_images_are_listed_and_counted(tmp_path: Path) -> None:
    plant(tmp_path / "images", "cats/1.png", "dogs/1.png")
    (tmp_path / "split_zhou_Pets.json").write_text(json.dumps(SPLIT))
    message = complaint(load, tmp_path)
    assert "2 of 4 images are missing, such as " in message
    assert str(tmp_path / "images/cats/2.png") in message


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "is not JSON"),
        ("[]", "expected a split file of the form"),
        ('{"train": []}', "expected a split file of the form"),
        ('{"train": [["a.png", "0", "cat"]]}', "train[0]: expected [path, number, class name]"),
        ('{"train": [["a.png", 0]]}', "train[0]: expected"),
        ('{"train": 5}', "train[0]: expected"),
        ('{"train": [["a", 0, "x"], ["b", 0, "y"]]}', "class 0 is called both 'x' and 'y'"),
        ('{"train": [["a\\u0000", 0, "x"], ["b", 1, "y"]]}', "2 of 2 images are missing"),
    ],
)
def test_split_files_that_are_none(tmp_path: Path, content: str, cause: str) -> None:
    path = tmp_path / "split_zhou_X.json"
    path.write_text(content)
    assert cause in complaint(coop, path)


# ---------------------------------------------------------------------------- any of them


def test_load_finds_out_what_a_path_is(images: Path) -> None:
    written(images / "labels.csv", ROWS)
    assert load(images / "labels.csv").classes == ("cat", "dog, small")
    plant(images, "j/1.png")
    assert load(str(images)).classes == ("i", "j")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_load_reads_hugging_face_s_metadata(tmp_path: Path, suffix: str) -> None:
    plant(tmp_path, "1.png", "2.png")
    rows = [{"file_name": "1.png", "label": "a"}, {"file_name": "2.png", "label": "b"}]
    written(tmp_path / f"metadata{suffix}", rows)
    assert load(tmp_path).labels == ("a", "b")


def test_load_reads_hugging_face_s_metadata_of_each_split(tmp_path: Path) -> None:
    for part, label in (("train", "a"), ("test", "b")):
        plant(tmp_path, f"{part}/1.png")
        written(tmp_path / part / "metadata.csv", [{"file_name": "1.png", "label": label}])
    found = load(tmp_path)
    assert sorted(zip(found.splits, found.labels, strict=True)) == [("test", "b"), ("train", "a")]


def test_load_explains_what_it_expected(images: Path) -> None:
    for path, cause in {
        images / "none": "does not exist",
        images / "i/1.png": "none of the",
    }.items():
        message = complaint(load, path)
        assert cause in message
        assert "expected a folder with one folder per class" in message
        assert "split_zhou_" in message


def test_load_points_at_a_table_beside_a_single_folder(images: Path) -> None:
    written(images / "labels.csv", ROWS)
    assert "if the table holds the labels, name " in complaint(load, images)


def test_load_does_not_choose_between_split_files(tmp_path: Path) -> None:
    for name in "AB":
        (tmp_path / f"split_zhou_{name}.json").write_text("{}")
    assert "several split files (split_zhou_A.json, split_zhou_B.json)" in complaint(load, tmp_path)


def test_load_real_data(shared: Path) -> None:
    for name, images, classes in (("clothing", 339, 10), ("eurosat", 480, 10)):
        found = load(shared / name)
        assert (len(found), len(found.classes)) == (images, classes)
        assert set(found.split("train").counts.values()) == {16}


# ---------------------------------------------------------------------------- the data set itself


def refs(count: int) -> tuple[ImageRef, ...]:
    return tuple(ImageRef.of(np.full((1, 1, 3), i, np.uint8), str(i)) for i in range(count))


def test_a_subset_keeps_the_classes_and_the_order_asked_for() -> None:
    whole = Dataset(refs(3), ("a", "b", "c"), ("train", "test", "train"), ("x", "y", "x"))
    part = whole.subset(np.array([2, 0]))
    assert [i.name for i in part.images] == ["2", "0"]
    assert (part.labels, part.splits, part.groups) == (("c", "a"), ("train",) * 2, ("x",) * 2)
    assert part.classes == ("a", "b", "c")
    assert part.counts == {"a": 1, "b": 0, "c": 1}
    assert (len(whole), len(whole.subset([]))) == (3, 0)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"labels": ("a",)}, "expected 2 labels, one an image, got 1"),
        ({"splits": ("train",)}, "expected 2 splits"),
        ({"groups": ("g", "g", "g")}, "expected 2 groups"),
        ({"classes": ("a",)}, r"labels \['b'\] are not among the 1 classes"),
        ({"classes": ("a", "b", "A")}, "class names repeat"),
        ({"labels": ("a", " ")}, "a class name is empty"),
        ({"labels": ("a", "\ud800")}, "is not Unicode text"),
        ({"splits": ("train", "test"), "groups": ("g", "g")}, "a group belongs to one"),
    ],
)
def test_data_that_contradicts_itself(arguments: dict[str, Any], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Dataset(**{"images": refs(2), "labels": ("a", "b"), **arguments})
