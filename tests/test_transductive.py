"""TransCLIP and TDA: what an answer owes to the other test images, by hand and by its objective."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from handful import metrics
from handful.adapters import transclip
from handful.adapters.tda import Tda, queue_intervals
from handful.adapters.transclip import TransClip
from handful.contracts import ClassText, ImageRef
from handful.features import extract_features
from handful.protocols import figures, markdown
from handful.protocols.compare import Comparison
from handful.protocols.methods import inductive_methods, title
from handful.protocols.runner import Score, shuffled
from handful.skills import fit
from handful.skills.predict import Predictor
from tasks import make

TASK = make()


def rows(values: list[float]) -> torch.Tensor:
    return torch.tensor(values)


# ---- TDA ------------------------------------------------------------------------------------


def test_a_queue_holds_the_surest_and_the_doubtful_make_room():
    answers = torch.tensor([0, 0, 1, 0, 0, 0])
    entropy = rows([0.3, 0.5, 0.9, 0.4, 0.6, 0.1])
    everyone = torch.ones(6, dtype=torch.bool)
    enter, leave = queue_intervals(answers, entropy, everyone, 2)
    assert enter.tolist() == [0, 1, 2, 3, 5]  # 4 is less sure than both in the full queue
    assert leave.tolist() == [6, 3, 6, 5, 6]


def test_an_equal_entropy_does_not_replace():
    enter, leave = queue_intervals(torch.tensor([0, 0]), rows([0.2, 0.2]), torch.ones(2) > 0, 1)
    assert (enter.tolist(), leave.tolist()) == ([0], [2])


def test_only_those_allowed_enter_and_no_room_means_none():
    allowed = torch.tensor([False, True, False])
    enter, _ = queue_intervals(torch.tensor([0, 0, 1]), rows([0.1, 0.2, 0.3]), allowed, 3)
    assert enter.tolist() == [1]
    enter, leave = queue_intervals(torch.tensor([0, 0, 1]), rows([0.1, 0.2, 0.3]), ~allowed, 0)
    assert len(enter) == len(leave) == 0


def plain_tda(head: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One image at a time with real queues, as the paper tells it."""
    classes, positive, negative, answers = len(head.weights), {}, {}, []
    for row in x:
        logits = head.scale * head.weights @ row
        chances = logits.softmax(0)
        doubt = float(-(chances * chances.log()).nansum() / np.log(classes))
        best = int(logits.argmax())
        for queues, room, fits in (
            (positive, int(head.capacity), True),
            (negative, int(head.negative_capacity), head.window[0] < doubt < head.window[1]),
        ):
            queue = queues.setdefault(best, [])
            if fits and len(queue) < room:
                queue.append((doubt, row, chances))
            elif fits and doubt < queue[-1][0]:
                queue[-1] = (doubt, row, chances)
            queue.sort(key=lambda item: item[0])
        for label, queue in positive.items():
            for _, key, _ in queue:
                logits[label] += head.alpha * torch.exp(-head.beta * (1 - row @ key))
        for queue in negative.values():
            for _, key, then in queue:
                maybe = ((then > head.floor) & (then < 1)).float()
                near = torch.exp(-head.negative_beta * (1 - row @ key))
                logits -= head.negative_alpha * near * maybe
        answers.append(logits)
    return torch.stack(answers)


def test_tda_is_the_stream_told_one_image_at_a_time():
    big = make(queries=80)
    text = ClassText(big.text.embeddings, big.text.classes, 12.0)  # so that there is doubt
    order = np.random.default_rng(0).permutation(len(big.queries))
    stream = big.queries[order]
    adapter = Tda(negative_alpha=0.5).fit(big.X, big.y, text)
    head, x = adapter.module_, torch.from_numpy(stream)
    torch.testing.assert_close(head(x), plain_tda(head, x), rtol=1e-4, atol=1e-4)
    without = Tda(negative_alpha=0.0).fit(big.X, big.y, text).logits(stream)
    assert not np.allclose(adapter.logits(stream), without, atol=1e-3), "some were in doubt"


