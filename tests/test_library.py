"""A library of skills: what is on disk, and what the commands say."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import run
from handful import Library, encoders, fit
from handful.contracts import ImageRef
from handful.data import Dataset, playground
from handful.errors import InputError, MismatchError, PackError, StorageError
from handful.features.store import FeatureStore
from handful.library import LibraryFolder, is_library
from handful.library.prediction import predict_features
from handful.packs import Pack, disk, head
from handful.packs.format import to_files

TASKS = ("novel-objects", "style-sketch", "style-dusk", "novel-materials")
METHODS = ("text_gda", "proker", "tip", "class_mean")  # affine, kernel, cache, linear


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def tiny():
    return encoders.load("tiny")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FeatureStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def drawn():
    return {name: playground.task(name, 5, 0, 4) for name in TASKS}


@pytest.fixture(scope="module")
def skills(drawn, tiny, store, tmp_path_factory) -> Path:
    """One folder a task, each by another method."""
    top = tmp_path_factory.mktemp("skills")
    for (name, task), method in zip(drawn.items(), METHODS, strict=True):
        images = tuple(ImageRef.of(p) for p in task.support)
        taught = fit(Dataset(images, task.support_labels), encoder=tiny, store=store, method=method)
        taught.pack.save(top / name)
    return top


@pytest.fixture
def library(tmp_path, skills, tiny, store) -> Library:
    made = Library.init(tmp_path / "library", tiny, store)
    for name in TASKS:
        made.add(skills / name)
    return made


def test_adding_changes_no_earlier_byte_and_no_earlier_answer(tmp_path, skills, drawn, tiny, store):
    library = Library.init(tmp_path / "library", tiny, store)
    pictures = [p for task in drawn.values() for p in task.test]
    said, bytes_before = {}, {}
    for name in TASKS:
        library.add(skills / name)
        now = content(library.folder.path)
        assert {k: now[k] for k in bytes_before} == bytes_before
        bytes_before = now
        reopened = Library(library.folder.path, tiny, store)
        for earlier, answers in said.items():
            assert library.predict(pictures, task=earlier) == answers
            assert reopened.predict(pictures, task=earlier) == answers
        said[name] = library.predict(pictures, task=name)
    assert len(said) == len(TASKS)


def test_the_shared_product_answers_each_skill_alike_whoever_stands_beside(
    tmp_path, skills, drawn, tiny, store
):
    """Not the union's probabilities, which a new task has a share in: each skill's own in it."""
    import torch

    from handful.library.ensemble import SkillEnsemble
    from handful.library.skill import Skill

    features = np.stack([Pack.load(skills / name).support.features[:3] for name in TASKS])
    x = torch.from_numpy(features.reshape(-1, features.shape[-1]))
    alone = {n: Skill.from_pack(n, Pack.load(skills / n)) for n in TASKS}
    first = SkillEnsemble([alone["novel-objects"]])._stack(x)[0]
    both = SkillEnsemble(alone.values())
    at = [both.names[i] for i in both._stacked].index("novel-objects")
    assert torch.equal(both._stack(x)[at], first)
    own = Pack.load(skills / "novel-objects").logits(x.numpy())
    np.testing.assert_allclose(first.numpy(), own, rtol=1e-4, atol=1e-3)


def test_a_pack_is_kept_byte_for_byte(library, skills):
    for name in TASKS:
        assert content(library.folder.path / name) == content(skills / name)


def test_any_order_gives_the_same_library(tmp_path, skills, drawn, library, tiny, store):
    other = Library.init(tmp_path / "other", tiny, store)
    for name in reversed(TASKS):
        other.add(skills / name)
    assert content(other.folder.path) == content(library.folder.path)
    pictures = [p for task in drawn.values() for p in task.test[::3]]
    assert other.predict(pictures) == library.predict(pictures)
    assert other.predict(pictures, unknown=0.2) == library.predict(pictures, unknown=0.2)


def test_removing_brings_back_what_was_before(library, skills, drawn, tiny, store):
    pictures = [task.test[0] for task in drawn.values()]
    before, files = library.predict(pictures), content(library.folder.path)
    library.add(skills / "style-dusk", "again")
    library.remove("again")
    assert library.predict(pictures) == before
    assert content(library.folder.path) == files
    with pytest.raises(InputError, match="no skill 'again'"):
        library.remove("again")


def test_a_skill_in_memory_needs_a_name(library, skills):
    pack = Pack.load(skills / "novel-objects")
    with pytest.raises(InputError, match="give one"):
        library.add(pack)
    assert library.add(pack, "memory") == "memory"
    assert library.folder.load("memory").tensors.keys() == pack.tensors.keys()


@pytest.mark.parametrize(
    "name",
    ["", "../out", "a/b", ".hidden", "unknown", "Zero-Shot", "x" * 81, "长" * 70, "\u0301", "dot."],
)
def test_names_that_cannot_be(library, skills, name):
    before = content(library.folder.path)
    with pytest.raises(InputError, match="cannot be a skill's name"):
        library.add(skills / "novel-objects", name)
    assert content(library.folder.path) == before


@pytest.mark.parametrize("name", ["长" * 60, "पक्षी", "cafe\u0301"])
def test_names_of_every_script_can_be(library, skills, name):
    assert library.add(skills / "novel-objects", name) == name
    with pytest.raises(InputError, match="already"):
        library.add(skills / "novel-objects", unicodedata.normalize("NFC", name).upper())


@pytest.mark.parametrize("name", ["novel-objects", "Novel-Objects"])
def test_two_of_one_name_are_refused(library, skills, name):
    before = content(library.folder.path)
    with pytest.raises(InputError, match="has a skill 'novel-objects' already"):
        library.add(skills / "style-dusk", name)
    assert content(library.folder.path) == before


def test_a_skill_of_another_encoder_is_refused(library, skills, tiny):
    pack = Pack.load(skills / "novel-objects")
    strange = dict(pack.manifest["encoder"])
    strange["fingerprint"] = strange["fingerprint"].replace("model:", "model:other-")
    other = Pack(pack.manifest | {"encoder": strange}, pack.tensors)
    with pytest.raises(MismatchError, match="model differs"):
        library.add(other, "other")
    # one that got there by hand is left out, and the rest serves
    disk.write_folder(library.folder.path / "other", other.files(), overwrite=False)
    reopened = Library(library.folder.path, tiny)
    assert "does not belong" in reopened.broken["other"]
    assert reopened.names == tuple(sorted(TASKS))


def test_methods_that_see_other_images_are_refused(library, drawn, tiny, store):
    task = drawn["novel-objects"]
    images = tuple(ImageRef.of(p) for p in task.support)
    taught = fit(Dataset(images, task.support_labels), encoder=tiny, store=store, method="tda")
    with pytest.raises(InputError, match="depend on other images"):
        library.add(taught.pack, "stream")


def test_twins_and_what_a_killed_process_left_are_told(library, skills, capsys):
    folder = library.folder.path
    assert run(capsys, "library", "check", folder)[2] == ""
    code, out, err = run(
        capsys, "library", "add", folder, skills / "style-sketch", "--name", "again"
    )
    assert (code, out) == (0, "added again\n")
    assert "taught with the same images as style-sketch" in err
    (folder / ".late.77-0123abcd.part").mkdir()
    code, _, err = run(capsys, "library", "check", folder)
    assert code == 0
    assert ".late.77-0123abcd.part: not finished" in err


def test_a_damaged_skill_is_left_out_and_named(library, drawn, tiny, store, capsys):
    weights = library.folder.path / "style-dusk" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (library.folder.path / "empty").mkdir()
    reopened = Library(library.folder.path, tiny, store)
    assert reopened.broken.keys() == {"style-dusk", "empty"}
    assert "was changed after the skill was saved" in reopened.broken["style-dusk"]
    assert reopened.names == ("novel-materials", "novel-objects", "style-sketch")
    picture = drawn["style-sketch"].test[0]
    assert reopened.predict(picture)[0].task == "style-sketch"
    with pytest.raises(PackError, match="'style-dusk' cannot be used"):
        reopened.predict(picture, task="style-dusk")
    code, out, err = run(capsys, "library", "check", library.folder.path)
    assert code == 1
    assert "3 skills are whole" in out
    assert "left out style-dusk" in err
    code, out, err = run(capsys, "library", "list", library.folder.path)
    assert code == 1
    assert "left out empty" in err


def _wide(facts: dict, tensors: dict) -> None:
    """A skill that is whole by itself, of another width than the fingerprint it claims."""
    for key, value in tensors.items():
        if value.ndim and value.shape[-1] == facts["encoder"]["dim"]:
            part = np.ascontiguousarray(value[..., :7])
            tensors[key] = part / np.linalg.norm(part, axis=-1, keepdims=True)
    facts["encoder"] = facts["encoder"] | {"dim": 7}
    adapter = head.restore(facts, tensors, "made up")
    tensors["golden.logits"] = adapter.logits(tensors["golden.features"])


def _longer(facts: dict, tensors: dict) -> None:
    tensors["support.features"] = tensors["support.features"] * np.float32(1e5)


def _narrow(facts: dict, tensors: dict) -> None:
    for key in ("support.features", "support.text"):
        part = np.ascontiguousarray(tensors[key][..., :7])
        tensors[key] = part / np.linalg.norm(part, axis=-1, keepdims=True)


def _opposed(facts: dict, tensors: dict) -> None:
    text = tensors["support.text"]
    tensors["support.text"] = np.concatenate([text, -text], axis=1)


def _untuned(facts: dict, tensors: dict) -> None:
    base = facts["encoder"]["fingerprint"]
    entry = {"name": "a", "tuner": "block", "params": {}, "classes": [], "base": base}
    facts["tuner"] = [entry]
    features, targets = tensors["support.features"], tensors["support.targets"]
    text = np.ascontiguousarray(tensors["support.text"][:, 0])
    new = {"features": features[:3].copy(), "targets": targets, "text": text}
    tensors |= {f"untouched.{key}": value for key, value in new.items()}


HOSTILE = {
    "wide": _wide,
    "longer": _longer,
    "narrow": _narrow,
    "opposed": _opposed,
    "untuned": _untuned,
    "no-list": lambda facts, _: facts.update(tuner=5),
    "nothing": lambda facts, _: facts.update(tuner=[{}]),
    "factor": lambda facts, _: facts.update(confidence={"factor": 1e308}),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_skill_made_to_deceive_leaves_the_others_serving(
    library, skills, drawn, tiny, store, tmp_path, how
):
    pack = Pack.load(skills / "novel-materials")
    facts, tensors = dict(pack.manifest), dict(pack.tensors)
    HOSTILE[how](facts, tensors)
    disk.write_folder(tmp_path / "evil", to_files(facts, tensors, "# made up"), overwrite=False)
    with pytest.raises((PackError, MismatchError)):
        library.add(tmp_path / "evil")
    before = [a.scores for a in library.predict(drawn["style-dusk"].test)]
    shutil.copytree(tmp_path / "evil", library.folder.path / "evil")
    reopened = Library(library.folder.path, tiny, store)
    assert list(reopened.broken) == ["evil"]
    assert [a.scores for a in reopened.predict(drawn["style-dusk"].test)] == before


def test_a_skill_made_with_other_pictures_leaves_the_others_serving(
    library, skills, drawn, tiny, store
):
    pack = Pack.load(skills / "novel-objects")
    other = pack.tensors["golden.probabilities"][::-1].copy()
    library.add(replace(pack, tensors=pack.tensors | {"golden.probabilities": other}), "aaa")
    for encoder in (None, tiny):
        reopened = Library(library.folder.path, encoder, store)
        answers = reopened.predict(drawn["style-dusk"].test)
        assert list(reopened.broken) == ["aaa"]
        assert {a.task for a in answers} == {"style-dusk"}


def _add(arguments: tuple[Path, Path, str]) -> str:
    library, skill, name = arguments
    try:
        LibraryFolder.open(library).add(skill, name)
    except InputError as error:
        return str(error)
    return ""


def test_two_processes_at_once(tmp_path, skills, tiny):
    LibraryFolder.init(tmp_path / "library", tiny)
    wanted = [("a", 0), ("a", 1), ("b", 2), ("c", 3), ("a", 2), ("b", 0)]
    tries = [(tmp_path / "library", skills / TASKS[i], name) for name, i in wanted]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        said = pool.map(_add, tries, chunksize=1)
    assert said.count("") == 3
    assert all("already" in reason for reason in said if reason)
    library = Library(tmp_path / "library", tiny)
    assert library.names == ("a", "b", "c")
    assert not library.broken
    assert not [f for f in (tmp_path / "library").iterdir() if f.name.startswith(".")]


def test_a_name_taken_in_the_last_moment_is_not_overwritten(library, skills, monkeypatch):
    """Between the check and the rename another process may put its skill there."""
    monkeypatch.setattr(LibraryFolder, "_check_name", lambda self, name: None)
    before = content(library.folder.path)
    with pytest.raises(InputError, match="exists already"):
        library.add(skills / "style-dusk", "novel-objects")
    assert content(library.folder.path) == before


def test_a_full_disk_leaves_nothing_behind(library, skills, monkeypatch):
    def full(path: Path, content: bytes) -> None:
        if path.name == "pack.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    before = content(library.folder.path)
    monkeypatch.setattr(disk, "_write_file", full)
    with pytest.raises(StorageError, match="No space left"):
        library.add(skills / "style-dusk", "more")
    assert content(library.folder.path) == before


def test_a_skill_taken_out_meanwhile_is_nobodys_problem(library, monkeypatch):
    held, real = library.folder.names(), LibraryFolder.names
    library.remove("style-dusk")
    left = [name for name in held if name != "style-dusk"]
    monkeypatch.setattr(LibraryFolder, "names", lambda self: held)
    assert [name for name, _ in library.folder.load_all()] == left
    assert [one.name for one in library.folder.entries()] == left
    listed = iter([held])
    monkeypatch.setattr(LibraryFolder, "names", lambda self: next(listed, None) or real(self))
    assert [name for name, _ in library.folder.load_all()] == left


def test_reading_writes_nothing(library, drawn, tiny, store, monkeypatch):
    """As on a read-only disk, whoever runs the test: every way to change a file is barred."""

    def barred(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("mkdir", "write_bytes", "write_text", "rename", "touch", "unlink"):
        monkeypatch.setattr(Path, name, barred)
    reopened = Library(library.folder.path, tiny)
    features = np.concatenate([s.support.features for s in reopened.ensemble.skills])
    assert len(
        predict_features(reopened.ensemble, features, [""] * len(features), unknown=0.2)
    ) == len(features)
    assert not reopened.broken
    with pytest.raises(StorageError, match="Read-only"):
        reopened.folder.add(library.folder.load("style-dusk"), "more")


@pytest.mark.parametrize("words", [("library", "check"), ("verify",), ("pull",)])
def test_a_name_no_disk_takes_is_an_error_and_no_traceback(capsys, words):
    code, _, err = run(capsys, *words, "x" * 300)
    assert code == 2
    assert "too long" in err


def test_init_and_open_refuse_what_is_no_library(tmp_path, skills, tiny, capsys):
    with pytest.raises(PackError, match="it is a single skill"):
        LibraryFolder.open(skills / "novel-objects")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(InputError, match="mine"):
        LibraryFolder.init(tmp_path / "full", tiny)
    LibraryFolder.init(tmp_path / "library", tiny)
    with pytest.raises(InputError, match="is a library already"):
        LibraryFolder.init(tmp_path / "library", tiny)
    file = tmp_path / "library" / "library.json"
    stated = json.loads(file.read_text())
    file.write_text(json.dumps(stated | {"format": 2}))
    with pytest.raises(PackError, match="newer Handful"):
        LibraryFolder.open(tmp_path / "library")
    file.write_text(json.dumps(stated | {"encoder": {"name": "tiny"}}))
    with pytest.raises(PackError, match=r"encoder\.fingerprint"):
        LibraryFolder.open(tmp_path / "library")
    file.write_text("{")
    with pytest.raises(PackError, match="not valid JSON"):
        LibraryFolder.open(tmp_path / "library")


def test_an_empty_library_says_so(tmp_path, tiny):
    library = Library.init(tmp_path / "library", tiny)
    assert is_library(tmp_path / "library")
    with pytest.raises(InputError, match="add one"):
        library.predict(np.zeros((8, 8, 3), np.uint8))


def test_an_image_of_no_task_is_answered_by_text_also_of_further_classes(library, drawn, tiny):
    from handful.encoders import prompts

    extra = prompts.embed(tiny, ("a red circle", "two hearts"), ["a photo of {}."])
    strange = playground.task("novel-duos", 1, 0, 4)
    answers = library.predict(list(strange.test), unknown=0.05, extra_classes=extra)
    refused = [a for a in answers if a.unknown]
    assert len(refused) > len(answers) / 2
    labels = {*library.ensemble.labels, *extra.classes}
    for answer in refused:
        assert answer.zero_shot
        assert answer.task is None
        assert answer.familiar > 0.05
        assert {s["label"] for s in answer.scores} <= labels
        assert sum(s["score"] for s in answer.scores) == pytest.approx(1, abs=1e-4)
    known = library.predict(list(drawn["style-sketch"].test), unknown=0.9)
    assert {a.task for a in known if not a.unknown} == {"style-sketch"}


def test_a_bad_image_stops_no_other(library, drawn, tmp_path):
    good = drawn["style-sketch"].test[0]
    answers = library.predict([tmp_path / "none.jpg", good, b"no image"])
    assert [bool(a.error) for a in answers] == [True, False, True]
    assert answers[1].task == "style-sketch"


def test_arguments_that_contradict(library, drawn):
    picture = drawn["style-sketch"].test[0]
    with pytest.raises(InputError, match="contradict"):
        library.predict(picture, task="style-sketch", unknown=0.1)
    with pytest.raises(InputError, match="no task 'birds'"):
        library.predict(picture, task="birds")
    with pytest.raises(InputError, match="between 0 and 1"):
        library.predict(picture, unknown=1.5)


def test_one_or_two_skills_say_unknown_by_their_own_promise(tmp_path, skills, drawn, tiny, store):
    """No task can be left out of so few; a skill's own left-out classes stand in."""
    library = Library.init(tmp_path / "library", tiny, store)
    library.add(skills / "style-dusk")
    library.add(skills / "style-sketch")
    picture = drawn["style-dusk"].test[0]
    with pytest.raises(InputError, match="cannot promise"):
        library.predict(picture, unknown=0.001)
    strange = library.predict(list(drawn["novel-objects"].test), unknown=0.2)
    assert np.mean([a.unknown for a in strange]) > 0.5
    assert library.predict(picture, unknown=0.9)[0].task == "style-dusk"


