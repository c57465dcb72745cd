"""Auto's blend: what its weights maximise, what it does at one shot, and what it tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from handful import metrics, plugins
from handful.adapters._blend_members import Members
from handful.contracts import ClassText, unit
from handful.selection import (
    Strength,
    capped_inverse_temperature,
    gda_family,
    gda_family_left_out,
    gda_weights_with_text_prior,
    stacking_weights,
    stratified_folds,
    unfitted_inverse_temperature,
)
from tasks import Task, make


def fit(task: Task, **arguments: object):
    return plugins.get("adapters", "auto")(**arguments).fit(task.X, task.y, task.text)


def columns(task: Task) -> np.ndarray:
    return np.array([task.text.classes.index(name) for name in task.y])


def useless_text(task: Task) -> ClassText:
    rng = np.random.default_rng(5)
    return ClassText(
        unit(rng.standard_normal(task.text.embeddings.shape)), task.text.classes, 100.0
    )


def test_stack_takes_what_is_right_and_drops_what_is_wrong():
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.integers(0, 4, 200))
    right = torch.eye(4)[targets] + 0.5 * torch.from_numpy(rng.standard_normal((200, 4))).float()
    noise = torch.from_numpy(rng.standard_normal((200, 4))).float()
    first = torch.tensor([0.5, 0.5])
    weights = stacking_weights(torch.stack([right, noise]), targets, first, 1.0)
    assert weights[0] > 2
    assert weights[1] < 0.3


def test_stack_keeps_the_first_weights_where_the_pull_is_strong():
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.standard_normal((3, 30, 4))).float()
    first = torch.tensor([0.2, 0.0, 0.7])
    targets = torch.from_numpy(rng.integers(0, 4, 30))
    np.testing.assert_allclose(stacking_weights(logits, targets, first, 1e7), first, atol=1e-3)


def test_stack_is_the_minimum_of_its_formula():
    rng = np.random.default_rng(2)
    targets = torch.from_numpy(np.repeat([0, 1, 2], [30, 5, 5]))
    logits = torch.from_numpy(rng.standard_normal((2, 40, 3))).float() + torch.eye(3)[targets]
    first = torch.tensor([0.3, 0.6])
    found = stacking_weights(logits, targets, first, 2.0).numpy()

    def objective(w):
        blend = np.tensordot(w, logits.double().numpy(), 1)
        logs = blend - np.log(np.exp(blend).sum(1, keepdims=True))
        share = 40 / (3 * np.bincount(targets)[targets])  # every class counts the same
        loss = -(share * logs[np.arange(40), targets]).sum()
        return loss + 2.0 * ((w - first.numpy()) ** 2 / (first.numpy() + 0.1)).sum()

    around = [found + np.array(d) for d in ((0.01, 0), (0, 0.01), (0.01, 0.01))]
    around += [np.maximum(found - np.array(d), 0) for d in ((0.01, 0), (0, 0.01))]
    assert all(objective(found) <= objective(w) + 1e-6 for w in around)


def test_trust_falls_with_sure_mistakes():
    task = make(shots=1)
    zero_shot = torch.from_numpy(task.text.scale * task.X @ task.text.weights.T)
    targets = torch.from_numpy(columns(task))
    mostly = capped_inverse_temperature(zero_shot, targets)
    assert mostly > 0.2  # the made features' cosines are far larger than an encoder's
    assert capped_inverse_temperature(0.1 * zero_shot, targets) > 0.99
    assert capped_inverse_temperature(zero_shot, targets.roll(1)) < mostly / 3


def test_trust_in_the_text_is_in_units_of_its_own_spread():
    task = make(shots=1)
    cosines = torch.from_numpy(task.X @ task.text.weights.T)
    targets = torch.from_numpy(columns(task))
    right = unfitted_inverse_temperature(cosines, targets)
    assert unfitted_inverse_temperature(50 * cosines, targets) == pytest.approx(
        right / 50, rel=1e-4
    )
    assert unfitted_inverse_temperature(cosines, targets.roll(1)) < right / 3
    assert unfitted_inverse_temperature(torch.ones(5, 5), targets) == 0


def test_text_gda_by_hand():
    # images (.8, .6) and (.6, .8) with texts (1, 0) and (0, 1): x = (.7, .7), t = (.5, .5),
    # g = sum <(±.5, ∓.5), (±.1, ∓.1)> / sum |.|² = .2 / 1 = .2, so the text suggests x + .2 (T - t)
    # = (.8, .6) and (.6, .8): what the images are. No scatter: W = mu, b = -|mu|² / 2, centred.
    weights, bias = gda_weights_with_text_prior(
        torch.tensor([[0.8, 0.6], [0.6, 0.8]]),
        torch.tensor([0, 1]),
        torch.eye(2),
        prior=3.0,
        shrinkage=0.5,
        deviation=1.0,
    )
    np.testing.assert_allclose(weights, [[0.1, -0.1], [-0.1, 0.1]], atol=1e-7)
    np.testing.assert_allclose(bias, [0, 0], atol=1e-7)


def test_text_gda_is_its_algebra():
    task, y = make(shots=3), columns(make(shots=3))
    x, t, c = task.X.astype(float), task.text.weights.astype(float), 5
    mean = np.stack([x[y == k].mean(0) for k in range(c)])
    centred, words = mean - mean.mean(0), t - t.mean(0)
    suggested = mean.mean(0) + (words * centred).sum() / (words**2).sum() * words
    mu = (3 * mean + 2 * suggested) / 5
    scatter = sum(np.outer(a - mean[k], a - mean[k]) for a, k in zip(x, y, strict=True))
    scatter = scatter + 0.4 * sum(np.outer(d, d) for d in mean - suggested)
    d = x.shape[1]
    p = np.linalg.inv(0.7 * scatter * d / np.trace(scatter) + 0.3 * np.eye(d))
    logits = task.queries @ p @ mu.T - 0.5 * np.diag(mu @ p @ mu.T)
    adapter = plugins.get("adapters", "text_gda")(prior=2.0, shrinkage=0.3, deviation=0.4)
    found = adapter.fit(task.X, task.y, task.text).logits(task.queries)
    expected = 100 * (logits - logits.mean(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("shots", [1, 2, 6])
def test_one_head_says_what_the_weighted_members_say(shots):
    task = make(shots=shots)
    auto, blend = fit(task), 0.0
    members = Members(
        torch.from_numpy(task.X), torch.from_numpy(columns(task)), task.text, None, seed=0
    )
    shift = members.shift.numpy()
    for row in auto.explain()["ranking"]:
        member = plugins.get("adapters", row["method"])(**row["params"])
        if row["method"] == "linear":  # it sees the images where the texts lie
            X = torch.from_numpy(task.X + shift)
            head = member._fit(X, torch.from_numpy(columns(task)), members.start)
            logits = head(torch.from_numpy(task.queries + shift)).numpy()
        else:
            logits = member.fit(task.X, task.y, task.text).logits(task.queries)
        blend = blend + row["weight"] * logits
    found = auto.logits(task.queries)
    found, blend = (z - z.mean(1, keepdims=True) for z in (found, blend))
    np.testing.assert_allclose(found, blend, rtol=1e-2, atol=0.1)


def heads(task: Task, X: np.ndarray, text: ClassText):
    """Auto fitted on rows as they are, which `fit` would scale to length one."""
    return plugins.get("adapters", "auto")()._fit(
        torch.from_numpy(X), torch.from_numpy(columns(task)), text
    )


@pytest.mark.parametrize("shots", [1, 4])
def test_a_constant_added_to_all_images_changes_nothing(shots):
    task = make(shots=shots)
    constant = 2 * np.random.default_rng(4).standard_normal((1, 24)).astype(np.float32)
    before = heads(task, task.X, task.text)(torch.from_numpy(task.queries))
    head = heads(task, task.X + constant, task.text)
    after = head(torch.from_numpy(task.queries + constant))
    before, after = (z.softmax(1).numpy() for z in (before, after))
    np.testing.assert_allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("shots", [1, 4])
def test_a_common_direction_in_scaled_rows_hardly_moves_the_answers(shots):
    """Pooled features that are never negative share a mean; encoders differ in how much of it."""
    task = make(shots=shots, queries=40)
    mean = unit(task.X.mean(0, keepdims=True))
    X, queries = (unit(rows + mean) for rows in (task.X, task.queries))
    moved = plugins.get("adapters", "auto")().fit(X, task.y, task.text).logits(queries)
    same = fit(task).logits(task.queries).argmax(1) == moved.argmax(1)
    assert same.mean() > 0.9


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
@pytest.mark.parametrize("shots", [1, 4])
def test_the_logit_scale_changes_nothing(shots, factor):
    task = make(shots=shots)
    text = ClassText(task.text.embeddings, task.text.classes, factor * task.text.scale)
    scaled = plugins.get("adapters", "auto")().fit(task.X, task.y, text)
    np.testing.assert_allclose(
        scaled.logits(task.queries), fit(task).logits(task.queries), atol=1e-3
    )
    left_out = (
        plugins.get("adapters", "auto")().leave_one_out(task.X, task.y, t)
        for t in (text, task.text)
    )
    np.testing.assert_allclose(*left_out, atol=1e-3)


@pytest.mark.parametrize("shots", [1, 2])
def test_a_family_of_strengths_is_text_gda_at_each_in_a_space_of_few_dimensions(shots):
    task = make(classes=4, shots=shots, width=40)  # 4 or 8 images and 4 texts span less than 40
    X, y, words = torch.from_numpy(task.X), torch.from_numpy(columns(task)), task.text.weights
    words = torch.from_numpy(words)
    strengths = [Strength(0.5, 0.9, 1.0), Strength(16.0, 0.9, 1.0), Strength(2.0, 0.3, 0.1)]
    weights, bias = gda_family(X, y, words, strengths)
    queries = torch.from_numpy(task.queries).double()
    for s, w, b in zip(strengths, weights, bias, strict=True):
        alone = gda_weights_with_text_prior(X, y, words, s.prior, s.shrinkage, s.deviation)
        np.testing.assert_allclose(queries @ w.T + b, queries @ alone[0].T + alone[1], atol=1e-6)
    asked = torch.arange(len(y)) % 3 == 0
    folds = stratified_folds(y, 8)
    every = gda_family_left_out(X, y, words, strengths, folds)
    some = gda_family_left_out(X, y, words, strengths, folds, asked)
    np.testing.assert_allclose(some, every[:, asked])
    if shots == 1:
        return
    first = folds == 0
    alone = gda_weights_with_text_prior(X[~first], y[~first], words, 0.5, 0.9, 1.0)
    expected = X[first].double() @ alone[0].T + alone[1]
    found = every[0, first] - every[0, first].mean(1, keepdim=True)
    np.testing.assert_allclose(found, expected - expected.mean(1, keepdim=True), atol=1e-5)


def test_one_shot_has_fixed_weights_and_says_so():
    told = fit(make(shots=1)).explain()
    assert "nothing can be left out" in told["reason"]
    assert all(row["accuracy"] is None for row in told["ranking"])


def test_it_tells_shares_and_accuracies():
    told = fit(make(shots=4)).explain()
    assert "Leaving out each of 20 support images" in told["reason"]
    assert sum(row["share"] for row in told["ranking"]) == pytest.approx(1, abs=1e-3)
    accuracies = [row["accuracy"] for row in told["ranking"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(0 <= a <= 1 for a in accuracies)


def copied(task: Task, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every image one to six times, its labels, and which image each is a copy of."""
    each = np.random.default_rng(seed).integers(1, 7, len(task.X))
    groups = np.repeat(np.arange(len(task.X)), each)
    return task.X[groups], task.y[groups], groups


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_copies_that_are_stated_count_once(shots):
    task = make(shots=shots)
    X, y, groups = copied(task)
    auto = plugins.get("adapters", "auto")()
    once = fit(task).logits(task.queries)
    np.testing.assert_allclose(
        auto.fit(X, y, task.text, groups=groups).logits(task.queries), once, rtol=1e-3, atol=1e-3
    )
    apart = clone(auto).fit(X, y, task.text).logits(task.queries)
    assert np.abs(apart - once).max() > 0.1  # where nobody states it, they outvote the others
    alone = clone(auto).leave_one_out(task.X, task.y, task.text)
    found = clone(auto).leave_one_out(X, y, task.text, groups)
    np.testing.assert_allclose(found, alone[groups], rtol=1e-3, atol=1e-3)


