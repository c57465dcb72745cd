"""Units of images that belong together, folds that keep them whole, and adapters that take them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, cross_val_score

from handful import plugins
from handful.adapters import Adapter, LinearHead, canonical_order, scalar
from handful.contracts import ClassText
from handful.selection.groups import find_units, group_folds, left_out_units, unit_weights
from handful.selection.units import blocks, slices, stratified_folds
from tasks import make


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


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 9))
def test_blocks_and_slices_hold_each_unit_once(rows: list[int], most: int) -> None:
    units = torch.from_numpy(find_units(rows))
    held = [unit.tolist() for at in blocks(units) for unit in at]
    assert sorted(i for unit in held for i in unit) == list(range(len(rows)))
    assert all(len({int(units[i]) for i in unit}) == 1 for unit in held)
    assert len(held) == int(units.max()) + 1
    parts = [units.sort()[0][at].tolist() for at in slices(len(rows), units.sort()[0], most)]
    assert sum(map(len, parts)) == len(rows)
    assert not any(set(one) & set(two) for one, two in pairwise(parts))


def test_folds_without_units_are_those_of_units_of_one() -> None:
    targets = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 0])
    each = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stratified_folds(targets, 4), stratified_folds(targets, 4, each))


def test_the_order_depends_on_what_units_hold_and_not_on_their_names() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.integers(0, 2, (30, 1)).astype(np.float32), rng.integers(0, 2, 30)
    groups = rng.integers(0, 8, 30)

    def told(at: np.ndarray, names: np.ndarray) -> list[tuple[float, int, int]]:
        units = find_units(names[at].tolist())
        order = at[canonical_order(rows[at], labels[at], units)]
        found = find_units(names[order].tolist())
        return [(*rows[i], labels[i], u) for i, u in zip(order, found, strict=True)]

    first = told(np.arange(30), groups)
    for seed in range(20):
        names = np.random.default_rng(seed).permutation(8)[groups]
        assert told(np.random.default_rng(seed).permutation(30), names) == first


@dataclass(eq=False, repr=False)
class OldMean(Adapter):
    """A method of a user, written before there were groups."""

    title = "Old"
    head = LinearHead

    def _fit(self, features: torch.Tensor, targets: torch.Tensor, text: ClassText) -> LinearHead:
        rows = torch.from_numpy(text.weights).clone()
        return LinearHead(weights=rows.index_add(0, targets, features), scale=scalar(text.scale))

    def _left_out(self, features: torch.Tensor, targets: torch.Tensor, text: ClassText) -> None:
        raise AssertionError("the closed form of single images, which is of no use for groups")


def test_a_method_that_knows_no_groups_leaves_them_out_by_folds() -> None:
    task = make()
    groups = np.arange(20) // 2
    adapter = OldMean().fit(task.X, task.y, task.text, groups=groups)
    assert np.array_equal(
        adapter.logits(task.queries), OldMean().fit(task.X, task.y, task.text).logits(task.queries)
    )
    adapter.folds = 10
    found = adapter.leave_one_out(task.X, task.y, task.text, groups)
    for group in range(10):
        out = groups == group
        alone = OldMean().fit(task.X[~out], task.y[~out], task.text).logits(task.X[out])
        np.testing.assert_allclose(found[out], alone, rtol=1e-4)


def test_groups_of_scikit_learn_are_its_own() -> None:
    task = make()
    groups = np.arange(20) % 4
    adapter = plugins.get("adapters", "tip")()
    found = cross_val_score(adapter, task.X, task.y, groups=groups, cv=GroupKFold(4))
    assert found.shape == (4,)
