"""Errors name the argument or the path, what it takes, and where to go on."""

from __future__ import annotations

import re
import shutil

import pytest

import handful
from commands import run
from handful import encoders, errors
from handful.errors import DeviceError, InputError, MissingModelError
from handful.protocols.compare import compare
from handful.skills import encoder as skill_encoder

ADDRESS = "https://example.org/birds"
NOT_FETCHED = f"{ADDRESS}: is an address, and nothing is fetched"


@pytest.fixture(scope="module")
def fitted(photos):
    return handful.fit(photos, shots=2, encoder="tiny", method="tip")


@pytest.fixture(scope="module")
def skill(fitted, tmp_path_factory):
    return fitted.save(tmp_path_factory.mktemp("skills") / "skill")


def _fit(**arguments):
    return lambda photos, fitted: handful.fit(photos, **{"encoder": "tiny", **arguments})


def _compare(shots):
    return lambda photos, fitted: compare(photos, encoder="tiny", methods=["tip"], shots=shots)


WRONG = {
    "shots text": (_fit(shots="4"), "shots: expected a whole number, 1 or more, got '4'"),
    "shots fraction": (_fit(shots=1.5), "shots: expected a whole number, 1 or more, got 1.5"),
    "shots bool": (_fit(shots=True), "shots: expected a whole number, 1 or more, got True"),
    "shots none": (_fit(shots=0), "expected shots of 1 or more, got 0"),
    "method": (_fit(method=5), "expected a name of adapters, such as .*, got 5"),
    "task": (_fit(task=5), "expected a name of tasks, such as .*, got 5"),
    "encoder": (_fit(encoder=5), "encoder: expected a name, a folder .*, got 5"),
    "encoder empty": (_fit(encoder=""), "encoder: the name is empty"),
    "params": (_fit(params=5), "params: expected the method's arguments by name, .*, got 5"),
    "templates": (_fit(templates=5), "templates: expected a list of texts, .*, got 5"),
    "a template": (_fit(templates=[5]), r"templates: expected a list of texts, .*, got \[5\]"),
    "views": (_fit(views="a"), "views: expected a whole number, 1 or more, got 'a'"),
    "top_k": (
        lambda photos, fitted: fitted.predict([photos / "none.png"], top_k="1"),
        "top_k: expected a whole number, 1 or more, got '1'",
    ),
    "save": (
        lambda photos, fitted: fitted.save(5),
        "folder: expected the path of a folder or file, got 5",
    ),
    "compare": (_compare(["a"]), "shots: expected a whole number, 1 or more, got 'a'"),
    "compare text": (_compare("4"), "shots: expected a whole number, 1 or more, got '4'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named_with_what_it_takes(name, photos, fitted):
    call, words = WRONG[name]
    with pytest.raises(InputError, match=words):
        call(photos, fitted)


def test_compare_takes_one_shot_count_as_fit_does(photos):
    one, _ = compare(photos, encoder="tiny", methods=["tip"], shots=2, seeds=1)
    listed, _ = compare(photos, encoder="tiny", methods=["tip"], shots=[2], seeds=1)
    assert [t.accuracy for t in one.trials] == [t.accuracy for t in listed.trials]
    assert {t.shots for t in one.trials} == {2}


def test_a_device_that_is_not_there_does_not_blame_the_encoder(fitted, monkeypatch):
    with pytest.raises(DeviceError, match="'nonsense' cannot be used") as found:
        skill_encoder.load_encoder(fitted.pack, device="nonsense")
    assert "names its encoder" not in str(found.value)
    with pytest.raises(InputError, match="the name is empty"):
        skill_encoder.load_encoder(fitted.pack, "")


@pytest.mark.parametrize(
    ("name", "error", "hinted"),
    [
        ("tiny", MissingModelError("gone"), False),
        ("photo", MissingModelError("no package"), False),
        ("models/mine", DeviceError("no such device"), False),
        ("models/mine", MissingModelError("gone"), True),
        ("models/mine", InputError("is not a checkpoint"), True),
    ],
)
def test_only_an_encoder_that_lies_somewhere_can_lie_elsewhere(
    name, error, hinted, fitted, monkeypatch
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(encoders, "load", refuse)
    monkeypatch.setitem(fitted.pack.manifest["encoder"], "name", name)
    with pytest.raises(errors.HandfulError) as found:
        skill_encoder.load_encoder(fitted.pack)
    assert ("if it lies elsewhere now" in str(found.value)) == hinted


def test_doctor_of_a_library_asks_for_one_of_its_skills(tmp_path, capsys):
    library = tmp_path / "library"
    assert run(capsys, "library", "init", library, "--encoder", "tiny")[0] == 0
    code, out, err = run(capsys, "doctor", library)
    assert code == 2
    assert "is a library of skills; name one of them" in " ".join((out + err).split())


def _refused(capsys, *words):
    code, out, err = run(capsys, *words)
    assert code == 2, (out, err)
    return " ".join((out + err).split())


def test_photos_in_place_of_a_skill_are_called_photos(photos, skill, tmp_path, capsys):
    for words in (("evaluate", photos, skill), ("inspect", photos)):
        assert "is a folder of photos" in _refused(capsys, *words)
    cut = shutil.copytree(skill, tmp_path / "cut")
    (cut / "pack.json").unlink()
    (cut / "confusion.png").write_bytes(b"a figure of the skill")
    (skill.parent / "loose.png").write_bytes(b"beside the skills")
    for folder in (cut, skill.parent):  # a skill without its manifest, a folder of skills
        assert "the pack is incomplete" in _refused(capsys, "inspect", folder)
    (cut / "weights.safetensors").unlink()
    assert "the pack is incomplete" in _refused(capsys, "inspect", cut)


def test_predict_says_what_a_table_is_for(skill, tmp_path, capsys):
    table = tmp_path / "labels.csv"
    table.write_text("file_name,label\na.png,cat\n")
    code, out, err = run(capsys, "predict", skill, table)
    assert code == 1
    assert "a table is for fit and evaluate" in " ".join((out + err).split())
    (answer,) = handful.load(skill).predict([table])
    assert re.search("is a table, not an image; predict takes images", answer.error)


def test_classes_without_a_file_say_what_the_file_is(photos, tmp_path, capsys):
    said = _refused(
        capsys, "fit", photos, "--out", tmp_path / "s", "--classes", tmp_path / "nosuch.txt"
    )
    assert "nosuch.txt: does not exist; --classes takes a text file" in said
    assert "Errno" not in said
    said = _refused(capsys, "fit", photos, "--out", tmp_path / "s", "--classes", tmp_path)
    assert "cannot be read as text" in said
    assert "Errno" not in said


def test_an_address_is_not_fetched(photos, skill, tmp_path, capsys):
    for words in (
        ("fit", ADDRESS, "--out", tmp_path / "s"),
        ("predict", skill, ADDRESS),
        ("inspect", ADDRESS),
        ("evaluate", skill, ADDRESS),
        ("doctor", ADDRESS),
        ("fit", photos, "--out", tmp_path / "s", "--encoder", ADDRESS),
    ):
        assert NOT_FETCHED in _refused(capsys, *words), words
    (answer,) = handful.load(skill).predict([ADDRESS])
    assert NOT_FETCHED in answer.error
    with pytest.raises(InputError, match=NOT_FETCHED):
        handful.fit(ADDRESS)
