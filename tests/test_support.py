"""A skill remembers its support set as features, and can be taught again from them alone."""

from __future__ import annotations

import numpy as np
import pytest

from handful import Predictor, fit
from handful.data import playground
from handful.errors import InputError
from handful.packs import Pack
from handful.packs.support import Support
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
