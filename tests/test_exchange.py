"""Skills travel: one file that hides nothing, the hub without a network, folders; whole or not."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, metadata_load

import hub
from commands import run
from handful.errors import InputError, MissingModelError, PackError, StorageError
from handful.packs import Pack, exchange, figures, skill_file
from handful.packs.description import described
from handful.packs.support import Support
from handful.skills.edit.refit import refit
from handful.skills.edit.rename import rename
from test_packs import Fake, forge, made

MEASURED = {
    "accuracy": 0.75,
    "interval": [0.5, 0.9],
    "macro_f1": 0.7,
    "count": 8,
    "classes": ["red", "green", "blue", "grey"],
    "confusion": [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
}


@pytest.fixture(scope="module")
def pack() -> Pack:
    return made().with_evaluation(MEASURED)


@pytest.fixture(scope="module")
def files(pack: Pack) -> dict[str, bytes]:
    return pack.files()


@pytest.fixture
def skill(files: dict[str, bytes], tmp_path: Path) -> Path:
    path = tmp_path / "bird.skill"
    path.write_bytes(skill_file.to_bytes(files))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir()}


# --- one file ----------------------------------------------------------------------------------


def test_a_skill_file_is_the_skill(pack: Pack, skill: Path, tmp_path: Path) -> None:
    loaded = Pack.load(skill)
    features = pack.tensors["golden.features"]
    assert np.array_equal(loaded.logits(features), pack.logits(features))
    assert contents(loaded.save(tmp_path / "folder")) == contents(pack.save(tmp_path / "again"))
    with zipfile.ZipFile(skill) as zipped:  # any other tool reads it too
        assert zipped.testzip() is None
        assert zipped.namelist()[-1] == "pack.json"


def test_the_same_skill_is_the_same_file(pack: Pack, skill: Path, tmp_path: Path) -> None:
    path = pack.save(tmp_path / "other.skill")
    assert path.read_bytes() == skill.read_bytes()
    assert Pack.load(path).save(tmp_path / "third.skill").read_bytes() == skill.read_bytes()


def test_nothing_is_extracted(skill: Path, tmp_path: Path) -> None:
    Pack.load(skill)
    assert [path.name for path in tmp_path.iterdir()] == ["bird.skill"]


def test_what_somebody_zipped_again_is_read(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "mine.SKILL"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in reversed(files.items()):
            zipped.writestr(name, content)
    assert Pack.load(path).classes == ("red", "green", "blue", "grey")


def test_a_stream_with_sizes_behind_the_members_is_read(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    class Pipe(io.RawIOBase):
        """Nothing to go back in, as in `zip - | ...`."""

        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    (tmp_path / "a.skill").write_bytes(pipe.content)
    assert Pack.load(tmp_path / "a.skill").classes[0] == "red"


# --- what is refused ---------------------------------------------------------------------------


Zip = zipfile.ZipFile


def info(name: str, **facts: Any) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFREG | 0o644) << 16
    for key, value in facts.items():
        setattr(made, key, value)
    return made


def linked(zipped: Zip) -> None:
    zipped.writestr(info("a.md", external_attr=(stat.S_IFLNK | 0o777) << 16), "/etc/passwd")


def bomb(zipped: Zip) -> None:
    zipped.writestr(info("a.png", compress_type=zipfile.ZIP_DEFLATED), bytes(8 << 20))


HOSTILE: dict[str, tuple[Callable[[Zip], Any], str]] = {
    "absolute": (lambda z: z.writestr("/etc/pack.json", b""), "is an absolute name"),
    "drive": (lambda z: z.writestr("C:pack.json", b""), "is an absolute name"),
    "share": (lambda z: z.writestr("\\\\host\\a.md", b""), "is an absolute name"),
    "up": (lambda z: z.writestr("../pack.json", b""), "leads out of the skill"),
    "up inside": (lambda z: z.writestr("a/../../b.md", b""), "leads out of the skill"),
    "up, backwards": (lambda z: z.writestr("..\\a.md", b""), "leads out of the skill"),
    "in a folder": (lambda z: z.writestr("bird/a.md", b""), "lies in, a folder"),
    "a folder": (lambda z: z.writestr("bird/", b""), "is, or lies in, a folder"),
    "code": (lambda z: z.writestr("setup.py", b""), "is no file of a skill"),
    "pickle": (lambda z: z.writestr("weights.pkl", b""), "is no file of a skill"),
    "no name": (lambda z: z.writestr(info(""), b""), "is no file of a skill"),
    "new line": (lambda z: z.writestr("a.md\n", b""), "is no file of a skill"),
    "letters": (lambda z: z.writestr("pack\u200b.json", b""), "is no file of a skill"),
    "link": (linked, "is a symbolic link"),
    "device": (
        lambda z: z.writestr(info("a.md", external_attr=stat.S_IFCHR << 16), b""),
        "is no plain file",
    ),
    "twice": (lambda z: z.writestr("pack.json", b"{}"), "holds 'pack.json' twice"),
    "twice, in capitals": (lambda z: z.writestr("PACK.json", b"{}"), "twice, and it is not clear"),
    "not listed": (lambda z: z.writestr("notes.md", b"hello"), "which pack.json does not list"),
    "bomb": (bomb, "as in a zip bomb"),
    "other packing": (
        lambda z: z.writestr("a.md", b"a" * 99, zipfile.ZIP_BZIP2),
        "is packed by method 12",
    ),
    "many": (lambda z: [z.writestr(f"{i}.md", b"") for i in range(40)], "expected at most 32"),
    "comment": (lambda z: setattr(z, "comment", b"read me"), "stands at its end"),
    "member's comment": (lambda z: z.writestr(info("a.md", comment=b"x"), b""), "hidden bytes"),
    "notes": (
        lambda z: z.writestr(info("a.md", extra=b"BB\xf0\x00" + bytes(240)), b""),
        "hidden bytes",
    ),
}


def test_nothing_hides_behind_a_packed_member(files: dict[str, bytes], tmp_path: Path) -> None:
    """A deflated stream says itself where it ends; what follows is in no size and no checksum."""
    path, card = tmp_path / "a.skill", files["README.md"]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    stream = squeeze.compress(card) + squeeze.flush() + b"hidden" * 9
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, stream if name == "README.md" else content)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        places = [m.start() for m in re.finditer(re.escape(mark), content)]
        start = next(p for p in places if b"README.md" in content[p : p + 60])
        struct.pack_into("<H", content, start + at, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", content, start + at + 6, zlib.crc32(card))
        struct.pack_into("<I", content, start + at + 14, len(card))
    path.write_bytes(content)
    with zipfile.ZipFile(path) as zipped:  # to others it is as sound as any
        assert zipped.read("README.md") == card
    with pytest.raises(PackError, match="hidden bytes"):
        Pack.load(path)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_no_skill_has(kind: str, skill: Path, tmp_path: Path) -> None:
    change, words = HOSTILE[kind]
    with zipfile.ZipFile(skill, "a") as zipped:
        change(zipped)
    with pytest.raises(PackError, match=words) as refused:
        Pack.load(skill)
    assert str(skill) in str(refused.value)
    assert any(cure in str(refused.value) for cure in ("Ask whoever", "copy the file"))
    assert [path.name for path in tmp_path.iterdir()] == ["bird.skill"]


def directory(content: bytes) -> int:
    """Where the central directory begins."""
    return int(struct.unpack("<L", content[-6:-2])[0])


def patched(content: bytes, at: int, values: bytes) -> bytes:
    return content[:at] + values + content[at + len(values) :]


def moved(content: bytes, by: int) -> bytes:
    """The end of the zip, told that its directory begins elsewhere."""
    return patched(content, len(content) - 6, struct.pack("<L", directory(content) + by))


def overlapping(content: bytes) -> bytes:
    """Two entries of the directory for one member."""
    start, first = directory(content), content.index(b"README.md")
    second = content.index(b"PK\x01\x02", start + 4)
    at = struct.pack("<L", first - 30)
    return patched(content, start + 42, at) if second else content


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda c: b"", "is no skill file"),
    "no zip": (lambda c: b"hello" * 99, "is no skill file"),
    "a zip of nothing": (lambda c: b"PK\5\6" + bytes(18), "is no skill file"),
    "only the start": (lambda c: c[:10], "is cut short"),
    "half": (lambda c: c[: len(c) // 2], "is cut short"),
    "one byte less": (lambda c: c[:-1], "is cut short"),
    "something after": (lambda c: c + b"\0", "stands at its end"),
    "something before": (lambda c: b"#!/bin/sh\n" + c, "is no skill file"),
    "a zip before": (lambda c: c + c, "stands at its end"),
    "a gap": (
        lambda c: moved(c[: directory(c)] + b"hidden" + c[directory(c) :], 6),
        "hidden bytes",
    ),
    "overlap": (overlapping, "members overlap"),
    "a part": (lambda c: patched(c, len(c) - 18, b"\1\0"), "one part of a zip of several"),
    "encrypted": (lambda c: patched(c, directory(c) + 8, b"\1\0"), "is encrypted"),
    "strongly": (lambda c: patched(c, directory(c) + 8, b"\x41\0"), "is encrypted"),
    "two sizes": (lambda c: patched(c, directory(c) + 24, b"\xf0\xff\xff\x7f"), "two sizes|bomb"),
    "checksum": (lambda c: patched(c, directory(c) + 16, b"\0\1\2\3"), "is damaged .*CRC"),
    "content": (lambda c: patched(c, 500, b"\0\1\2\3"), "is damaged .*CRC"),
    "a name inside": (lambda c: patched(c, 30, b"W"), "is damaged .*differ"),
    "far away": (lambda c: patched(c, directory(c) + 42, b"\0\0\0\x7f"), "members overlap"),
    "64 bits": (lambda c: patched(c, len(c) - 6, b"\xff\xff\xff\xff"), "stands at its end"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_not_sound(kind: str, skill: Path) -> None:
    change, words = DAMAGE[kind]
    skill.write_bytes(change(skill.read_bytes()))
    with pytest.raises(PackError, match=words) as refused:
        Pack.load(skill)
    assert str(skill) in str(refused.value)


def test_a_member_that_unpacks_to_more_than_it_says(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    path, weights = tmp_path / "a.skill", files["weights.safetensors"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content + bytes(1 << 20) * (name == "weights.safetensors"))
    content = path.read_bytes()
    size = struct.pack("<L", len(weights))  # what the manifest says, as the directory does
    path.write_bytes(patched(content, directory(content) + 24, size))
    with pytest.raises(PackError, match=r"weights\.safetensors: is damaged"):
        Pack.load(path)


def test_a_bomb_that_lies_about_its_size_is_never_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.skill"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("pack.json", bytes(64 << 20))
    content = path.read_bytes()
    path.write_bytes(patched(content, directory(content) + 24, struct.pack("<L", 1000)))
    tracemalloc.start()
    try:
        with pytest.raises(PackError, match=r"pack\.json: is damaged .*CRC"):
            Pack.load(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_sizes_have_an_end(skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = skill.stat().st_size
    monkeypatch.setattr(skill_file, "MAX_BYTES", size - 1)
    with pytest.raises(PackError, match=f"has {size} bytes, expected at most {size - 1}"):
        Pack.load(skill)
    monkeypatch.setattr(skill_file, "MAX_BYTES", 10_000)
    with pytest.raises(StorageError, match="keep a skill this large as a folder"):
        made().save(skill, overwrite=True)


def test_all_members_together_have_an_end(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.skill", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("a.png", "b.png"):
            zipped.writestr(name, bytes(900_000))  # each small enough for any ratio
    monkeypatch.setattr(skill_file, "MAX_BYTES", 1_000_000)
    with pytest.raises(PackError, match="would unpack to 1800000 bytes, expected at most 1000000"):
        Pack.load(tmp_path / "a.skill")


def test_a_member_may_be_missing_or_be_another(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.skill"
    for name in files:
        path.write_bytes(skill_file.to_bytes({k: v for k, v in files.items() if k != name}))
        with pytest.raises(PackError, match=f"{name}: is missing; the skill file is incomplete"):
            Pack.load(path)
    inner = skill_file.to_bytes(files)
    path.write_bytes(skill_file.to_bytes(files | {"README.md": inner}))
    with pytest.raises(PackError, match=r"README\.md: has \d+ bytes, expected at most"):
        Pack.load(path)
    changed = files["README.md"].replace(b"red", b"bed")
    path.write_bytes(skill_file.to_bytes(files | {"README.md": changed}))
    with pytest.raises(PackError, match=r"README\.md: was changed after the skill was saved"):
        Pack.load(path)


def test_no_flipped_byte_does_anything_but_a_pack_error(files: dict[str, bytes], tmp_path) -> None:
    """What stands in no digest (dates, attributes) may change; nothing that is read may."""
    small = {name: files[name] for name in ("README.md", "pack.json")}
    content = bytearray(skill_file.to_bytes(small))
    rng, path = np.random.default_rng(0), tmp_path / "a.skill"
    start = directory(bytes(content))
    places = [*range(60), *range(start, len(content)), *rng.integers(0, len(content), 100)]
    said = []
    for place in places:
        bent = bytearray(content)
        bent[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bent)
        try:
            archive = skill_file.read(path)
            assert {n: archive.read(n, 1 << 20) for n in archive.names()} == small, place
        except PackError as error:
            said.append(str(error))
    assert len(said) > len(places) / 2
    assert all("a.skill" in words for words in said)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.skill")
    with pytest.raises(PackError, match="is a pipe or device"):
        Pack.load(tmp_path / "a.skill")


def test_a_zip_of_another_name_is_told_what_to_be_called(skill: Path) -> None:
    other = skill.rename(skill.with_suffix(".zip"))
    with pytest.raises(PackError, match=r"is a file; expected a skill's folder, or .*NAME\.skill"):
        Pack.load(other)


# --- written whole -----------------------------------------------------------------------------


def test_a_file_is_replaced_only_when_told(pack: Pack, skill: Path) -> None:
    before = skill.read_bytes()
    with pytest.raises(InputError, match="exists already; choose another name"):
        pack.save(skill)
    assert skill.read_bytes() == before
    made().save(skill, overwrite=True)
    assert Pack.load(skill).manifest["evaluation"] is None
    (skill.parent / "thesis.skill").write_text("two years of work")
    with pytest.raises(InputError, match="is another kind of file; move it elsewhere"):
        pack.save(skill.parent / "thesis.skill", overwrite=True)
    assert (skill.parent / "thesis.skill").read_text() == "two years of work"


@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_whatever_fails_no_half_file_remains(
    step: str, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.skill"
    if step == "replace":
        made().save(path)
    before = contents(tmp_path)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", fail)
        else:
            patch.setattr(os, "link", fail)
            patch.setattr(Path, "rename", fail)
            patch.setattr(Path, "replace", fail)
        with pytest.raises(StorageError, match=r"a\.skill: cannot be written \(No space left"):
            pack.save(path, overwrite=step == "replace")
    assert contents(tmp_path) == before


def test_a_disk_without_links(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    pack.save(tmp_path / "a.skill")
    with pytest.raises(InputError, match="exists already"):
        pack.save(tmp_path / "a.skill")
    assert [p.name for p in tmp_path.iterdir()] == ["a.skill"]


def test_a_figure_of_former_numbers_goes(pack: Pack, tmp_path: Path) -> None:
    folder = pack.save(tmp_path / "skill")
    assert (folder / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    assert "confusion.png" in Pack.load(folder).manifest["files"]
    assert "![Confusion matrix" in (folder / "README.md").read_text()
    made().save(folder, overwrite=True)
    assert sorted(contents(folder)) == ["README.md", "pack.json", "weights.safetensors"]
    assert "![" not in (folder / "README.md").read_text()


def test_a_figure_follows_the_names_and_a_change_drops_it(pack: Pack, tmp_path: Path) -> None:
    renamed = rename(pack, {"red": "crimson"}).pack
    assert renamed.files()["confusion.png"] != pack.files()["confusion.png"]
    features = pack.tensors["golden.features"][1:]
    targets = np.arange(len(features)) % 4
    text = made_text(features, targets)
    ids = tuple(f"{i:064x}" for i in range(len(features)))
    support = Support(features, targets, text, ids, ids)
    assert "confusion.png" not in refit(pack, support).files()


def made_text(features: np.ndarray, targets: np.ndarray) -> Any:
    from handful.contracts import ClassText

    rows = np.stack([features[targets == c].mean(axis=0) for c in range(4)])
    return ClassText(rows[:, None], ("red", "green", "blue", "grey"), 20.0)


def test_of_many_classes_those_with_most_mistakes_are_drawn() -> None:
    names = [f"c{i}" for i in range(300)]
    matrix = np.diag(np.full(300, 5))
    matrix[250, 7] = 9
    matrix[7, 8] = 2
    small, told = figures.shown(matrix, names)
    assert {"c250", "c7", "c8"} <= {*told}
    assert (len(told), told[-2]) == (figures.MOST + 1, "261 others")
    assert small.sum() == matrix.sum()
    assert small[told.index("c250"), told.index("c7")] == 9
    assert small[-1].tolist()[-2:] == [261 * 5, 0]
    manifest = {"evaluation": {"classes": names, "confusion": matrix.tolist()}}
    assert "the 39 of 300 classes with most mistakes" in figures.caption(manifest)


@pytest.mark.parametrize("confusion", [None, [], [[1]], [[1, 2, 3, -4]] * 4, [["a"] * 4] * 4, {}])
def test_a_strangers_matrix_that_is_none_is_not_drawn(confusion: Any) -> None:
    odd = made().with_evaluation({**MEASURED, "confusion": confusion})
    assert "confusion.png" not in odd.files()
    assert "![" not in odd.files()["README.md"].decode()


# --- the card ----------------------------------------------------------------------------------


def test_the_card_tells_what_its_makers_said(pack: Pack, tmp_path: Path) -> None:
    plain = pack.files()["README.md"].decode()
    for part in (
        "Its makers did not say.",
        "did not say where the photos",
        "No licence was stated",
    ):
        assert part in plain
    facts = described(
        pack.manifest,
        title="Paint | chips",
        people="Painters.",
        data="Scans\nof <chips>.",
        licence="MIT",
    )
    said = replace(pack, manifest=facts)
    path = said.save(tmp_path / "skill") / "README.md"
    front, told = metadata_load(path), path.read_text()
    assert front["license"] == "mit"
    assert front["model-index"][0]["name"] == "Paint | chips"
    for part in (r"# Paint \| chips", "Painters.", "Scans of &lt;chips&gt;.", "`mit`, as stated"):
        assert part in told
    heads = [line for line in told.splitlines() if line.startswith("## ")]
    assert heads == [
        *("## Who it is for", "## How to use it", "## On what data", "## How it was made"),
        *("## How it was chosen", "## How good it is", "## Limits", "## Licence"),
    ]
    kept = described(Pack.load(path.parent).manifest, data="Other scans.")["about"]
    assert kept == {"title": "Paint | chips", "for": "Painters.", "data": "Other scans."}


@pytest.mark.parametrize(
    ("licence", "front"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("unknown", {"license": "unknown"}),
        ("Ask: Ada!", {"license": "other", "license_name": "ask--ada"}),
        ("猫", {"license": "other", "license_name": "not-named"}),
    ],
)
def test_the_hub_takes_the_licence(licence: str, front: dict[str, str], tmp_path: Path) -> None:
    pack = made()
    facts = described(pack.manifest, licence=licence)
    path = replace(pack, manifest=facts).save(tmp_path / "skill") / "README.md"
    stated = metadata_load(path)
    assert {key: stated.get(key) for key in front} == front


def test_statements_have_an_end_and_a_beginning() -> None:
    for text in (" ", "a" * 101):
        with pytest.raises(InputError, match="title: expected 1 to 100 letters"):
            described(made().manifest, title=text)


def test_a_strangers_statements_do_not_break_the_card() -> None:
    odd = made()
    odd.manifest["about"] = {"title": 7, "for": ["x"], "data": "", "more": None}
    assert "# A skill of 4 classes" in odd.files()["README.md"].decode()
    odd.manifest["about"] = "text"
    assert "Its makers did not say." in odd.files()["README.md"].decode()


def test_a_hub_encoder_is_the_base_model(tmp_path: Path) -> None:
    pack = made(encoder=Fake(name="openai/clip-vit-base-patch32"))
    front = metadata_load(pack.save(tmp_path / "skill") / "README.md")
    assert front["base_model"] == "openai/clip-vit-base-patch32"
    assert front["base_model_relation"] == "adapter"


# --- to and from places on this disk -----------------------------------------------------------


def test_push_and_pull_on_this_disk(skill: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "pull", skill, "--out", "there")
    assert (code, "The skill is in there" in out) == (0, True)
    assert "no licence is stated" in err
    assert contents(tmp_path / "there") == contents(Pack.load(skill).save(tmp_path / "same"))
    code, out, err = run(capsys, "push", "there", "out.skill", "--license", "mit", "--json")
    assert code == 0
    assert json.loads(out)["files"].keys() == {*contents(tmp_path / "there")}
    assert Pack.load("out.skill").manifest["license"] == "mit"
    assert Pack.load("there").manifest["license"] == "unknown"
    code, _, err = run(capsys, "push", "there", "out.skill")
    assert (code, "exists already" in err) == (2, True)
    code, out, _ = run(capsys, "pull", "out.skill")
    assert (code, (tmp_path / "out" / "pack.json").is_file()) == (0, True)
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    code, out, _ = run(capsys, "push", "elsewhere", "./new/home")
    assert contents(tmp_path / "new" / "home") == contents(tmp_path / "elsewhere")


def test_what_is_not_whole_is_not_put_anywhere(skill: Path, tmp_path: Path, capsys) -> None:
    forged = Pack.load(skill).save(tmp_path / "forged")
    (forged / "weights.safetensors").write_bytes(b"no")
    for command in (("pull", forged, "--out"), ("push", forged)):
        code, _, err = run(capsys, *command, tmp_path / "new")
        assert (code, "weights.safetensors" in err) == (2, True)
        assert not (tmp_path / "new").exists()


def test_further_files_travel_with_a_skill(pack: Pack, tmp_path: Path) -> None:
    """What a later version lists arrives as it was, where it can be no code."""
    folder = pack.save(tmp_path / "skill")
    (folder / "curve.png").write_bytes(b"a picture")
    forge(folder, lambda m: m["files"].update({"curve.png": facts(b"a picture")}))
    exchange.push(folder, tmp_path / "a.skill")
    exchange.pull(tmp_path / "a.skill", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


def facts(content: bytes) -> dict[str, Any]:
    import hashlib

    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def test_names_and_addresses(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert exchange.hub_target("ada/birds") == "ada/birds"
    assert exchange.hub_target("hf://ada/birds") == "ada/birds"
    assert exchange.hub_target("https://huggingface.co/ada/birds/") == "ada/birds"
    for here in ("birds", "./ada/birds", "/ada/birds", "a/b/c", "ada/birds.skill"):
        assert exchange.hub_target(here) is None
    assert exchange.hub_target(Path("ada/birds")) is None
    (tmp_path / "ada").mkdir()
    with pytest.raises(InputError, match=r"write \./ada/birds for the folder or hf://ada/birds"):
        exchange.hub_target("ada/birds")
    with pytest.raises(InputError, match="expected hf://owner/name"):
        exchange.hub_target("ftp://ada/birds")
    with pytest.raises(PackError, match="birds: does not exist"):
        exchange.open_skill("birds")
    made().save(tmp_path / "ada" / "birds")
    with pytest.raises(InputError, match="has no revisions"):
        exchange.open_skill("ada/birds", revision="v2")


# --- the hub -----------------------------------------------------------------------------------


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Point the client at an address, with a cache of its own; call with "" to go offline."""

    def go(address: str) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", not address)
        if address:
            monkeypatch.setattr(constants, "ENDPOINT", address)
            template = address + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    return go