def test_the_future_does_not_matter_and_the_past_does():
    adapter = Tda().fit(TASK.X, TASK.y, TASK.text)
    whole = adapter.logits(TASK.queries)
    np.testing.assert_allclose(adapter.logits(TASK.queries[:10]), whole[:10], rtol=1e-4, atol=1e-4)
    backwards = adapter.logits(TASK.queries[::-1])[::-1]
    assert not np.allclose(backwards, whole, atol=1e-2)
    again = adapter.logits(TASK.queries)
    assert np.array_equal(again, whole), "each call begins with empty queues"


def test_tda_uses_no_support_image():
    one = Tda().fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    other = make(seed=5)
    assert np.array_equal(Tda().fit(other.X, other.y, TASK.text).logits(TASK.queries), one)


def test_the_first_of_a_stream_meets_itself_alone():
    adapter = Tda(alpha=2.0, negative_alpha=0.0).fit(TASK.X, TASK.y, TASK.text)
    zero_shot = TASK.text.scale * TASK.queries[:1] @ TASK.text.weights.T
    expected = zero_shot.copy()
    expected[0, zero_shot.argmax()] += 2.0  # its affinity to itself is one
    np.testing.assert_allclose(adapter.logits(TASK.queries[:1]), expected, rtol=1e-4)


# ---- TransCLIP ------------------------------------------------------------------------------


def objective(head: torch.nn.Module, x: torch.Tensor) -> float:
    """What z, means and variance after `rounds` maximise together."""
    z = head(x).exp().double()
    text = (head.scale * x @ head.weights.T).log_softmax(1).double()
    known = torch.nn.functional.one_hot(head.labels, z.shape[1]).float()
    near = transclip._neighbours(x, x, int(head.neighbours), own=True)
    voters = transclip._neighbours(head.keys, x, int(head.neighbours), own=False)
    share = 1 / (2 * int(head.neighbours))
    joined = transclip._affinity_graph(near, share).to_dense().double()
    given = share * transclip._support_votes(text.float(), voters, head.labels)
    mean, variance = head._gaussians(x, z.float(), known, head.weights)
    heavy = max(1.0, float(head.labelled) * len(x) / len(head.weights))
    weight = torch.cat([z, heavy * known.double()])
    points, mean, variance = torch.cat([x, head.keys]).double(), mean.double(), variance.double()
    gaps = ((points[:, None] - mean[None]) ** 2 / variance).sum(2)
    fit = -0.5 * (weight * gaps).sum() - 0.5 * weight.sum() * variance.log().sum()
    tau = x.shape[1] / transclip._WIDTH
    own = (z * (float(head.prior) * text + given + joined @ z / 2)).sum()
    return float(own + fit / tau - (z * z.clamp(min=1e-30).log()).sum())


def test_every_round_serves_the_objective():
    task = make(queries=12)
    x = torch.from_numpy(task.queries)
    heads = [TransClip(rounds=n).fit(task.X, task.y, task.text).module_ for n in range(8)]
    values = [objective(head, x) for head in heads]
    assert values[-1] > values[0]
    assert all(b >= a - 1e-3 for a, b in pairwise(values)), values


def test_a_huge_prior_is_the_text_alone():
    adapter = TransClip(prior=1e4).fit(TASK.X, TASK.y, TASK.text)
    zero_shot = torch.from_numpy(TASK.text.scale * TASK.queries @ TASK.text.weights.T)
    logits = adapter.logits(TASK.queries)
    assert (logits.argmax(1) == zero_shot.argmax(1).numpy()).all()
    text = zero_shot.log_softmax(1)
    leads = (text - text.max(1, keepdim=True).values).numpy()
    np.testing.assert_allclose(logits / 1e4, leads, atol=0.02)


def test_answers_are_log_probabilities():
    logits = TransClip().fit(TASK.X, TASK.y, TASK.text).logits(TASK.queries)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)


