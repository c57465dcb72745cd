"""A skill remembers its support set as features, and can be taught again from them alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handful import Predictor, fit
from handful.data import playground
from handful.errors import InputError, PackError
from handful.packs import Pack
from handful.packs.support import Reserved, Support
from handful.skills.edit.refit import refit
from tasks import make


@pytest.fixture(scope="module")
def skill(tmp_path_factory) -> Pack:
    folder = tmp_path_factory.mktemp("photos")
    playground.write(playground.task("novel-forms", 3, seed=5, queries_per_class=1), folder)
    fitted = fit(folder, method="tip")
    fitted.pack.save(folder / "skill")
    return Pack.load(folder / "skill")


def test_it_comes_back_from_disk(skill):
    support = skill.support
    assert support is not None
    assert support.ids == skill.support_ids
    assert len(support.features) == len(support.names) == sum(support.counts.values())
    assert all(name.split("/")[0] in skill.classes for name in support.names)


def test_taught_again_it_answers_the_same(skill):
    again = refit(skill, skill.support)
    X = skill.support.features
    assert np.array_equal(again.logits(X), skill.logits(X))
    assert again.manifest["support"] == skill.manifest["support"]


def test_taught_with_less_it_is_a_fit_of_less(skill):
    part = skill.support.subset(np.arange(1, len(skill.support.ids)))
    less = refit(skill, part)
    assert less.support_ids == skill.support_ids[1:]
    assert less.manifest["evaluation"] is None
    assert not np.array_equal(less.logits(part.features), skill.logits(part.features))


def test_a_pack_without_support_still_answers(skill, tmp_path):
    bare = {n: t for n, t in skill.tensors.items() if not n.startswith("support.")}
    Pack(skill.manifest, bare).save(tmp_path / "old")
    old = Pack.load(tmp_path / "old")
    assert old.support is None
    assert Predictor(old).pack.classes == skill.classes


def test_sizes_that_disagree_are_refused():
    task = make()
    targets = np.array([task.text.classes.index(name) for name in task.y])
    with pytest.raises(InputError, match="expected N features"):
        Support(task.X, targets, task.text, ("a",), ("b",))
    few = tuple("a" * len(targets))
    with pytest.raises(InputError, match="none of the 5 classes"):
        Support(task.X, targets + 1, task.text, few, few)


def grouped(task) -> Support:
    """Six groups of photos, the last two of which share a copy, and reserved photos of two."""
    targets = np.array([task.text.classes.index(name) for name in task.y])
    n = len(targets)
    ids = tuple(f"{i:02x}" * 32 for i in range(n - 1)) + (f"{0:02x}" * 32,)
    groups = tuple("" if i < 4 else f"burst {i // 4}" for i in range(n))
    none = Reserved(task.X[:3], ("a", "b", "c"), ("", "", ""), ("night", "night", ""))
    return Support(task.X, targets, task.text, ids, ids, none, groups)


def test_groups_and_copies_are_units_and_stay_through_disk(skill, tmp_path):
    support = grouped(make())
    n = len(support.ids)
    assert support.units.tolist()[:8] == [0, 1, 2, 3, 4, 4, 4, 4]
    assert support.units[-1] == support.units[-2] == 0  # a copy of the first links its burst to it
    assert support.reserved.units.tolist() == [0, 0, 1]
    rows = [n - 1, 0, 5]
    assert support.subset(rows).groups == tuple(support.groups[i] for i in rows)
    pack = refit(skill, skill.support)
    assert "groups" not in pack.manifest["support"]  # nothing is said where there is none
    given = replace(skill.support, groups=("x",) * 2 + ("",) * (len(skill.support.ids) - 2))
    saved = refit(skill, given)
    for name in ("folder", "one.skill"):
        saved.save(tmp_path / name)
        assert Pack.load(tmp_path / name).support.groups == given.groups


@pytest.mark.parametrize("groups", [["x"], "xx", [1] * 15, None])
def test_groups_of_a_pack_that_do_not_fit_are_refused(skill, groups):
    stated = {**skill.manifest["support"], "groups": groups}
    with pytest.raises(PackError, match=r"support set does not fit: .*groups"):
        Pack(skill.manifest | {"support": stated}, skill.tensors)
