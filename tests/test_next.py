"""`handful next`: which photos it names, what it leaves out, and the table to fill in."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import handful
from commands import run
from handful.data import table
from handful.errors import InputError
from handful.selection import variance_reduction_order
from handful.skills.next import contact_sheet, suggest


def plain_order(labelled, candidates, weight, count, ridge):
    """The formula as the docstring tells it: a new inverse for each step."""
    every = np.concatenate([labelled, candidates])
    every = every - every.mean(0)
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    known, rows, chosen = every[: len(labelled)], every[len(labelled) :], []
    for _ in range(count):
        a = np.concatenate([known, rows[chosen]])
        s = np.linalg.inv(ridge * np.eye(a.shape[1]) + a.T @ a)
        gains = [
            -1 if i in chosen else (weight * (rows @ s @ x) ** 2).sum() / (1 + x @ s @ x)
            for i, x in enumerate(rows)
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


def test_the_order_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    a, b, w = rng.normal(size=(6, 12)), rng.normal(size=(30, 12)), rng.random(30)
    given = (torch.from_numpy(x) for x in (a, b, w))
    assert variance_reduction_order(*given, 10, 0.1) == plain_order(a, b, w, 10, 0.1)


def test_copies_of_a_photo_do_not_follow_one_another():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 10)
    rows = (3 * rng.normal(size=(4, 16)))[groups] + 0.05 * rng.normal(size=(40, 16))
    given = torch.from_numpy(rng.normal(size=(2, 16))), torch.from_numpy(rows), torch.ones(40)
    assert sorted(groups[variance_reduction_order(*given, 4)]) == [0, 1, 2, 3]


def test_more_than_there_are_gives_all_once():
    given = torch.eye(4)[:1], torch.eye(4)[1:], torch.zeros(3)
    assert sorted(variance_reduction_order(*given, 9)) == [0, 1, 2]


@pytest.fixture(scope="module")
def fitted(photos: Path) -> handful.skills.fitted.Fitted:
    return handful.fit(photos, shots=1, encoder="tiny")


@pytest.fixture(scope="module")
def skill(fitted, tmp_path_factory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("next") / "skill")


def test_support_images_copies_and_bad_files_are_named(fitted, skill, photos, tmp_path, capsys):
    folder = tmp_path / "mixed"
    shutil.copytree(photos / "train", folder)
    label = next(folder.iterdir())
    (label / "broken.png").write_bytes(b"no image")
    count = len(list(folder.rglob("*.png"))) - 1
    code, out, err = run(capsys, "next", skill, folder, "--n", 5, "--json")
    found = json.loads(out)
    assert code == 1  # one file could not be read
    assert "broken.png" in err
    assert len(found["photos"]) == 5
    assert [p["rank"] for p in found["photos"]] == [1, 2, 3, 4, 5]
    assert len(found["in_support"]) == len(fitted.pack.support_ids)
    assert found["candidates"] == count - len(found["in_support"]) - len(found["repeated"])
    assert not {p["name"] for p in found["photos"]} & set(found["in_support"])
    assert all(0 <= p["doubt"] <= 1 for p in found["photos"])


def test_fewer_than_asked_gives_all_and_says_so(skill, photos, capsys):
    few = sorted((photos / "test").rglob("*.png"))[:3]
    code, out, err = run(capsys, "next", skill, *few, *few[:1])
    assert code == 0
    assert sum(str(path.name)[:8] in out for path in few) == 3
    assert "20 were asked for" in err
    assert "these are all of them" in err


def test_the_table_is_filled_in_and_added(skill, photos, tmp_path, capsys):
    out = tmp_path / "to label"
    code, _, err = run(capsys, "next", skill, photos / "test", "--n", 6, "--out", out)
    assert (code, "handful add" in err) == (0, True)
    assert Image.open(out / "next.png").width == 900
    with pytest.raises(InputError, match="empty labels"):
        table(out / "next.csv")
    with (out / "next.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = Path(row["path"]).parent.name
    with (out / "next.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    code, _, err = run(capsys, "next", skill, photos / "test", "--out", out)
    assert (code, "may have labels" in err) == (2, True)  # nobody's work is overwritten
    shutil.copytree(skill, tmp_path / "skill")
    before = len(handful.load(tmp_path / "skill").pack.support_ids)
    code, _, _ = run(*(capsys, "add", tmp_path / "skill", out / "next.csv", "--overwrite"))
    assert code == 0
    assert len(handful.load(tmp_path / "skill").pack.support_ids) == before + 6


def test_images_in_memory_and_a_sheet_of_them(fitted):
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(5)]
    found = suggest(fitted, made, 3)
    assert len(found.photos) == 3
    assert found.photos[0].looks_like != found.photos[0].or_like
    assert contact_sheet(found).get_figwidth() == 6
    assert "image" in found.to_csv()


def test_what_cannot_be_asked_is_refused(fitted, skill, photos, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for where, words in ((tmp_path / "empty", "empty"), (tmp_path / "none", "does not exist")):
        code, _, err = run(capsys, "next", skill, where)
        assert (code, words in err) == (2, True), err
    whole = handful.fit(photos / "train", encoder="tiny", method="zero_shot")
    with pytest.raises(InputError, match="are support images"):
        suggest(whole, photos / "train")
    with pytest.raises(InputError, match="expected 1 or more"):
        suggest(fitted, photos / "test", 0)
    with pytest.raises(InputError, match="no images given"):
        suggest(fitted, [])


def test_several_labels_are_refused(tmp_path):
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green"), ("d", "white")):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{name}.png")
    rows = "image,labels\na.png,x;y\nb.png,x\nc.png,y\nd.png,\n"
    (tmp_path / "t.csv").write_text(rows)
    several = handful.fit(tmp_path / "t.csv", task="multi_label", encoder="tiny")
    with pytest.raises(InputError, match="one label an image"):
        suggest(several, tmp_path / "a.png")
