"""Why this answer: what images and text say for it adds up to the logits, for every method."""

from __future__ import annotations

import numpy as np
import pytest

from handful import encoders, plugins
from handful.packs import Pack
from handful.packs.support import Support
from handful.reasons import explain
from tasks import Task, make


def pack_of(method: str, task: Task, **params) -> Pack:
    tiny = encoders.load("tiny")
    columns = np.array([task.text.classes.index(name) for name in task.y])
    names = tuple(f"{name}/{i}.png" for i, name in enumerate(task.y))
    ids = tuple(f"{i:064x}" for i in range(len(names)))
    support = Support(task.X, columns, task.text, ids, names)
    adapter = plugins.get("adapters", method)(**params).fit(task.X, task.y, task.text)
    return Pack.of(
        adapter, task.text, tiny, templates=("a {}.",), support_ids=ids, support=support,
        training={"counts": support.counts},
    )  # fmt: skip


@pytest.fixture(scope="module")
def task() -> Task:
    return make(classes=4, shots=4, width=encoders.load("tiny").dim, seed=3)


def total(reasons) -> np.ndarray:
    return reasons.images.sum(axis=0) + reasons.text + reasons.rest


@pytest.mark.parametrize("method", plugins.names("adapters"))
def test_contributions_add_up_for_every_method(task, method):
    pack = pack_of(method, task)
    for x in task.queries[:3]:
        reasons = explain(pack, x)
        logits = pack.logits(x[None])[0]
        assert np.allclose(total(reasons), logits, atol=1e-4)
        assert np.isfinite(reasons.images).all()
        assert reasons.answer == logits.argmax()
        parts = reasons.image_leads.sum() + reasons.text_lead + reasons.rest_lead
        assert parts == pytest.approx(reasons.lead, abs=1e-4)
