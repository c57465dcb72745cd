"""Which task an image belongs to, and whether to any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from handful.adapters import Adapter, create_adapter
from handful.contracts import Array, ClassText, unit
from handful.errors import InputError
from handful.library._gaussians import Gaussians
from handful.library.ensemble import SkillEnsemble
from handful.library.heads import StackedHeads, affine_form
from handful.library.open_set import OpenSetDetector
from handful.library.router import Router
from handful.library.skill import Skill
from handful.library.task_support import TaskSupport
from handful.library.zero_shot import known_class_discount, zero_shot
from handful.packs.support import Support

WIDTH = 24


class World:
    """Tasks around places of their own, classes around their task's."""

    def __init__(self, tasks: int, classes: int = 4, shots: int = 6, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        places = self.rng.standard_normal((tasks, 1, WIDTH))
        self.means = 1.5 * places + self.rng.standard_normal((tasks, classes, WIDTH))
        self.classes, self.shots = classes, shots

    def draw(self, task: int, each: int) -> tuple[Array, np.ndarray]:
        y = np.repeat(np.arange(self.classes), each)
        noise = self.rng.standard_normal((len(y), WIDTH))
        return unit(self.means[task][y] + 0.7 * noise), y

    def support(self, task: int) -> TaskSupport:
        return TaskSupport(*self.draw(task, self.shots))

    def skill(self, name: str, task: int, method: str, labels: tuple[str, ...] = ()) -> Skill:
        X, y = self.draw(task, self.shots)
        labels = labels or tuple(f"{name} {c}" for c in range(self.classes))
        text = ClassText(self.means[task][:, None] + 1, labels, 20.0)
        adapter: Adapter = create_adapter(method, 0).fit(X, np.array(labels)[y], text)
        ids = tuple(map(str, range(len(y))))
        return Skill.from_adapter(name, adapter, Support(X, y, text, ids, ids), 1.0)


def test_images_find_their_task_and_the_shares_are_honest():
    world = World(6)
    router = Router.fit({f"t{i}": world.support(i) for i in range(6)})
    asked = [world.draw(i, 40)[0] for i in range(6)]
    shares = router.probabilities(np.concatenate(asked))
    truth = np.repeat(np.arange(6), [len(a) for a in asked])
    right = shares.argmax(1) == truth
    assert right.mean() > 0.95
    assert abs(right.mean() - router.left_out_accuracy) < 0.05
    assert abs(shares.max(1).mean() - right.mean()) < 0.05
    np.testing.assert_allclose(shares.sum(1), 1)


def test_left_out_answers_are_those_of_a_fit_without_the_image():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), (5, 3, 1, 6))
    rows = unit(rng.standard_normal((4, 10))[groups] + 0.5 * rng.standard_normal((15, 10)))

    def of(x: Array, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = np.stack([x[y == g].mean(0) if (y == g).any() else np.zeros(10) for g in range(4)])
        rest = x - means[y]
        return means, rest.T @ rest

    x = rows.astype(np.float64)
    means, scatter = of(x, groups)
    made = Gaussians.fit(means, np.bincount(groups).astype(float), scatter, 0.1)
    ridge = 0.1 * np.trace(scatter) / 14 / 10
    found = made.leave_one_out(rows, groups)
    for i in range(15):
        kept = np.arange(15) != i
        means, scatter = of(x[kept], groups[kept])
        weights = means @ np.linalg.inv(made.scatter_weight * scatter + ridge * np.eye(10))
        expected = weights @ x[i] - 0.5 * (weights * means).sum(1)
        if groups[i] == 2:  # it was the only one
            assert found[i, 2] == -np.inf
            expected[2] = -np.inf
        np.testing.assert_allclose(found[i], expected, rtol=1e-8)


def test_values_without_a_unit_are_those_of_fits_without_it():
    rng = np.random.default_rng(3)
    x = unit(rng.standard_normal((14, 10))).astype(np.float64)
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2])
    units = np.array([0, 0, 1, 2, 3, 3, 4, 4, 4, 5, 6, 7, 7, 7])  # 3 is of two groups, 7 all of one

    def of(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        means = np.zeros((3, 10))
        for g in np.unique(labels):
            means[g] = rows[labels == g].mean(0)
        residuals = rows - means[labels]
        return means, residuals.T @ residuals

    means, scatter = of(x, groups)
    made = Gaussians.fit(means, np.bincount(groups).astype(float), scatter, 0.1)
    ridge = 0.1 * np.trace(scatter) / 13 / 10
    found = made.leave_one_out(x.astype(np.float32), groups, units)
    for i in range(14):
        kept = units != units[i]
        means, scatter = of(x[kept], groups[kept])
        weights = means @ np.linalg.inv(made.scatter_weight * scatter + ridge * np.eye(10))
        expected = weights @ x[i] - 0.5 * (weights * means).sum(1)
        if groups[i] == 2:
            assert found[i, 2] == -np.inf
            expected[2] = -np.inf
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)