def test_it_says_that_groups_were_left_out():
    task = make(shots=4)
    X, y, groups = copied(task)
    auto = plugins.get("adapters", "auto")()
    told, once = auto.fit(X, y, task.text, groups=groups).explain(), fit(task).explain()
    for row, other in zip(told["ranking"], once["ranking"], strict=True):
        assert row["accuracy"] == pytest.approx(other["accuracy"], abs=1e-3)
    assert "Leaving out each of 20 groups of support images in turn" in told["reason"]
    groups[y == task.text.classes[0]] = -1  # all images of a class are of one burst
    told = auto.fit(X, y, task.text, groups=groups).explain()
    assert "Leaving out each of 16 groups" in told["reason"]
    told = auto.fit(X, y, task.text, groups=y).explain()
    assert "With one group of images a class nothing can be left out" in told["reason"]


def test_members_are_left_out_by_fits_without_the_unit():
    task = make(shots=4)
    X, y = torch.from_numpy(task.X), torch.from_numpy(columns(task))
    units = torch.arange(20) // 3  # seven, some of two classes
    members = Members(X, y, task.text, units, seed=0)
    found = members.left_out()
    for number in range(7):
        out = units == number
        rows, bias = gda_family(
            X[~out], y[~out], members.words, members.strengths, members.counted[~out]
        )
        expected = 100 * (torch.einsum("nd,jcd->jnc", X[out].double(), rows) + bias[:, None])
        here = found[: len(rows), out].double()
        here, expected = (z - z.mean(2, keepdim=True) for z in (here, expected))
        np.testing.assert_allclose(here, expected, rtol=1e-4, atol=1e-3)