def test_the_commands(tmp_path, skills, photos, capsys):
    folder = tmp_path / "library"
    assert run(capsys, "library", "init", folder)[0] == 0
    code, out, _ = run(capsys, "library", "add", folder, *(skills / n for n in TASKS[:3]))
    assert code == 0
    assert out.splitlines() == [f"added {n}" for n in TASKS[:3]]
    assert run(capsys, "library", "add", folder, skills / TASKS[3], "--name", "other")[0] == 0
    code, out, _ = run(capsys, "library", "list", folder, "--json")
    assert [s["name"] for s in json.loads(out)["skills"]] == sorted([*TASKS[:3], "other"])
    assert run(capsys, "library", "check", folder)[0] == 0
    images = sorted((photos / "test").rglob("*.png"))[:5]
    code, out, _ = run(capsys, "predict", folder, *images, "--json")
    rows = json.loads(out)
    assert {row["skill"] for row in rows} == {"novel-objects"}
    assert all("novel-objects/" in row["predictions"][0]["label"] for row in rows)
    code, out, _ = run(capsys, "predict", folder, *images, "--task", "novel-objects", "--json")
    assert all("/" not in row["predictions"][0]["label"] for row in json.loads(out))
    code, out, err = run(capsys, "predict", folder, *images, "--unknown", "0.2")
    assert code == 0
    assert "tasks of the library" in err
    code, out, _ = run(capsys, "predict", folder, *images, "--format", "csv")
    head = "file,label,score,skill,share,zero_shot,digest,handful,options,error"
    assert out.splitlines()[0] == head
    assert run(capsys, "predict", folder, *images, "--error", "0.1")[0] == 2
    assert run(capsys, "predict", skills / TASKS[0], *images, "--task", "x")[0] == 2
    code, out, _ = run(capsys, "library", "remove", folder, "other")
    assert code == 0
    assert not (folder / "other").exists()
    assert run(capsys, "library", "remove", folder, "other")[0] == 2