def in_bursts(support: TaskSupport, times: int, rng: np.random.Generator) -> TaskSupport:
    rows = np.repeat(np.arange(len(support.targets)), times)
    frames = support.features[rows] + 0.01 * rng.standard_normal((len(rows), WIDTH))
    return TaskSupport(unit(frames), support.targets[rows], rows)


def test_bursts_make_neither_router_nor_rejection_surer_of_themselves():
    world = World(6, classes=2, shots=3)
    world.means = world.rng.standard_normal(world.means.shape) * 0.35  # tasks hardly differ
    tasks = {f"t{i}": world.support(i) for i in range(6)}
    bursts = {name: in_bursts(support, 4, world.rng) for name, support in tasks.items()}
    torn = {name: replace(support, units=None) for name, support in bursts.items()}
    alone, stated, believed = (Router.fit(t).left_out_accuracy for t in (tasks, bursts, torn))
    assert abs(stated - alone) < 0.12
    assert believed > stated + 0.3
    asked = np.concatenate([world.draw(i, 30)[0] for i in range(6)])
    truth = np.repeat(np.arange(6), 60)
    tested = (Router.fit(bursts).probabilities(asked).argmax(1) == truth).mean()
    assert abs(stated - tested) < 0.15
    detectors = [OpenSetDetector.fit(t) for t in (tasks, bursts)]
    smallest = [found.rates(asked).min() for found in detectors if found]
    assert smallest[1] == pytest.approx(smallest[0], rel=0.5)  # 36 units, not 144


def test_tasks_that_are_classes_thrown_together_are_told_by_their_classes():
    world = World(6, classes=6, shots=8)
    world.means = world.means.reshape(36, WIDTH)[world.rng.permutation(36)].reshape(6, 6, WIDTH)
    mixed = Router.fit({f"t{i}": world.support(i) for i in range(6)})
    asked = [world.draw(i, 20)[0] for i in range(6)]
    truth = np.repeat(np.arange(6), [len(a) for a in asked])
    right = (mixed.probabilities(np.concatenate(asked)).argmax(1) == truth).mean()
    assert right > 0.9
    assert abs(right - mixed.left_out_accuracy) < 0.08
    assert len(mixed.views[-1].bias) == 36  # the view of classes takes part


def test_the_order_of_tasks_changes_nothing():
    world = World(5)
    parts = {f"t{i}": world.support(i) for i in range(5)}
    X = world.draw(0, 5)[0]
    one, other = Router.fit(parts), Router.fit(dict(reversed(parts.items())))
    assert np.array_equal(one.probabilities(X), other.probabilities(X))
    first = OpenSetDetector.fit(parts)
    second = OpenSetDetector.fit(dict(reversed(parts.items())))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.rates(X), second.rates(X))


