"""Every command that loads an encoder takes `--precision` and `--device`, and hands them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

import commands
from handful import encoders
from handful.cli._app import app
from handful.errors import InputError
from handful.library import Library
from handful.skills.fit import fit

# arguments of each command that loads an encoder, up to that moment
ENCODING = {
    "fit": ["{photos}", "--out", "{new}"],
    "predict": ["{skill}", "{photo}"],
    "evaluate": ["{skill}", "{photos}"],
    "next": ["{skill}", "{photos}"],
    "add": ["{skill}", "{photos}", "--out", "{new}"],
    "compare": ["{photos}", "--out", "{new}"],
    "bench": ["{photos}", "--methods", "tip", "--shots", "1"],
    "demo": ["--out", "{new}-demo", "--tasks", "fine-points", "--shots", "1", "--seeds", "1"],
    "doctor": ["{photos}"],
    "explain": ["{skill}", "{photo}"],
    "meta-train": ["{photos}", "--name", "of-a-test"],
    "verify": ["{skill}"],
    "library init": ["{new}"],
    "library evaluate": ["{library}", "skill={photos}"],
    "library check": ["{library}"],  # loads one only where a skill tunes it
}
# those of them that read photos of the user, of whatever size
READING = ENCODING.keys() - {"demo", "verify", "library init", "library check"}
OTHERS = {
    *("inspect", "merge", "methods", "encoders", "pull", "push", "remove", "rename"),
    *("library add", "library list", "library remove"),
    *("store look", "store check", "store prune"),
}


def leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("desk")
    fitted = fit(photos, shots=2, encoder="tiny")
    fitted.pack.save(folder / "skill")
    library = Library.init(folder / "library", fitted.encoder)
    library.add(folder / "skill")
    photo = next((photos / "test").rglob("*.png"))
    names = {"skill": folder / "skill", "library": folder / "library"}
    return {"photos": photos, "photo": photo, "new": folder / "new", **names}


def test_every_command_is_known_to_encode_or_not():
    assert ENCODING.keys() | OTHERS == COMMANDS.keys(), "say of a new command which it is"


def test_every_command_that_encodes_takes_both_options():
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        taken = {"--precision", "--device"} & options
        assert len(taken) == 2 * (name in ENCODING), name
        assert name in ENCODING or "--encoder" not in options, name


def test_every_command_that_reads_photos_takes_their_largest_size():
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--max-pixels" in options) == (name in READING), name


def test_the_largest_size_of_photos_reaches_the_decoder(desk, tmp_path, capsys):
    photo = tmp_path / "new.png"  # whose features are not known, or it would not be decoded
    Image.effect_noise((40, 40), 60).convert("RGB").save(photo)
    command = ("predict", desk["skill"], photo, "--format", "csv")
    code, out, err = commands.run(capsys, *command, "--max-pixels", "10")
    assert (code, "more than the 10 allowed; make it smaller, or" in err + out) == (1, True)
    assert commands.run(capsys, *command)[0] == 0  # it holds for one command
    assert commands.run(capsys, *command, "--max-pixels", "0")[0] == 2


@pytest.mark.parametrize("name", [n for n in ENCODING if n != "library check"])
def test_the_options_reach_the_encoder(name, desk, monkeypatch, capsys):
    asked: list[dict[str, str]] = []

    def load(*_: object, **options: str) -> None:
        asked.append(options)
        raise InputError("stopped by the test")

    monkeypatch.setattr(encoders, "load", load)
    monkeypatch.setattr("handful.features.processors", lambda: 1)  # the demo in this process
    arguments = [argument.format(**desk) for argument in ENCODING[name]]
    options = ["--precision", "float32", "--device", "cuda:7"]
    code, out, err = commands.run(capsys, *name.split(), *arguments, *options)
    assert asked == [{"precision": "float32", "device": "cuda:7"}]
    assert code != 0
    assert "stopped by the test" in out + err


def test_a_library_answers_in_the_precision_that_is_asked_for(desk, capsys, monkeypatch):
    asked = []
    load = encoders.load
    monkeypatch.setattr(encoders, "load", lambda *a, **o: asked.append(o) or load(*a, **o))
    options = ["--precision", "float32", "--device", "cpu"]
    assert commands.run(capsys, "predict", desk["library"], desk["photo"], *options)[0] == 0
    assert asked
    assert all(o == {"precision": "float32", "device": "cpu"} for o in asked)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--precision", "half"], "expected precision auto, float32, bfloat16, got 'half'"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--precision", "bfloat16", "--tuner", "lora"], "trained in float32"),
    ],
)
def test_what_cannot_be_had_is_refused(options, told, desk, capsys):
    code, _, err = commands.run(capsys, "fit", desk["photos"], "--out", desk["new"], *options)
    assert code == 2
    assert told in err
    assert not desk["new"].exists()