@pytest.fixture
def there(pack: Pack, tmp_path: Path) -> Path:
    """What the repository holds: a skill, and things nobody asked for."""
    folder = pack.save(tmp_path / "there")
    (folder / "handler.py").write_text("raise SystemExit('run!')")
    (folder / "pytorch_model.bin").write_bytes(b"not wanted")
    return folder


def test_a_pull_fetches_the_skill_alone_and_then_works_offline(
    files: dict[str, bytes], there: Path, tmp_path: Path, online
) -> None:
    with hub.serve("ada/birds", there) as (address, asked):
        online(address)
        done = exchange.pull("ada/birds", tmp_path / "here")
    assert contents(tmp_path / "here") == files
    assert done.commit == hub.COMMIT
    fetched = [path.rpartition("/")[2] for path in asked if "/resolve/" in path]
    assert {*fetched} == {*files}
    of_one_moment = [path for path in asked if f"/resolve/{hub.COMMIT}/" in path]
    assert {path.rpartition("/")[2] for path in of_one_moment} == {*files} - {"pack.json"}
    online("")
    for i, revision in enumerate((None, "main", hub.COMMIT)):
        exchange.pull("ada/birds", tmp_path / str(i), revision=revision)
        assert contents(tmp_path / str(i)) == files
    with pytest.raises(MissingModelError, match="ada/else: is not whole on this disk, and HF_HUB_"):
        exchange.pull("ada/else", tmp_path / "else")
    assert not (tmp_path / "else").exists()


