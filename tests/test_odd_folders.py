"""Folders as cameras, drives, NAS boxes and Handful itself leave them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from handful import tasks
from handful.data import (
    _passed_over,
    _walk,
    class_words,
    find_images,
    folder,
    load,
    reading,
    separate_reserved,
    with_classes_known,
)
from handful.data.grouping import group_images
from handful.errors import InputError
from handful.packs.format import CONFUSION, LIBRARY, MANIFEST, WEIGHTS
from handful.skills import evaluation_figures
from handful.skills.support import read_support


def plant(top: Path, *names: str) -> Path:
    """Small real images, each another colour, under these names."""
    for i, name in enumerate(names):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (i * 7 % 256, len(name), i)).save(path, format="PNG")
    return top


def complaint(call: Any, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


CLASSES = ("Forest", "Highway", "River")
PHOTOS = [f"{name}/{i}.jpg" for name in CLASSES for i in range(2)]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes folders impossible to list, also for root."""

    def scandir(path: Any, real: Any = os.scandir) -> Any:
        if Path(path) in forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    forbidden: set[Path] = set()
    monkeypatch.setattr(_walk.os, "scandir", scandir)
    return forbidden.add


# ---------------------------------------------------------------------------- without rights


def test_a_folder_without_rights_never_ends_a_search(tmp_path: Path, forbid: Any) -> None:
    plant(tmp_path, *(f"DCIM/{name}" for name in PHOTOS), "private/1.jpg", "DCIM/River/no/1.jpg")
    forbid(tmp_path / "private")
    forbid(tmp_path / "DCIM/River/no")
    found = find_images(tmp_path)
    assert len(found) == 6
    assert sorted(found.unreadable) == [
        (str(p), f"{p}: cannot be listed (Permission denied); check its rights or take it out")
        for p in (tmp_path / "DCIM/River/no", tmp_path / "private")
    ]


def test_a_folder_without_rights_below_a_class_is_named(tmp_path: Path, forbid: Any) -> None:
    plant(tmp_path, *PHOTOS, "River/no/1.jpg")
    forbid(tmp_path / "River/no")
    found = folder(tmp_path)
    assert found.counts == {"Forest": 2, "Highway": 2, "River": 2}
    assert [name for name, _ in found.unreadable] == [str(tmp_path / "River/no")]


def test_only_a_folder_that_was_named_is_an_error(tmp_path: Path, forbid: Any) -> None:
    plant(tmp_path, *PHOTOS)
    forbid(tmp_path / "River")
    assert "River: cannot be listed (Permission denied)" in complaint(
        find_images, [tmp_path / "Forest", tmp_path / "River"]
    )
    assert "River: cannot be listed" in complaint(folder, tmp_path)  # a class would be missing


def test_nothing_but_folders_without_rights_says_so(tmp_path: Path, forbid: Any) -> None:
    plant(tmp_path, "no/1.jpg")
    forbid(tmp_path / "no")
    assert "no: cannot be listed (Permission denied)" in complaint(find_images, tmp_path)


# ---------------------------------------------------------------------------- systems and trash

LEAVINGS = (
    *("@eaDir/Forest/SYNOPHOTO_THUMB_S.jpg", "Forest/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg"),
    *("#recycle/gone.jpg", "#Recycle/gone.jpg", "@Recycle/gone.jpg", "#snapshot/1/Forest/0.jpg"),
    *("$RECYCLE.BIN/S-1/gone.jpg", "RECYCLER/gone.jpg", "System Volume Information/x.jpg"),
    *("@__thumb/1.jpg", "@SynoResource/1.jpg", "FOUND.000/1.jpg", "~snapshot/1.jpg"),
    *("AppleDouble/1.jpg", ".AppleDouble/1.jpg", "_gsdata_/1.jpg", ".snapshot/1.jpg"),
    *("lost+found/1.jpg", ".thumbnails/1.jpg", "__MACOSX/Forest/._0.jpg", "Cat.lrdata/1.jpg"),
    *("Forest/SYNOPHOTO_THUMB_XL.jpg", "Forest/Thumbs.db", "River/thumbs.DB"),
)