def test_the_probe_takes_part_where_training_it_is_quick(monkeypatch):
    from handful.adapters import _blend_members

    task = make(shots=3)
    for work, there in ((15 * 5 * 24, True), (15 * 5 * 24 - 1, False)):
        monkeypatch.setattr(_blend_members, "_WORK", work)
        auto = fit(task)
        methods = {row["method"] for row in auto.explain()["ranking"]}
        assert methods == ({"text_gda", "linear"} if there else {"text_gda"})
        assert auto.leave_one_out(task.X, task.y, task.text).shape == (15, 5)


def test_weights_are_chosen_on_some_images_where_there_are_very_many(monkeypatch):
    from handful.adapters import _blend_members

    task = make(shots=8, queries=40)
    every = fit(task)
    monkeypatch.setattr(_blend_members, "_COMPARED", 20 * 5)
    some = fit(task)
    assert "Leaving out each of 20 support images" in some.explain()["reason"]
    assert some.leave_one_out(task.X, task.y, task.text).shape == (40, 5)
    hits = [metrics.accuracy(a.logits(task.queries), task.targets) for a in (every, some)]
    assert hits[1] > hits[0] - 0.05


def test_texts_that_are_all_alike_leave_the_images():
    task = make(shots=4, queries=40)
    one = np.repeat(task.text.embeddings[:1], 5, axis=0)
    task = Task(task.X, task.y, task.queries, task.targets, ClassText(one, task.text.classes, 9.0))
    assert metrics.accuracy(fit(task).logits(task.queries), task.targets) > 0.85


