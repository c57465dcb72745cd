"""Names of support images: short, and as long as it takes to tell them apart."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import handful
from handful.data import find_images, unique_names
from handful.data.image_names import ends_like
from handful.skills.edit.add import add
from handful.skills.edit.remove import remove

CLASSES = ("Forest", "Highway", "River")


def test_names_are_the_shortest_tails_that_differ() -> None:
    names = ["/a/b/cat/DCIM/1.jpg", "/a/b/dog/DCIM/1.jpg", "/a/b/dog/2.jpg", "x.jpg"]
    assert unique_names(names) == ("cat/DCIM/1.jpg", "dog/DCIM/1.jpg", "dog/2.jpg", "x.jpg")
    assert unique_names(["cat/1.jpg", "/new/cat/1.jpg"]) == ("cat/1.jpg", "new/cat/1.jpg")
    assert unique_names(["/new/cat/1.jpg"], taken=["cat/1.jpg"]) == ("new/cat/1.jpg",)
    assert unique_names(["a/1.jpg", "a/1.jpg"]) == ("a/1.jpg", "a/1.jpg")  # one image, twice
    assert unique_names(["1.jpg"], taken=["1.jpg"]) == ("1.jpg",)  # nothing more is known
    assert unique_names([]) == ()


def test_the_end_of_a_name() -> None:
    assert ends_like("cat/1.jpg", "1.jpg")
    assert ends_like("1.jpg", "cat/1.jpg")
    assert not ends_like("cat/11.jpg", "1.jpg")


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Photos of one name in a camera's folder of every class."""
    for c, name in enumerate(CLASSES):
        (tmp_path / name / "100MEDIA").mkdir(parents=True)
        for i in range(3):
            image = Image.new("RGB", (8, 8), (c * 80, i * 30, 0))
            image.save(tmp_path / name / "100MEDIA" / f"IMG_000{i}.JPG", format="JPEG")
    return tmp_path


def test_photos_in_nested_folders_keep_their_names(nested: Path) -> None:
    fitted = handful.fit(nested, encoder="tiny")
    names = fitted.pack.support.names
    assert names[:2] == ("Forest/100MEDIA/IMG_0000.JPG", "Forest/100MEDIA/IMG_0001.JPG")
    assert len(set(names)) == 9
    for asked in ("Forest/100MEDIA/IMG_0001.JPG", "gone/Forest/100MEDIA/IMG_0001.JPG"):
        left = remove(fitted.pack, [asked]).pack.support
        assert set(names) - set(left.names) == {"Forest/100MEDIA/IMG_0001.JPG"}


def test_added_photos_never_take_the_name_of_another(nested: Path, tmp_path: Path) -> None:
    fitted = handful.fit(nested, encoder="tiny")
    more = tmp_path / "more"
    shutil.copytree(nested / "River", more / "River")
    for i in range(3):
        path = more / "River/100MEDIA" / f"IMG_000{i}.JPG"
        Image.new("RGB", (8, 8), (0, i * 30, 200)).save(path, format="JPEG")
    names = add(fitted.pack, more, encoder="tiny").pack.support.names
    assert len(set(names)) == 12
    assert "more/River/100MEDIA/IMG_0000.JPG" in names


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_bytes_that_are_no_text_stay_distinct(tmp_path: Path) -> None:
    spelled = [b"\xe9.jpg", b"\xe8.jpg", rb"\xe9.jpg", rb"\x41.jpg", "é.jpg".encode()]
    for i, name in enumerate(spelled):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/" + name))
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (i * 40, 0, 0)).save(path, format="JPEG")
    found = find_images(tmp_path)
    names = [image.name for image in found]
    assert len(set(names)) == 5
    assert {name.rpartition("/")[2] for name in names} == {
        r"\xe9.jpg",
        r"\xe8.jpg",
        r"\x5cxe9.jpg",
        r"\x41.jpg",
        "é.jpg",
    }
    assert json.loads(json.dumps(names)) == names
    assert set(unique_names(names)) == {f"a/{name.rpartition('/')[2]}" for name in names}