def test_labels_pull_and_the_others_help():
    task = make(shots=1, queries=20)
    hits = {}
    for name, shown in (("together", len(task.queries)), ("alone", 1)):
        adapter = TransClip().fit(task.X, task.y, task.text)
        parts = np.array_split(task.queries, len(task.queries) // shown)
        logits = np.concatenate([adapter.logits(part) for part in parts])
        hits[name] = metrics.accuracy(logits, task.targets)
    assert hits["together"] > hits["alone"]
    columns = np.array([task.text.classes.index(name) for name in task.y])
    true = TransClip(prior=0.0).fit(task.X, columns, task.text).logits(task.queries)
    swapped = TransClip(prior=0.0).fit(task.X, (columns + 1) % 5, task.text).logits(task.queries)
    assert metrics.accuracy(true, task.targets) > 0.6
    assert metrics.accuracy(swapped, task.targets) < 0.4


def test_neighbours_by_hand():
    x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    places, cosines = transclip._neighbours(x, x, 1, own=True)
    assert places[:3, 0].tolist() == [1, 0, 1]
    torch.testing.assert_close(cosines[:, 0], torch.tensor([0.8, 0.8, 0.6, 0.0]))
    joined = transclip._affinity_graph((places[:3], cosines[:3]), 0.5).to_dense()
    expected = torch.tensor([[0.0, 0.8, 0.0], [0.8, 0.0, 0.3], [0.0, 0.3, 0.0]])
    torch.testing.assert_close(joined, expected)
    places, _ = transclip._neighbours(x[:1], x[:1], 3, own=True)
    assert places.shape == (1, 0), "one query alone has no neighbour"


def test_a_class_without_shots_starts_from_its_surest_queries():
    keep = TASK.y != TASK.text.classes[2]
    logits = TransClip().fit(TASK.X[keep], TASK.y[keep], TASK.text).logits(TASK.queries)
    found = (logits.argmax(1) == TASK.targets)[TASK.targets == 2]
    assert found.mean() > 0.5


# ---- both: packs, predictions, tables -------------------------------------------------------


@pytest.mark.parametrize("method", ["transclip", "tda"])
def test_a_pack_answers_all_images_of_a_call_together(method, photos, tmp_path, monkeypatch):
    pack = fit.fit(photos, method=method, shots=1).pack
    pack.save(tmp_path / "skill")
    predictor = Predictor(tmp_path / "skill")
    x = np.random.default_rng(0).standard_normal((20, predictor.encoder.dim)).astype(np.float32)
    assert np.array_equal(predictor.logits(x), pack.logits(x))
    said = (tmp_path / "skill" / "README.md").read_text()
    assert "not comparable with those of skills that see one image at a time" in said
    monkeypatch.setattr("handful.skills.predict.BATCH", 3)
    paths = sorted(photos.glob("test/*/*.png"))
    together = predictor.predict(paths)
    scores = [[s["score"] for s in answer.scores] for answer in together]
    one_by_one = [[s["score"] for s in predictor.predict(p)[0].scores] for p in paths]
    assert not np.allclose(scores, one_by_one, atol=1e-4)
    features = extract_features(predictor.encoder, [ImageRef.of(p) for p in paths], None)
    expected = np.sort(pack.probabilities(features.features.values), axis=1)[:, ::-1]
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_tables_keep_them_apart():
    assert "tip" in inductive_methods()
    assert not {"tda", "transclip"} & set(inductive_methods())
    methods = ("transclip", "tip", "tda")
    found = tuple(
        Score(title(m), m, "", "test", 1, seed, 50.0 + seed, 0.1, 10)
        for m in methods
        for seed in (0, 1)
    )
    result = Comparison(found, {})
    assert [
        (kind, tuple(row.method for row in rows)) for kind, _, rows in result.grid.blocks()
    ] == [
        ("inductive", ("tip",)),
        ("batch", ("transclip",)),
        ("stream", ("tda",)),
    ]
    table = markdown.comparison_markdown(result)
    first, second, third = table.split("| accuracy, % |")[1:]
    assert "| `tip` |" in first
    assert "transclip: saw all test images at once" in first
    assert "| `transclip` |" in second
    assert "tda: saw the test images in order" in second
    assert "| `tda` |" in third
    names = figures.comparison_figure(result).axes[0].get_yticklabels()
    assert [name.get_text() for name in names] == ["tip", "transclip (batch)", "tda (stream)"]
    places = figures.comparison_figure(result).axes[0].get_yticks()
    assert places[1] - places[0] > 1  # kinds stand apart


def test_a_stream_of_trials_is_not_sorted_by_class():
    order = shuffled(90, 0)
    assert sorted(order) == list(range(90))
    assert not np.array_equal(order, np.sort(order))
    assert np.array_equal(order, shuffled(90, 0))
