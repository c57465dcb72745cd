"""Units of images that belong together, and folds that keep them whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handful.selection.groups import find_units, group_folds, left_out_units, unit_weights


def test_no_name_is_alone_and_links_chain() -> None:
    assert find_units(["", "", None]).tolist() == [0, 1, 2]
    assert find_units(["a", "b", "", "a"], ["x", "y", "y", "z"]).tolist() == [0, 1, 1, 0]
    assert find_units(["a", "", "b"], ["1", "1", "2"], ["", "q", "q"]).tolist() == [0, 0, 0]
    assert find_units([]).tolist() == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_folds_keep_units_whole_and_use_every_fold(rows: list[tuple[int, int]], most: int) -> None:
    targets, units = (np.array(column) for column in zip(*rows, strict=True))
    folds = group_folds(targets, units, most)
    for unit in np.unique(units):
        assert len(np.unique(folds[units == unit])) == 1
    assert len(np.unique(folds)) == min(most, len(np.unique(units)))


def test_without_groups_a_class_is_spread_over_the_folds() -> None:
    targets = np.repeat(np.arange(3), 8)
    folds = group_folds(targets, np.arange(24), 8)
    for c in range(3):
        assert sorted(folds[targets == c]) == list(range(8))


def test_a_class_of_one_unit_cannot_be_left_out() -> None:
    assert left_out_units(np.array([0, 0, 1, 1]), np.array([5, 5, 6, 7])).tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_a_unit_weighs_one() -> None:
    units = np.array([0, 0, 0, 1, 2, 2])
    assert np.bincount(units, unit_weights(units)).tolist() == [1, 1, 1]
