"""The commands as a person types them: answers, exit codes, words of the errors."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from handful.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(stop.value.code or 0), out, err


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
    assert list(rows[0]) == ["file_name", "classification", "score"]
    assert len(rows) == len(images)
    code, out, _ = run(capsys, "predict", skill, images[0], "--format", "json", "--top-k", 2)
    (answer,) = json.loads(out)
    assert answer["file_name"] == str(images[0])
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
    assert "Tip-Adapter" in out
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
    assert sum("predictions" in a for a in answers) == 3
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
    from handful import pipeline

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.Pack, "of", interrupted)
    code, _, err = run(capsys, "fit", photos, "--out", tmp_path / "s")
    assert code == 130
    assert "half-written" in err
    assert list(tmp_path.iterdir()) == []
