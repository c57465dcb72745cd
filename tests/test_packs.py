"""Skills on disk: the same answers back, whole or not at all, and nothing believed unverified."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import metadata_load
from PIL import Image

from handful import plugins
from handful.contracts import ClassText, unit
from handful.errors import InputError, MismatchError, PackError, StorageError
from handful.packs import Pack, golden

DIM = 16
CLASSES = ("red", "green", "blue", "grey")
FILES = ("pack.json", "weights.safetensors", "README.md")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Fake:
    """An encoder whose feature is a fixed projection of the picture, 8 by 8."""

    name, dim, scale = "fake", DIM, 100.0

    def __init__(self, **facts: Any) -> None:
        self.fingerprint, self.precision = "model:fake weights:01 preprocessing:02", "float32"
        self.wobble = 0.0
        self.__dict__.update(facts)
        self.mixing = np.random.default_rng(0).normal(size=(192, DIM))
        self.turn = np.random.default_rng(1).normal(size=DIM)

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((8, 8)), dtype=np.float64) - 127.5

    def images(self, batch: Sequence[np.ndarray]) -> np.ndarray:
        rows = unit(np.stack([b.reshape(-1) for b in batch]) @ self.mixing)
        return unit(rows + self.wobble * self.turn)

    def texts(self, batch: Sequence[str]) -> np.ndarray:
        raise NotImplementedError


def solid(colour: str) -> Image.Image:
    return Image.new("RGB", (24, 16), colour)


def text(classes: Sequence[str] = CLASSES) -> ClassText:
    encoder = Fake()
    rows = encoder.images([encoder.prepare(solid(c)) for c in CLASSES[: len(classes)]])
    return ClassText(rows[:, None], tuple(classes), 20.0)


def fitted(method: str = "tip", classes: Sequence[str] = CLASSES, **params: Any) -> Any:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(classes)), 3)
    X = text(classes).weights[y] + 0.1 * rng.normal(size=(len(y), DIM))
    cls = plugins.get("adapters", method)
    if "steps" in cls().get_params():
        params.setdefault("steps", 3)
    return cls(**params).fit(X, y, text(classes))


def made(method: str = "tip", classes: Sequence[str] = CLASSES, **facts: Any) -> Pack:
    return Pack.of(
        fitted(method, classes),
        text(classes),
        facts.pop("encoder", Fake()),
        templates=("a {} thing.",),
        support_ids=[hashlib.sha256(bytes([i])).hexdigest() for i in range(12)],
        training={"shots": 3, "seed": 0, "counts": dict.fromkeys(classes, 3)},
        **{"created": NOW, **facts},
    )


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made().save(tmp_path_factory.mktemp("packs") / "skill")


@pytest.fixture
def skill(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "skill"))


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest and sign it again, as its page in the documentation says."""
    path = folder / "pack.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        manifest["files"][name] = facts
    change(manifest)
    sign(path, manifest)


_DELTA = {"name": "a", "tuner": "norm", "params": {}, "classes": [], "base": "b"}
_DELTA |= {"parameters": 1, "bytes": 4, "share": 0.5}


def sign(path: Path, manifest: Any) -> None:
    manifest = {k: v for k, v in manifest.items() if k != "digest"} | {"digest": "0" * 64}
    blank = json.dumps(manifest)
    digest = hashlib.sha256(blank.encode()).hexdigest()
    path.write_text(digest.join(blank.rsplit("0" * 64, 1)))