def test_an_image_is_judged_by_itself():
    world = World(4)
    skills = SkillEnsemble(world.skill(f"t{i}", i, "text_gda") for i in range(4))
    X = np.concatenate([world.draw(i, 5)[0] for i in range(4)])
    together = skills.predict(X, 0.2)
    for i in (0, 7, 42 % len(X), len(X) - 1):
        alone = skills.predict(X[[i]], 0.2)
        assert alone.tasks[0] == together.tasks[i]
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[i], atol=1e-5)
        np.testing.assert_allclose(alone.task_probabilities[0], together.task_probabilities[i])
        np.testing.assert_allclose(alone.false_accept_rates[0], together.false_accept_rates[i])
    turned = skills.predict(X[::-1].copy(), 0.2)
    assert np.array_equal(turned.tasks[::-1], together.tasks)


def test_unknown_tasks_are_accepted_at_about_the_stated_rate():
    """On average over worlds whose tasks are alike; the mean of 20 has an error of its own."""
    rates = {0.05: [], 0.2: []}
    kept = []
    for seed in range(20):
        world = World(10, seed=seed)
        detector = OpenSetDetector.fit({f"t{i}": world.support(i) for i in range(8)})
        strange = detector.rates(np.concatenate([world.draw(i, 10)[0] for i in (8, 9)]))
        known = detector.rates(np.concatenate([world.draw(i, 10)[0] for i in range(8)]))
        for rate, found in rates.items():
            found.append(float((strange <= rate).mean()))
        kept.append(float((known <= 0.2).mean()))
    assert np.mean(rates[0.05]) < 0.07
    assert np.mean(rates[0.2]) < 0.22
    assert np.mean(kept) > 0.8


def test_many_tasks_are_left_out_several_at_a_time():
    world = World(40, classes=2, shots=3)
    detector = OpenSetDetector.fit({f"t{i}": world.support(i) for i in range(40)})
    assert len(detector.left_out) == 40
    rates = detector.rates(world.draw(0, 5)[0])
    assert ((rates > 0) & (rates <= 1)).all()


@pytest.mark.parametrize("shots", [1, 2])
def test_few_images_and_equal_images_still_route(shots):
    world = World(3, classes=2, shots=shots)
    router = Router.fit({f"t{i}": world.support(i) for i in range(3)})
    assert np.isfinite(router.probabilities(world.draw(0, 3)[0])).all()
    row = unit(np.ones((2, WIDTH)))
    same = Router.fit({"a": TaskSupport(row, np.arange(2)), "b": TaskSupport(-row, np.arange(2))})
    assert same.probabilities(row).argmax(1).tolist() == [0, 0]


def test_one_task_is_every_image_s_and_none_is_refused():
    world = World(2)
    router = Router.fit({"only": world.support(0)})
    assert router.probabilities(world.draw(1, 2)[0]).tolist() == [[1.0]] * 8
    assert OpenSetDetector.fit({"only": world.support(0)}) is None
    with pytest.raises(InputError, match="at least one task"):
        Router.fit({})
    skills = SkillEnsemble([world.skill("a", 0, "tip"), world.skill("b", 1, "tip")])
    with pytest.raises(InputError, match="add a third"):
        skills.predict(world.draw(0, 1)[0], 0.1)


def test_class_names_that_two_tasks_share_are_kept_apart():
    world = World(3, classes=2)
    skills = SkillEnsemble(
        [
            world.skill("art", 0, "text_gda", ("red", "blue")),
            world.skill("cars", 1, "text_gda", ("Red", "fast")),
            world.skill("odd", 2, "text_gda", ("art/red", "slow")),
        ]
    )
    assert skills.labels == ("art/red", "blue", "cars/Red", "fast", "odd/art/red", "slow")
    assert len(set(skills.labels)) == 6


@pytest.mark.parametrize(
    ("method", "affine"),
    [("text_gda", True), ("linear", True), ("zs_lp", True), ("zero_shot", True), ("tip", False),
     ("proker", False), ("clip_adapter", False)],
)  # fmt: skip
def test_which_heads_go_into_the_product(method, affine):
    head = World(1).skill("t", 0, method)
    found = affine_form(head.adapter.module_, torch.from_numpy(head.support.features))
    assert (found is not None) == affine
    if found is not None:
        x = torch.from_numpy(World(1, seed=3).draw(0, 5)[0])
        weights, bias = found
        expected = head.adapter.module_(x)
        torch.testing.assert_close(x @ weights.T + bias, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["tip", "proker", "ape"])
