"""A changed skill is exactly what a fit of the changed support set gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from handful import plugins
from handful.contracts import ClassText, unit
from handful.errors import InputError, MismatchError, PackError
from handful.packs import Pack
from handful.packs.exchange import push
from handful.packs.format import to_files
from handful.packs.support import Reserved, Support
from handful.skills.edit import merge as merging
from handful.skills.edit import remove as removing
from handful.skills.edit.add_features import add_features, add_reserved
from handful.skills.edit.refit import refit, restate
from handful.skills.edit.rename import rename as edit_rename
from handful.skills.statements import state
from handful.tasks._multi_label_ridge import MultiLabelRidge
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


def quick_adapter(method: str, params: dict[str, Any]) -> Any:
    adapter = plugins.get("adapters", method)(**params)
    short = {"steps": 20, "epochs": 4}
    return adapter.set_params(**{k: v for k, v in short.items() if k in adapter.get_params()})


PACKS: dict[tuple[Any, ...], Pack] = {}  # the same few skills are asked for again and again


def fitted(support: Support, case: tuple[str, dict[str, Any]] = ("tip", {}), **more: Any) -> Pack:
    """A skill from nothing."""
    reserved = support.reserved.ids if support.reserved else None
    key = (str(case), support.ids, support.text.classes, reserved)
    if more:
        return make_pack(support, case, **more)
    if key not in PACKS:
        PACKS[key] = make_pack(support, case)
    return PACKS[key]


def make_pack(support: Support, case: tuple[str, dict[str, Any]], **more: Any) -> Pack:
    adapter = quick_adapter(*case)
    adapter.fit(support.features, np.array(support.labels), support.text, support.units)
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
        statements=state(adapter, support),
        training=training,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        **more,
    )


def remove(pack: Pack, images: Any) -> Pack:
    return removing.remove(pack, images, statements=False).pack


def drop(pack: Pack, classes: Any) -> Pack:
    return removing.remove(pack, drop=classes, statements=False).pack


def merge(first: Pack, second: Pack, **how: Any) -> Pack:
    return merging.merge(first, second, statements=False, **how).pack


def rename(pack: Pack, names: dict[str, str]) -> Pack:
    return edit_rename(pack, names).pack


def head(pack: Pack) -> dict[str, bytes]:
    return {n: t.tobytes() for n, t in pack.tensors.items() if n.startswith("head.")}


def files(pack: Pack) -> dict[str, bytes]:
    return to_files(pack.manifest, pack.tensors, "card")


def files_of_fit(support: Support, case: tuple[str, dict[str, Any]]) -> dict[str, bytes]:
    """Files of a skill that has seen this support set alone; taught twice, for the golden picture:
    with an encoder it may lie between two of the eight, and without one it is one of them."""
    pack = fitted(support, case)
    again = refit(pack, support)
    assert head(again) == head(pack)
    assert again.manifest == {k: v for k, v in pack.manifest.items() if k in again.manifest}
    return files(again)


def bursts_of(support: Support, name: str = "burst") -> Support:
    """Groups of two photos that follow one another, but the first two, which are alone."""
    groups = tuple("" if i < 2 else f"{name} {i // 2}" for i in range(len(support.ids)))
    return replace(support, groups=groups)


def added(pack: Pack, more: Support, new: list[str] | None = None) -> Pack:
    text = None
    if new:
        rows = [more.text.classes.index(name) for name in new]
        text = ClassText(more.text.embeddings[rows], tuple(new), 100.0)
    rows = more.features, more.labels, more.ids, more.names
    return add_features(pack, *rows, text, groups=more.groups)


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
    left = remove(whole, [whole.support.ids[3], "9.png"])
    assert files(left) == files_of_fit(support_of(rest), case)


def test_nothing_remains_in_what_it_states():
    whole = fitted(support_of())
    rest = support_of(range(1, len(TASK.y)))
    left = restate(remove(whole, [0]))
    assert files(left) == files(restate(refit(fitted(rest), rest)))
    assert {*left.manifest} == {*whole.manifest}
    assert {*left.tensors} == {*whole.tensors}


def test_added_it_is_a_fit_of_all(case):
    few = fitted(support_of(EARLY), case)
    more = added(few, support_of(LATE))
    order = EARLY + LATE
    assert more.support_ids == tuple(f"{i:02x}" * 32 for i in order)
    assert head(more) == head(fitted(support_of(), case))
    assert files(remove(more, support_of(LATE).ids)) == files_of_fit(support_of(EARLY), case)


def test_a_class_comes_and_goes(case):
    names = list(TASK.text.classes)
    four = fitted(support_of(classes=names[:4]), case)
    five = added(four, support_of(classes=names[4:]), names[4:])
    assert files(five) == files_of_fit(support_of(), case)
    assert files(drop(five, names[4:])) == files_of_fit(support_of(classes=names[:4]), case)


def test_merged_halves_are_a_fit_of_the_whole(case):
    names = list(TASK.text.classes)
    by_class = merge(
        fitted(support_of(classes=names[:2]), case), fitted(support_of(classes=names[2:]), case)
    )
    assert files(by_class) == files_of_fit(support_of(), case)
    first, second = fitted(support_of(EARLY), case), fitted(support_of(LATE), case)
    by_image = merge(first, second, join=True)
    assert by_image.classes == TASK.text.classes
    assert head(by_image) == head(fitted(support_of(), case))


@pytest.mark.parametrize("method", ["auto", "text_gda", "tip"])
def test_groups_stay_in_every_edit(method):
    """And the skill is what a fit of the changed support set with its groups gives."""
    all_, case = bursts_of(support_of()), (method, {})
    whole = make_pack(all_, case)
    plain = make_pack(support_of(), case)
    assert whole.manifest["confidence"]["units"] < plain.manifest["confidence"]["units"]
    rows = [i for i in range(len(all_.ids)) if i not in (3, 9)]
    left = remove(whole, [3, 9])
    assert left.support.groups == tuple(all_.groups[i] for i in rows)
    assert head(left) == head(make_pack(all_.subset(rows), case))
    stated = make_pack(all_.subset(rows), case).manifest["confidence"]
    assert restate(left).manifest["confidence"] == stated
    few, more = all_.subset(EARLY), all_.subset(LATE)
    for joined in (
        added(make_pack(few, case), more),
        merge(make_pack(few, case), make_pack(more, case), join=True),
    ):
        assert joined.support.groups == few.groups + more.groups
        assert head(joined) == head(whole)
    names = dict.fromkeys(all_.text.classes[:1], "renamed")
    assert rename(whole, names).support.groups == all_.groups


def test_numbered_groups_of_two_skills_are_two():
    few = replace(support_of(EARLY), groups=("near:1",) * 2 + ("patient 3",) * (len(EARLY) - 2))
    more = replace(support_of(LATE), groups=("near:1",) * 2 + ("patient 3",) * (len(LATE) - 2))
    groups = merge(
        make_pack(few, ("tip", {})), make_pack(more, ("tip", {})), join=True
    ).support.groups
    assert groups[: len(EARLY)] == few.groups
    assert groups[len(EARLY) :][:3] == ("near:2", "near:2", "patient 3")


def test_an_image_counts_once():
    few, all_ = fitted(support_of(EARLY)), support_of()
    more = added(few, all_)
    assert sorted(more.support_ids) == sorted(all_.ids)
    assert added(more, all_) is more
    twice = all_.subset([2, 2, 3])
    assert added(few, twice).support.counts == added(few, all_.subset([2, 3])).support.counts
    wrong = replace(all_.subset([0]), targets=np.array([1]))
    with pytest.raises(InputError, match=r"0\.png .* is 'class d0' already and 'class b0' here"):
        added(few, wrong)


def test_names_find_images():
    pack = fitted(support_of())
    by_name, by_digest = (
        remove(pack, ["class d0/1.png"]),
        remove(pack, ["01010101"]),
    )
    assert files(by_name) == files(by_digest) == files(remove(pack, [1]))
    same = replace(pack.support, names=("x/1.png", *pack.support.names[1:]))
    with pytest.raises(InputError, match=r"2 images are called so: x/1.png \(00000000"):
        remove(refit(pack, same), ["1.png"])
    for unknown in ("nobody.png", "fffffffff", "0101"):
        with pytest.raises(InputError, match="no image of this name or digest among the 20"):
            remove(pack, [unknown])
    with pytest.raises(InputError, match="expected a row from 0 to 19, got 20"):
        remove(pack, [20])
    with pytest.raises(InputError, match="nothing to remove"):
        remove(pack, [])


def test_the_last_of_a_class_and_of_two_classes():
    names = TASK.text.classes
    pack = fitted(support_of())
    with pytest.raises(InputError, match=r"'class d0' would have no image left.*--drop 'class d0'"):
        remove(pack, [i for i, name in enumerate(TASK.y) if name == "class d0"])
    with pytest.raises(InputError, match="at least two classes apart, and 1 of 5 would be left"):
        drop(pack, names[1:])
    with pytest.raises(InputError, match="no class 'cow'"):
        drop(pack, ["cow"])


def test_new_classes_that_are_refused():
    names = list(TASK.text.classes)
    pack, more = fitted(support_of(classes=names[:4])), support_of(classes=names[4:])
    for reserved in ("background", "None"):
        text = replace(more.text, classes=(reserved,))
        with pytest.raises(InputError, match=f"'{reserved}' cannot be a class"):
            add_features(pack, more.features, [reserved] * 4, more.ids, more.names, text)
    with pytest.raises(InputError, match="not among the 4 classes"):
        added(pack, more)
    with pytest.raises(InputError, match="no image of the new class"):
        add_features(pack, TASK.X[:1], names[:1], ["ff" * 32], ["a"], more.text)
    thin = ClassText(more.text.embeddings[:, :1], more.text.classes, 100.0)
    with pytest.raises(InputError, match="expected 3 prompts a class of width 24"):
        add_features(pack, more.features, more.labels, more.ids, more.names, thin)
    with pytest.raises(InputError, match="class names repeat"):
        added(pack, support_of(), names[:1])


def test_renamed_it_answers_the_same():
    names = TASK.text.classes
    pack = fitted(support_of()).with_evaluation({"per_class": {name: {} for name in names}})
    swapped = rename(pack, {names[0]: names[1], names[1]: names[0], names[2]: "cow"})
    assert swapped.classes == (names[1], names[0], "cow", *names[3:])
    assert all(np.array_equal(swapped.tensors[n], t) for n, t in pack.tensors.items())
    assert swapped.manifest["training"]["words"] == dict(zip(swapped.classes, names, strict=True))
    assert [*swapped.manifest["training"]["counts"]] == [*swapped.classes]
    assert [*swapped.manifest["evaluation"]["per_class"]] == [*swapped.classes]
    assert swapped.support.labels[0] == names[1]
    for new in ("other", names[1], names[1].upper(), ""):
        with pytest.raises(InputError):
            rename(pack, {names[0]: new})
    with pytest.raises(InputError, match="no class 'cow'"):
        rename(pack, {"cow": "dog"})


def test_what_was_changed_has_no_digest_before_it_is_saved(tmp_path):
    """Answers and evaluations name a skill by it, and would name another one."""
    pack = Pack.load(fitted(support_of(EARLY)).save(tmp_path / "s"))
    assert pack.manifest["digest"]
    reserved = Reserved(TASK.X[:1], ("ab" * 32,), ("a",))
    for changed in (
        pack.with_evaluation({"accuracy": 0.5}),
        rename(pack, {pack.classes[0]: "cow"}),
        remove(pack, [0]),
        add_reserved(pack, reserved),
        merge(pack, fitted(support_of(LATE)), join=True),
    ):
        assert not {"digest", "files", "tensors"} & {*changed.manifest}
    assert "digest" not in push(pack, tmp_path / "named", title="Cows").pack.manifest


def test_merging_what_clashes():
    names = TASK.text.classes
    first, second = fitted(support_of(EARLY)), fitted(support_of(LATE))
    with pytest.raises(InputError, match=r"both skills have 'class d0', .*--join.*--rename"):
        merge(first, second)
    loud = rename(second, {name: name.upper() for name in names})
    assert merge(first, loud, join=True).classes == names
    other = fitted(support_of(LATE), encoder=Fake("model:fake weights:11"))
    with pytest.raises(MismatchError, match=r"weights differs .skill 00, the second 11"):
        merge(first, other, join=True)
    with pytest.raises(InputError, match="the prompts differ"):
        merge(first, fitted(support_of(LATE), templates=["x {}", "y {}", "z {}"]), join=True)
    moved = rename(second, {names[0]: names[1], names[1]: names[0]})
    with pytest.raises(InputError, match="byte for byte the same"):
        merge(fitted(support_of()), moved, join=True)


def test_merging_says_whose_is_taken():
    first, second = fitted(support_of(EARLY)), fitted(support_of(LATE), ("gda", {}), licence="mit")
    told = merging.differences(first, second)
    assert any("the method is the first's, tip" in note for note in told)
    merged = merge(first, second, join=True)
    assert (merged.method, merged.manifest["license"]) == ("tip", "unknown")
    assert merging.differences(first, first) == []


def test_reserved_images_come_and_go():
    def with_none(support: Support, rows: list[int]) -> Support:
        ids = tuple(f"f{i}" * 32 for i in rows)
        names = tuple(f"background/{i}.png" for i in rows)
        return replace(support, reserved=Reserved(TASK.queries[rows], ids, names))

    names = list(TASK.text.classes)
    one = fitted(with_none(support_of(classes=names[:3]), [0, 1]))
    two = fitted(with_none(support_of(classes=names[3:]), [1, 2]))
    left = remove(one, ["background/0.png"])
    assert files(left) == files_of_fit(with_none(support_of(classes=names[:3]), [1]), ("tip", {}))
    assert remove(left, ["f1" * 32]).support.reserved is None
    both = merge(one, two)
    assert files(both) == files_of_fit(with_none(support_of(), [0, 1, 2]), ("tip", {}))
    with pytest.raises(InputError, match="'none of the classes' already"):
        add_features(one, TASK.queries[:1], names[:1], ["f0" * 32], ["a"])


def test_nothing_stale_stays():
    pack = fitted(support_of())
    noted = replace(pack, manifest=pack.manifest | {"extra": {"likes": pack.support.ids[0]}})
    assert "extra" not in remove(noted, [0]).manifest
    counted = replace(pack, manifest=pack.manifest | {"training": {"shots": 4}})
    assert remove(counted, [0]).manifest["training"]["shots"] is None


def multi_label_pack() -> Pack:
    """A skill of several labels an image, on `Fake`."""
    X, Y = np.eye(4, DIM, dtype=np.float32), np.eye(4)[:, :2] + np.eye(4)[:, 2:]
    text = ClassText(np.eye(2, DIM)[:, None], ("a", "b"), 10.0)
    adapter = MultiLabelRidge().fit(X, Y, text)
    facts = {"templates": ("{}",), "support_ids": (), "training": {}}
    return Pack.of(adapter, text, Fake(), task="multi_label", **facts)


def test_a_skill_without_its_support_set():
    pack = fitted(support_of())
    bare = {n: t for n, t in pack.tensors.items() if n.startswith(("head.", "golden."))}
    old = Pack(pack.manifest, bare, "old")
    for change in (
        lambda: remove(old, [0]),
        lambda: drop(old, ["class d0"]),
        lambda: merge(pack, old),
        lambda: added(old, support_of()),
    ):
        with pytest.raises(PackError, match="old: was saved without the features of its images"):
            change()
    assert rename(old, {"class d0": "cow"}).classes[0] == "cow"
    several = multi_label_pack()
    with pytest.raises(PackError, match="several labels an image does not keep"):
        remove(several, [0])
