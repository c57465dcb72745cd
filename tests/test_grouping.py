"""Groups of images that belong together: how they are stated."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from handful.contracts import ImageRef
from handful.data import Dataset
from handful.data.group_by import GroupBy, parse_group_by
from handful.data.grouping import group_images, with_groups
from handful.errors import InputError


def dataset(names, labels=None, **more):
    images = tuple(ImageRef.of(b"x" + name.encode(), name) for name in names)
    return Dataset(images, tuple(labels or ["cat"] * len(images)), **more)


def test_a_subset_keeps_its_cells_of_further_columns():
    three = dataset("abc", columns={"site": ["north", "", "south"]})
    assert three.subset([2, 0]).columns == {"site": ("south", "north")}


def test_a_column_has_a_cell_for_each_image():
    with pytest.raises(InputError, match="column 'site': expected 3 cells, one an image, got 1"):
        dataset("abc", columns={"site": ["north"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", GroupBy("auto")),
        ("None", GroupBy("none")),
        ("parent", GroupBy("parent")),
        ("parent2", GroupBy("parent", levels=2)),
        ("60s", GroupBy("time", seconds=60)),
        ("5 min", GroupBy("time", seconds=300)),
        (".5h", GroupBy("time", seconds=1800)),
        ("2d", GroupBy("time", seconds=172800)),
        ("Patient", GroupBy("column", column="patient")),
        ("2021a", GroupBy("column", column="2021a")),
    ],
)
def test_how_groups_are_stated_is_read(text, expected):
    assert parse_group_by(text, ["patient", "2021a"]) == expected


def test_a_pattern_has_one_part_in_brackets():
    found = parse_group_by(r"(?:cam)?(\d+)_")
    assert found.kind == "name"
    assert found.pattern.search("cam12_3.jpg")[1] == "12"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60", "its unit is not said; write 60s, 60min"),
        ("5 parsecs", "'parsecs' is no unit of time"),
        ("patent", r"no column 'patent' \(its columns: patient\)"),
        (r"(\d+", "is no regular expression"),
        (r"\d+_", "has no part in brackets"),
        (r"(\d+)_(\d+)", "has 2 parts in brackets"),
        ("", "is empty; groups are stated by auto"),
        ("1h30", "'1h30' is read as a duration in two units; write it in one, such as 90min"),
        ("0s", "'0s' is no time; write a duration above 0"),
        (60, "expected a text, got 60"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_group_by(text, ["patient"])


def test_errors_call_the_option_and_the_data():
    with pytest.raises(InputError, match=r"^t\.csv: --group-by \(group_by=\): the data"):
        group_images(dataset("abc"), "patent", "t.csv")


def test_a_column_called_like_a_word_of_its_own_is_refused():
    with pytest.raises(InputError, match="'parent' has a meaning of its own and is a column too"):
        parse_group_by("parent", ["parent"])


def test_auto_keeps_what_is_stated_and_none_drops_it():
    stated = dataset("abc", groups=("x", "x", ""))
    assert with_groups(stated).groups == ("x", "x", "")
    assert with_groups(stated, "none").groups == ("", "", "")
    assert with_groups(stated, "group").groups == ("x", "x", "")


def test_groups_by_a_column_and_what_has_an_empty_cell_is_counted():
    found = group_images(dataset("abc", columns={"patient": ("p1", "", "p1")}), "patient")
    assert found.dataset.groups == ("p1", "", "p1")
    assert found.note == (
        "1 of 3 photos have an empty cell in the column 'patient' and are each alone, such as b"
    )


def test_groups_by_a_pattern_on_the_file_name():
    names = ["cat/2021-03-04_7_a.jpg", "cat/2021-03-04_7_b.jpg", "dog/x_2021-03-05_7_a.jpg", "odd"]
    found = group_images(dataset(names), r"(\d{4}-\d{2}-\d{2}_\d+)_")
    assert found.dataset.groups == ("2021-03-04_7", "2021-03-04_7", "2021-03-05_7", "")
    assert found.alone == ("odd",)
    with pytest.raises(InputError, match="no file's name holds '\\(cam\\)', such as 'odd'"):
        with_groups(dataset(["odd"]), "(cam)")


def in_folders(tmp_path, *paths):
    images = []
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
        images.append(ImageRef.of(tmp_path / path))
    return Dataset(tuple(images), tuple(path.split("/")[0] for path in paths))


def test_groups_by_the_folder_of_the_photo_without_the_way_to_it(tmp_path):
    paths = ("cat/1/a.jpg", "cat/1/b.jpg", "dog/1/a.jpg", "dog/c.jpg")
    assert with_groups(in_folders(tmp_path, *paths), "parent").groups == (
        *("cat/1", "cat/1", "dog/1"),
        "dog",
    )


def test_folders_that_are_the_classes_are_no_groups(tmp_path):
    with pytest.raises(InputError, match="every class would be one group"):
        with_groups(in_folders(tmp_path, "cat/a.jpg", "cat/b.jpg", "dog/a.jpg"), "parent")


def photo(time, camera="", serial=""):
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    exif[Base.Model] = camera
    if time:
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"2021:03:04 {time}"
    exif.get_ifd(IFD.Exif)[Base.BodySerialNumber] = serial
    file = BytesIO()
    image.save(file, "jpeg", exif=exif)
    return file.getvalue()


def test_groups_by_time_are_of_one_camera_and_chain():
    times = ["10:00:50", "10:00:00", "10:01:40", "10:03:00", ""]
    images = [ImageRef.of(photo(t, "A"), f"{i}.jpg") for i, t in enumerate(times)]
    images.append(ImageRef.of(photo("10:00:10", "B"), "other.jpg"))
    found = group_images(Dataset(tuple(images), ("cat",) * 6), "60s")
    first = "A 2021-03-04 10:00:00"
    assert found.dataset.groups == (
        *(first, first, first, "A 2021-03-04 10:03:00", ""),
        "B 2021-03-04 10:00:10",
    )
    assert found.alone == ("4.jpg",)
    assert "do not say when they were taken" in found.note


def test_photos_that_all_lack_a_time_are_refused():
    with pytest.raises(InputError, match="no photo says when it was taken"):
        with_groups(dataset("abc"), "60s")


def test_a_group_that_splits_tear_apart_is_refused():
    torn = dataset(["a_1", "a_2"], splits=("train", "test"))
    with pytest.raises(InputError, match=r"groups in more than one split \(1\): a;"):
        with_groups(torn, "(.)_")
