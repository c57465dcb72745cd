"""What every adapter promises, asked of each one in the folder: a new file is met here by itself.

A method's own arguments are tried as its `variants` say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from handful import metrics, plugins
from handful.adapters import Adapter
from handful.contracts import ClassText, unit
from handful.errors import HandfulError, InputError
from tasks import make

CASES = [
    (name, dict(variant))
    for name in plugins.names("adapters")
    for variant in plugins.get("adapters", name).variants
]
TASK = make()


def build(case: tuple[str, dict[str, Any]], **more: Any) -> Adapter:
    name, variant = case
    return plugins.get("adapters", name)(**variant | more)


def brief(adapter: Adapter) -> Adapter:
    """The same method with less training, where the promise does not depend on how much."""
    short = {"steps": 40, "epochs": 10}
    return adapter.set_params(**{k: v for k, v in short.items() if k in adapter.get_params()})


@pytest.fixture(params=CASES, ids=lambda c: "-".join([c[0], *map(str, c[1].values())]))
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param


@pytest.fixture
def adapter(case) -> Adapter:
    return brief(build(case))


def broken_on_purpose(estimator: Adapter) -> dict[str, str]:
    """Checks of scikit-learn that contradict what a batch or stream method is."""
    if estimator.semantics == "inductive":
        return {}
    return {
        "check_methods_subset_invariance": f"an answer depends on its {estimator.semantics}",
        "check_methods_sample_order_invariance": f"an answer depends on its {estimator.semantics}",
    }


@parametrize_with_checks(
    [brief(build(case)) for case in CASES], expected_failed_checks=broken_on_purpose
)
def test_scikit_learn(estimator, check):
    check(estimator)


def test_is_a_documented_plug_in(case):
    cls = plugins.get("adapters", case[0])
    assert issubclass(cls, Adapter)
    assert cls.title
    assert cls.__doc__
    assert issubclass(cls.head, torch.nn.Module)
    told = cls.head.__doc__ or ""
    assert "logits =" in told, "the docstring of the head states the formula: `logits = ...`"


def test_fit_returns_self_and_learns(case):
    adapter = build(case)
    assert adapter.fit(TASK.X, TASK.y, TASK.text) is adapter
    assert isinstance(adapter.module_, type(adapter).head)
    assert adapter.classes_.tolist() == list(TASK.text.classes)
    logits = adapter.logits(TASK.queries)
    assert logits.shape == (len(TASK.queries), 5)
    assert logits.dtype == np.float32
    assert metrics.accuracy(logits, TASK.targets) > 0.7  # chance is 0.2
    probabilities = adapter.predict_proba(TASK.queries)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (adapter.predict(TASK.queries) == adapter.classes_[logits.argmax(axis=1)]).all()


def test_deterministic(case):
    first, second = (build(case).fit(TASK.X, TASK.y, TASK.text) for _ in range(2))
    assert np.array_equal(first.logits(TASK.queries), second.logits(TASK.queries))


def test_seed_matters_only_where_there_is_one(case):
    if "seed" not in build(case).get_params():
        pytest.skip(f"{case[0]} draws nothing")
    big = make(shots=8)
    extra = {"batch": 16} if "batch" in build(case).get_params() else {}
    same, other = (
        brief(build(case, seed=seed, **extra)).fit(big.X, big.y, big.text).logits(big.queries)
        for seed in (0, 1)
    )
    if case[1] == {"init": "random"}:  # convex: the seed has nothing to decide
        assert np.array_equal(same, other)
    else:
        assert not np.array_equal(same, other)


def test_sample_order_does_not_matter(adapter):
    logits = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    order = np.random.default_rng(1).permutation(len(TASK.X))
    again = clone(adapter).fit(TASK.X[order], TASK.y[order], TASK.text).logits(TASK.queries)
    assert np.array_equal(logits, again)


def test_permuting_classes_permutes_columns(adapter):
    logits = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    order = np.array([3, 0, 4, 1, 2])
    classes = tuple(TASK.text.classes[i] for i in order)
    text = ClassText(TASK.text.embeddings[order], classes, TASK.text.scale)
    other = clone(adapter).fit(TASK.X, TASK.y, text)
    assert other.classes_.tolist() == list(classes)
    # sums over classes run in another order, and training carries the last bit on
    np.testing.assert_allclose(other.logits(TASK.queries), logits[:, order], rtol=1e-3, atol=0.05)


def test_a_class_without_shots_keeps_its_column(adapter):
    keep = TASK.y != TASK.text.classes[2]
    adapter.fit(TASK.X[keep], TASK.y[keep], TASK.text)
    logits = adapter.logits(TASK.queries)
    assert logits.shape == (len(TASK.queries), 5)
    assert np.isfinite(logits).all()
    assert adapter.classes_.tolist() == list(TASK.text.classes)


def test_unequal_shots(adapter):
    keep = np.array([i for i, name in enumerate(TASK.y) if name != TASK.y[0] or i == 0])
    logits = adapter.fit(TASK.X[keep], TASK.y[keep], TASK.text).logits(TASK.queries)
    assert metrics.accuracy(logits, TASK.targets) > 0.6


def test_refit_forgets(adapter):
    fresh = clone(adapter).fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    other = make(classes=3, shots=2, seed=9)
    adapter.fit(other.X, other.y, other.text)
    again = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    assert np.array_equal(fresh, again)


def test_inputs_are_not_changed(adapter):
    kept = [a.copy() for a in (TASK.X, TASK.y, TASK.text.embeddings, TASK.queries)]
    adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    now = (TASK.X, TASK.y, TASK.text.embeddings, TASK.queries)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


def test_module_from_its_tensors_is_bit_equal(adapter):
    module = adapter.fit(TASK.X, TASK.y, TASK.text).module_
    assert not any(p.requires_grad for p in module.parameters())
    tensors = load(save(module.state_dict()))
    again = type(adapter).head(**tensors)
    x = torch.from_numpy(TASK.queries)
    assert torch.equal(again(x), module(x))
    assert again.state_dict().keys() == module.state_dict().keys()


def test_leave_one_out(adapter):
    logits = adapter.leave_one_out(TASK.X, TASK.y, TASK.text)
    assert logits.shape == (len(TASK.X), 5)
    assert logits.dtype == np.float32
    columns = np.array([TASK.text.classes.index(name) for name in TASK.y])
    assert metrics.accuracy(logits, columns) > 0.6  # chance is 0.2
    order = np.random.default_rng(1).permutation(len(TASK.X))
    again = clone(adapter).leave_one_out(TASK.X[order], TASK.y[order], TASK.text)
    np.testing.assert_allclose(again, logits[order], rtol=1e-4, atol=1e-4)
    one = np.array([np.flatnonzero(TASK.y == name)[0] for name in TASK.text.classes])
    assert np.isfinite(adapter.leave_one_out(TASK.X[one], TASK.y[one], TASK.text)).all()


def test_groups_of_one_change_nothing(adapter):
    alone = adapter.leave_one_out(TASK.X, TASK.y, TASK.text)
    logits = clone(adapter).fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    count = len(TASK.X)
    for groups in (
        ["", None] * (count // 2),
        np.arange(count),
        [f"photo {i}" for i in range(count)],
    ):
        again = clone(adapter).leave_one_out(TASK.X, TASK.y, TASK.text, groups)
        assert np.array_equal(again, alone)
        fitted = clone(adapter).fit(TASK.X, TASK.y, TASK.text, groups=groups)
        assert np.array_equal(fitted.logits(TASK.queries), logits)


def bursts(units: int, size: int, seed: int = 0):
    """`[N, 24]` rows in groups of near copies, each group of a class drawn at random."""
    rng = np.random.default_rng(seed)
    photos, classes = rng.standard_normal((units, 24)), rng.permutation(np.arange(units) % 5)
    groups = np.repeat(np.arange(units), size)
    X = unit(photos[groups] + 0.02 * rng.standard_normal((len(groups), 24)))
    return X, np.array(TASK.text.classes)[classes[groups]], groups


def test_images_of_a_group_are_left_out_together(adapter):
    X, y, groups = bursts(40, 3)
    columns = np.array([TASK.text.classes.index(name) for name in y])
    together = adapter.leave_one_out(X, y, TASK.text, groups)
    # labels drawn at random: whoever is right more often than by chance has seen them
    assert metrics.accuracy(together, columns) < 0.4
    order = np.random.default_rng(1).permutation(len(X))
    renamed = np.array([f"burst {7 * g % 41}" for g in groups])
    again = clone(adapter).leave_one_out(X[order], y[order], TASK.text, renamed[order])
    np.testing.assert_allclose(again, together[order], rtol=1e-3, atol=1e-3)
    first, second = (
        clone(adapter).fit(X[at], y[at], TASK.text, groups=g[at]).logits(TASK.queries)
        for at, g in ((slice(None), groups), (order, renamed))
    )
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_without_a_closed_form_a_group_is_left_out_by_a_fit_without_it(adapter):
    if type(adapter)._leave_units_out is not Adapter._leave_units_out:
        pytest.skip("tests/test_leave_one_out.py has the closed forms, tests/test_auto.py auto")
    adapter.folds = 8  # as many as there are groups
    X, y, groups = bursts(8, 2)
    groups[:4] = 0  # one of two classes, or two bursts of one
    found = adapter.leave_one_out(X, y, TASK.text, groups)
    for group in np.unique(groups):
        out = groups == group
        alone = clone(adapter).fit(X[~out], y[~out], TASK.text, groups[~out])
        np.testing.assert_allclose(found[out], alone.logits(X[out]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (["a"], r"one for each of 20 images, \[20\], got \[1\]"),
        ("a", "one for each of 20 images"),
        (np.zeros((20, 1), int), "one for each of 20 images"),
        ([float("nan")] * 20, "expected names or integers"),
    ],
)
def test_groups_that_are_none_are_refused(groups, said):
    adapter = plugins.get("adapters", "auto")()
    for act in (adapter.fit, adapter.leave_one_out):
        with pytest.raises(InputError, match=said):
            act(TASK.X, TASK.y, TASK.text, groups)


def test_one_group_cannot_be_left_out():
    with pytest.raises(InputError, match="all 20 images are of one"):
        plugins.get("adapters", "auto")().leave_one_out(TASK.X, TASK.y, TASK.text, ["a"] * 20)


@pytest.mark.parametrize("equal", [True, False])
def test_head_traces_for_export(adapter, equal):
    if adapter.semantics != "inductive":
        pytest.skip("a program of one image cannot state an answer that depends on the others")
    some = slice(0 if equal else 1, None)
    module = adapter.fit(TASK.X[some], TASK.y[some], TASK.text).module_
    x = torch.from_numpy(TASK.queries)
    batch = torch.export.Dim("batch", min=2, max=4096)
    program = torch.export.export(module, (x[:4],), dynamic_shapes=({0: batch},), strict=False)
    assert torch.allclose(program.module()(x), module(x), atol=1e-4)
    assert program.run_decompositions({}).graph, "in ATen's own operations alone"


def test_nothing_global_changes(adapter):
    torch.manual_seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads, grad, dtype = (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
    )
    adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert threads == torch.get_num_threads()
    assert grad == torch.is_grad_enabled()
    assert dtype == torch.get_default_dtype()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fits_where_gradients_are_off(adapter, mode):
    expected = clone(adapter).fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    with mode():
        logits = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    assert np.array_equal(logits, expected)


def test_grid_search_at_one_shot_keeps_the_text_whole(adapter):
    # C equals N here: scikit-learn would slice a bare [C, D] fit argument along with the samples
    one = make(classes=6, shots=2)
    name = next(iter(adapter.get_params()), None)
    values = {name: [adapter.get_params()[name]]} if name else {}
    search = GridSearchCV(adapter, values, cv=2, error_score="raise")
    first = np.r_[0:12:2, 1:12:2]
    search.fit(one.X[first], one.y[first], text=one.text)
    assert search.best_estimator_.logits(one.queries).shape[1] == 6
    alone = GridSearchCV(clone(adapter), values, cv=[(np.arange(6), np.arange(6))])
    alone.fit(one.X[first][:6], one.y[first][:6], text=one.text)
    assert alone.best_estimator_.logits(one.queries).shape[1] == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(adapter, bad):
    X = TASK.X.copy()
    X[1, 2] = bad
    with pytest.raises(InputError, match=r"(NaN|infinity).*; encode the images again$") as told:
        adapter.fit(X, TASK.y, TASK.text)
    assert "sklearn" not in str(told.value)  # which goes on to advertise other estimators
    adapter.fit(TASK.X, TASK.y, TASK.text)
    with pytest.raises(InputError, match=r"NaN|infinity"):
        adapter.logits(X)


def test_refuses_wrong_labels(adapter):
    y = TASK.y.copy()
    y[0] = "dragon"
    with pytest.raises(InputError, match=r"\['dragon'\] are not among the 5 classes"):
        adapter.fit(TASK.X, y, TASK.text)
    with pytest.raises(InputError, match=r"\[9\] are not among the classes.*0 to 4"):
        adapter.fit(TASK.X, np.full(len(TASK.X), 9), TASK.text)


def test_refuses_one_class(adapter):
    one = ClassText(TASK.text.embeddings[:1], TASK.text.classes[:1], 100.0)
    with pytest.raises(InputError, match="at least two classes"):
        adapter.fit(TASK.X, np.full(len(TASK.X), one.classes[0]), one)
    with pytest.raises(InputError, match="at least two classes"):
        adapter.fit(TASK.X, np.zeros(len(TASK.X)))


def test_refuses_another_width(adapter):
    with pytest.raises(InputError, match="text's width 24, got 10"):
        adapter.fit(TASK.X[:, :10], TASK.y, TASK.text)
    adapter.fit(TASK.X, TASK.y, TASK.text)
    with pytest.raises(InputError, match="10 features"):
        adapter.logits(TASK.queries[:, :10])


def test_refuses_arguments_out_of_range(case):
    for name, value in build(case).get_params().items():
        bad = "no such" if isinstance(value, str) else float("nan")
        broken = build(case).set_params(**{name: bad})
        ignored = case[0] == "linear" and name in (
            ("penalty",)
            if case[1]["init"] == "text"
            else ("steps", "learning_rate", "batch", "seed")
        )
        if ignored:
            continue
        with pytest.raises(HandfulError, match=name):
            broken.fit(TASK.X, TASK.y, TASK.text)


def test_integers_and_names_are_the_same_labels(adapter):
    names = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    columns = np.array([TASK.text.classes.index(name) for name in TASK.y])
    numbers = clone(adapter).fit(TASK.X, columns, TASK.text)
    assert np.array_equal(numbers.logits(TASK.queries), names)
    assert numbers.predict(TASK.queries).dtype.kind == "i"


def test_no_learning_strength_is_zero_shot(case):
    neutral = plugins.get("adapters", case[0]).neutral
    if neutral is None:
        pytest.skip(f"{case[0]} never equals zero-shot")
    adapter = build((case[0], case[1] | dict(neutral)))
    logits = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    expected = TASK.text.scale * TASK.queries @ TASK.text.weights.T
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_other_precisions(adapter, kind):
    expected = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    given = clone(adapter).fit(TASK.X.astype(kind), TASK.y, TASK.text)
    logits = given.logits(TASK.queries.astype(kind))
    assert logits.dtype == np.float32
    if kind is np.float64:
        assert np.array_equal(logits, expected)
    else:  # rows of half precision are off by 5e-4, times a scale of 100, times training
        np.testing.assert_allclose(logits, expected, atol=1.5)


def test_length_of_rows_does_not_matter(adapter):
    expected = adapter.fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    longer = clone(adapter).fit(TASK.X * 8, TASK.y, TASK.text).logits(TASK.queries * 4)
    assert np.array_equal(longer, expected)  # powers of two: no bit is lost


@pytest.mark.parametrize(("shots", "width"), [(1, 64), (16, 4), (1, 2)])
def test_few_and_many_samples(adapter, shots, width):
    task = make(shots=shots, width=width)
    assert np.isfinite(adapter.fit(task.X, task.y, task.text).logits(task.queries)).all()


def test_duplicates_and_contradictions(adapter):
    X = np.repeat(TASK.X[:1], 10, axis=0)
    y = np.repeat(np.array(TASK.text.classes), 2)  # one picture, five names
    assert np.isfinite(adapter.fit(X, y, TASK.text).logits(TASK.queries)).all()
    assert np.isfinite(clone(adapter).fit(X, y).logits(TASK.queries)).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-30, 1e30])
def test_constant_features_give_numbers(adapter, value):
    X = np.full_like(TASK.X, value)
    logits = adapter.fit(X, TASK.y, TASK.text).logits(np.vstack([TASK.queries, X[:2]]))
    assert np.isfinite(logits).all()
    assert np.isfinite(clone(adapter).fit(X, TASK.y).logits(TASK.queries)).all()


def test_same_text_for_every_class(adapter):
    same = ClassText(np.ones((5, 1, 24)), TASK.text.classes, 100.0)
    assert np.isfinite(adapter.fit(TASK.X, TASK.y, same).logits(TASK.queries)).all()


def test_wrong_labels_at_a_fifth_do_not_break_it(case):
    task = make(shots=16)
    y = task.y.copy()
    rng = np.random.default_rng(3)
    flip = rng.choice(len(y), len(y) // 5, replace=False)
    y[flip] = rng.choice(task.text.classes, len(flip))
    adapter = brief(build(case)).fit(task.X, y, task.text)
    assert metrics.accuracy(adapter.logits(task.queries), task.targets) > 0.7
