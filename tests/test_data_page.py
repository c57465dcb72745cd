"""`docs/data.md` names the columns, endings and keys of the code, no more and no fewer."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from commands import run
from handful.data import _image_table, _rows, classes, dataset, playground
from handful.data.coop import IMAGE_FOLDERS
from handful.data.folder import EXTENSIONS
from handful.data.multi_label_table import LABELS
from handful.data.table import LABEL
from handful.protocols import episodes
from handful.protocols.journal import Journal
from handful.protocols.runner import Configuration
from handful.protocols.runner import run as run_trials
from handful.skills import outputs
from test_protocols import task

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")


def section(title: str) -> list[list[str]]:
    """Rows of the tables below a heading, without their heads."""
    found = re.split(r"^#+ ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in found if part.startswith(title + "\n")]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables = "\n".join(lines).split("|---")[1:]
    rows = [line for part in tables for line in part.split("\n")[1:] if line.startswith("| ")]
    rows = [row for row in rows if "`" in row]  # heads of later tables have no code
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def columns(title: str) -> dict[str, list[str]]:
    """What a column is, to the names that it may have."""
    return {row[0]: names(row[1]) for row in section(title) if len(row) > 1}


def test_the_names_of_columns_are_those_of_the_readers():
    assert columns("Tables") == {
        "photo": list(_image_table.PATH),
        "label": list(LABEL),
        "split": list(_image_table.SPLIT),
        "group": list(_image_table.GROUP),
    }
    assert columns("Several labels a photo") == {"labels": list(LABELS)}


def test_splits_reserved_labels_and_endings_are_those_of_the_readers():
    said = {row[0].strip("`"): names(row[1]) for row in section("Splits")}
    known: dict[str, list[str]] = {}
    for name, split in dataset.SPLITS.items():
        known.setdefault(split, []).extend([name] if name != split else [])
    assert said == known
    ((reserved,),) = section("Folders and labels of no class")
    assert set(names(reserved)) == classes.RESERVED
    ((endings,),) = section("Photos")
    assert set(names(endings)) == EXTENSIONS
    assert all(f"`{suffix}`" in PAGE for suffix in _rows.READERS)
    assert all(f"`{name}`" in PAGE for name in IMAGE_FOLDERS if name)


def flat(value: Any, path: str = "") -> set[str]:
    """Paths of the keys of an answer, with `[]` for a list of objects."""
    if isinstance(value, dict) and value:
        return {p for k, v in value.items() for p in flat(v, f"{path}.{k}" if path else k)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {p for each in value for p in flat(each, f"{path}[]")}
    return {path}


def general(path: str) -> str:
    """Names of classes and rates as the page writes them."""
    path = re.sub(r"^(per_class|counts)\.[^.]+", r"\1.CLASS", path)
    path = re.sub(r"^(confidence\.sets|unknown\.at)\.0\.\d+", r"\1.RATE", path)
    path = re.sub(r"^areas\.per_class\.[^.]+", "areas.per_class.CLASS", path)
    path = re.sub(r"^(accuracy|right)\.\w+$", r"\1.SET", path)
    return re.sub(r"^(facts|ignored|params|selection\.ranking\[\]\.params)\..*", r"\1", path)


def check(title: str, found: set[str]) -> None:
    """The page names all of these, and of others only those that it says come sometimes."""
    rows = section(title)
    stated = {name: row[1].startswith("Only") for row in rows for name in names(row[0])}
    real = {general(path) for path in found}
    assert real <= stated.keys(), sorted(real - stated.keys())
    always = {name for name, sometimes in stated.items() if not sometimes}
    assert always <= real, sorted(always - real)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Classes, photos of no class, a copy and a photo that is broken."""
    top = tmp_path_factory.mktemp("photos")
    playground.write(playground.task("style-rolled", 4, seed=6100, queries_per_class=2), top)
    for part in ("train", "test"):
        first, second, *_ = sorted((top / part).iterdir())
        (top / part / "background").mkdir()
        with Image.open(sorted(second.iterdir())[0]) as image:
            ImageOps.invert(image.convert("RGB")).save(top / part / "background" / "0.png")
        shutil.copy(sorted(first.iterdir())[0], first / "copy.png")
        (first / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return top


@pytest.fixture(scope="module")
def skill(photos, tmp_path_factory) -> Path:
    from handful import fit

    out = tmp_path_factory.mktemp("skill") / "s"
    fit(photos, encoder="tiny").save(out)
    return out


def test_the_keys_of_fit_evaluate_and_doctor(photos, skill, tmp_path, capsys):
    command = ("fit", photos, "--out", tmp_path / "s", "--encoder", "tiny", "--json")
    check("`fit --json`", flat(json.loads(run(capsys, *command)[1])))
    answer = run(capsys, "evaluate", skill, photos, "--json")[1]
    check("`evaluate --json`, `evaluation.json`", flat(json.loads(answer)))
    answer = run(capsys, "doctor", photos, "--encoder", "tiny", "--json")[1]
    check("`doctor --json`, `doctor.json`", flat(json.loads(answer)))


def test_the_columns_and_keys_of_predict(photos, skill, capsys):
    asked = ("predict", skill, photos / "test", "--unknown", "0.3", "--error", "0.3")
    _, out, _ = run(capsys, *asked, "--format", "csv")
    found = set(next(csv.reader(out.splitlines())))
    _, out, _ = run(capsys, *asked, "--format", "json")
    check("`predict`", found | flat(json.loads(out)))
    assert outputs.for_file(Path("a.csv")) == "csv"
    assert outputs.for_file(Path("a.json")) == "json"


def test_the_keys_of_compare_and_of_the_journal(photos, tmp_path, capsys):
    _, out, _ = run(
        capsys, "compare", photos, "--encoder", "tiny", "--methods", "tip,zero_shot", "--shots",
        "1,2", "--seeds", "2", "--out", tmp_path / "c", "--json",
    )  # fmt: skip
    check("`compare --json`, `report.json`", flat(json.loads(out)))
    assert (tmp_path / "c" / "report.json").exists()
    assert not (tmp_path / "c" / "journal.jsonl").exists()
    journal = tmp_path / "journal.jsonl"
    drawn = list(episodes.few_shot([task()], [1], [0]))
    run_trials([Configuration("Tip", "tip", drawn, {"alpha": 1.0})], Journal(journal))
    lines = journal.read_text().splitlines()
    check("`bench`: `journal.jsonl`", {p for line in lines for p in flat(json.loads(line))})


def test_the_columns_of_the_photos_to_label_next(photos, skill, tmp_path, capsys):
    run(capsys, "next", skill, photos / "test", "--n", "2", "--out", tmp_path / "n")
    head = (tmp_path / "n" / "next.csv").read_text(encoding="utf-8").splitlines()[0]
    check("`next --out`: `next.csv`", set(head.split(",")))
