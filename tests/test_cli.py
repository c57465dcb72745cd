"""The commands as a person types them: answers, exit codes, words of the errors."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from commands import run, run_fresh
from handful.cli import main


@pytest.fixture(scope="module")
def skill(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("skills") / "skill"
    with pytest.raises(SystemExit) as stop:
        main(["fit", str(photos), "--out", str(out), "--shots", "4"])
    assert not stop.value.code
    return out


def test_fit_says_what_it_did(photos, tmp_path, capsys):
    code, out, _ = run(
        capsys, "fit", photos, "--out", tmp_path / "s", "--method", "tip",
        "--param", "alpha=2.5", "--shots", 2, "--template", "a {}.", "--json",
    )  # fmt: skip
    assert code == 0
    answer = json.loads(out)
    assert answer["method"] == "tip"
    assert answer["images"] == 2 * len(answer["classes"])
    code, out, _ = run(capsys, "inspect", tmp_path / "s", "--json")
    manifest = json.loads(out)
    assert manifest["params"]["alpha"] == 2.5
    assert manifest["templates"] == ["a {}."]


def test_a_second_fit_encodes_nothing(photos, skill, tmp_path, capsys):
    _, out, _ = run(capsys, "fit", photos, "--out", tmp_path / "s", "--shots", 4, "--json")
    assert json.loads(out)["encoded"] == 0


def test_predict_table_csv_json(photos, skill, tmp_path, capsys):
    images = sorted((photos / "test").rglob("*.png"))
    code, out, _ = run(capsys, "predict", skill, photos / "test", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert list(rows[0])[:4] == ["file", "label", "score", "skill"]
    assert list(rows[0])[4:] == ["digest", "handful", "options", "error"]
    assert len(rows) == len(images)
    code, out, _ = run(capsys, "predict", skill, images[0], "--format", "json", "--top-k", 2)
    (answer,) = json.loads(out)
    assert answer["file"] == str(images[0])
    assert [set(p) for p in answer["predictions"]] == [{"label", "score"}] * 2
    assert answer["predictions"][0]["score"] >= answer["predictions"][1]["score"]
    code, out, _ = run(capsys, "predict", skill, images[0])
    assert answer["predictions"][0]["label"] in out
    out_file = tmp_path / "answers.csv"
    code, out, _ = run(capsys, "predict", skill, images[0], "--format", "csv", "--out", out_file)
    assert out == ""
    assert len(out_file.read_text().splitlines()) == 2


def test_evaluate_beats_chance_and_draws(photos, skill, tmp_path, capsys):
    code, out, _ = run(capsys, "evaluate", skill, photos, "--out", tmp_path / "e", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["accuracy"] > 1.5 / len(json.loads((skill / "pack.json").read_text())["classes"])
    assert (tmp_path / "e" / "confusion.png").stat().st_size > 1000
    code, out, _ = run(capsys, "evaluate", skill, photos)
    assert "95 % interval" in out


def test_evaluate_writes_the_card(photos, skill, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(skill, copy)
    code, _, _ = run(capsys, "evaluate", copy, photos, "--record")
    assert code == 0
    accuracy = json.loads((copy / "pack.json").read_text())["evaluation"]["accuracy"]
    assert f"{100 * accuracy:.2f} %" in (copy / "README.md").read_text()
    assert run(capsys, "inspect", copy)[0] == 0


def test_evaluate_leaves_support_images_out(photos, skill, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    shutil.copytree(photos / "test", mixed)
    for folder in (photos / "train").iterdir():
        for image in sorted(folder.iterdir()):
            shutil.copy(image, mixed / folder.name / f"copy-{image.name}")
    _, clean, _ = run(capsys, "evaluate", skill, photos / "test", "--json")
    code, out, err = run(capsys, "evaluate", skill, mixed, "--json")
    answer = json.loads(out)
    assert code == 0
    assert len(answer["leaks"]) == 4 * len(answer["per_class"])
    assert answer["count"] == json.loads(clean)["count"] + len(answer["leaks"])  # 8 a class, 4 used
    assert "byte for byte" in err
    code, _, err = run(capsys, "evaluate", skill, photos / "train", "--json")
    assert code == 0  # half of them were not drawn


def test_compare_writes_a_report(photos, tmp_path, capsys):
    code, out, _ = run(
        capsys, "compare", photos, "--methods", "zero_shot,tip", "--shots", "1,4",
        "--seeds", 2, "--out", tmp_path / "r",
    )  # fmt: skip
    assert code == 0
    assert "best   tip " in out
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert len(report["trials"]) == 2 * 2 * 2
    assert "±" in (tmp_path / "r" / "report.md").read_text()
    assert (tmp_path / "r" / "accuracy.png").is_file()


@pytest.mark.parametrize("command", ["methods", "encoders"])
def test_lists(command, capsys):
    code, out, _ = run(capsys, command)
    assert code == 0
    assert {"methods": "tip_f", "encoders": "tiny"}[command] in out
    code, out, _ = run(capsys, command, "--json")
    assert isinstance(json.loads(out), list)


def test_one_bad_image_does_not_stop_the_rest(photos, skill, tmp_path, capsys):
    folder = tmp_path / "night"
    folder.mkdir()
    good = sorted((photos / "test").rglob("*.png"))[:3]
    for i, image in enumerate(good):
        shutil.copy(image, folder / f"{i}.png")
    (folder / "empty.jpg").touch()
    (folder / "words.jpg").write_text("not a picture")
    (folder / "cut.png").write_bytes(good[0].read_bytes()[:200])
    code, out, err = run(capsys, "predict", skill, folder, "--format", "json")
    assert code == 1
    answers = json.loads(out)
    assert sum(bool(a["predictions"]) for a in answers) == 3
    assert sum(bool(a["error"]) for a in answers) == 3
    for name in ("empty.jpg", "words.jpg", "cut.png"):
        assert name in err
    assert "3 of 6" in err


def _copy(photos: Path, to: Path) -> Path:
    shutil.copytree(photos / "train", to)
    return to


def test_bad_images_in_fit_are_counted(photos, tmp_path, capsys):
    folder = _copy(photos, tmp_path / "p")
    first = sorted(folder.iterdir())[0]
    (first / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, out, err = run(capsys, "fit", folder, "--out", tmp_path / "s", "--json")
    assert code == 1
    assert len(json.loads(out)["failures"]) == 1
    assert "broken.png" in err
    assert (tmp_path / "s" / "pack.json").is_file()


def test_errors_tell_cause_and_cure(photos, skill, tmp_path, capsys):
    one = _copy(photos, tmp_path / "one")
    for folder in sorted(one.iterdir())[1:]:
        shutil.rmtree(folder)
    hollow = _copy(photos, tmp_path / "hollow")
    for image in sorted(hollow.iterdir())[0].iterdir():
        image.unlink()
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "classes.txt"
    twice.write_text("a\na\n")
    newer = tmp_path / "newer"
    shutil.copytree(skill, newer)
    manifest = json.loads((newer / "pack.json").read_text())
    out = ["--out", tmp_path / "never"]
    cases = [
        (["fit", tmp_path / "empty", *out], "no images"),
        (["fit", tmp_path / "nowhere", *out], "nowhere"),
        (["fit", one, *out], "two classes"),
        (["fit", hollow, *out], sorted(hollow.iterdir())[0].name),
        (["fit", photos, "--shots", 99, *out], "99"),
        (["fit", photos, "--template", "no braces", *out], "{}"),
        (["fit", photos, "--classes", twice, *out], "repeat"),
        (["fit", photos, "--method", "tip-adaptor", *out], "did you mean"),
        (["fit", photos, "--param", "gamma=1", *out], "gamma"),
        (["fit", photos, "--encoder", "no-such/model", *out], "no-such/model"),
        (["fit", photos, "--out", skill], "overwrite"),
        (["predict", skill, tmp_path / "nowhere.jpg"], "nowhere.jpg"),
        (["predict", tmp_path / "empty", photos], "pack.json"),
        (["evaluate", skill, one.parent / "empty"], "no images"),
        (["compare", photos, "--shots", "x", *out], "--shots"),
    ]
    for arguments, words in cases:
        code, _, err = run(capsys, *arguments)
        assert (code, words in err) == (2, True), (arguments, code, err)
    manifest["format"] = 10**6
    (newer / "pack.json").write_text(json.dumps(manifest))
    code, _, err = run(capsys, "inspect", newer)
    assert code == 2
    assert "newer" in err
    assert not (tmp_path / "never").exists()


def test_words_that_no_command_takes(capsys):
    for arguments, words in [
        (["fit"], "Missing"),
        (["fit", "x", "--shots", "some", "--out", "y"], "--shots"),
        (["teach"], "teach"),
    ]:
        code, _, err = run(capsys, *arguments)
        assert (code, words in err) == (2, True), (arguments, code, err)


def test_store_look_check_prune(photos, skill, tmp_path, capsys):
    code, out, _ = run(capsys, "store", "look", "--json")
    assert code == 0
    assert sum(s["count"] for s in json.loads(out)["spaces"]) > 0
    code, out, _ = run(capsys, "store", "check")
    assert code == 0
    assert "healthy" in out
    code, _, err = run(capsys, "store", "prune")
    assert code == 2
    assert "say what to prune" in err


def test_ctrl_c_leaves_nothing_half_written(photos, tmp_path, capsys, monkeypatch):
    from handful.skills import fit

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit.Pack, "of", interrupted)
    code, _, err = run(capsys, "fit", photos, "--out", tmp_path / "s")
    assert code == 130
    assert "half-written" in err
    assert list(tmp_path.iterdir()) == []


def in_a_process(*arguments: object, **how: object) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, with whatever streams it is given."""
    command = [sys.executable, "-m", "handful", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.run(command, text=True, check=False, **streams)


def test_numbers_on_taught_images_stay_off_the_card(photos, skill, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(skill, copy)
    code, _, err = run(capsys, "evaluate", copy, photos / "train", "--keep-leaks", "--record")
    assert (code, "--keep-leaks" in err) == (2, True)
    assert json.loads((copy / "pack.json").read_text())["evaluation"] is None
    code, _, _ = run(capsys, "evaluate", copy, photos / "train", "--record")
    evaluation = json.loads((copy / "pack.json").read_text())["evaluation"]
    assert code == 0
    card = (copy / "README.md").read_text()
    assert f"left out: {evaluation['leaks']} images" in card
    assert "failures" not in evaluation


def test_a_card_claims_no_data_it_does_not_know(skill, tmp_path):
    from handful.packs import Pack

    known = Pack.load(skill).with_evaluation({"accuracy": 0.5})
    card = (known.save(tmp_path / "s") / "README.md").read_text()
    assert "outside the support set" not in card
    assert "not stated" in card


def test_a_place_that_cannot_be_written_is_found_before_the_work(
    photos, skill, tmp_path, capsys, monkeypatch
):
    from handful.protocols import compare, demo
    from handful.skills import evaluate, fit, predict

    def too_late(*_: object, **__: object) -> None:
        pytest.fail("the work began")

    for module, name in ((compare, "compare"), (demo, "run"), (fit, "fit"),
                         (evaluate, "evaluate"), (predict, "Predictor")):  # fmt: skip
        monkeypatch.setattr(module, name, too_late)
    file = tmp_path / "file"
    file.write_text("mine")
    for arguments in (
        ["compare", photos, "--out", file],
        ["compare", photos, "--out", file / "deeper"],
        ["demo", "--out", file],
        ["evaluate", skill, photos, "--out", file],
        ["predict", skill, photos, "--out", file / "answers.csv"],
        ["fit", photos, "--out", file],
        ["fit", photos, "--out", file / "deeper"],
        ["fit", photos, "--out", skill],
        ["fit", photos, "--out", tmp_path],
    ):
        code, _, err = run(capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1), (arguments, err)
    assert file.read_text() == "mine"


def test_the_table_is_shown_before_the_disk_is_asked(photos, tmp_path, capsys, monkeypatch):
    from handful import report
    from handful.errors import StorageError

    saved = []

    def full(_: object, path: Path) -> None:
        saved.append(path.name)
        if path.suffix == ".json":
            raise StorageError("full")

    monkeypatch.setattr(report, "save", full)
    code, out, err = run(
        capsys, "compare", photos, "--methods", "zero_shot", "--shots", "1", "--seeds", 1,
        "--out", tmp_path / "r",
    )  # fmt: skip
    assert (code, "full" in err) == (2, True)
    assert "1 shot" in out
    assert "report.md" not in saved


def test_inspect_takes_any_training(skill, tmp_path, capsys):
    from dataclasses import replace

    from handful.packs import Pack

    pack = Pack.load(skill)
    odd = replace(pack, manifest=pack.manifest | {"training": {"counts": [1, 2]}})
    code, out, _ = run(capsys, "inspect", odd.save(tmp_path / "odd"))
    assert code == 0
    assert "(?)" in out
    odd = replace(pack, manifest=pack.manifest | {"training": {"selection": {"reason": "Luck."}}})
    assert "Luck." in run(capsys, "inspect", odd.save(tmp_path / "why"))[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
@pytest.mark.parametrize("command", ["encoders", "--help"])
def test_a_full_output_is_an_error(command):
    with Path("/dev/full").open("w") as full:
        done = in_a_process(command, stdout=full)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor by its number")
def test_a_closed_output_is_an_error():
    done = in_a_process("methods", stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output is closed")


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = in_a_process("encoders", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_output_that_cannot_spell_a_name(tmp_path, skill, photos):
    picture = shutil.copy(next((photos / "test").rglob("*.png")), tmp_path / "café-日本.png")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = ("predict", skill, picture)
    table, found = run_fresh(command, (*command, "--json"), env=ascii_only)
    assert table.returncode == 0, table.stderr
    assert "caf\\xe9" in table.stdout
    assert json.loads(found.stdout)[0]["file"] == str(picture)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_while_importing_is_one_line():
    # a module that interrupts when it is imported: no waiting for the right moment
    code = (
        "import sys, signal, os\n"
        # whoever runs the tests in the background made children deaf to it
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from handful.cli import main\n"
        "main(['methods'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.startswith("stopped; ")
    assert done.stderr.count("\n") == 1


def test_version(capsys):
    import handful

    assert run(capsys, "--version")[:2] == (0, f"handful {handful.__version__}\n")
    assert in_a_process("--version").stdout == f"handful {handful.__version__}\n"


def test_predict_chooses_its_format(skill, photos, tmp_path, capsys):
    picture = next((photos / "test").rglob("*.png"))
    assert json.loads(run(capsys, "predict", skill, picture, "--json")[1])
    for name in ("a.json", "a.csv"):
        assert run(capsys, "predict", skill, picture, "--out", tmp_path / name)[0] == 0
    assert json.loads((tmp_path / "a.json").read_text())
    assert (tmp_path / "a.csv").read_text().startswith("file,")
    for arguments in (
        ["--out", tmp_path / "a.txt"],
        ["--out", tmp_path / "b.csv", "--format", "table"],
        ["--json", "--format", "csv"],
    ):
        assert run(capsys, "predict", skill, picture, *arguments)[0] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.json"]


def test_evaluate_names_what_failed_and_what_was_ignored(skill, photos, tmp_path, capsys):
    folder = _copy(photos, tmp_path / "p")
    first = sorted(folder.iterdir())[0]
    (first / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for i in range(3):
        (first / f"{i}.heic").write_bytes(b"heic")
    code, out, err = run(capsys, "evaluate", skill, folder, "--json")
    answer = json.loads(out)
    assert code == 1
    assert [Path(f["file"]).name for f in answer["failures"]] == ["broken.png"]
    assert answer["ignored"] == {".heic": 3}
    assert "ignored 3 .heic files\n" in err
    _, out, err = run(capsys, "fit", folder, "--out", tmp_path / "s")
    assert "ignored 3 .heic files\n" in err
    assert "encoded now" in out
    _, out, err = run(
        capsys, "compare", folder, "--methods", "zero_shot", "--shots", "1", "--seeds", 1,
        "--out", tmp_path / "r", "--json",
    )  # fmt: skip
    assert "ignored 3 .heic files\n" in err
    assert json.loads(out)["facts"]["ignored"] == {".heic": 3}


def test_a_warning_is_one_line(capsys, monkeypatch):
    from handful import plugins
    from handful.encoders.backends.transformers import TextCutWarning

    def warn(_: str) -> list[str]:
        warnings.warn("a prompt was cut", TextCutWarning, stacklevel=1)
        return []

    monkeypatch.setattr(plugins, "names", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run(capsys, "methods")
    assert (code, err) == (0, "warning: a prompt was cut\n")


def test_a_label_may_hold_an_equals_sign(tmp_path):
    from handful.cli._options import read_classes

    file = tmp_path / "classes.txt"
    file.write_text("a=b\nn01 = tabby = cat\nplain\n a=1  =  one\n")
    assert read_classes(file) == {
        "a=b": "a=b",
        "n01": "tabby = cat",
        "plain": "plain",
        "a=1": "one",
    }


def test_prune_says_that_a_broken_file_is_gone(tmp_path, capsys):
    from handful.features.store import FILE

    (tmp_path / FILE).write_bytes(b"no database " * 100)
    code, out, _ = run(capsys, "store", "prune", "--damaged", "--path", tmp_path)
    assert code == 0
    assert "damaged file was removed" in out
    code, out, _ = run(capsys, "store", "prune", "--damaged", "--path", tmp_path, "--json")
    assert json.loads(out)["replaced"] is False


def test_a_piped_table_has_no_trailing_spaces(capsys):
    _, out, _ = run(capsys, "methods")
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_a_reason_that_many_photos_share_is_told_once(capsys) -> None:
    from handful.cli import _console
    from handful.features import Failure

    names = [f"{each}.dcm" for each in range(500)]
    failures = [Failure(each, f"{each}: needs pydicom", i) for i, each in enumerate(names)]
    failures.append(Failure("a.jpg", "a.jpg: is empty", 500))
    assert _console.report_failures(failures) == 1
    assert capsys.readouterr().err.splitlines() == [
        "skipped 500 (0.dcm, 1.dcm, 2.dcm, ...): needs pydicom",
        "skipped a.jpg: is empty",
        "501 images could not be used",
    ]