def test_folders_of_systems_are_no_classes_and_never_searched(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS, *LEAVINGS)
    found = folder(tmp_path)
    assert found.counts == {"Forest": 2, "Highway": 2, "River": 2}
    assert found.ignored == {"system or trash": 24}
    everywhere = find_images(tmp_path)
    assert len(everywhere) == 6
    assert everywhere.ignored == found.ignored


def test_an_empty_system_folder_is_no_class_without_images(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS)
    (tmp_path / "System Volume Information").mkdir()
    assert folder(tmp_path).classes == CLASSES


def test_what_windows_hides_by_an_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, *PHOTOS, "AlbumArt/1.jpg")
    monkeypatch.setattr(
        "handful.data._passed_over._has_hidden_attribute", lambda entry: entry.name == "AlbumArt"
    )
    assert folder(tmp_path).classes == CLASSES
    assert find_images(tmp_path).ignored == {"hidden": 1}


# ---------------------------------------------------------------------------- what Handful wrote


def write(top: Path, *names: str) -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("{}")


def test_skills_and_reports_are_no_classes(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS, "skill/confusion.png", "report/confusion.png", "found/doctor.png")
    plant(
        tmp_path, "report/reliability.png", "Forest/skill/confusion.png", "skills/a/confusion.png"
    )
    write(tmp_path, "skill/pack.json", "skill/weights.safetensors", "skill/README.md")
    write(tmp_path, "skills/library.json", "skills/a/pack.json", "skills/a/weights.safetensors")
    write(tmp_path, "Forest/skill/pack.json", "Forest/skill/weights.safetensors")
    write(tmp_path, "report/evaluation.json", "found/doctor.json")
    found = folder(tmp_path)
    assert found.counts == {"Forest": 2, "Highway": 2, "River": 2}
    assert found.ignored == {"written by Handful": 5}
    everywhere = find_images(tmp_path)
    assert len(everywhere) == 6
    assert everywhere.ignored == {"written by Handful": 5}


def test_every_figure_of_a_report_is_known() -> None:
    names = [*evaluation_figures.SHOWS, CONFUSION.removesuffix(".png"), "doctor", "doctor_2"]
    assert all(_passed_over.is_figure(f"{name}.png") for name in names)
    assert not _passed_over.is_figure("cat.png")
    assert _passed_over.holds_own_files([MANIFEST, WEIGHTS])
    assert _passed_over.holds_own_files([LIBRARY])


def test_photos_beside_a_report_are_not_lost(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS, "Forest/confusion.png", "River/confusion.png")
    write(tmp_path, "Forest/evaluation.json", "evaluation.json")
    found = folder(tmp_path)
    assert found.counts == {"Forest": 2, "Highway": 2, "River": 3}  # River/ is no report
    assert found.ignored == {"written by Handful": 1, ".json": 2}


def test_photos_sorted_by_answer_are_classes(tmp_path: Path) -> None:
    plant(tmp_path, *(f"sorted/{name}" for name in PHOTOS))
    write(tmp_path, "sorted/answers.csv")
    assert folder(tmp_path / "sorted").classes == CLASSES
    assert len(find_images(tmp_path)) == 6


# ---------------------------------------------------------------------------- splits of any name


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("training_set", "test_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("x_train", "x_test", "test"),
        ("train2017", "val2017", "val"),
        ("train", "dev", "val"),
        ("Train", "validation", "val"),
        ("train_images", "holdout", "test"),
        ("TrainSet", "TestSet", "test"),
        ("learning", "Hold-Out", "test"),
    ],
)
def test_splits_whose_names_say_so(tmp_path: Path, train: str, other: str, split: str) -> None:
    plant(tmp_path, *(f"{train}/{name}" for name in PHOTOS), *(f"{other}/{n}" for n in PHOTOS[2:]))
    plant(tmp_path, "@eaDir/x.jpg", "read.me")
    found = folder(tmp_path)
    assert found.classes == CLASSES
    assert (len(found.split("train")), len(found.split(split))) == (6, 4)
    assert found.ignored == {"system or trash": 1, ".me": 1}


