"""What a command imports: slow libraries only where the answer needs them (no times here)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SLOW = ("torch", "transformers", "sklearn", "scipy", "matplotlib", "pandas", "joblib")
_LOADED = f"""
import json, sys
from handful.cli import main
answers = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stop:
        answers.append([stop.code, [name for name in {SLOW!r} if name in sys.modules]])
print(json.dumps(answers))
"""
_ANSWERS = """
import sys
from handful.packs import Pack
pack = Pack.load(sys.argv[1])
rows = pack.tensors["golden.features"]
pack.probabilities(rows)
pack.sets(rows, 0.3)
pack.task.answered(pack.adapter, pack.probabilities(rows))
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


@pytest.fixture(scope="module")
def skill(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    from handful.skills.fit import fit

    path = tmp_path_factory.mktemp("made") / "skill"
    fit(photos, shots=4, encoder="tiny").pack.save(path)
    return path


def loaded(*commands: list[str]) -> list[list[Any]]:
    """Exit codes of commands in one new process, and what was loaded after each."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, json.dumps(commands)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answers: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    refused = done.stderr.count("does not exist")
    assert refused == sum(code == 2 for code, _ in answers), done.stderr
    return answers


def test_a_path_that_does_not_exist_is_refused_before_slow_imports(skill):
    made, none = str(skill), "nowhere"
    commands = [
        *(["predict", made, "nowhere.jpg"], ["predict", none, "nowhere.jpg"]),
        *(["fit", none, "--out", "s"], ["inspect", none], ["add", none, none]),
        *(["add", made, none, "--out", "s"], ["evaluate", made, none], ["evaluate", none, none]),
        *(["compare", none, "--out", "s"], ["doctor", none], ["explain", made, "nowhere.jpg"]),
        *(["push", none, "x"], ["merge", made, none, "--out", "s"], ["rename", none, "a=b"]),
        *(["remove", none, "a.jpg"], ["meta-train", none, "--name", "n"]),
    ]
    assert loaded(*commands) == [[2, []]] * len(commands)


def test_inspect_and_help_need_no_slow_library(skill):
    commands = [["inspect", str(skill)], ["inspect", str(skill), "--json"]]
    commands += [["--help"], ["fit", "--help"], ["encoders"]]
    assert loaded(*commands) == [[0, []]] * len(commands)


def test_a_library_is_found_without_torch():
    code = "import sys; from handful.library import is_library; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_skill_answers_with_torch_alone(skill):
    done = subprocess.run(
        [sys.executable, "-c", _ANSWERS, str(skill), *SLOW],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["torch"]


def test_photo_is_taught_and_asked_without_transformers_and_scikit_learn(photos, tmp_path):
    skill, photo = tmp_path / "skill", next((photos / "test").rglob("*.png"))
    teach = ["fit", str(photos), "--shots", "2", "--encoder", "photo", "--out", str(skill)]
    assert loaded(teach) == [[0, ["torch", "scipy"]]]
    assert loaded(["predict", str(skill), str(photo)]) == [[0, ["torch"]]]


@pytest.mark.parametrize(
    "module", ["handful.skills.predict", "handful.skills.fit", "handful.library.library"]
)
def test_rooms_import_torch_alone(module):
    code = f"import sys, {module}; print(*[m for m in {SLOW!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch"]
