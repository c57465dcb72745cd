"""`bench/conditions.py`: the support sets are damaged as told, and the tables add up."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from handful.contracts import ClassText
from handful.data import FeatureSet, playground, save_features

CLASSES, EACH, WIDTH = 8, 20, 12


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The modules of cases and of their report; `bench/` is no package."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "bench"), *sys.path])
    import condition_cases
    import condition_report

    return condition_cases, condition_report


@pytest.fixture
def folder(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), EACH)
    values = rng.standard_normal((len(labels), WIDTH)).astype(np.float32)
    names = tuple(f"class {c}" for c in range(CLASSES))
    text = ClassText(rng.standard_normal((CLASSES, 2, WIDTH)), names, 100.0)
    return str(save_features(tmp_path, FeatureSet("made", values, labels, text)))


def truth(folder: str, rows: np.ndarray) -> np.ndarray:
    """The labels that the file has for some rows."""
    from handful.data import feature_file

    found = feature_file(folder)
    own = {row.tobytes(): label for row, label in zip(found.values, found.labels, strict=True)}
    return np.array([own[row.tobytes()] for row in rows])


def test_a_fifth_of_the_labels_is_wrong_and_counts_are_uneven(bench, folder) -> None:
    cases = {c.column: c for c in bench[0].damaged(folder, 0)}
    for name, case in cases.items():
        wrong = (case.labels != truth(folder, case.values)).mean()
        expected = round(0.2 * len(case.labels)) / len(case.labels) if "wrong" in name else 0
        assert wrong == pytest.approx(expected)
    counts = {n: np.bincount(c.labels, minlength=CLASSES) for n, c in cases.items()}
    half = counts["half the classes 1 image, the others 8"]
    assert sorted(half.tolist()) == [1] * 4 + [8] * 4
    assert set(counts["1, 2 or 16 images"].tolist()) <= {1, 2, 16}


def test_no_support_image_is_asked(bench, folder) -> None:
    for draw in (bench[0].whole, bench[0].third, bench[0].damaged, bench[0].absent):
        for case in draw(folder, 1):
            support = {row.tobytes() for row in case.values}
            for rows, targets in case.exams.values():
                assert len(rows) == len(targets) > 0
                assert not support & {row.tobytes() for row in rows}


def test_three_classes_have_no_shots_and_are_asked_apart(bench, folder) -> None:
    for case in bench[0].absent(folder, 0):
        taught = set(case.labels.tolist())
        asked = {name: set(targets.tolist()) for name, (_, targets) in case.exams.items()}
        assert len(taught) == CLASSES - 3
        assert asked[", the three"] == set(range(CLASSES)) - taught
        assert asked[", the others"] == taught


def test_a_third_of_the_classes_keeps_their_own_text(bench, folder) -> None:
    from handful.data import feature_file

    found = feature_file(folder)
    for case in bench[0].third(folder, 0):
        assert len(case.text.classes) == CLASSES // 3
        names = [case.text.classes[c] for c in case.labels]
        assert names == [found.text.classes[c] for c in truth(folder, case.values)]
        for name, rows in zip(case.text.classes, case.text.embeddings, strict=True):
            own = found.text.embeddings[found.text.classes.index(name)]
            np.testing.assert_allclose(rows, own, atol=1e-6)


@pytest.mark.parametrize(("kind", "count"), [("13 shapes", 13), ("40 compositions", 40)])
def test_known_names_are_those_of_training(bench, kind: str, count: int) -> None:
    found = bench[0].compositions(kind, np.random.default_rng(0))
    assert len(set(found)) == count
    assert set(found) <= set(playground.SEEN)


def test_tables_tell_gaps_and_falls(bench) -> None:
    cases, report = bench
    accuracy = {"zero_shot": (80.0, 80.0), "tip": (81.0, 85.0), "auto": (82.0, 79.0)}
    scores = [
        report.Score(cases.WHOLE, "all classes", "1 shot", seed, method, values[seed])
        for method, values in accuracy.items()
        for seed in (0, 1)
    ]
    column = report.Column(scores)
    assert column.best == "tip"
    assert column.falls() == (1, 2, -1.0)
    assert column.gap("tip").startswith("-2.5")
    lines = list(report.report(scores))
    assert any("in 1 of 2 draws" in line for line in lines)
    assert any(line.startswith("| Tip-Adapter | **83.0") for line in lines)