def test_evaluate_names_tasks_and_does_not(library, drawn, tmp_path, capsys):
    for name, task in drawn.items():
        playground.write(task, tmp_path / name)
    strange = playground.write(playground.task("novel-duos", 1, 0, 3), tmp_path / "strange")
    folders = [tmp_path / name for name in TASKS[1:]]
    first = f"{TASKS[0]}={tmp_path / TASKS[0]}"
    more = ("--unknown", "0.3", "--stranger", strange, "--json")
    code, out, _ = run(capsys, "library", "evaluate", library.folder.path, first, *folders, *more)
    assert code == 0
    told = json.loads(out)
    assert set(told["tasks"]) == set(TASKS)
    assert told["mean"]["found"] > 0.9
    assert told["mean"]["named"] >= told["mean"]["unnamed"] > 0.3
    assert told["strangers"] == 18
    for name, one in told["tasks"].items():
        assert one["images"] == len(drawn[name].test)
        assert one["leaks"] == 0
    code, out, _ = run(capsys, "library", "evaluate", library.folder.path, *folders)
    assert code == 0
    assert "task found" in out
    wrong = f"style-dusk={tmp_path / 'style-sketch'}"
    assert run(capsys, "library", "evaluate", library.folder.path, wrong)[0] == 2
    assert run(capsys, "library", "evaluate", library.folder.path, first, *more[2:])[0] == 2