def test_a_narrow_kernel_is_not_taken_for_affine(method):
    # away from the support set it says nothing, in whatever direction it is asked
    world = World(2)
    X, y = world.draw(0, 6)
    text = ClassText(world.means[0][:, None] + 1, ("a", "b", "c", "d"), 20.0)
    adapter = create_adapter(method, 0, {"beta": 40.0}).fit(X, np.array(text.classes)[y], text)
    ids = tuple(map(str, range(len(y))))
    support = Support(X, y, text, ids, ids)
    narrow = Skill.from_adapter("n", adapter, support, 1.0)
    skills = SkillEnsemble([narrow, world.skill("other", 1, "text_gda")])
    found = skills.predict(X)
    own, mine = skills.predict_task(X, "n"), skills.columns[skills.index("n")]
    part = found.probabilities[:, mine]
    np.testing.assert_allclose(part / part.sum(1, keepdims=True), own, atol=1e-3)


def test_the_product_s_answers_stay_bit_equal_as_heads_come():
    generator = torch.Generator().manual_seed(0)
    sizes = (2, 20, 33, 64, 5)
    parts = [
        (torch.randn(c, 96, generator=generator), torch.randn(c, generator=generator))
        for c in sizes
    ]
    for count in (1, 7, 256):
        x = torch.nn.functional.normalize(torch.randn(count, 96, generator=generator))
        whole = StackedHeads(parts)(x)
        for i in range(1, len(parts)):
            for first, found in zip(StackedHeads(parts[:i])(x), whole, strict=False):
                assert torch.equal(first, found)
        assert torch.equal(StackedHeads(parts[::-1])(x)[-1], whole[0])
        for (weights, bias), found in zip(parts, whole, strict=True):
            torch.testing.assert_close(found, x @ weights.T + bias, rtol=1e-4, atol=1e-4)
    assert StackedHeads([])(torch.ones(1, 96)) == []


def test_skills_of_every_kind_answer_as_they_do_alone():
    world = World(3)
    methods = ("text_gda", "tip", "clip_adapter")
    skills = SkillEnsemble(world.skill(m, i, m) for i, m in enumerate(methods))
    for i, method in enumerate(methods):
        X, _ = world.draw(i, 5)
        found = skills.predict(X)
        mine = skills.index(method)
        sure = found.tasks == mine
        assert sure.mean() > 0.8
        own = skills.predict_task(X, method)
        part = found.probabilities[:, skills.columns[mine]]
        share = found.task_probabilities[sure][:, None]
        np.testing.assert_allclose(part[sure] / share, own[sure], atol=1e-4)


def test_zero_shot_over_the_union_and_over_further_classes():
    world = World(3)
    skills = SkillEnsemble(world.skill(f"t{i}", i, "text_gda") for i in range(2))
    X = world.draw(2, 5)[0]
    labels, chances = zero_shot(skills, X)
    assert labels == skills.labels
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    raised = SkillEnsemble([skills.skills[0], replace(skills.skills[1], scale=60.0, tuned=True)])
    np.testing.assert_array_equal(zero_shot(raised, X)[1], chances)  # the encoder's scale is 20
    also = ClassText(world.means[2][:, None] + 1, ("p", "q", "r", "s"), 20.0)
    labels, chances = zero_shot(skills, X, also)
    assert labels[-4:] == also.classes
    assert chances[:, -4:].sum(1).mean() > 0.5
    less = known_class_discount(np.array([0.1, 0.5, *np.ones(18)]), 0.1)
    np.testing.assert_allclose(less, [1, 0.2, *np.full(18, 0.1)])
    _, held = zero_shot(skills, X, also, less)
    np.testing.assert_allclose(held.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(held[0], chances[0], rtol=1e-5)
    assert (held[1:, -4:].sum(1) > chances[1:, -4:].sum(1)).all()
    odds = [c[2, 0] / c[2, -1] for c in (held, chances)]
    assert odds[0] / odds[1] == pytest.approx(0.1, rel=1e-4)