def reweigh(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    """Change tensors, and let the manifest vouch for them."""
    path = folder / "weights.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors))
    facts = {n: {"dtype": str(t.dtype), "shape": [*t.shape]} for n, t in tensors.items()}
    forge(folder, lambda m: m.update(tensors=facts))


def contents(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir()}


# --- what comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", plugins.names("adapters"))
def test_every_method_answers_bit_for_bit_as_before(method: str, tmp_path: Path) -> None:
    adapter = fitted(method)
    pack = Pack.of(
        adapter, text(), Fake(), templates=("{}",), support_ids=(), training={}, evaluation=None
    )
    loaded = Pack.load(pack.save(tmp_path / "skill"))
    queries = np.random.default_rng(2).normal(size=(300, DIM)).astype(np.float32)
    np.testing.assert_array_equal(loaded.logits(queries), adapter.logits(queries))
    np.testing.assert_array_equal(loaded.logits(queries), pack.logits(queries))
    np.testing.assert_array_equal(loaded.probabilities(queries), adapter.predict_proba(queries))
    assert loaded.method == method
    assert loaded.manifest["params"] == adapter.get_params()


def test_refitting_the_adapter_leaves_the_pack_alone() -> None:
    adapter = fitted("linear")
    facts = {"templates": ("{}",), "support_ids": (), "training": {}}
    pack = Pack.of(adapter, text(), Fake(), **facts)
    queries = np.eye(DIM, dtype=np.float32)
    before = pack.logits(queries)
    for tensor in adapter.module_.state_dict().values():
        tensor.add_(1.0)
    np.testing.assert_array_equal(pack.logits(queries), before)


def test_the_manifest_tells_where_the_skill_comes_from(skill: Path) -> None:
    manifest = json.loads((skill / "pack.json").read_text())
    expected = {
        "format": 1,
        "created": "2026-01-02T03:04:05Z",
        "license": "unknown",
        "method": "tip",
        "params": {"alpha": 1.0, "beta": 5.5},
        "classes": list(CLASSES),
        "templates": ["a {} thing."],
        "scale": 20.0,
        "evaluation": None,
    }
    assert {key: manifest[key] for key in expected} == expected
    assert manifest["encoder"] == {
        "name": "fake",
        "fingerprint": "model:fake weights:01 preprocessing:02",
        "dim": DIM,
        "precision": "float32",
    }
    assert list(manifest)[-1] == "digest"
    pack = Pack.load(skill)
    assert (pack.classes, pack.method) == (CLASSES, "tip")
    assert pack.fingerprint == manifest["encoder"]["fingerprint"]
    assert len(pack.support_ids) == 12


def test_the_same_skill_is_the_same_bytes(skill: Path, tmp_path: Path) -> None:
    again = contents(made().save(tmp_path / "again"))
    assert again == contents(skill)
    assert contents(Pack.load(skill).save(tmp_path / "copy")) == again
    later = made(created=NOW.replace(year=2027)).save(tmp_path / "later")
    assert contents(later)["weights.safetensors"] == again["weights.safetensors"]
    manifests = [json.loads(c["pack.json"]) for c in (again, contents(later))]
    differing = {k for k in manifests[0] if manifests[0][k] != manifests[1][k]}
    assert differing == {"created", "files", "digest"}  # files: the card tells the date


def test_what_a_later_version_adds_is_carried_along(skill: Path, tmp_path: Path) -> None:
    extra = {"statistics.means": np.ones((4, DIM), np.float32)}
    reweigh(skill, lambda tensors: tensors.update(extra))
    forge(skill, lambda m: m.update(statistics={"kind": "means"}))
    (skill / "notes.txt").write_text("mine")
    pack = Pack.load(skill)
    copy = Pack.load(pack.save(tmp_path / "copy"))
    assert copy.manifest["statistics"] == {"kind": "means"}
    np.testing.assert_array_equal(copy.tensors["statistics.means"], extra["statistics.means"])


def test_numpy_values_become_plain_ones(tmp_path: Path) -> None:
    pack = made(evaluation={"accuracy": np.float32(0.5), "confusion": np.eye(2, dtype=int)})
    loaded = Pack.load(pack.save(tmp_path / "skill"))
    assert loaded.manifest["evaluation"] == {"accuracy": 0.5, "confusion": [[1, 0], [0, 1]]}


# --- the card ----------------------------------------------------------------------------------


def test_the_card_is_a_model_card(tmp_path: Path) -> None:
    encoder = Fake(name="openai/clip-vit-base-patch32")
    pack = made(encoder=encoder, licence="cc-by-4.0").with_evaluation(
        {"accuracy": 0.875, "interval": (0.8, 0.92), "macro_f1": 0.86, "count": 200}
    )
    path = pack.save(tmp_path / "skill") / "README.md"
    front = metadata_load(path)
    assert front["license"] == "cc-by-4.0"
    assert front["library_name"] == "handful"
    assert front["pipeline_tag"] == "image-classification"
    assert front["base_model"] == "openai/clip-vit-base-patch32"
    (result,) = front["model-index"][0]["results"]
    assert [(m["type"], m["value"]) for m in result["metrics"]] == [
        ("accuracy", 0.875),
        ("f1", 0.86),
    ]
    told = path.read_text()
    for part in ("87.50 %", "80.00 to 92.00", "200", "handful predict", "red", "a {} thing."):
        assert part in told
    assert "Not measured" not in told


def test_a_card_without_numbers_says_so_and_a_local_path_stays_private(tmp_path: Path) -> None:
    folder = made("zero_shot", encoder=Fake(name="/home/ada/models/clip")).save(tmp_path / "skill")
    front, told = metadata_load(folder / "README.md"), (folder / "README.md").read_text()
    assert "Not measured yet" in told
    assert "model-index" not in front
    assert "base_model" not in front
    assert front["pipeline_tag"] == "zero-shot-image-classification"
    assert "ada" not in told
    assert "No licence was stated" in told


def test_a_class_name_cannot_break_the_card(tmp_path: Path) -> None:
    odd = ("a|b --- # x", "<script>", "`c`", "ñ 猫")
    folder = made(classes=odd).save(tmp_path / "skill")
    rows = [r for r in (folder / "README.md").read_text().splitlines() if r.startswith("| ")]
    assert rows[1:] == [
        r"| a\|b --- # x | 3 |",
        "| &lt;script&gt; | 3 |",
        r"| \`c\` | 3 |",
        "| ñ 猫 | 3 |",
    ]
    assert Pack.load(folder).classes == odd


# --- what is refused when it is made -----------------------------------------------------------


def test_only_plain_values_are_written() -> None:
    with pytest.raises(InputError, match=r"training: when: expected numbers.*got datetime"):
        Pack.of(fitted(), text(), Fake(), templates=(), support_ids=(), training={"when": NOW})
    with pytest.raises(InputError, match=r"evaluation: accuracy: is nan"):
        made().with_evaluation({"accuracy": float("nan")})
    with pytest.raises(InputError, match=r"expected text as keys, got 1"):
        made().with_evaluation({"a": {1: 2}})


def test_an_adapter_must_be_fitted_and_findable() -> None:
    kind = plugins.get("adapters", "tip")
    facts = {"templates": (), "support_ids": (), "training": {}}
    with pytest.raises(InputError, match="Tip is not fitted yet; call fit first"):
        Pack.of(kind(), text(), Fake(), **facts)
    stray = type("Stray", (kind,), {"__init__": kind.__init__, "__module__": __name__})
    adapter = stray().fit(np.eye(4, DIM), np.arange(4), text())
    with pytest.raises(InputError, match="Stray is no plug-in"):
        Pack.of(adapter, text(), Fake(), **facts)


def test_a_name_that_is_no_unicode_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pack = made(classes=("caf\udce9", "tea"))
    with pytest.raises(InputError, match="cannot be written as UTF-8; rename the class"):
        pack.save(tmp_path / "skill")
    assert not list(tmp_path.iterdir())


# --- what is refused when it is read -----------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found(skill: Path, name: str) -> None:
    path = skill / name
    raw = path.read_bytes()
    for position in np.linspace(0, len(raw) - 1, 60).astype(int):
        changed = bytearray(raw)
        changed[position] ^= 1 << (position % 8)
        path.write_bytes(changed)
        with pytest.raises(PackError, match=f"{name}: "):
            Pack.load(skill)
    path.write_bytes(raw)
    Pack.load(skill)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
def test_a_file_cut_short_is_named(skill: Path, name: str, kept: float) -> None:
    raw = (skill / name).read_bytes()
    (skill / name).write_bytes(raw[: int(len(raw) * kept) if kept == 0.5 else int(kept)])
    with pytest.raises(PackError, match=f"{name}: "):
        Pack.load(skill)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_grew_is_named(skill: Path, name: str) -> None:
    with (skill / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(PackError, match=f"{name}: "):
        Pack.load(skill)


@pytest.mark.parametrize("name", FILES)
def test_only_plain_files_are_read(skill: Path, name: str, tmp_path: Path) -> None:
    path = skill / name
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(PackError, match=f"{name}: is missing; the pack is incomplete"):
        Pack.load(skill)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackError, match=f"{name}: is a symbolic link"):
        Pack.load(skill)
    path.unlink()
    path.mkdir()
    with pytest.raises(PackError, match=f"{name}: is not a plain file"):
        Pack.load(skill)
    if hasattr(os, "mkfifo"):
        path.rmdir()
        os.mkfifo(path)  # reading it would wait for ever
        with pytest.raises(PackError, match=f"{name}: is not a plain file"):
            Pack.load(skill)


def test_places_that_are_no_pack(skill: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="nowhere: does not exist; expected the folder"):
        Pack.load(tmp_path / "nowhere")
    with pytest.raises(PackError, match=r"pack\.json: is a file; give its folder, .*skill$"):
        Pack.load(skill / "pack.json")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(PackError, match=r"photo\.jpg: is a file; expected a skill's folder"):
        Pack.load(tmp_path / "photo.jpg")
    with pytest.raises(PackError, match=r"pack\.json: is missing"):
        Pack.load(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[1]", "expected a JSON object, got list"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"format": 1, "format": 1}', "a key stands twice"),
        (b'{"format": NaN}', "NaN is no number"),
        (b'{"format": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b'\xff\xfe{"format": 1}', "is not valid JSON"),
        (b'{"format": "1"}', "expected a format number"),
        (b'{"format": true}', "expected a format number"),
        (b'{"format": 0}', "expected a format number"),
        (b'{"format": 2}', r"made by a newer Handful \(format 2.*use a newer"),
        (b'{"format": 1}', "expected 64 hexadecimal digits under 'digest'"),
    ],
)
def test_a_manifest_that_is_none(skill: Path, raw: bytes, message: str) -> None:
    (skill / "pack.json").write_bytes(raw)
    with pytest.raises(PackError, match=rf"pack\.json: .*{message}"):
        Pack.load(skill)


def test_a_huge_manifest_is_not_read(skill: Path) -> None:
    with (skill / "pack.json").open("r+b") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    with pytest.raises(PackError, match=r"pack\.json: has 1073741824 bytes, expected at most"):
        Pack.load(skill)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, of lists only the first."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


ODD = (None, True, 0, -1, 2**70, 1.5, "", "../x", [], ["x"], {}, {"x": 1})


def test_no_wrong_value_anywhere_does_anything_but_a_pack_error(skill: Path) -> None:
    """Signed again each time, so that the digest does not save us."""
    whole = json.loads((skill / "pack.json").read_text())
    refused = 0
    for place in places(whole):
        if place == ("digest",):
            continue
        for value in ("gone", *ODD):
            manifest = deepcopy(whole)
            inner = manifest
            for key in place[:-1]:
                inner = inner[key]
            if value == "gone":
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            sign(skill / "pack.json", manifest)
            try:
                Pack.load(skill)
            except PackError as error:
                refused += 1
                assert str(skill) in str(error), (place, value)  # noqa: PT017
    assert refused > 500


def test_no_damage_to_the_tensors_does_anything_but_a_pack_error(skill: Path) -> None:
    path = skill / "weights.safetensors"
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    header = int.from_bytes(raw[:8], "little") + 8
    refused = 0
    for position in [*range(12), *rng.integers(0, header, 60), *rng.integers(header, len(raw), 20)]:
        changed = bytearray(raw)
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        forge(skill, lambda m: None)
        try:
            Pack.load(skill)
        except PackError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["head.keys"].fill(np.nan), "head.keys: contains NaN or infinity"),
        (lambda t: t.pop("head.beta"), "do not make a 'tip'.*beta"),
        (lambda t: t.update({"head.more": np.ones(2)}), "do not make a 'tip'.*more"),
        (lambda t: t.pop("golden.logits"), "golden.logits: expected float32.*got none"),
        (lambda t: t.update({"golden.image": np.ones((4, 4), np.uint8)}), "golden.image: expected"),
        (lambda t: np.multiply(t["golden.logits"], 1.01, t["golden.logits"]), "does not answer as"),
        (lambda t: np.add(t["head.labels"], 9, t["head.labels"]), "do not fit one another"),
        (lambda t: t.update({"head.keys": t["head.keys"][:, :3]}), "do not fit one another"),
    ],
)
def test_tensors_that_do_not_make_the_skill(
    skill: Path, change: Callable[[dict[str, np.ndarray]], Any], message: str
) -> None:
    reweigh(skill, change)
    with pytest.raises(PackError, match=message):
        Pack.load(skill)


