"""`handful verify`: every step told, what failed named, what could not be looked at said."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import commands
import hub
from handful import encoders
from handful.cli import main
from handful.data import playground
from handful.errors import MissingModelError
from handful.packs import Pack, golden
from handful.skills import verify
from handful.skills.fit import fit
from test_packs import Fake, forge, made, reweigh

STEPS = ("files", "format", "digests", "tensors", "golden vectors", "encoder")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A skill on the encoder that is always here."""
    folder = tmp_path_factory.mktemp("taught")
    playground.write(playground.task(playground.tasks()[0], shots=1, seed=0), folder / "photos")
    return fit(folder / "photos", method="tip").pack.save(folder / "skill")


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    return made().save(tmp_path / "skill")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one `handful verify`."""
    return commands.run(capsys, "verify", *arguments)


def states(done: verify.VerificationReport) -> dict[str, str]:
    return {check.name: check.state for check in done.checks}


def test_a_whole_skill_folder_and_file(taught: Path, tmp_path: Path, capsys) -> None:
    file = Pack.load(taught).save(tmp_path / "bird.skill")
    for place in (taught, file):
        code, out, err = run(capsys, place)
        assert (code, err) == (0, "")
        assert [line.partition(":")[0] for line in out.splitlines()] == [*STEPS]
        assert all(": OK: " in line for line in out.splitlines())
    assert "a sound zip of 3 members" in out
    code, out, _ = run(capsys, file, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_an_encoder_that_is_not_here_is_not_checked(skill: Path, capsys) -> None:
    code, out, err = run(capsys, skill)
    assert code == 1
    assert "encoder: not checked: fake: there is no such folder" in out
    assert "its encoder was not" in err
    assert run(capsys, skill, "--no-encoder")[0] == 0
    code, _, err = run(capsys, skill, "--encoder", "nowhere")
    assert (code, "nowhere" in err) == (2, True)  # who names one wants it looked at


def change_digest(folder: Path) -> None:
    path = folder / "pack.json"
    path.write_text(path.read_text().replace("a {} thing.", "a {} thong."))


def change_key(folder: Path) -> None:
    forge(folder, lambda m: m.pop("templates"))


def newer(folder: Path) -> None:
    forge(folder, lambda m: m.update(format=2))


def change_card(folder: Path) -> None:
    (folder / "README.md").write_text("# The best skill of all")


def lose_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def change_shape(folder: Path) -> None:
    forge(folder, lambda m: m["tensors"]["golden.logits"].update(shape=[1, 4]))


def nan(folder: Path) -> None:
    reweigh(folder, lambda t: t["golden.features"].fill(np.nan))


def change_head(folder: Path) -> None:
    reweigh(folder, lambda t: t["golden.logits"].__iadd__(1))


def unknown_method(folder: Path) -> None:
    forge(folder, lambda m: m.update(method="magic"))


@pytest.mark.parametrize(
    ("change", "step", "words"),
    [
        (change_digest, "format", "was changed after the skill was saved"),
        (change_key, "format", "'templates' is missing"),
        (newer, "format", "made by a newer Handful"),
        (change_card, "digests", r"README\.md: has|README\.md: is cut short"),
        (lose_weights, "digests", r"weights\.safetensors: is missing"),
        (change_shape, "tensors", "golden.logits: expected"),
        (nan, "tensors", "contains NaN or infinity"),
        (change_head, "golden vectors", "does not answer as it did when it was made"),
        (unknown_method, "golden vectors", "'magic', which is not installed here"),
    ],
)
def test_the_step_that_failed_is_named(
    change: Callable[[Path], Any], step: str, words: str, skill: Path, capsys
) -> None:
    change(skill)
    done = verify.verify(skill, encoder=Fake())
    before, after = STEPS[: STEPS.index(step)], STEPS[STEPS.index(step) + 1 :]
    assert states(done) == {
        **dict.fromkeys(before, "OK"), step: "failed", **dict.fromkeys(after, "not checked"),
    }  # fmt: skip
    code, out, err = run(capsys, skill)
    assert code == 2
    (line,) = (line for line in out.splitlines() if line.startswith(step))
    assert re.search(words, line)
    assert "must not be trusted" in err


def test_a_file_cut_short(skill: Path, tmp_path: Path) -> None:
    file = Pack.load(skill).save(tmp_path / "bird.skill")
    file.write_bytes(file.read_bytes()[:-30])
    done = verify.verify(file)
    assert done.checks[0].state == "failed"
    assert "bird.skill: is cut short" in done.checks[0].detail


def test_what_is_nowhere_has_no_verdict(tmp_path: Path, capsys) -> None:
    code, out, err = run(capsys, tmp_path / "nowhere")
    assert (code, out) == (2, "")
    assert "nowhere: does not exist" in err
    code, out, err = run(capsys, "ada/nowhere")  # the tests' hub is offline
    assert (code, "HF_HUB_OFFLINE" in err) == (2, True)


def test_another_encoder_and_another_eye(skill: Path) -> None:
    done = verify.verify(skill, encoder=Fake(fingerprint="model:fake weights:99"))
    assert states(done)["encoder"] == "failed"
    assert "weights differs (skill 01, encoder 99)" in done.checks[-1].detail
    done = verify.verify(skill, encoder=Fake())
    assert done.complete
    assert f"at most {golden.TOLERANCE:g} may be" in done.checks[-1].detail
    odd = Fake()
    odd.wobble = 0.5
    done = verify.verify(skill, encoder=odd)
    assert "its golden image gets other probabilities" in done.checks[-1].detail
    assert done.failed


def test_an_encoder_that_cannot_be_fetched(skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **named: Any) -> None:
        raise MissingModelError("fake: the hub cannot be reached")

    monkeypatch.setattr(encoders, "load", refuse)
    done = verify.verify(skill)
    assert (states(done)["encoder"], done.failed, done.complete) == ("not checked", False, False)


def test_a_skill_on_the_hub(taught: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from huggingface_hub import constants

    there = Path(shutil.copytree(taught, tmp_path / "there"))
    with hub.serve("ada/birds", there) as (address, asked):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        code, out, err = run(capsys, "ada/birds", "--revision", "v1")
        assert (code, err) == (0, "")
        assert out.startswith("files: OK: ada/birds")
        assert "/api/models/ada/birds/revision/v1" in asked
        (there / "README.md").write_bytes((there / "README.md").read_bytes()[:-1] + b"!")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other"))
        code, out, _ = run(capsys, "ada/birds")
    assert code == 2
    assert "digests: failed: ada/birds/README.md: was changed" in out


def test_the_pages_own_commands_run(taught: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """Those of docs/exchange.md that need no hub, as they stand."""
    page = (Path(__file__).parents[1] / "docs" / "exchange.md").read_text(encoding="utf-8")
    block = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    lines = [x for x in block.splitlines() if x and "ada/" not in x]
    assert len(lines) > 3
    shutil.copytree(taught, tmp_path / "bird")
    shutil.copy(next((taught.parent / "photos" / "test").rglob("*.png")), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(line, comments=True)[1:])
        assert not stop.value.code, capsys.readouterr().err
    assert Pack.load("bird-of-ada").manifest["about"] == {"for": "people who ring birds"}