@pytest.mark.parametrize("shots", [1, 8])
def test_classes_without_shots_are_shared_out_by_zero_shot(shots):
    task = make(shots=shots)
    with_shots = [0, 1, 3]
    keep = np.isin(columns(task), with_shots)
    auto = plugins.get("adapters", "auto")().fit(task.X[keep], task.y[keep], task.text)
    zero_shot = plugins.get("adapters", "zero_shot")().fit(task.X, task.y, task.text)
    logits = auto.logits(task.queries)
    among = [2, 4]
    assert np.array_equal(
        logits[:, among].argmax(1), zero_shot.logits(task.queries)[:, among].argmax(1)
    )
    names = tuple(task.text.classes[c] for c in with_shots)
    words = ClassText(task.text.embeddings[with_shots], names, task.text.scale)
    alone = plugins.get("adapters", "auto")().fit(task.X[keep], task.y[keep], words)
    inside = np.exp(logits[:, with_shots])
    np.testing.assert_allclose(
        inside / inside.sum(1, keepdims=True), alone.predict_proba(task.queries), atol=1e-3
    )
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-4)
    left_out = auto.leave_one_out(task.X[keep], task.y[keep], task.text)
    assert np.isfinite(left_out).all()


def test_shots_of_one_class_alone_leave_zero_shot():
    task = make(shots=4)
    keep = columns(task) == 1
    auto = plugins.get("adapters", "auto")().fit(task.X[keep], task.y[keep], task.text)
    assert np.isfinite(auto.logits(task.queries)).all()