def test_tensors_are_those_the_manifest_states(skill: Path) -> None:
    forge(skill, lambda m: m["tensors"]["head.keys"].update(shape=[1, 2]))
    with pytest.raises(
        PackError, match=r"head\.keys: expected float32 \[1, 2\], got float32 \[12,"
    ):
        Pack.load(skill)


@pytest.mark.parametrize(
    ("tuner", "message"),
    [
        (None, "'tuner': expected list, got NoneType"),
        ("lora", "'tuner': expected list, got str"),
        ([5], "'tuner': expected dict, got int"),
        ([{"name": "lora"}], "'tuner.tuner' is missing"),
        ([_DELTA | {"params": [1]}], "'tuner.params': expected dict, got list"),
        ([_DELTA | {"share": "x"}], "'tuner.share': expected int or float, got str"),
    ],
)
def test_what_is_said_of_a_tuner_is_checked(skill: Path, tuner: Any, message: str) -> None:
    forge(skill, lambda m: m.update(tuner=tuner))
    with pytest.raises(PackError, match=message):
        Pack.load(skill)


def test_a_method_that_is_missing_is_named(skill: Path) -> None:
    forge(skill, lambda m: m.update(method="tipp"))
    with pytest.raises(PackError, match="needs the method 'tipp', which is not installed"):
        Pack.load(skill)


