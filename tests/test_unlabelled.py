"""`fit --unlabelled` and `evaluate --pool`: what is used, what is left out, what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from commands import run
from handful.errors import InputError
from handful.packs import Pack
from handful.skills import pool
from handful.skills.edit.add import add
from handful.skills.evaluate import evaluate


@pytest.fixture(scope="module")
def unlabelled(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the training photos in one flat folder, under names that tell nothing."""
    folder = tmp_path_factory.mktemp("more")
    for i, image in enumerate(sorted((photos / "train").rglob("*.png"))):
        if i % 8 > 3:
            shutil.copy(image, folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def labelled(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos that the pool does not have."""
    folder = tmp_path_factory.mktemp("few")
    for i, image in enumerate(sorted((photos / "train").rglob("*.png"))):
        if i % 8 < 2:
            (folder / image.parent.name).mkdir(exist_ok=True)
            shutil.copy(image, folder / image.parent.name / image.name)
    return folder


@pytest.fixture(scope="module")
def helped(labelled: Path, unlabelled: Path) -> handful.skills.fitted.Fitted:
    return handful.fit(labelled, encoder="tiny", unlabelled=unlabelled)


def test_the_skill_states_its_pool_and_is_used_like_any_other(helped, labelled, photos, tmp_path):
    facts = helped.pack.manifest["training"]["pool"]
    count = len(helped.pool.ids)
    assert facts["images"] == count
    helped.save(tmp_path / "skill")
    again = Pack.load(tmp_path / "skill")
    assert pool.pool_ids(again) == set(helped.pool.ids)
    assert f"{count} photos without labels" in (tmp_path / "skill" / "README.md").read_text()
    plain = handful.fit(labelled, encoder="tiny")
    assert not np.allclose(plain.pack.tensors["head.weights"], again.tensors["head.weights"])
    assert evaluate(again, photos / "test").result.count == 4 * len(again.classes)


def test_support_images_and_copies_are_named_and_left_out(labelled, unlabelled, tmp_path, capsys):
    folder = shutil.copytree(unlabelled, tmp_path / "more")
    shutil.copy(next(labelled.rglob("*.png")), folder / "taught.png")
    shutil.copy(next(unlabelled.glob("*.png")), folder / "zz.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    code, out, err = run(
        *(capsys, "fit", labelled, "--encoder", "tiny"),
        *("--unlabelled", folder, "--out", tmp_path / "s", "--json"),
    )
    found = json.loads(out)["pool"]
    assert code == 1  # one photo could not be read; the rest was done
    assert [Path(n).name for n in found["in_support"]] == ["taught.png"]
    assert [Path(n).name for n in found["repeated"]] == ["zz.png"]
    assert found["images"] == len(list(unlabelled.iterdir()))
    assert "taught.png" in err
    assert "zz.png" in err
    assert "broken.jpg" in err


def test_test_photos_of_the_pool_are_named_and_left_out(helped, photos, unlabelled, tmp_path):
    folder = shutil.copytree(photos / "test", tmp_path / "test")
    label = next(folder.iterdir())
    shutil.copy(next(unlabelled.glob("*.png")), label / "seen.png")
    whole = evaluate(helped, photos / "test").result.count
    found = evaluate(helped, folder)
    assert [Path(n).name for n in found.in_pool] == ["seen.png"]
    assert (found.leaks, found.result.count) == ((), whole)
    assert evaluate(helped, folder, keep_leaks=True).result.count == whole + 1
    everything = handful.fit(label.parent, encoder="tiny", shots=1, unlabelled=photos / "test")
    with pytest.raises(InputError, match="its pool without labels"):
        evaluate(everything, photos / "test")


def test_transductive_numbers_stand_apart_and_need_no_labels(
    labelled, photos, tmp_path, capsys, monkeypatch
):
    skill = tmp_path / "s"
    handful.fit(labelled, encoder="tiny").save(skill)
    code, out, _ = run(capsys, "evaluate", skill, photos / "test", "--pool")
    assert code == 0
    assert pool.TRANSDUCTIVE in out
    code, out, _ = run(capsys, "evaluate", skill, photos / "test", "--pool", "--json")
    answer = json.loads(out)
    assert answer["transductive"]["note"] == pool.TRANSDUCTIVE
    assert answer["transductive"]["pool"] == answer["count"]
    _, out, _ = run(capsys, "evaluate", skill, photos / "test", "--json")
    assert "transductive" not in json.loads(out)
    for option in ("--record", "--keep-leaks"):
        code, _, err = run(capsys, "evaluate", skill, photos / "test", "--pool", option)
        assert (code, option in err) == (2, True)
    # the head must not depend on the labels of the test photos
    heads = []
    original = pool.fit_with_pool
    monkeypatch.setattr(
        pool,
        "fit_with_pool",
        lambda adapter, *rest, **more: (
            original(adapter, *rest, **more),
            heads.append(adapter.module_),
        )[0],
    )
    turned = tmp_path / "turned"
    names = sorted(p.name for p in (photos / "test").iterdir())
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        shutil.copytree(photos / "test" / name, turned / other)
    right = evaluate(skill, photos / "test", pool=True).result.accuracy
    assert evaluate(skill, turned, pool=True).result.accuracy < right
    a, b = (h.state_dict()["weights"].numpy() for h in heads)
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_an_edit_says_that_the_help_is_lost(helped, photos):
    edited = add(helped.pack, photos / "train")
    assert any("--unlabelled" in note for note in edited.notes)
    assert "pool" not in edited.pack.manifest["training"]
    assert not pool.pool_ids(edited.pack)


def test_what_cannot_be_helped_is_refused(labelled, unlabelled, tmp_path, capsys):
    command = ("fit", labelled, "--encoder", "tiny", "--out", tmp_path / "s", "--unlabelled")
    code, _, err = run(capsys, *command, unlabelled, "--method", "tip")
    assert (code, "help the method auto" in err) == (2, True)
    (tmp_path / "empty").mkdir()
    code, _, err = run(capsys, *command, tmp_path / "empty")
    assert (code, "empty" in err) == (2, True)
    code, _, err = run(capsys, *command, labelled)
    assert (code, "are support images" in err) == (2, True)
    with pytest.raises(InputError, match="pool of photos without labels is empty"):
        handful.fit(labelled, encoder="tiny", unlabelled=[])
    from handful.tuners import Tuning

    with pytest.raises(InputError, match="and a tuner"):
        handful.fit(labelled, encoder="tiny", unlabelled=unlabelled, tuning=Tuning(("norm",)))


def test_several_labels_an_image_are_refused(unlabelled, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "b.png")
    table = tmp_path / "t.csv"
    table.write_text("image,labels\na.png,x;y\nb.png,x\n")
    with pytest.raises(InputError, match="one label an image"):
        handful.fit(table, task="multi_label", encoder="tiny", unlabelled=unlabelled)


def test_one_photo_and_images_in_memory_make_a_pool(labelled):
    found = handful.fit(labelled, encoder="tiny", unlabelled=[Image.new("RGB", (64, 64), "red")])
    assert found.pack.manifest["training"]["pool"]["images"] == 1
    assert found.pack.manifest["training"]["pool"]["trust"] < 0.12