def test_the_revision_and_the_token_reach_the_hub(
    there: Path, tmp_path: Path, online, monkeypatch
) -> None:
    asked: list[dict[str, Any]] = []
    fetch = huggingface_hub.hf_hub_download

    def watch(*args: Any, **named: Any) -> str:
        asked.append(named)
        return fetch(*args, **named)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", watch)
    with hub.serve("ada/birds", there) as (address, paths):
        online(address)
        exchange.pull("hf://ada/birds", tmp_path / "a", revision="v2", token="hf_mine")
    assert "/api/models/ada/birds/revision/v2" in paths
    assert {call["token"] for call in asked} == {"hf_mine"}
    assert [call["revision"] for call in asked] == ["v2", *[hub.COMMIT] * 3]  # of one moment


def test_a_skill_that_changes_meanwhile_is_not_mixed(
    there: Path, tmp_path: Path, online, monkeypatch
) -> None:
    with hub.serve("ada/birds", there) as (address, _):
        online(address)
        fetch = huggingface_hub.HfApi.model_info

        def older(*args: Any, **named: Any) -> Any:
            found = fetch(*args, **named)
            found.sha = "f" * 40
            return found

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", older)
        with pytest.raises(MissingModelError, match="changed while it was being fetched"):
            exchange.pull("ada/birds", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_repository_that_is_no_skill(there: Path, tmp_path: Path, online) -> None:
    def pull(words: str) -> list[str]:
        with hub.serve("ada/birds", there) as (address, asked):
            online(address)
            with pytest.raises(PackError, match=words):
                exchange.pull("ada/birds", tmp_path / "here")
        assert not (tmp_path / "here").exists()
        return [path.rpartition("/")[2] for path in asked if "/resolve/" in path]

    forge(there, lambda m: m["files"].update({"handler.py": facts(b"raise SystemExit('run!')")}))
    assert "handler.py" not in pull("handler.py: is no file that a skill on the hub can have")
    forge(there, lambda m: m["files"].pop("handler.py"))
    with (there / "weights.safetensors").open("ab") as file:
        file.write(bytes(4 << 20))
    fetched = pull(r"weights\.safetensors: has \d+ bytes, expected at most \d+")
    assert "weights.safetensors" not in fetched  # its size told before it was fetched
    (there / "pack.json").unlink()
    assert pull(r"pack\.json: is missing there; this is no skill") == []


def hub_error(kind: str, status: int = 0) -> Exception:
    if kind == "network":
        transport = next(
            c for c in huggingface_hub.errors.HfHubHTTPError.__mro__ if c.__name__ == "HTTPError"
        )
        return transport("Name or service not known")
    cls = getattr(huggingface_hub.errors, kind, ValueError)
    error = cls.__new__(cls, "Invalid metadata in README.md.\n- no such licence")
    error.args = ("Invalid metadata in README.md.\n- no such licence",)
    if status:
        error.response = type("Response", (), {"status_code": status})()
    return error


ERRORS = [
    ("GatedRepoError", 0, "asks for consent.*hf auth login"),
    ("RepositoryNotFoundError", 0, "no such repository, or it is private.*hf auth login"),
    ("RevisionNotFoundError", 0, "no branch, tag or commit called 'v2'"),
    ("HfHubHTTPError", 403, "the hub refused.*hf auth login"),
    ("HfHubHTTPError", 500, "cannot be reached"),
    ("network", 0, "cannot be reached.*Name or service.*HF_HUB_OFFLINE=1"),
    ("HFValidationError", 0, "is no hub name"),
]


@pytest.mark.parametrize(("kind", "status", "words"), ERRORS)
def test_what_the_client_raises_becomes_cause_and_cure(
    kind: str, status: int, words: str, pack: Pack, tmp_path: Path, online, monkeypatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise hub_error(kind, status)

    online("http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda *a, **k: None)
    with pytest.raises(MissingModelError, match=words):
        exchange.pull("ada/birds", tmp_path / "here", revision="v2")
    with pytest.raises(StorageError, match=words):
        exchange.push(pack, "hf://ada/birds", revision="v2")


class Repositories:
    """What a push does to the hub, remembered; nothing is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, held: tuple[str, ...]) -> None:
        self.made: list[dict[str, Any]] = []
        self.commits: list[dict[str, Any]] = []
        self.token: Any = None
        for name in ("create_repo", "create_commit"):
            monkeypatch.setattr(huggingface_hub.HfApi, name, getattr(self, name))
        siblings = [type("Sibling", (), {"rfilename": n, "size": 1})() for n in held]
        state = type("Info", (), {"siblings": siblings, "sha": hub.COMMIT})()
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: state)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def create_repo(self, name: str, **named: Any) -> None:
        self.made.append({"name": name, **named})

    def create_commit(self, name: str, operations: Any, **named: Any) -> Any:
        self.commits.append({"name": name, "operations": operations, **named})
        return type("Commit", (), {"commit_url": f"https://hub/{name}/commit/1"})()


@pytest.fixture
def repositories(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Repositories]]:
    return lambda *held: Repositories(monkeypatch, held)


def test_a_push_is_private_and_one_commit(
    files: dict[str, bytes], skill: Path, repositories, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = repositories(".gitattributes")
    code, out, err = run(capsys, "push", skill, "ada/birds", "--message", "First")
    assert code == 0, err
    assert "https://hub/ada/birds/commit/1" in out
    assert "states no licence" in err
    assert there.made == [{"name": "ada/birds", "private": True, "exist_ok": True}]
    (commit,) = there.commits
    assert (commit["commit_message"], commit["revision"]) == ("First", None)
    sent = {op.path_in_repo: op.path_or_fileobj for op in commit["operations"]}
    assert sent == files
    assert run(capsys, "push", skill, "ada/birds", "--public", "--revision", "next")[0] == 0
    assert there.made[1]["private"] is False
    assert there.commits[1]["revision"] == "next"


def test_a_push_takes_the_figure_of_former_numbers_away(repositories) -> None:
    there = repositories("README.md", "pack.json", "weights.safetensors", "confusion.png", "my.txt")
    exchange.push(made(), "hf://ada/birds")
    operations = {op.path_in_repo: type(op).__name__ for op in there.commits[0]["operations"]}
    assert operations["confusion.png"] == "CommitOperationDelete"
    assert "my.txt" not in operations


def test_a_repository_of_something_else_is_left_alone(repositories) -> None:
    there = repositories(".gitattributes", "README.md", "config.json", "model.safetensors")
    with pytest.raises(StorageError, match=r"holds something else than a skill \(config\.json"):
        exchange.push(made(), "hf://ada/bert")
    assert there.commits == []


def test_a_card_that_the_hub_refuses(repositories, monkeypatch) -> None:
    repositories()

    def refuse(*args: Any, **named: Any) -> None:
        raise ValueError("Invalid metadata in README.md.\n- license must be one of them")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", refuse)
    with pytest.raises(StorageError, match=r"refused the skill \(Invalid metadata.* one of them"):
        exchange.push(made(), "hf://ada/birds")


def test_offline_nothing_is_sent(pack: Pack, online) -> None:
    online("")
    with pytest.raises(StorageError, match="HF_HUB_OFFLINE forbids to send anything; unset it"):
        exchange.push(pack, "hf://ada/birds")


def test_what_others_will_see_is_told(tmp_path: Path) -> None:
    pack = made(encoder=Fake(name="/home/ada/clip"))
    notes = " ".join(exchange.push(pack, tmp_path / "a.skill").notes)
    assert "a place on this machine (/home/ada/clip)" in notes
    assert "has no numbers" in notes