def test_evaluate_refuses_what_it_would_have_to_guess(library, drawn, tmp_path, capsys):
    path, test = library.folder.path, playground.write(drawn["style-dusk"], tmp_path / "test")
    code, _, err = run(capsys, "library", "evaluate", path, test)
    assert code == 2
    assert f"NAME={test}" in err
    twice = (f"style-dusk={test}", f"style-dusk={tmp_path}")
    code, _, err = run(capsys, "library", "evaluate", path, *twice)
    assert code == 2
    assert "two sources" in err


def test_a_name_cannot_steer_the_screen(capsys):
    code, _, err = run(capsys, "inspect", "\x1b[2Jmine\u00a0é")
    assert code == 2
    assert "\x1b" not in err
    assert "\\x1b[2Jmine\u00a0é" in err


def test_a_library_is_no_skill_and_says_so(library, tmp_path, capsys):
    path = library.folder.path
    for words in (("inspect", path), ("push", path, tmp_path / "a.skill"), ("verify", path)):
        code, out, err = run(capsys, *words)
        assert code == 2
        assert "is a library of skills" in out + err
    with pytest.raises(InputError, match="is not empty"):
        Library.init(path / "style-dusk", library.encoder)


def test_a_copied_library_serves(library, tmp_path, drawn, tiny, store):
    shutil.copytree(library.folder.path, tmp_path / "copy")
    pictures = [task.test[0] for task in drawn.values()]
    assert Library(tmp_path / "copy", tiny, store).predict(pictures) == library.predict(pictures)