@pytest.mark.parametrize("method", ["../evil", "/evil", "_base", "a/b", "tip.evil", "Tip", ""])
def test_a_method_is_a_name_and_never_a_path(
    skill: Path, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.setenv("HANDFUL_PLUGINS", str(tmp_path))
    if method == "/evil":
        method = str(tmp_path / "evil")
    forge(skill, lambda m: m.update(method=method))
    with pytest.raises(PackError, match="cannot be a method's name"):
        Pack.load(skill)


@pytest.mark.parametrize("name", ["../skill/README.md", "a/b", ".x", "pack.json", "", "a\\b", "~"])
def test_files_outside_the_folder_are_not_read(skill: Path, name: str) -> None:
    forge(skill, lambda m: m["files"].update({name: m["files"]["README.md"]}))
    with pytest.raises(PackError, match="cannot be a file of a pack"):
        Pack.load(skill)


# --- whole or not at all -----------------------------------------------------------------------


def test_an_existing_pack_is_replaced_only_when_told(skill: Path) -> None:
    before = contents(skill)
    with pytest.raises(InputError, match=r"exists already.*--overwrite"):
        made("linear").save(skill)
    assert contents(skill) == before
    made("linear").save(skill, overwrite=True)
    assert Pack.load(skill).method == "linear"
    assert [p.name for p in skill.parent.iterdir()] == ["skill"]


def test_nothing_foreign_is_ever_deleted(skill: Path, tmp_path: Path) -> None:
    (skill / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not part of a skill \(notes\.txt\)"):
        made().save(skill, overwrite=True)
    assert (skill / "notes.txt").read_text() == "mine"
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file; expected a folder"):
        made().save(tmp_path / "photo.jpg", overwrite=True)
    with pytest.raises(InputError, match="top of a disk"):
        made().save("/", overwrite=True)


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made().save(tmp_path / "empty")
    Pack.load(tmp_path / "empty")
    Pack.load(made().save(tmp_path / "a" / "b" / "c"))
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    made("linear").save(tmp_path / "link", overwrite=True)
    assert Pack.load(tmp_path / "empty").method == "linear"
    assert (tmp_path / "link").is_symlink()


class Fault:
    """Raises at the n-th of the calls through which a save reaches the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
        self.calls, self.at, self.error = 0, at, error
        for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "mkdir"), (Path, "open")):
            monkeypatch.setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise self.error
            return original(*args, **kwargs)

        return call


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_whatever_fails_nothing_is_half_written(
    existing: bool, error: BaseException, original: Path, tmp_path: Path
) -> None:
    pack, target = made("linear"), tmp_path / "skill"
    expected = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    failed = 0
    for at in range(1, 100):
        if existing and not target.exists():
            shutil.copytree(original, target)
        before = contents(target) if existing else None
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, at, error)
            try:
                pack.save(target, overwrite=existing)
            except expected as raised:
                failed += 1
                if expected is StorageError:
                    assert "skill: cannot be written (No space left on device); free" in str(raised)  # noqa: PT017
        left = [p.name for p in tmp_path.iterdir()]
        assert left == (["skill"] if target.exists() else []), at
        if fault.calls < at:  # nothing was left to fail
            assert Pack.load(target).method == "linear"
            break
        if target.exists():
            assert contents(target) in (before, expected_files(pack, tmp_path)), at
            if contents(target) != before:
                shutil.rmtree(target)
    assert failed >= 9


def expected_files(pack: Pack, tmp_path: Path) -> dict[str, bytes]:
    folder = pack.save(tmp_path.parent / f"{tmp_path.name}-expected", overwrite=True)
    return contents(folder)


def test_a_replacement_that_was_killed_is_undone(skill: Path) -> None:
    before = contents(skill)
    skill.rename(skill.with_name(".skill.previous"))  # killed between the two renames
    with pytest.raises(PackError, match=r"interrupted; the former skill is whole, in .*previous"):
        Pack.load(skill)
    with pytest.raises(InputError, match="exists already"):
        made("linear").save(skill)
    assert contents(skill) == before
    assert [p.name for p in skill.parent.iterdir()] == ["skill"]


def test_a_disk_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        (tmp_path / "file").write_bytes(b"")
        place, cause = tmp_path / "file" / "skill", "Not a directory|File exists"
    else:
        tmp_path.chmod(0o500)
        place, cause = tmp_path / "skill", "Permission denied"
    with pytest.raises(StorageError, match=rf"skill: cannot be written \({cause}\); free some"):
        made().save(place)


# --- the encoder -------------------------------------------------------------------------------


def test_the_same_encoder_is_recognised() -> None:
    assert made().check_encoder(Fake()) == 0.0
    assert 0 < made().check_encoder(Fake(precision="bfloat16", wobble=1e-4)) < golden.TOLERANCE


def test_another_encoder_is_refused_part_by_part() -> None:
    other = Fake(fingerprint="model:fake weights:99 preprocessing:02 tuner:aa", name="other")
    with pytest.raises(MismatchError) as caught:
        made().check_encoder(other)
    told = str(caught.value)
    assert "weights differs (skill 01, encoder 99)" in told
    assert "tuner differs (skill none, encoder aa)" in told
    assert "preprocessing" not in told
    assert "Load 'fake'" in told


def test_the_golden_image_decides_between_precisions() -> None:
    pack = made(encoder=Fake(precision="bfloat16"))
    with pytest.raises(MismatchError, match=r"load the encoder with precision='bfloat16'"):
        pack.check_encoder(Fake(wobble=0.5))
    with pytest.raises(MismatchError, match="pictures are prepared differently here"):
        pack.check_encoder(Fake(precision="bfloat16", wobble=0.5))


def test_features_that_are_not_numbers_are_refused() -> None:
    class Broken(Fake):
        def images(self, batch: Sequence[np.ndarray]) -> np.ndarray:
            return np.full((len(batch), DIM), np.nan, np.float32)

    with pytest.raises(InputError):
        made().check_encoder(Broken())


@pytest.mark.parametrize(
    ("scale", "looks"), [(1.0, (8,)), (100.0, (8, 16, 24, 32)), (1000.0, (16, 24, 32))]
)
def test_the_golden_image_is_neither_sure_nor_touchy(scale: float, looks: tuple[int, ...]) -> None:
    class Counting(Fake):
        seen = 0

        def prepare(self, image: Image.Image) -> np.ndarray:
            self.seen += 1
            return super().prepare(image)

    encoder = Counting()
    adapter = plugins.get("adapters", "zero_shot")()
    adapter.fit(np.eye(4, DIM), np.arange(4), ClassText(text().embeddings, CLASSES, scale))
    tensors = golden.make(adapter, encoder)
    (worth,) = golden.telling(tensors["golden.features"][:1], adapter.predict_proba)
    assert 0 < worth < golden.TOLERANCE / 2
    assert worth > golden.TOLERANCE / 10 or scale < 10  # at scale 1 no picture says much
    assert encoder.seen in looks


def test_golden_pictures_are_a_formula() -> None:
    np.testing.assert_array_equal(golden.picture(3), golden.picture(3))
    assert golden.picture(3).shape == (golden.HEIGHT, golden.WIDTH, 3)
    assert len({golden.picture(i).tobytes() for i in range(golden.PICTURES)}) == golden.PICTURES
