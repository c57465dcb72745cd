"""What `evaluate` writes: the answers one by one, the metrics with their intervals, the options."""

from __future__ import annotations

import numpy as np
import pytest

from handful.errors import InputError
from handful.skills.answers import Answers


def answers(**changes) -> Answers:
    values = {
        "names": ("a", "b", "c"),
        "groups": ("g", "g", ""),
        "ids": ("1", "2", "3"),
        "targets": np.array([0, 1, 1]),
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]], np.float32),
        "classes": ("cat", "dog"),
        "columns": {"site": ("x", "y", "y")},
    }
    return Answers(**(values | changes))


def test_answers_by_hand():
    found = answers()
    assert found.predicted.tolist() == [0, 0, 0]  # the first of equal ones
    assert found.right.tolist() == [True, False, False]
    assert found.shown.tolist() == [[True, False], [False, True], [False, True]]
    part = found.subset(np.array([False, True, True]))
    assert (part.names, part.columns, part.right.tolist()) == (
        ("b", "c"),
        {"site": ("y", "y")},
        [False, False],
    )
    several = answers(
        targets=np.array([[1, 1], [0, 0], [0, 1]]), answered=np.array([[1, 0], [0, 0], [0, 1]]) > 0
    )
    assert several.right.tolist() == [False, True, True]
    with pytest.raises(InputError, match="one length"):
        answers(groups=("g",))