def test_where_nothing_can_be_learned_nothing_is_claimed():
    rng = np.random.default_rng(0)
    X = unit(rng.standard_normal((160, 32)))
    text = ClassText(unit(rng.standard_normal((10, 1, 32))), tuple("abcdefghij"), 100.0)
    auto = plugins.get("adapters", "auto")().fit(X, np.repeat(list("abcdefghij"), 16), text)
    logits = auto.logits(X)
    assert np.ptp(logits, axis=1).min() > 0
    assert auto.predict_proba(unit(rng.standard_normal((50, 32)))).max() < 0.5
    assert auto.explain()["reason"].strip(".").split()[-1] not in ("is", "unsure:")


@pytest.mark.parametrize("shots", [1, 2, 4])
def test_useless_text_is_not_believed(shots):
    task = make(shots=shots, queries=40)
    task = Task(task.X, task.y, task.queries, task.targets, useless_text(task))
    zero_shot = plugins.get("adapters", "zero_shot")().fit(task.X, task.y, task.text)
    auto = fit(task)
    assert metrics.accuracy(zero_shot.logits(task.queries), task.targets) < 0.5
    share = sum(r["share"] for r in auto.explain()["ranking"] if r["method"] == "text_gda")
    assert share > 0.5
    images = plugins.get("adapters", "class_mean")().fit(task.X, task.y, task.text)
    hits = [metrics.accuracy(a.logits(task.queries), task.targets) for a in (auto, images)]
    assert hits[0] > hits[1] - (0.1 if shots == 1 else 0.05)  # one image refutes a text less


@pytest.mark.parametrize("shots", [2, 4, 8])
def test_zero_shot_that_cannot_be_beaten_is_kept(shots):
    """Labels drawn from zero-shot's own probabilities: nothing is left to learn.

    Measured against zero-shot on images less the mean of the support set: whoever is indifferent to
    a constant added to all images cannot know where their true mean lies.
    """
    gaps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        text = unit(rng.standard_normal((8, 1, 16)))
        rows = unit(rng.standard_normal((4000, 16)) + text[rng.integers(0, 8, 4000), 0] * 2)
        chances = 10 * rows @ text[:, 0].T
        y = np.array(
            [rng.choice(8, p=p) for p in np.exp(chances) / np.exp(chances).sum(1)[:, None]]
        )
        words = ClassText(text, tuple("abcdefgh"), 10.0)
        drawn = np.concatenate([np.flatnonzero(y == c)[:shots] for c in range(8)])
        rest = np.setdiff1d(np.arange(4000), drawn)
        auto = plugins.get("adapters", "auto")().fit(rows[drawn], y[drawn], words)
        hit = metrics.accuracy(auto.logits(rows[rest]), y[rest])
        centred = (rows[rest] - rows[drawn].mean(0)) @ text[:, 0].T
        gaps.append(hit - metrics.accuracy(centred, y[rest]))
    assert np.mean(gaps) > -0.03


def test_wrong_labels_at_a_fifth():
    task = make(shots=8, queries=40)
    y, rng = task.y.copy(), np.random.default_rng(3)
    flip = rng.choice(len(y), len(y) // 5, replace=False)
    y[flip] = rng.choice(task.text.classes, len(flip))
    auto = plugins.get("adapters", "auto")().fit(task.X, y, task.text)
    assert metrics.accuracy(auto.logits(task.queries), task.targets) > 0.85