def test_a_class_may_speak_of_a_test(tmp_path: Path) -> None:
    plant(tmp_path, "test tube/1.jpg", "train station/1.jpg", "bus/100MEDIA/1.jpg")
    plant(tmp_path, "test tube/100MEDIA/2.jpg", "train station/100MEDIA/2.jpg")
    assert folder(tmp_path).classes == ("bus", "test tube", "train station")


def test_splits_beside_another_folder(tmp_path: Path) -> None:
    plant(tmp_path, *(f"seg_train/{name}" for name in PHOTOS), *(f"seg_test/{n}" for n in PHOTOS))
    plant(tmp_path, "seg_pred/1.jpg")
    assert "holds the splits seg_test, seg_train and other folders (seg_pred)" in complaint(
        folder, tmp_path
    )


def test_folders_that_hold_the_same_folders_are_refused(tmp_path: Path) -> None:
    plant(tmp_path, *(f"north/{name}" for name in PHOTOS), *(f"south/{name}" for name in PHOTOS))
    message = complaint(folder, tmp_path)
    assert "north, south all hold the same folders (Forest, Highway, River)" in message
    assert "--group-by parent" in message
    assert "--classes" in message
    assert f"call the folders above train, val and test, or name one of them alone ({tmp_path}" in (
        message
    )


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (("AnnualCrop", "Forest", "River", "Sea"), ("b00", "b01")),
        (("deer", "fox", "boar"), ("BR03", "BR04")),
        (("deer", "fox", "boar"), ("north", "south")),
        (("deer", "fox"), ("day", "night")),
        (("deer", "fox"), ("2021", "2022")),
        (("deer", "fox", "boar", "hare"), ("Oak Ridge", "Long Lake")),
    ],
)
def test_places_and_times_in_every_class(
    tmp_path: Path, upper: tuple[str, ...], lower: tuple[str, ...]
) -> None:
    plant(tmp_path, *(f"{name}/{part}/1.jpg" for name in upper for part in lower))
    with reading() as notes:
        found = folder(tmp_path)
    assert found.classes == tuple(sorted(upper))
    assert f"hold the same folders ({', '.join(sorted(lower))}): taken for places" in str(notes)
    assert group_images(found, "parent").dataset.groups == tuple(
        f"{name}/{part}" for name in sorted(upper) for part in sorted(lower)
    )


@pytest.mark.parametrize(
    ("upper", "lower"),
    [
        (("part1", "part2"), ("deer", "fox")),
        (("set-a", "set-b"), ("deer", "fox")),
        (("2019", "2020", "2021", "2022"), ("deer", "fox")),
        (("deer", "fox"), ("Oak Ridge", "Long Lake")),
    ],
)
def test_what_is_not_clear_is_settled_by_groups_or_classes(
    tmp_path: Path, upper: tuple[str, ...], lower: tuple[str, ...]
) -> None:
    plant(tmp_path, *(f"{name}/{part}/1.jpg" for name in upper for part in lower))
    assert "so either may be the classes" in complaint(load, tmp_path)
    for settled in (
        load(with_classes_known(tmp_path, "parent")),
        load(with_classes_known(tmp_path, "(.+)_")),
        load(with_classes_known(str(tmp_path), "auto", [*upper, "another"])),
    ):
        assert settled.classes == upper
    for unsettled in (("auto", ()), ("60s", ()), ("auto", lower)):
        assert with_classes_known(tmp_path, *unsettled) == tmp_path
    assert with_classes_known(tmp_path / upper[0], "parent") == tmp_path / upper[0]
    task = tasks.get("classify")
    images = read_support(task, tmp_path, group_by="parent").images
    assert images.groups == tuple(f"{name}/{part}" for name in upper for part in sorted(lower))
    assert read_support(task, tmp_path, {name: name for name in upper}).words == {
        name: name for name in upper
    }


