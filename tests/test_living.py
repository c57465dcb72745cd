"""A skill that lives: what comes and goes leaves exactly what a fit of the rest would be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from handful import plugins
from handful.contracts import ClassText, unit
from handful.errors import InputError, MismatchError, PackError
from handful.packs import Pack, living
from handful.packs.format import to_files
from handful.packs.support import Support
from tasks import make

DIM, SHOTS = 24, 4
TASK = make(classes=5, shots=SHOTS, width=DIM)
CASES = [
    (name, dict(variant))
    for name in plugins.names("adapters")
    for variant in plugins.get("adapters", name).variants[:1]
]


class Fake:
    """An encoder of colours: pixels to features by a fixed matrix."""

    name, precision, dim, scale = "fake", "float32", DIM, 100.0

    def __init__(self, fingerprint: str = "model:fake weights:00") -> None:
        self.fingerprint = fingerprint
        self.matrix = np.random.default_rng(3).standard_normal((8 * 8 * 3, DIM))

    def prepare(self, image: Any) -> np.ndarray:
        return np.asarray(image.resize((8, 8)), dtype=np.float32).ravel() - 100

    def images(self, batch: Any) -> np.ndarray:
        return unit(np.stack(batch) @ self.matrix)

    def texts(self, batch: Any) -> np.ndarray:
        return unit(np.ones((len(batch), DIM)))


def support_of(rows: Any = None, classes: Any = None) -> Support:
    """Rows of the task, under some of its classes."""
    names = TASK.text.classes
    kept = [names.index(name) for name in (classes or names)]
    chosen = [
        i for i, name in enumerate(TASK.y)
        if names.index(name) in kept and (rows is None or i in rows)
    ]  # fmt: skip
    column = {names[c]: i for i, c in enumerate(kept)}
    return Support(
        TASK.X[chosen],
        np.array([column[TASK.y[i]] for i in chosen]),
        ClassText(TASK.text.embeddings[kept], tuple(names[c] for c in kept), 100.0),
        tuple(f"{i:02x}" * 32 for i in chosen),
        tuple(f"{TASK.y[i]}/{i}.png" for i in chosen),
    )


def brief(method: str, params: dict[str, Any]) -> Any:
    adapter = plugins.get("adapters", method)(**params)
    short = {"steps": 20, "epochs": 4}
    return adapter.set_params(**{k: v for k, v in short.items() if k in adapter.get_params()})


def fitted(support: Support, case: tuple[str, dict[str, Any]] = ("tip", {}), **more: Any) -> Pack:
    adapter = brief(*case)
    adapter.fit(support.features, np.array(support.labels), support.text)
    training = {
        "shots": None,
        "counts": support.counts,
        "words": {name: name for name in support.text.classes},
        **({"selection": adapter.explain()} if hasattr(adapter, "explain") else {}),
    }
    return Pack.of(
        adapter,
        support.text,
        more.pop("encoder", Fake()),
        templates=more.pop("templates", ["a {}.", "the {}.", "{}."]),
        support_ids=support.ids,
        support=support,
        training=training,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        **more,
    )


def head(pack: Pack) -> dict[str, bytes]:
    return {n: t.tobytes() for n, t in pack.tensors.items() if n.startswith("head.")}


def files(pack: Pack) -> dict[str, bytes]:
    return to_files(pack.manifest, pack.tensors, "card")


def anew(support: Support, case: tuple[str, dict[str, Any]]) -> dict[str, bytes]:
    """Files of a skill that has seen this support set alone; taught twice, for the golden picture:
    with an encoder it may lie between two of the eight, and without one it is one of them."""
    pack = fitted(support, case)
    again = pack.taught(support)
    assert head(again) == head(pack)
    assert again.manifest | {"digest": ""} == pack.manifest | {"digest": ""}
    return files(again)


def added(pack: Pack, more: Support, new: list[str] | None = None) -> Pack:
    text = None
    if new:
        rows = [more.text.classes.index(name) for name in new]
        text = ClassText(more.text.embeddings[rows], tuple(new), 100.0)
    return living.add(pack, more.features, more.labels, more.ids, more.names, text)


@pytest.fixture(params=CASES, ids=lambda case: case[0])
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param


EARLY = [i for i in range(len(TASK.y)) if i % SHOTS < 2]
LATE = [i for i in range(len(TASK.y)) if i % SHOTS >= 2]


def test_unlearned_is_never_learned(case):
    """Byte for byte the pack of a fit without the images: manifest, head, golden, statements."""
    whole = fitted(support_of(), case)
    gone = [3, 9]
    rest = [i for i in range(len(TASK.y)) if i not in gone]
    left = living.remove(whole, [whole.support.ids[3], "9.png"])
    assert files(left) == anew(support_of(rest), case)


def test_added_it_is_a_fit_of_all(case):
    few = fitted(support_of(EARLY), case)
    more = added(few, support_of(LATE))
    order = EARLY + LATE
    assert more.support_ids == tuple(f"{i:02x}" * 32 for i in order)
    assert head(more) == head(fitted(support_of(), case))
    assert files(living.remove(more, support_of(LATE).ids)) == anew(support_of(EARLY), case)


def test_a_class_comes_and_goes(case):
    names = list(TASK.text.classes)
    four = fitted(support_of(classes=names[:4]), case)
    five = added(four, support_of(classes=names[4:]), names[4:])
    assert files(five) == anew(support_of(), case)
    assert files(living.drop(five, names[4:])) == anew(support_of(classes=names[:4]), case)


def test_merged_halves_are_a_fit_of_the_whole(case):
    names = list(TASK.text.classes)
    by_class = living.merge(
        fitted(support_of(classes=names[:2]), case), fitted(support_of(classes=names[2:]), case)
    )
    assert files(by_class) == anew(support_of(), case)
    first, second = fitted(support_of(EARLY), case), fitted(support_of(LATE), case)
    by_image = living.merge(first, second, join=True)
    assert by_image.classes == TASK.text.classes
    assert head(by_image) == head(fitted(support_of(), case))
