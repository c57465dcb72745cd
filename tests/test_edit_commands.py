"""`handful add`, `remove`, `rename` and `merge`, as a person types them, on drawn photos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from handful import fit
from handful.features import extract_features
from handful.packs import Pack
from handful.skills.edit.add import add
from handful.skills.edit.remove import remove


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def desk(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`all/`, and of it `first/` (all classes but one, four images) and `more/` (the rest)."""
    top = tmp_path_factory.mktemp("desk")
    shutil.copytree(photos / "train", top / "all")
    classes = sorted(path.name for path in (top / "all").iterdir())
    for name in classes:
        images = sorted((top / "all" / name).iterdir())
        for i, image in enumerate(images):
            part = "first" if i < 4 and name != classes[-1] else "more"
            (top / part / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(image, top / part / name)
    fit(top / "first", method="tip").pack.save(top / "skill")
    return top


def test_add_encodes_what_is_new_alone(desk, tmp_path, capsys, monkeypatch):
    looked: list[int] = []
    features = extract_features

    def watch(encoder, images, *more, **named):
        looked.append(len(images))
        return features(encoder, images, *more, **named)

    monkeypatch.setattr("handful.skills.edit.add.extract_features", watch)
    before = content(desk / "skill")
    code, out, err = run(capsys, "add", desk / "skill", desk / "all", "--out", tmp_path / "s")
    assert code == 0
    assert content(desk / "skill") == before
    whole = fit(desk / "all", method="tip").pack
    grown = Pack.load(tmp_path / "s")
    held = len(Pack.load(desk / "skill").support_ids)
    assert looked[0] == len(whole.support_ids) - held
    assert f"{held} images are in the skill already, byte for byte; each counts once" in err
    assert f"Refitted tip from the {len(whole.support_ids)} features" in out
    assert grown.classes == whole.classes
    assert grown.manifest["training"]["counts"] == whole.manifest["training"]["counts"]
    assert sorted(grown.support_ids) == sorted(whole.support_ids)
    X = whole.support.features
    np.testing.assert_allclose(grown.logits(X), whole.logits(X), rtol=1e-5, atol=1e-5)


def test_add_then_remove_and_drop(desk, tmp_path, capsys):
    code, out, _ = run(
        capsys, "add", desk / "skill", desk / "more", "--out", tmp_path / "s", "--json"
    )
    answer = json.loads(out)
    assert (code, answer["refitted"], answer["repeated"]) == (0, True, [])
    new = answer["classes"][-1]
    assert answer["images"][new] == {"before": 0, "after": 8}
    added = [p for p in (desk / "more").rglob("*.png") if p.parent.name != new]
    code, out, _ = run(
        capsys, "remove", tmp_path / "s", *added, "--drop", new, "--overwrite", "--json"
    )
    assert (code, json.loads(out)["images"][new]) == (0, {"before": 8, "after": 0})
    back, skill = Pack.load(tmp_path / "s"), Pack.load(desk / "skill")
    assert back.manifest["support"] == skill.manifest["support"]
    for name, values in skill.tensors.items():
        if name.startswith(("head.", "support.")):
            assert np.array_equal(back.tensors[name], values), name


def test_what_is_known_changes_nothing(desk, tmp_path, capsys):
    code, out, err = run(capsys, "add", desk / "skill", desk / "first", "--out", tmp_path / "s")
    assert code == 0
    assert "Nothing new" in out
    assert "counts once" in err
    assert content(tmp_path / "s") == content(desk / "skill")


def test_new_classes_have_words(desk, tmp_path, capsys):
    new = sorted(path.name for path in (desk / "all").iterdir())[-1]
    (tmp_path / "words.txt").write_text(f"{new} = a strange thing")
    code, _, _ = run(
        capsys, "add", desk / "skill", desk / "more", "--out", tmp_path / "s",
        "--classes", tmp_path / "words.txt",
    )  # fmt: skip
    assert code == 0
    words = Pack.load(tmp_path / "s").manifest["training"]["words"]
    assert words[new] == "a strange thing"
    known = Pack.load(desk / "skill").classes[0]
    (tmp_path / "words.txt").write_text(f"{known} = something else")
    code, _, err = run(
        capsys, "add", desk / "skill", desk / "more", "--out", tmp_path / "t",
        "--classes", tmp_path / "words.txt",
    )  # fmt: skip
    assert code == 2
    assert "when it is first taught" in err


def test_a_bad_image_stops_no_other(desk, tmp_path, capsys):
    shutil.copytree(desk / "more", tmp_path / "more")
    folder = next(path for path in sorted((tmp_path / "more").iterdir()))
    (folder / "broken.png").write_bytes(b"no picture")
    code, _, err = run(capsys, "add", desk / "skill", tmp_path / "more", "--out", tmp_path / "s")
    assert code == 1
    assert "broken.png" in err
    assert (tmp_path / "s" / "pack.json").exists()


def test_nothing_is_destroyed_unasked(desk, tmp_path, capsys):
    image = Pack.load(desk / "skill").support.names[0]
    for command in (("remove", desk / "skill", image), ("add", desk / "skill", desk / "more")):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert "--out NEW" in err
        assert "--overwrite" in err
    shutil.copytree(desk / "skill", tmp_path / "s")
    code, _, err = run(capsys, "remove", tmp_path / "s", image, "--out", tmp_path / "s")
    assert code == 2
    assert "exists already" in err
    assert content(tmp_path / "s") == content(desk / "skill")


def test_refusals_give_the_cure(desk, tmp_path, capsys):
    skill = Pack.load(desk / "skill")
    first = skill.classes[0]
    of_first = [n for n in skill.support.names if n.startswith(first)]
    shutil.copytree(desk / "first" / first, tmp_path / "odd" / "background")
    shutil.copytree(desk / "first" / first, tmp_path / "clash" / skill.classes[1])
    cases = {
        "--drop": ("remove", desk / "skill", *of_first),
        f"is {first!r} already and 'none of": ("add", desk / "skill", tmp_path / "odd"),
        "stand for what is none of the classes": ("rename", desk / "skill", f"{first}=other"),
        "byte for byte the same": ("add", desk / "skill", tmp_path / "clash"),
        "nothing to remove": ("remove", desk / "skill"),
        "no class 'cow'": ("rename", desk / "skill", "cow=dog"),
        "expected OLD=NEW": ("rename", desk / "skill", "cow"),
        "renamed twice": ("rename", desk / "skill", f"{first}=dog", f"{first}=cat"),
        "unite their images (--join": ("merge", desk / "skill", desk / "skill"),
    }
    for words, command in cases.items():
        code, _, err = run(capsys, *command, "--out", tmp_path / "s")
        assert code == 2, words
        assert words in err
        assert not (tmp_path / "s").exists()


def test_rename_and_merge(desk, tmp_path, capsys):
    fit(desk / "more", method="gda").pack.save(tmp_path / "other")
    names = Pack.load(desk / "skill").classes
    code, out, _ = run(
        capsys, "rename", desk / "skill", f"{names[0]}=My thing", "--out", tmp_path / "named"
    )
    assert code == 0
    assert f"{names[0]} is now My thing" in out
    code, out, err = run(
        capsys, "merge", tmp_path / "named", tmp_path / "other", "--join",
        "--rename", f"{names[0]}=My thing", "--out", tmp_path / "both",
    )  # fmt: skip
    assert code == 0
    assert "the method is the first's, tip" in err
    both, whole = Pack.load(tmp_path / "both"), fit(desk / "all", method="tip").pack
    assert both.classes == ("My thing", *whole.classes[1:])
    X = whole.support.features
    np.testing.assert_allclose(both.logits(X), whole.logits(X), rtol=1e-5, atol=1e-5)
    code, out, _ = run(capsys, "inspect", tmp_path / "both")
    assert code == 0


def test_recorded_numbers_go(desk, photos, tmp_path, capsys):
    shutil.copytree(desk / "skill", tmp_path / "s")
    shutil.copytree(photos / "test", tmp_path / "test")
    shutil.rmtree(tmp_path / "test" / sorted(p.name for p in (desk / "all").iterdir())[-1])
    assert run(capsys, "evaluate", tmp_path / "s", tmp_path / "test", "--record")[0] == 0
    assert Pack.load(tmp_path / "s").manifest["evaluation"]
    image = Pack.load(tmp_path / "s").support_ids[0]
    code, _, err = run(capsys, "remove", tmp_path / "s", image[:12], "--overwrite")
    assert code == 0
    assert "no longer on its card" in err
    assert Pack.load(tmp_path / "s").manifest["evaluation"] is None
    assert image not in (tmp_path / "s" / "pack.json").read_text()


def test_more_of_what_is_none_of_the_classes(desk, tmp_path, capsys):
    new = sorted(path.name for path in (desk / "all").iterdir())[-1]
    shutil.copytree(desk / "more" / new, tmp_path / "photos" / "background")
    code, out, _ = run(
        capsys, "add", desk / "skill", tmp_path / "photos", "--out", tmp_path / "s", "--json"
    )
    answer, skill = json.loads(out), Pack.load(desk / "skill")
    assert code == 0
    assert answer["images"]["none of the classes"] == {"before": 0, "after": 8}
    assert (answer["refitted"], answer["classes"]) == (False, list(skill.classes))
    taught = Pack.load(tmp_path / "s")
    assert all(
        np.array_equal(taught.tensors[name], values)
        for name, values in skill.tensors.items()
        if name.startswith(("head.", "golden."))
    )
    name = taught.support.reserved.names[0]
    code, out, _ = run(capsys, "remove", tmp_path / "s", name, "--overwrite")
    assert code == 0
    assert len(Pack.load(tmp_path / "s").support.reserved.ids) == 7
    code, out, _ = run(capsys, "add", tmp_path / "s", tmp_path / "photos", "--overwrite", "--json")
    assert (code, json.loads(out)["encoded"]) == (0, 0)
    assert len(json.loads(out)["repeated"]) == 7
    assert Pack.load(tmp_path / "s").support.reserved.ids[-1] == taught.support.reserved.ids[0]


def test_the_groups_of_new_photos_come_along_stated_or_found(desk, tmp_path):
    skill = Pack.load(desk / "skill")
    before = len(skill.support.ids)
    kind = skill.classes[0]
    photo = Image.open(sorted((desk / "more" / kind).iterdir())[0])
    (tmp_path / "burst" / kind).mkdir(parents=True)
    rows = ["path,label,group"]
    for i, quality in enumerate((95, 90, 85)):  # three frames of one photo
        photo.convert("RGB").save(tmp_path / "burst" / kind / f"{i}.jpg", quality=quality)
        rows.append(f"burst/{kind}/{i}.jpg,{kind},night {i // 2}")
    found = add(skill, tmp_path / "burst").pack.support
    assert found.groups[before:] == ("near:1",) * 3
    assert len(set(found.units)) == len(set(skill.support.units)) + 1
    (tmp_path / "t.csv").write_text("\n".join(rows))
    alone = fit(desk / "first", method="tip", group_by="none").pack
    assert alone.manifest["training"]["group_by"] == "none"
    for source in (tmp_path / "burst", tmp_path / "t.csv"):
        edited = add(alone, source).pack
        assert not any(edited.support.groups)
        assert edited.manifest["training"]["group_by"] == "none"
    stated = add(skill, tmp_path / "t.csv").pack
    assert stated.support.groups[before:] == ("night 0", "night 0", "night 1")
    assert stated.manifest["training"]["units"] == len(set(stated.support.units))
    gone = remove(stated, stated.support_ids[before:]).pack.manifest["training"]
    assert "units" not in gone
