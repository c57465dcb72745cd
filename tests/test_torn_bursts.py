"""Bursts that are torn between train and test: near copies of what taught a skill are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import handful
from handful.errors import InputError
from test_near_copies import frame, scene


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """Two classes of four bursts, of each one frame in test and two in train."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        for k, split in enumerate(("test", "train", "train")):
            folder = tmp_path / "photos" / split / f"class{seed % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"s{seed}_f{k}.jpg").write_bytes(frame(scene(seed), rng))
    return tmp_path / "photos"


def told(skill: object, photos: Path, **options: object) -> list[str]:
    done = handful.evaluate(skill, photos, **options)
    return [note for note in done.notes if "test photos are near copies of photos of" in note]


def test_frames_of_bursts_that_taught_the_skill_are_counted_and_named(torn):
    skill = handful.fit(torn, encoder="tiny")
    (note,) = told(skill, torn)
    assert note.startswith("8 of 8 test photos")
    assert "_f0.jpg and class" in note
    assert "--group-by" in note
    assert not told(skill, torn, group_by="none")
    with pytest.raises(InputError, match=r"groups in more than one split \(8\)") as error:
        handful.evaluate(skill, torn, group_by="(s[0-9]+)_")
    assert "_f0.jpg is in test" in str(error.value)
    assert "put all photos of a group into one split" in str(error.value)


def test_photos_of_train_that_did_not_teach_the_skill_do_not_count(torn, tmp_path):
    other = tmp_path / "other"
    for i in range(6):
        folder = other / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(frame(scene(100 + i), np.random.default_rng(i)))
    assert not told(handful.fit(other, encoder="tiny"), torn)


def test_other_scenes_are_not_torn(torn):
    shutil.rmtree(torn / "test")
    for i in range(6):
        folder = torn / "test" / f"class{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(frame(scene(100 + i), np.random.default_rng(i)))
    assert not told(handful.fit(torn, encoder="tiny"), torn)
