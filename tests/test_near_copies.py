"""Copies, contradictions and near copies: what counts once, and what belongs together."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from PIL.ExifTags import IFD, Base

import handful
from commands import run
from handful import encoders
from handful.contracts import ImageRef
from handful.errors import InputError
from handful.features import extract_features
from handful.selection.links import linked_units
from handful.selection.near_copies import (
    SIDE,
    are_one_picture,
    candidate_pairs,
    picture_similarity,
)
from handful.skills import near_copies
from handful.skills.copies import find_copies
from handful.skills.near_copies import find_near_copies


def scene(seed: int, side: int = 128) -> Image.Image:
    """A picture with details of all sizes."""
    rng = np.random.default_rng(seed)
    layers = [rng.uniform(0, 255, (n, n, 3)).astype(np.uint8) for n in (4, 12, 40)]
    planes = [np.asarray(Image.fromarray(x).resize((side, side)), np.float32) for x in layers]
    return Image.fromarray(np.mean(planes, axis=0).astype(np.uint8))


def frame(image: Image.Image, rng: np.random.Generator, cut: float = 0.08) -> bytes:
    """A photo of the same a moment later: cut, a little lighter or darker, stored anew."""
    width, height = image.size
    part = 1 - rng.uniform(0, cut)
    w, h = round(width * part), round(height * part)
    x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    moved = image.convert("RGB").crop((x, y, x + w, y + h))
    moved = ImageEnhance.Brightness(moved).enhance(rng.uniform(0.95, 1.05))
    file = BytesIO()
    moved.save(file, "jpeg", quality=int(rng.integers(70, 96)))
    return file.getvalue()


def burst(image: Image.Image, count: int, seed: int, name: str) -> list[ImageRef]:
    rng = np.random.default_rng(seed)
    return [ImageRef.of(frame(image, rng), f"{name}_{k}.jpg") for k in range(count)]


def found_in(images: list[ImageRef], labels=None, encoder="tiny"):
    rows = extract_features(encoders.load(encoder), images).features.values
    return find_near_copies(images, rows, labels or ["one"] * len(images))


def small(images) -> np.ndarray:
    return np.stack([np.asarray(i.convert("RGB").resize((SIDE, SIDE))) for i in images])


# the formula


def test_a_picture_is_like_itself_moved_and_unlike_another():
    first = scene(0)
    moved = Image.open(BytesIO(frame(first, np.random.default_rng(3))))
    pictures = small([first, moved, scene(1), Image.new("RGB", (SIDE, SIDE), "grey")])
    same, other, empty = picture_similarity(pictures, np.array([[0, 1], [0, 2], [3, 3]]))
    assert same > 0.9
    assert other < 0.5
    assert empty == 0  # nothing to be seen, so nothing to be told


def test_what_is_linked_by_others_is_one_picture_too():
    rng = np.random.default_rng(0)
    first = scene(0)
    pictures = small([first, *(Image.open(BytesIO(frame(first, rng))) for _ in range(2)), scene(1)])
    pairs = np.array([[0, 1], [1, 2], [0, 2], [0, 3]])
    assert are_one_picture(pictures, pairs).tolist() == [True, True, True, False]
    assert linked_units(pairs[:2], 4).tolist() == [0, 0, 0, 3]


def test_candidates_are_the_nearest_and_each_pair_is_named_once():
    rows = np.eye(4)[[0, 0, 1, 2]].astype(np.float32)
    pairs = candidate_pairs(rows, 2)
    assert pairs.tolist()[0] == [0, 1]
    assert len(pairs) == 2
    assert candidate_pairs(rows[:1], 2).shape == (0, 2)


# near copies of images


def test_bursts_are_groups_and_single_photos_are_alone():
    images = [
        *burst(scene(0), 3, 0, "a"),
        ImageRef.of(scene(7), "alone"),
        *burst(scene(1), 2, 1, "b"),
    ]
    assert found_in(images).groups == ("near:1", "near:1", "near:1", "", "near:2", "near:2")


def test_large_photos_are_decoded_small_with_the_same_verdict(monkeypatch):
    images = []
    for k in range(3):
        images += burst(scene(k, side=1100), 2, k, f"{k}")
    groups = found_in(images).groups
    assert groups == ("near:1", "near:1", "near:2", "near:2", "near:3", "near:3")
    few = small([near_copies._picture(image) for image in images])
    monkeypatch.setattr(near_copies, "_ENOUGH", None)  # every pixel
    every = small([near_copies._picture(image) for image in images])
    assert not np.array_equal(few, every)
    pairs = np.array([[0, 0], [0, 1], [2, 3], [4, 5], [0, 2]])
    apart = np.abs(picture_similarity(few, pairs) - picture_similarity(every, pairs))
    assert apart.max() < 0.01, apart  # decoded at SIDE pixels it would be up to 0.03
    assert found_in(images).groups == groups


def test_one_picture_under_two_labels_is_one_unit_and_named():
    images = [*burst(scene(0), 3, 0, "a"), *burst(scene(1), 2, 1, "b")]
    found = found_in(images, ["fox", "fox", "empty", "fox", "fox"])
    assert found.groups == ("near:1",) * 3 + ("near:2",) * 2
    assert found.across == ((0, 2),)


def test_one_group_of_everything_is_none():
    assert found_in(burst(scene(0), 4, 0, "a")).groups == ("",) * 4


def timed(image: Image.Image, time: str, camera: str = "A") -> bytes:
    exif = image.getexif()
    exif[Base.Model] = camera
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"2021:03:04 {time}"
    file = BytesIO()
    image.save(file, "jpeg", exif=exif, quality=90)
    return file.getvalue()


def test_photos_of_one_camera_within_seconds_are_a_burst_where_they_are_alike():
    """What moved fills the picture, so the pictures differ and time alone tells."""
    halves = [Image.blend(scene(0), scene(k), 0.5) for k in (11, 12)]
    others = [ImageRef.of(timed(scene(k), f"1{k}:00:00"), f"{k}.jpg") for k in range(4)]
    near = [ImageRef.of(timed(h, f"20:00:0{4 * k}"), f"h{k}") for k, h in enumerate(halves)]
    assert found_in([*near, *others]).groups == ("near:1", "near:1", "", "", "", "")
    late = [ImageRef.of(timed(h, f"20:00:{30 * k:02}"), f"h{k}") for k, h in enumerate(halves)]
    assert not any(found_in([*late, *others]).groups)
    cameras = [ImageRef.of(timed(h, "20:00:00", c), c) for h, c in zip(halves, "AB", strict=True)]
    assert not any(found_in([*cameras, *others]).groups)


def test_the_same_scene_hours_later_is_no_near_copy():
    still = scene(0)
    others = [ImageRef.of(scene(k), f"{k}") for k in (1, 2)]
    nights = [ImageRef.of(timed(still, f"{h}:00:00"), f"{h}.jpg") for h in (10, 12, 14)]
    assert not any(found_in([*nights, *others]).groups)
    soon = [ImageRef.of(timed(still, f"10:{m}:00"), f"{m}.jpg") for m in (10, 20)]
    assert found_in([*soon, *others]).groups == ("near:1", "near:1", "", "")


def test_a_real_burst_is_one_group_among_other_photos(shared):
    cameras = shared / "camera_traps"
    frames = sorted((cameras / "camtrap_dp_burst" / "media").glob("*.JPG"))
    others = sorted((cameras / "ena24").glob("*.jpg"))
    found = found_in([ImageRef.of(path) for path in (*frames, *others)])
    assert len(frames) == 10
    assert set(found.groups[:10]) == {"near:1"}
    assert not any(found.groups[10:])


@pytest.mark.parametrize("name", ["eurosat", "clothing"])
def test_independent_photos_are_no_near_copies(shared, name):
    images = [ImageRef.of(path) for path in sorted((shared / name / "train").glob("*/*.jpg"))]
    assert not any(found_in(images).groups)


def test_made_bursts_of_real_photos_are_found(shared):
    paths = sorted((shared / "clothing" / "train").glob("*/*.jpg"))[::8]
    images = [r for i, p in enumerate(paths) for r in burst(Image.open(p), 3, i, p.stem)]
    groups = found_in(images).groups
    assert groups == tuple(f"near:{i // 3 + 1}" for i in range(len(images)))


# copies and contradictions


def test_each_picture_counts_once_and_the_first_name_stays():
    images = [ImageRef.of(data, name) for data, name in ((b"1", "a"), (b"2", "b"), (b"1", "c"))]
    found = find_copies(images, ["cat", "cat", "cat"])
    assert (found.kept, found.repeated, found.dropped) == ((0, 1), ("c",), ())


def test_a_picture_of_two_labels_is_refused_with_its_files_or_dropped():
    images = [ImageRef.of(data, name) for data, name in ((b"1", "a"), (b"2", "b"), (b"1", "c"))]
    with pytest.raises(InputError, match=r"a \(cat\) and c \(dog\); take the wrong file out, or"):
        find_copies(images, ["cat", "cat", "dog"])
    found = find_copies(images, ["cat", "cat", "dog"], "drop")
    assert (found.kept, found.repeated, found.dropped) == ((1,), (), ("a", "c"))
    with pytest.raises(InputError, match="expected refuse or drop, got 'keep'"):
        find_copies(images, ["cat", "cat", "dog"], "keep")


def test_files_of_one_size_are_compared_and_unreadable_ones_are_equal_to_none(tmp_path):
    for name, content in (("a", b"12"), ("b", b"12"), ("c", b"21"), ("d", b"123")):
        (tmp_path / name).write_bytes(content)
    images = [ImageRef.of(tmp_path / name) for name in "abcdx"]
    assert find_copies(images, ["cat"] * 5).kept == (0, 2, 3, 4)
    in_memory = [*images, ImageRef.of(b"123", "memory")]
    assert find_copies(in_memory, ["cat"] * 6).repeated == (str(tmp_path / "b"), "memory")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two classes of four pictures each."""
    for label, first in (("cat", 0), ("dog", 10)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for k in range(4):
            scene(first + k).save(tmp_path / "data" / label / f"{k}.png")
    return tmp_path / "data"


def test_fit_counts_copies_once(scenes):
    alone = handful.fit(scenes)
    for path in sorted(scenes.glob("*/*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}_copy.png"))
    twice = handful.fit(scenes)
    assert len(twice.repeated) == 8
    assert twice.pack.support_ids == alone.pack.support_ids
    assert twice.pack.manifest["confidence"] == alone.pack.manifest["confidence"]


def test_fit_refuses_a_photo_in_two_classes_and_in_background(scenes):
    shutil.copy(scenes / "cat" / "0.png", scenes / "dog" / "same.png")
    with pytest.raises(InputError, match=r"cat/0\.png \(cat\) and .*dog/same\.png \(dog\)"):
        handful.fit(scenes)
    dropped = handful.fit(scenes, on_conflict="drop")
    assert [Path(name).name for name in dropped.dropped] == ["0.png", "same.png"]
    assert dropped.pack.manifest["training"]["counts"] == {"cat": 3, "dog": 4}
    (scenes / "dog" / "same.png").unlink()
    (scenes / "background").mkdir()
    shutil.copy(scenes / "cat" / "1.png", scenes / "background")
    with pytest.raises(InputError, match=r"cat/1\.png \(cat\) and .*1\.png \(background\)"):
        handful.fit(scenes)


def test_a_class_that_only_has_photos_of_two_labels_is_named(scenes):
    for path in (scenes / "cat").iterdir():
        shutil.copy(path, scenes / "dog" / f"cat{path.name}")
    with pytest.raises(InputError, match=r"all 4 photos of cat are in dog too"):
        handful.fit(scenes, on_conflict="drop")


# groups of a fit


@pytest.fixture
def bursts(tmp_path: Path) -> Path:
    """Two classes of three bursts each, of three photos."""
    for label, first in (("cat", 0), ("dog", 10)):
        (tmp_path / "bursts" / label).mkdir(parents=True)
        for k in range(3):
            for ref in burst(scene(first + k), 3, first + k, f"{label}{k}"):
                (tmp_path / "bursts" / label / ref.name).write_bytes(ref.content())
    return tmp_path / "bursts"


def test_fit_finds_bursts_leaves_them_out_together_and_says_so(bursts):
    found = handful.fit(bursts)
    assert found.notes == (
        "18 photos are at most 6 bursts or single pictures (near copies); they were left out "
        "together. Some may not have been found: state groups where you know them (--group-by); "
        "--group-by none if all are independent.",
        "Names such as cat0_0.jpg may say what belongs together: --group-by '(.+)_' would make 6 "
        "groups.",
    )
    support, facts = found.pack.support, found.pack.manifest["training"]
    assert len({*support.groups}) == 6
    assert (facts["group_by"], facts["units"]) == ("near copies", 6)
    stated = handful.fit(bursts, group_by="(.+)_")
    assert {*stated.pack.support.groups} == {f"{c}{k}" for c in ("cat", "dog") for k in range(3)}
    for key in ("factor", "right", "units"):
        assert found.pack.manifest["confidence"][key] == stated.pack.manifest["confidence"][key]
    none = handful.fit(bursts, group_by="none")
    assert not any(none.pack.support.groups)
    assert none.notes == ()
    assert none.pack.manifest["confidence"]["images"] == 18
    assert none.pack.manifest["training"]["group_by"] == "none"


def test_a_class_of_one_burst_is_said_to_be_unknown(bursts):
    for path in (bursts / "cat").iterdir():
        if not path.name.startswith("cat0"):
            path.unlink()
    notes = handful.fit(bursts).notes
    assert notes[-1].startswith("All photos of cat are one group, so none of them can be left out")


def test_the_command_takes_group_by_and_group(bursts, tmp_path, capsys):
    for number, option in enumerate(("--group-by", "--group")):
        out = tmp_path / f"skill{number}"
        code, printed, said = run(*(capsys, "fit", bursts, "--out", out, option, "(.+)_", "--json"))
        assert code == 0
        assert json.loads(printed)["groups"] == {"by": "(.+)_", "units": 6}
        assert "18 photos are 6 groups or single photos (by (.+)_)" in said
