"""The answer "unknown": learned by leaving classes out, promised only where it can be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from commands import run_fresh
from handful import Predictor, evaluate, fit
from handful.contracts import ClassText, ImageRef
from handful.data import Dataset, playground, separate_reserved
from handful.errors import InputError, PackError
from handful.packs import Pack, novelty, novelty_words
from handful.packs.support import Reserved, Support
from handful.selection.novelty import fit_novelty_detector
from handful.selection.novelty_scorer import NoveltyScorer
from handful.selection.novelty_signals import NoveltySignals
from handful.skills.edit.refit import refit, restate
from tasks import make


def support_of(classes: int = 12, shots: int = 4, hidden: int = 4, seed: int = 0):
    """A support set without the last classes, queries, and which of them are known."""
    task = make(classes, shots, 24, seed)
    known = classes - hidden
    column = {name: c for c, name in enumerate(task.text.classes)}
    targets = np.array([column[name] for name in task.y])
    keep = targets < known
    text = ClassText(task.text.embeddings[:known], task.text.classes[:known], 100.0)
    ids = tuple(map(str, np.flatnonzero(keep)))
    support = Support(task.X[keep].astype(np.float32), targets[keep], text, ids, ids)
    return support, task.queries.astype(np.float32), task.targets < known


def with_reserved(support: Support, features: np.ndarray) -> Support:
    names = tuple(map(str, range(len(features))))
    return replace(support, reserved=Reserved(features.astype(np.float32), names, names))


def detector(support: Support) -> novelty.Detector:
    found = novelty.fit_detector(support)
    assert found is not None
    return found


@pytest.mark.parametrize("shots", [1, 4])
def test_unknown_images_look_less_familiar(shots):
    support, queries, known = support_of(shots=shots)
    rates = detector(support).rates(queries)
    assert roc_auc_score(known, -rates) > 0.75
    assert ((rates >= 0) & (rates <= 1)).all()


def test_rates_fall_as_images_look_more_familiar():
    learned = detector(support_of()[0]).scorer
    scores = np.linspace(learned.left_out.min() - 5, learned.left_out.max() + 5, 200)
    rates = learned.rates(scores)
    assert (np.diff(rates) <= 1e-12).all()
    assert rates[0] > 0.9


def test_the_rate_holds_over_draws():
    accepted, kept = [], []
    for seed in range(12):
        support, queries, known = support_of(30, 4, 10, seed)
        rates = detector(support).rates(queries)
        accepted.append((rates[~known] <= 0.1).mean())
        kept.append((rates[known] <= 0.1).mean())
    assert 0.04 < np.mean(accepted) < 0.15
    assert np.mean(kept) > 2 * np.mean(accepted)


def test_a_class_left_out_is_not_seen():
    # the scores of one class's images may not depend on how its other images are labelled here
    support, _, _ = support_of(6, 4, 0)
    X, y = torch.from_numpy(support.features), torch.from_numpy(support.targets)
    text = torch.from_numpy(support.text.weights)
    nothing = torch.zeros(0, X.shape[1])
    out = y == 2
    column = torch.tensor([0, 1, -1, 2, 3, 4])
    kept = torch.tensor([0, 1, 3, 4, 5])
    by_hand = NoveltySignals.of(X[~out], column[y[~out]], text[kept], nothing)(X[out])
    found = fit_novelty_detector(X, y, text, nothing)
    assert found is not None
    learned = found[1]
    np.testing.assert_allclose(learned.left_out[learned.groups == 2], learned.scores(by_hand))


def test_distance_is_that_of_the_shrunk_metric():
    support, queries, _ = support_of(5, 4, 0)
    X, y = support.features.astype(float), support.targets
    means = np.stack([X[y == c].mean(0) for c in range(5)])
    rest = X - means[y]
    scatter = rest.T @ rest
    metric = 0.5 * scatter * len(scatter) / np.trace(scatter) + 0.5 * np.eye(len(scatter))
    away = queries[:, None] - means
    squares = np.einsum("mcd,de,mce->mc", away, np.linalg.inv(metric), away)
    got = detector(support).signals(torch.from_numpy(queries))[:, 0]
    np.testing.assert_allclose(got, -np.sqrt(squares.min(1)), rtol=1e-4)


def test_the_effective_number_lies_between_classes_and_images():
    rng = np.random.default_rng(0)
    one = np.ones(1)
    groups = np.repeat(np.arange(10), 8)
    for apart, low, high in ((0.0, 40, 80), (100.0, 9.9, 10.5)):
        scores = apart * rng.standard_normal(10)[groups] + rng.standard_normal(80)
        made = NoveltyScorer(one, one, one, scores, groups, np.zeros(0), np.zeros(0))
        assert low <= made.effective_count <= high
        assert made.smallest_rate == 1 / (made.effective_count + 1)


def test_a_rate_too_small_to_promise_is_refused():
    found = detector(support_of(6, 2, 0)[0])
    found.check(0.5)
    with pytest.raises(InputError, match=r"cannot promise .* 12 photos of 6 classes"):
        found.check(0.01)
    for rate in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            found.check(rate)


def test_one_shot_says_what_it_uses():
    statement, tensors = novelty.fit(support_of(8, 1, 0)[0])
    assert "with one image a class" in statement["how"]
    assert len(tensors["unknown.known"]) == 0
    assert set(statement["accepted"].values()) <= {None}


def test_reserved_images_teach_what_two_classes_alone_cannot():
    support, queries, known = support_of(12, 8, 10)
    statement, tensors = novelty.fit(support)
    assert "third class" in statement["cannot"]
    assert tensors == {}
    others = queries[~known]
    taught = with_reserved(support, others[::2])
    found = detector(taught)
    assert found.smallest == pytest.approx(1 / (len(others[::2]) + 1))
    rates = found.rates(np.concatenate([others[1::2], queries[known]]))
    truth = np.arange(len(rates)) >= len(others[1::2])
    assert roc_auc_score(truth, -rates) > 0.9
    assert (rates[~truth] <= 0.1).mean() < 0.3
    assert novelty.fit(taught)[0]["reserved"] == len(others[::2])


def test_reserved_images_that_look_alike_are_called_unknown():
    support, queries, known = support_of()
    strange = queries[~known]
    near = strange[::2]
    found = detector(with_reserved(support, near[:10]))
    assert not found.scorer.uses_reserved  # too few to speak alone
    before = (detector(support).rates(strange[1::2]) <= 0.2).mean()
    assert (found.rates(strange[1::2]) <= 0.2).mean() <= before


def test_enough_reserved_images_say_what_is_unknown():
    accepted = []
    for seed in range(8):
        support, queries, known = support_of(16, 6, 8, seed)
        strange = queries[~known]
        found = detector(with_reserved(support, strange[::2]))
        assert found.scorer.uses_reserved
        assert found.smallest == pytest.approx(1 / (1 + len(strange[::2])))
        accepted.append((found.rates(strange[1::2]) <= 0.1).mean())
    assert np.mean(accepted) < 0.15


def test_a_few_reserved_images_promise_what_they_can_where_classes_promise_less():
    accepted = []
    for seed in range(12):
        support, queries, known = support_of(12, 6, 8, seed)
        strange = np.random.default_rng(seed).permutation(queries[~known])
        assert detector(support).smallest == pytest.approx(1 / 5)
        found = detector(with_reserved(support, strange[:18]))
        assert found.smallest == pytest.approx(1 / 19)
        accepted.append((found.rates(strange[18:]) <= 1 / 19 + 1e-9).mean())
    assert np.mean(accepted) < 0.1
    with pytest.raises(InputError, match=r"18 photos in the folder .* 5.3 % .* put 99 photos"):
        found.check(0.01)
    few = detector(with_reserved(support, strange[:11]))
    assert few.smallest == pytest.approx(1 / 5)
    with pytest.raises(InputError, match=r"put 12 photos .*'background'; 11 photos are there"):
        few.check(0.1)


def test_fit_says_in_a_line_what_unknown_can_do():
    few = novelty.fit(support_of(11, 6, 8)[0])[0]
    line = novelty_words.fit_line({"unknown": few})
    assert "--unknown 0.25" in line
    assert "the least that this skill can promise" in line
    assert "19 or more photos of something else in a folder background/" in line
    assert "cannot answer unknown" in novelty_words.fit_line({"unknown": {"cannot": "x"}})
    many = few | {"smallest": 0.02, "reserved": 30, "cost": {"0.05": 0.1}}
    assert novelty_words.fit_line({"unknown": many}).endswith("10 % of photos like its own.")
    assert "not known" in novelty_words.fit_line({"unknown": many | {"cost": {"0.05": None}}})
    for stranger in (None, 3, {}, {"smallest": "x", "reserved": 0, "cost": {}}):
        assert novelty_words.fit_line({"unknown": stranger}) == ""


def test_a_support_set_with_reserved_images_comes_back(tmp_path):
    support, queries, _ = support_of()
    full = with_reserved(support, queries[:5])
    assert full.subset([0, 1]).reserved is full.reserved
    with pytest.raises(InputError, match="expected R features"):
        Reserved(queries[:5], ("a",), ("b",))
    with pytest.raises(InputError, match="reserved images of the width 24"):
        with_reserved(support, queries[:5, :7])


def write(folder: Path, reserved: str | None = None, name: str = "novel-forms") -> Path:
    playground.write(playground.task(name, 6, seed=5, queries_per_class=4), folder)
    if reserved:
        other = playground.task("novel-materials", 3, seed=6, queries_per_class=2)
        playground.write(replace(other, **_as(other, reserved)), folder)
    return folder


def _as(task: playground.Task, label: str) -> dict[str, object]:
    return {
        "support_labels": (label,) * len(task.support),
        "test_labels": (label,) * len(task.test),
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("photos"), "Background")


@pytest.fixture(scope="module")
def skill(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("skills") / "skill"
    return fit(photos, method="tip").pack.save(folder)


def test_reserved_folders_are_no_class(skill):
    pack = Pack.load(skill)
    assert "Background" not in pack.classes
    assert pack.support is not None
    assert pack.support.reserved is not None
    assert len(pack.support.reserved.names) == 24
    assert pack.support.reserved.names[0].startswith("Background/")
    assert pack.manifest["unknown"]["reserved"] == 24
    assert "Background" not in pack.manifest["training"]["counts"]


def test_the_card_tells_it(skill):
    pack = Pack.load(skill)
    card = (skill / "README.md").read_text()
    assert "## When it does not know" in card
    assert f"{100 * pack.manifest['unknown']['smallest']:.1f} %" in card
    for stranger in (None, 3, {}, {"accepted": 3}, {"accepted": {"x": "y"}}):
        assert novelty_words.card_section({"unknown": stranger}, str) == ""
    assert "cannot" in novelty_words.card_section({"unknown": {"cannot": "x"}}, str)


def test_a_class_that_is_really_called_so():
    pictures = tuple(ImageRef.of(np.full((8, 8, 3), v, np.uint8)) for v in range(6))
    dataset = Dataset(pictures, ("cat", "dog", "other") * 2)
    classes, none = separate_reserved(dataset, None)
    assert classes.classes == ("cat", "dog")
    assert none.labels == ("other", "other")
    named = {"cat": "cat", "dog": "dog", "other": "another animal"}
    assert separate_reserved(dataset, named)[0] is dataset
    assert separate_reserved(dataset, None, ("other",))[0] is dataset
    with pytest.raises(InputError, match="say"):
        separate_reserved(dataset.subset([2, 5]).__class__(pictures[:1], ("None",)), None)


@pytest.fixture(scope="module")
def fresh(skill, photos):
    commands = {
        "unknown": ("predict", skill, photos / "test", "--unknown", "0.2", "--json"),
        "sets": ("predict", skill, photos / "test", "--error", "0.2", "--json"),
        "evaluate": ("evaluate", skill, photos),
    }
    return dict(zip(commands, run_fresh(*commands.values()), strict=True))


def test_answers_from_a_fresh_process(skill, fresh):
    done = fresh["unknown"]
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    images = [row["file"] for row in rows]
    answers = Predictor(skill).predict(images, unknown=0.2)
    assert [row["unknown"] for row in rows] == [a.unknown for a in answers]
    assert [row["familiar"] for row in rows] == pytest.approx([a.familiar for a in answers])
    strange = np.array(["Background" in name for name in images])
    said = np.array([a.unknown for a in answers])
    assert said[strange].mean() > said[~strange].mean()
    assert all((a.familiar > 0.2) == a.unknown for a in answers)


def test_evaluate_counts_false_accepts_and_rejects(skill, photos):
    done = evaluate(skill, photos)
    assert done.result.count == 32
    found = done.unknown
    assert (found["known"], found["unknown"]) == (32, 16)
    assert found["auroc"] > 0.5
    assert set(found["at"]) == {"0.05", "0.1", "0.2"}
    shares = [v["false_accept"] for v in found["at"].values()]
    assert shares == sorted(shares)


def test_evaluate_tells_them_on_the_command_line(fresh):
    done = fresh["evaluate"]
    assert done.returncode == 0, done.stderr
    assert "16 images of no class" in done.stdout
    assert "taken for a class" in done.stdout


def test_sets_of_answers_stand_beside_them(skill, fresh):
    done = fresh["sets"]
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    answers = Predictor(skill, error=0.2).predict([row["file"] for row in rows])
    assert [tuple(row["may_be"]) for row in rows] == [a.may_be for a in answers]
    assert any(len(row["may_be"]) > 1 for row in rows)
    wider = Predictor(skill).predict(rows[0]["file"], error=0.1)[0]
    assert set(answers[0].may_be) <= set(wider.may_be)
    with pytest.raises(InputError):
        Predictor(skill, encoder="nowhere at all", error=0.0001)


def test_nobody_asked(skill, photos):
    (answer,) = Predictor(skill).predict(next((photos / "test").glob("*/*.png")))
    assert (answer.unknown, answer.familiar, answer.may_be) == (None, None, None)


def test_what_cannot_be_promised_is_refused_before_any_image(skill):
    with pytest.raises(InputError, match="cannot promise"):
        Predictor(skill, encoder="nowhere at all", unknown=0.001)
    with pytest.raises(InputError, match="cannot promise"):
        Predictor(skill).predict(["missing.png"], unknown=0.001)


def test_a_pack_made_before_says_that_it_cannot(skill, photos, tmp_path):
    pack = Pack.load(skill)
    manifest = {k: v for k, v in pack.manifest.items() if k != "unknown"}
    bare = {n: t for n, t in pack.tensors.items() if not n.startswith(("support.", "unknown."))}
    Pack(manifest, bare).save(tmp_path / "old")
    old = Predictor(tmp_path / "old")
    assert old.predict(next((photos / "test").glob("*/*.png")))[0].scores
    with pytest.raises(InputError, match="made before skills learned to"):
        old.predict([], unknown=0.1)


def test_tensors_that_do_not_fit_are_refused(skill):
    pack = Pack.load(skill)
    for name, value in (("unknown.weights", np.ones(2)), ("unknown.groups", np.ones(1, np.int64))):
        with pytest.raises(PackError, match=r"unknown\.\* do not fit"):
            novelty.read(pack.manifest, pack.tensors | {name: value}, pack.support, "x")
    less = {n: t for n, t in pack.tensors.items() if n != "unknown.spread"}
    with pytest.raises(PackError, match=r"unknown\.spread"):
        novelty.read(pack.manifest, less, pack.support, "x")


def test_taught_again_it_knows_its_reserved_images_still(skill):
    pack = Pack.load(skill)
    again = refit(pack, pack.support)
    assert "unknown" not in again.manifest
    X = pack.support.features
    late = novelty.read(again.manifest, again.tensors, again.support, "x").rates(X)
    kept = novelty.read(pack.manifest, pack.tensors, pack.support, "x").rates(X)
    np.testing.assert_allclose(late, kept, rtol=1e-6)
    again = restate(again)
    assert again.manifest["unknown"] == pack.manifest["unknown"]
    assert again.support is not None
    assert again.support.reserved is not None


def repeated(support: Support, times: int, noise: float = 0.0) -> Support:
    """Every photo several times: byte copies, or frames of a burst whose group is stated."""
    rows = np.repeat(np.arange(len(support.ids)), times)
    more = support.subset(rows)
    if not noise:
        return more
    rng = np.random.default_rng(0)
    features = more.features + noise * rng.standard_normal(more.features.shape)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids = tuple(map(str, range(len(rows))))
    groups = tuple(f"burst {i}" for i in rows)
    return replace(more, features=features.astype(np.float32), ids=ids, groups=groups)


def test_copies_count_once_in_what_rates_rest_on_and_in_the_cost():
    support, queries, _ = support_of(12, 4)
    once, copied = detector(support), detector(repeated(support, 4))
    assert copied.smallest == pytest.approx(once.smallest, rel=0.1)
    alone, _ = novelty.fit(support)
    stated, tensors = novelty.fit(repeated(support, 4))
    assert stated["units"] == alone["units"] == len(support.ids)
    assert tensors["unknown.known_weights"].sum() == pytest.approx(len(support.ids))
    for rate, cost in alone["cost"].items():
        assert stated["cost"][rate] == pytest.approx(cost, abs=0.15)
    manifest = {"unknown": stated}
    again = novelty.read(manifest, tensors, repeated(support, 4), "it")
    assert np.array_equal(again.rates(queries), copied.rates(queries))
    broken = tensors | {"unknown.known_weights": np.zeros(3)}
    with pytest.raises(PackError, match="known_weights does not fit"):
        novelty.read(manifest, broken, repeated(support, 4), "it")


def test_the_frames_of_a_burst_do_not_make_its_photos_look_familiar():
    support, _, _ = support_of(12, 4)
    noise = 0.12 * np.random.default_rng(1).standard_normal(support.features.shape)
    rows = support.features + noise  # now its classes hardly differ
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    support = replace(support, features=rows.astype(np.float32))
    bursts = repeated(support, 4, noise=0.02)
    alone, stated, torn = (
        novelty.fit(s)[0]["accepted"]["0.1"] for s in (support, bursts, replace(bursts, groups=()))
    )
    assert stated == pytest.approx(alone, abs=0.15)
    assert torn > stated + 0.2  # without the groups each frame is known by the others


def test_reserved_images_of_one_group_are_one():
    support, queries, known = support_of(16, 6, 8)
    strange = with_reserved(support, queries[~known][:24])
    burst = replace(strange.reserved, groups=("night",) * 24)
    assert detector(strange).scorer.uses_reserved
    assert not detector(replace(strange, reserved=burst)).scorer.uses_reserved


def test_the_cost_is_said_where_it_is_high_and_names_the_cure():
    entry = {"reserved": 0, "smallest": 0.04, "cost": {"0.05": 0.96, "0.1": 0.5, "0.2": 0.1}}
    text = novelty.cost_in_words({"unknown": entry}, 0.05)
    assert text.startswith("at --unknown 0.05 this skill would refuse 96 % of photos like its own")
    assert text.endswith("a folder background/ with photos of none of the classes makes it better")
    assert "50 %" in novelty.cost_in_words({"unknown": entry}, 0.1)
    assert "30 %" in novelty.cost_in_words({"unknown": entry}, 0.15)  # between two that are stated
    assert novelty.cost_in_words({"unknown": entry}, 0.2) == ""
    assert "more photos in" in novelty.cost_in_words({"unknown": entry | {"reserved": 9}}, 0.1)
    above = entry | {"smallest": 0.124, "cost": {"0.125": 0.8, "0.2": 0.4}}
    text = novelty.cost_in_words({"unknown": above}, 0.05)
    assert "cannot promise --unknown 0.05; at --unknown 0.125 this skill would refuse 80 %" in text
    for stranger in (
        None,
        {"cannot": "x"},
        {"cost": 3},
        entry | {"cost": {"x": "y"}},
        {"cost": {}},
    ):
        assert novelty.cost_in_words({"unknown": stranger}, 0.05) == ""
    assert novelty.cost_in_words({}, 0.05) == ""
    assert novelty.cost_in_words({"unknown": entry | {"cost": {"0.05": None}}}, 0.05) == ""
