"""How sure an answer may sound: one factor, sets of answers, and what is said where neither is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful import metrics, plugins, report
from handful.errors import InputError, PackError
from handful.packs import Pack
from handful.packs import confidence as stated
from handful.packs.support import Support
from handful.selection import calibration, conformal
from handful.skills import evaluate, fit, statements
from tasks import make


def support_of(classes: int = 6, shots: int = 4, seed: int = 0, queries: int = 8):
    task = make(classes, shots, 24, seed, queries)
    column = {name: c for c, name in enumerate(task.text.classes)}
    targets = np.array([column[name] for name in task.y])
    ids = tuple(map(str, range(len(targets))))
    return Support(task.X.astype(np.float32), targets, task.text, ids, ids), task


def taught(method: str, support: Support):
    adapter = plugins.get("adapters", method)()
    return adapter.fit(support.features, np.array(support.labels), support.text)


def cross_entropy(logits, targets, factor):
    return -np.log(calibration.softmax(logits, factor)[np.arange(len(targets)), targets]).mean()


def test_the_factor_undoes_a_factor():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    chances = calibration.softmax(logits)
    targets = (chances.cumsum(1) > rng.random((4000, 1))).argmax(1)
    for times in (0.1, 1.0, 30.0):
        found = calibration.inverse_temperature(times * logits, targets)
        assert found * times == pytest.approx(1, abs=0.06)


def test_the_factor_is_the_likeliest():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (500, 4))
    targets = np.where(rng.random(500) < 0.6, logits.argmax(1), rng.integers(0, 4, 500))
    best = calibration.inverse_temperature(logits, targets)
    here = cross_entropy(logits, targets, best)
    assert here < cross_entropy(logits, targets, 1.3 * best)
    assert here < cross_entropy(logits, targets, best / 1.3)


def test_all_right_promises_no_certainty_and_all_wrong_none_at_all():
    logits = np.eye(4) * 10
    sure = calibration.softmax(logits, calibration.inverse_temperature(logits, np.arange(4)))
    assert sure.max() == pytest.approx(5 / 6, abs=1e-6)  # 1 - 1 / (N + 2)
    wrong = calibration.softmax(
        logits, calibration.inverse_temperature(logits, (np.arange(4) + 1) % 4)
    )
    assert wrong.max() < 0.26
    with pytest.raises(InputError, match="N >= 1"):
        calibration.inverse_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_sets_follow_the_finite_sample_rule_or_are_refused(count, error):
    ordered = np.arange(1, count + 1) / count
    if error < conformal.smallest_error(count) - 1e-9:
        with pytest.raises(InputError, match="at best"):
            conformal.conformal_quantile(ordered, error)
    elif error > conformal.smallest_error(count) + 1e-9:
        rank = round(conformal.conformal_quantile(ordered, error) * count)
        assert rank / (count + 1) >= 1 - error - 1e-9
        assert (rank - 1) / (count + 1) < 1 - error


@pytest.mark.parametrize("error", [0.05, 0.1, 0.2])
def test_sets_are_those_of_mapie(error):
    classification = pytest.importorskip("mapie.classification", reason="MAPIE is a dev extra")
    from sklearn.linear_model import LogisticRegression

    task = make(6, 30, 24, 3, 20)
    column = {name: c for c, name in enumerate(task.text.classes)}
    y = np.array([column[name] for name in task.y])
    half = np.arange(len(y)) % 2 == 0
    model = LogisticRegression(C=0.3).fit(task.X[half], y[half])
    oracle = classification.SplitConformalClassifier(
        model, confidence_level=1 - error, conformity_score="lac", prefit=True
    ).conformalize(task.X[~half], y[~half])
    _, theirs = oracle.predict_set(task.queries)
    ordered = conformal.nonconformity_scores(model.predict_proba(task.X[~half]), y[~half])
    ours = 1 - model.predict_proba(task.queries) <= conformal.conformal_quantile(ordered, error)
    assert (ours == theirs[:, :, 0]).mean() > 0.998  # rounding at the very limit
    assert ours.sum() != len(ours)


@pytest.mark.parametrize("method", ["text_gda", "tip", "proker", "zero_shot", "auto"])
def test_coverage_is_near_what_was_asked_for(method):
    hits, sizes = [], []
    for seed in range(4 if method == "auto" else 8):
        support, task = support_of(8, 5, seed, 20)
        adapter = taught(method, support)
        entry, tensors = statements.confidence(adapter, support)
        logits = adapter.logits(task.queries)
        found = stated.sets({"confidence": entry}, tensors, logits, 0.1, "it")
        hits.append(found[np.arange(len(found)), task.targets].mean())
        sizes.append(found.sum(1).mean())
    assert 0.84 < np.mean(hits) < 0.98
    assert np.mean(sizes) < 8


class Seen:
    """An adapter that keeps which units it was fitted on."""

    semantics, calibrated = "inductive", False
    fits: ClassVar[list[set[int]]] = []

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y, text, groups):
        self.fits.append(set(np.asarray(groups).tolist()))
        return self

    def logits(self, X):
        return np.eye(5)[: len(X)]


def test_an_image_is_not_in_the_fit_that_judges_it():
    support, _ = support_of(5, 3)
    groups = tuple("abc"[i % 3] if c < 2 else "" for i, c in enumerate(support.targets))
    support = replace(support, groups=groups)  # of two classes together
    Seen.fits.clear()
    statements.logits_by_folds(Seen(), support)
    left = [set(support.units.tolist()) - fit for fit in Seen.fits]
    assert set().union(*left) == set(support.units.tolist())  # each unit is left out, and once
    assert sum(map(len, left)) == len(set(support.units.tolist()))


def test_the_only_unit_of_a_class_stays_in_every_fit():
    support, _ = support_of(5, 3)
    support = replace(support, groups=tuple("only" if c == 4 else "" for c in support.targets))
    Seen.fits.clear()
    logits = statements.logits_by_folds(Seen(), support)
    only = support.units[support.targets == 4][0]
    assert all(only in fit for fit in Seen.fits)
    assert not logits[support.targets == 4].any()


def test_what_cannot_be_calibrated_says_so():
    alone, _ = support_of(5, 1)
    entry, tensors = statements.confidence(taught("text_gda", alone), alone)
    assert "one image" in entry["cannot"]
    assert not tensors
    with pytest.raises(InputError, match="one image"):
        stated.sets({"confidence": entry}, tensors, np.zeros((1, 5)), 0.1, "it")
    several, _ = support_of(5, 4)
    batch = SimpleNamespace(semantics="batch")
    assert "other images" in statements.confidence(batch, several)[0]["cannot"]
    with pytest.raises(InputError, match="made before"):
        stated.sets({}, {}, np.zeros((1, 5)), 0.1, "it")
    assert stated.factor({}) == stated.factor({"confidence": entry}) == 1.0
    for bad in (0, -1.0, "2", None, True, float("inf")):
        with pytest.raises(PackError, match="positive number"):
            stated.factor({"confidence": {"factor": bad}})


def test_the_card_tells_and_survives_nonsense():
    support, _ = support_of()
    entry, _ = statements.confidence(taught("text_gda", support), support)
    assert "24 support images" in stated.card_section({"confidence": entry}, str)
    assert "not calibrated" in stated.card_section({"confidence": {"cannot": "no"}}, str)
    assert (
        stated.card_section({}, str)
        == stated.card_section({"confidence": {"factor": "x"}}, str)
        == ""
    )


def test_the_calibration_error_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), 20000)
    targets = (chances.cumsum(1) > rng.random((20000, 1))).argmax(1)
    assert metrics.calibration_error(chances, targets) < 0.015
    sharper = chances**3 / (chances**3).sum(1, keepdims=True)
    assert metrics.calibration_error(sharper, targets) > 0.1
    found = metrics.reliability(sharper, targets, 10)
    assert sum(b.count for b in found) == 20000
    assert found[9].accuracy < found[9].confidence
    assert np.isnan(found[0].accuracy)
    with pytest.raises(InputError, match="softmax"):
        metrics.reliability([[3.0, 1.0]], [0])
    with pytest.raises(InputError, match="bin"):
        metrics.reliability([[0.5, 0.5]], [0], 0)


def test_skill_states_it_and_evaluate_measures_it(tmp_path, photos):
    fitted = fit.fit(photos, method="text_gda")
    pack = fitted.pack
    factor = pack.manifest["confidence"]["factor"]
    X = pack.support.features
    assert np.allclose(
        pack.probabilities(X), calibration.softmax(pack.logits(X), factor), atol=1e-6
    )
    assert (np.diff(pack.tensors["confidence.scores"]) >= 0).all()
    pack.save(tmp_path / "skill")
    again = Pack.load(tmp_path / "skill")
    assert (again.sets(X, 0.2) == pack.sets(X, 0.2)).all()
    assert "calibrated on the support images" in (tmp_path / "skill" / "README.md").read_text()
    with pytest.raises(InputError, match="at best"):
        again.sets(X, 0.001)
    old = Pack({k: v for k, v in pack.manifest.items() if k != "confidence"}, pack.tensors)
    assert np.allclose(old.probabilities(X), calibration.softmax(pack.logits(X)), atol=1e-6)
    with pytest.raises(InputError, match="made before"):
        old.sets(X, 0.2)
    done = evaluate.evaluate(tmp_path / "skill", photos, keep_leaks=True)
    told = done.confidence
    assert 0 <= told["ece"] <= 1
    assert 0 <= told["sets"]["0.2"]["coverage"] <= 1
    path = report.save(report.reliability_figure(told), tmp_path / "reliability.png")
    assert path.stat().st_size > 5000