def test_an_empty_split_is_passed_over_and_told(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{part}/{name}" for part in ("train", "test") for name in PHOTOS))
    (tmp_path / "val").mkdir()
    with reading() as notes:
        found = folder(tmp_path)
    assert {*found.splits} == {"train", "test"}
    assert str(notes) == f"{tmp_path / 'val'}: this split holds no photos and is passed over"
    plant(tmp_path, "val/1.jpg")  # a photo without a class is not lost
    assert "and other folders (val)" in complaint(folder, tmp_path)


@pytest.mark.parametrize("name", ["Trash", "Recycle Bin", "Papierkorb", "thumbs", "Dropbox.cache"])
def test_a_class_that_may_be_trash_is_asked_about(tmp_path: Path, name: str) -> None:
    plant(tmp_path, *PHOTOS, f"{name}/1.jpg")
    with reading() as notes:
        assert name in folder(tmp_path).classes
    assert "if it holds deleted photos or thumbnails, take it out" in str(notes)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_a_class_folder_whose_name_is_not_utf_8_is_named(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS)
    try:
        plant(tmp_path, os.fsdecode(b"caf\xe9/1.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    message = complaint(folder, tmp_path)
    assert message.startswith(f"{tmp_path}/caf\\xe9: the name of this class folder is not UTF-8")


def test_a_class_all_of_whose_photos_are_dropped_says_where_they_are_too(tmp_path: Path) -> None:
    plant(tmp_path, *PHOTOS)
    (tmp_path / "background").mkdir()
    for i in range(2):
        (tmp_path / f"background/{i}.jpg").write_bytes((tmp_path / f"Forest/{i}.jpg").read_bytes())
    with pytest.raises(InputError, match="all 2 photos of Forest are in background too"):
        read_support(tasks.get("classify"), tmp_path, on_conflict="drop")


@pytest.mark.parametrize("inside", [("100MEDIA", "101MEDIA"), ("burst1", "burst2")])
def test_folders_of_cameras_and_bursts_are_alike_in_every_class(
    tmp_path: Path, inside: tuple[str, str]
) -> None:
    plant(tmp_path, *(f"{name}/{part}/1.jpg" for name in CLASSES for part in inside))
    assert folder(tmp_path).counts == {"Forest": 2, "Highway": 2, "River": 2}


def test_a_single_split_without_classes_names_its_table(tmp_path: Path) -> None:
    plant(tmp_path, "train/1.jpg", "train/2.jpg")
    write(tmp_path, "train/_classes.csv")
    message = complaint(folder, tmp_path)
    assert "splits are no classes" in message
    assert f"if {tmp_path / 'train/_classes.csv'} holds the labels, name it" in message


# ---------------------------------------------------------------------------- a single class


def test_photos_of_no_class_are_mentioned_where_a_class_is_missing(tmp_path: Path) -> None:
    plant(tmp_path, "my_bird/1.jpg", "noise/1.jpg", "noise/2.jpg")
    message = complaint(read_support, tasks.get("classify"), tmp_path)
    assert "needs at least two classes, got 1: my_bird" in message
    assert "2 images labelled noise are taken for none of the classes" in message
    assert "name all classes in a --classes file" in message
    message = complaint(read_support, tasks.get("classify"), tmp_path, {"my_bird": "", "dog": ""})
    assert "no usable image for dog" in message
    assert "2 images labelled noise" in message
    both = {"my_bird": "my bird", "noise": "noise"}
    assert class_words(separate_reserved(folder(tmp_path), both)[0], both) == both


def test_a_wrapping_folder_is_named(tmp_path: Path) -> None:
    plant(tmp_path, *(f"photos/{name}" for name in PHOTOS))
    message = complaint(class_words, folder(tmp_path))
    assert "photos holds folders (Forest, Highway, River)" in message
    assert f"name {tmp_path / 'photos'}" in message


def test_a_single_class_is_told_what_is_missing(tmp_path: Path) -> None:
    plant(tmp_path, "my_bird/1.jpg", "my_bird/2.jpg")
    assert "got 1: my_bird; add a folder with images of something else" in complaint(
        class_words, folder(tmp_path)
    )
