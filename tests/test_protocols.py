"""The field's protocols: support and query sets, the journal, sources, tables and the page."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from handful import data, plugins
from handful.adapters.zero_shot import ZeroShot
from handful.cli import main
from handful.contracts import ClassText, unit
from handful.data import FeatureSet, playground, save_features
from handful.data.imagenet import imagenet
from handful.errors import InputError, MismatchError
from handful.features.store import FeatureStore
from handful.protocols import bench, episodes, figures, markdown, tables
from handful.protocols.bench import Request, prepare
from handful.protocols.journal import Journal, made_of, trial_key
from handful.protocols.runner import Configuration, Score, configurations_of, run
from handful.protocols.task import Task, digest


def task(
    name: str = "made",
    classes: int = 5,
    each: int = 6,
    split: bool = True,
    seed: int = 0,
    prompts: int = 1,
    names: tuple[str, ...] = (),
) -> Task:
    """`classes` clouds on the sphere; where `split`, half of each is `train`, half `test`."""
    generator = np.random.default_rng([seed, classes])
    centres = generator.normal(size=(classes, 16))
    labels = np.repeat(np.arange(classes), each)
    values = unit(centres[labels] + 0.6 * generator.normal(size=(len(labels), 16)))
    embeddings = centres[:, None] + 0.5 * generator.normal(size=(classes, prompts, 16))
    splits = np.array(["train", "test"] * (len(labels) // 2)) if split else np.array([""])
    ids = tuple(digest([row]) for row in values)
    return Task.of_features(
        name,
        values,
        labels,
        ClassText(embeddings, names or tuple(f"c{i}" for i in range(classes)), 50.0),
        splits=np.resize(splits, len(labels)),
        ids=ids,
        digest=digest([name, values, labels]),
        encoder="made",
    )


@pytest.mark.parametrize(("classes", "base"), [(4, 2), (5, 3), (37, 19), (47, 24), (1000, 500)])
def test_the_first_half_is_base(classes, base):
    assert episodes.base_classes(classes) == base


def test_base_to_new_teaches_one_half_and_asks_each_among_its_own():
    made = task(classes=5)
    base, new = episodes.base_to_new([made], [2], [0])
    assert len(base.support) == 6
    assert set(base.labels) == {0, 1, 2}
    assert np.array_equal(base.support, new.support)
    assert base.text.classes == ("c0", "c1", "c2")
    assert new.text.classes == made.text.classes
    (asked,) = new.query_sets
    assert asked.columns.tolist() == [3, 4]
    assert set(asked.targets) == {0, 1}
    assert set(made.labels[asked.images]) == {3, 4}
    assert set(made.splits[asked.images]) == {"test"}


def test_base_to_new_needs_four_classes():
    with pytest.raises(InputError, match="at least four classes"):
        list(episodes.base_to_new([task(classes=3)], [1], [0]))


@pytest.mark.parametrize("protocol", ["few-shot", "base-to-new", "cross", "domain"])
@pytest.mark.parametrize("split", [True, False])
def test_no_image_is_both_taught_and_asked(protocol, split):
    tasks = [task("one", split=split), task("two", split=split, seed=1)]
    drawn = list(bench.PROTOCOLS[protocol](tasks, [1, 2], range(3)))
    assert drawn
    for episode in drawn:
        support = {episode.task.ids[i] for i in episode.support}
        asked = {q.task.ids[i] for q in episode.query_sets for i in q.images}
        assert not support & asked
        assert asked


class Spy(ZeroShot):
    """Remembers every row it was taught and asked."""

    plugin = False  # not to be listed
    taught: ClassVar[list[bytes]] = []
    asked: ClassVar[list[bytes]] = []

    def fit(self, X, y, text=None):
        Spy.taught += [row.tobytes() for row in X]
        return super().fit(X, y, text)

    def logits(self, X):
        Spy.asked += [row.tobytes() for row in X]
        return super().logits(X)


@pytest.fixture
def spy(monkeypatch):
    Spy.taught, Spy.asked = [], []
    real = plugins.get
    monkeypatch.setattr(plugins, "get", lambda kind, n: Spy if n == "spy" else real(kind, n))
    return Spy


def test_no_test_row_is_ever_handed_to_fit(spy):
    made = task(split=True)
    drawn = list(episodes.few_shot([made], [1, 2, 3], range(3)))
    run([Configuration("spy", "spy", drawn)], Journal(None))
    assert spy.taught
    assert not set(spy.taught) & {row.tobytes() for row in made.values[made.splits == "test"]}
    assert set(spy.asked) == {row.tobytes() for row in made.values[made.splits == "test"]}


def test_a_copy_of_a_support_image_in_a_target_is_not_asked():
    source, target = task("source"), task("target", seed=1)
    episode = next(iter(episodes.few_shot([source], [3], [0])))
    copied = source.ids[int(episode.support[0])]
    place = int(np.flatnonzero(target.testable)[0])
    ids = (*target.ids[:place], copied, *target.ids[place + 1 :])
    target = Task(**{**vars(target), "ids": ids})
    asked = [q for found in episodes.cross([source, target], [3], [0]) for q in found.query_sets]
    assert place not in asked[1].images
    assert len(asked[1].images) == target.testable.sum() - 1


def test_cross_keeps_equal_names_apart_and_asks_among_the_target_only():
    source, target = task("source", classes=4), task("target", classes=3, seed=1, prompts=2)
    own, other = episodes.cross([source, target], [1], [0])
    assert own.text is source.text
    assert other.text.classes[:1] == ("source: c0",)
    assert other.text.classes[4:] == ("target: c0", "target: c1", "target: c2")
    assert other.text.embeddings.shape[1] == 1  # prompt counts differ: each class its mean
    assert other.query_sets[0].columns.tolist() == [4, 5, 6]
    assert set(other.labels) == {0, 1, 2, 3}
    zero = configurations_of([], [own, other])
    found = {s.query_set: s.accuracy for s in run(zero, Journal(None))}
    rows = target.values[target.testable]
    right = (rows @ target.text.weights.T).argmax(1) == target.labels[target.testable]
    assert found["target"] == pytest.approx(100 * right.mean())


def test_domain_asks_a_variant_among_the_classes_it_has():
    source = task("source", classes=5)
    variant = task("variant", classes=3, seed=1, names=("c4", "c9", "c1"))
    variant.usable[variant.labels == 1] = False  # c9, unknown to the source, has no image
    (episode,) = episodes.domain([source, variant], [1], [0])
    asked = episode.query_sets[1]
    assert asked.columns.tolist() == [4, 1]
    assert [asked.columns[t] for t in asked.targets] == [
        {0: 4, 2: 1}[int(c)] for c in variant.labels[asked.images]
    ]
    variant.usable[:] = True
    with pytest.raises(InputError, match=r"has 1 class that source does not have: c9"):
        list(episodes.domain([source, variant], [1], [0]))


def test_data_sets_of_two_encoders_cannot_meet():
    one, two = task("one"), task("two")
    one, two = (Task(**{**vars(t), "facts": {"fingerprint": t.name}}) for t in (one, two))
    named = Task(**{**vars(task("three")), "facts": {"fingerprint": "made"}})
    assert list(episodes.cross([one, named], [1], [0]))  # a feature file that states the name
    with pytest.raises(MismatchError, match="need"):
        list(episodes.cross([one, two], [1], [0]))
    with pytest.raises(InputError, match="got one source"):
        list(episodes.cross([one], [1], [0]))


def test_harmonic_mean_per_seed_and_of_the_means():
    scores = [
        Score("Tip", "tip", "t", name, 16, seed, accuracy, 0.0, 10)
        for name, found in (("base", (80.0, 60.0)), ("new", (20.0, 60.0)))
        for seed, accuracy in enumerate(found)
    ]
    (grid,) = tables.grids("base-to-new", scores)
    base, new, harmonic, of_means = grid.rows[0].cells
    assert (base.accuracy, new.accuracy) == (70.0, 40.0)
    assert harmonic.accuracy == pytest.approx((32 + 60) / 2)
    assert of_means.accuracy == pytest.approx(2 * 70 * 40 / 110)
    assert (of_means.interval, tables.harmonic(0, 0)) == (None, 0)
    assert harmonic.interval is not None


def test_the_mean_over_data_sets_is_taken_before_the_interval():
    scores = [
        Score("Tip", "tip", t, "test", 1, seed, accuracy, 0.0, 10)
        for t, found in (("a", (10.0, 30.0)), ("b", (30.0, 10.0)))
        for seed, accuracy in enumerate(found)
    ]
    mean, first, _ = tables.grids("few-shot", scores)
    assert mean.rows[0].cells[0] == tables.Cell(20.0, 0.0)
    assert first.rows[0].cells[0].interval > 100


def test_zero_shot_is_always_there_and_transductive_methods_stand_apart():
    drawn = list(episodes.few_shot([task()], [1], [0]))
    configurations = configurations_of(["tip", "tda", "tip"], drawn)
    assert [c.method for c in configurations] == ["zero_shot", "tip", "tda"]
    scores = run(configurations, Journal(None))
    (grid,) = tables.grids("few-shot", scores)
    kinds = {kind: [r.method for r in rows] for kind, _, rows in grid.blocks()}
    assert kinds == {"inductive": ["zero_shot", "tip"], "stream": ["tda"]}


# The journal


def test_a_second_run_fits_nothing(spy, tmp_path):
    path = tmp_path / "journal.jsonl"
    drawn = list(episodes.few_shot([task()], [1, 2], range(2)))
    configurations = [Configuration("spy", "spy", drawn)]
    first = run(configurations, Journal(path))
    spy.taught.clear()
    assert run(configurations, Journal(path)) == first
    assert spy.taught == []


def test_a_killed_run_goes_on_where_it_was(spy, tmp_path):
    path = tmp_path / "journal.jsonl"
    drawn = list(episodes.few_shot([task()], [1], range(4)))
    configurations = [Configuration("spy", "spy", drawn)]
    whole = [(s.seed, s.accuracy) for s in run(configurations, Journal(None))]

    def kill(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(configurations, Journal(path), kill)
    assert len(path.read_text().splitlines()) == 2
    path.write_bytes(path.read_bytes()[:-20])  # as if the kill had come within the second line
    spy.taught.clear()
    again = run(configurations, Journal(path))
    assert [(s.seed, s.accuracy) for s in again] == whole
    assert len(spy.taught) == 3 * 5  # the first of four trials was kept
    assert len(Journal(path)._known) == 4


def test_strange_lines_are_passed_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    good = {"key": "k", "accuracy": {"test": 50.0}, "seconds": 1.0}
    lines = ['{"key": "x"}', "[1]", "\x00\xff", json.dumps({**good, "accuracy": {"test": "a"}})]
    path.write_text("\n".join([*lines, json.dumps(good)]), encoding="latin-1")
    journal = Journal(path)
    assert list(journal._known) == ["k"]
    journal.add("l", {"accuracy": {"test": 1.0}, "seconds": 0.0})
    assert list(Journal(path)._known) == ["k", "l"]


def test_whatever_decides_a_number_is_in_its_key():
    def key(made: Task, shots: int = 1, seed: int = 0, **params: object) -> str:
        (episode,) = episodes.few_shot([made], [shots], [seed])
        return trial_key(episode.digest, "tip", seed, params)

    made = task()
    other_text = Task(**{**vars(made), "text": task(prompts=2).text})
    other_rows = Task(**{**vars(made), "digest": "other"})
    keys = [
        key(made),
        key(made, shots=2),
        key(made, seed=1),
        key(made, alpha=2.0),
        key(other_text),
        key(other_rows),
    ]
    assert len(set(keys)) == len(keys)
    assert key(task()) == keys[0] == key(made, alpha=1.0)  # named or not, it is the default


# Sources: images


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return FeatureStore(tmp_path_factory.mktemp("store"))


def test_a_method_is_new_when_one_that_it_is_made_of_is():
    assert made_of("tip") == ["tip"]
    assert sorted(made_of("tip_f")) == ["tip", "tip_f"]  # imports its head
    assert {"linear", "text_gda"} < set(made_of("auto"))  # named by a helper that it imports


def test_images_give_what_compare_gives(photos, store):
    from handful.protocols.compare import compare

    asked = Request(methods=["zero_shot", "tip"], shots=[1, 4], seeds=2)
    done = prepare([photos], asked, store=store).run()
    theirs, _ = compare(photos, methods=["zero_shot", "tip"], shots=[1, 4], seeds=2, store=store)
    (grid,) = done.grids()
    for row in grid.rows:
        for k, cell in zip((1, 4), row.cells, strict=True):
            assert cell.accuracy == pytest.approx(theirs.cell(row.method, k).accuracy)


def test_only_what_is_needed_is_encoded_and_a_broken_image_is_replaced(photos, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(photos, folder)
    classes = sorted(p.name for p in (folder / "train").iterdir())
    source = data.load(folder)
    pool = source.split("train")
    (drawn,) = [i for i in data.draw_shots(pool.labels, 1, 0) if pool.labels[i] == classes[0]]
    broken = pool.images[drawn].path
    assert broken is not None
    broken.write_bytes(b"no picture")
    own = FeatureStore(tmp_path / "store")
    ready = prepare([folder], Request(methods=["tip"], shots=[1], seeds=1), store=own)
    (task,) = ready.tasks
    assert (task.rows >= 0).sum() == len(source.split("test")) + len(classes)
    done = ready.run()
    assert [f.name for f in done.failures] == [str(broken)]
    episode = ready.configurations[0].episodes[0]
    assert len(episode.support) == len(classes)
    report = markdown.bench_markdown(done, "few-shot")
    assert "| Tip-Adapter |" in report
    assert len(figures.bench_figure(done).axes) == 1


def coop_layout(folder: Path, tasks: int = 1) -> list[Path]:
    """Split files in the layout of CoOp's data sets, made from the playground."""
    made = []
    for number in range(tasks):
        home = folder / f"set{number}"
        task = playground.task(playground.tasks()[number], 4, number, 3)
        playground.write(task, home / "images")
        rows: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
        for part in ("train", "test"):
            for i, label in enumerate(task.classes):
                found = sorted((home / "images" / part / label).iterdir())
                rows[part] += [[f"{part}/{label}/{f.name}", i, label] for f in found]
        path = home / f"split_zhou_Set{number}.json"
        path.write_text(json.dumps(rows))
        made.append(home)
    return made


@pytest.mark.parametrize("protocol", ["few-shot", "base-to-new", "cross"])
def test_coop_layout_through_every_protocol(protocol, tmp_path, store):
    homes = coop_layout(tmp_path, 2)
    asked = Request(protocol, ["zero_shot", "tip"], [1, 4], seeds=2)
    done = prepare(homes, asked, out=tmp_path / "out", store=store).run()
    assert list(done.tasks) == ["Set0", "Set1"]
    assert {s.method for s in done.scores} == {"zero_shot", "tip"}
    json.dumps(done.as_dict(), allow_nan=False)
    figures.bench_figure(done).savefig(tmp_path / "figure.png")
    assert "data set" in markdown.bench_markdown(done, protocol)


def test_missing_files_of_a_split_are_counted_and_named(tmp_path, store):
    (home,) = coop_layout(tmp_path)
    lost = sorted((home / "images" / "train").rglob("*.png"))[:3]
    for path in lost:
        path.unlink()
    with pytest.raises(InputError, match=r"3 of \d+ images are missing, such as .*train"):
        prepare([home], store=store)


def test_too_many_shots_are_refused_before_the_work(tmp_path, photos):
    nowhere = FeatureStore(tmp_path / "store")
    with pytest.raises(InputError, match=r"classes have fewer than 99 train images: .*\(8\)"):
        prepare([photos], Request(shots=[1, 99]), store=nowhere)
    assert not (tmp_path / "store").exists()
    ready = prepare(
        [photos], Request(methods=["tip"], shots=[99], seeds=1, allow_fewer=True), store=nowhere
    )
    classes = ready.tasks[0].classes
    assert len(ready.configurations[0].episodes[0].support) == 8 * len(classes)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("no such"), "expected one of few-shot"),
        (Request("ablation"), "belong together"),
        (Request(vary="ratio"), "belong together"),
        (Request("ablation", vary="ratio", methods=["tip"]), "tip has no parameter ratio"),
        (Request("ablation", vary="steps"), "say of which method"),
        (Request("ablation", vary="views", values=[0]), "whole numbers from 1"),
        (Request("ablation", vary="alpha", values=[1, 1]), "given twice"),
        (Request(seeds=0), "at least 1 seed"),
        (Request("cross"), "got one source"),
    ],
)
def test_bad_requests_are_told(photos, store, request_, words):
    with pytest.raises(InputError, match=words):
        prepare([photos], request_, store=store)


def test_two_sources_of_one_name_are_refused(photos, store):
    with pytest.raises(InputError, match="two sources are called"):
        prepare([photos, photos], store=store)


def test_ablations_keep_the_draws(photos, store):
    asked = Request("ablation", shots=[2], seeds=1, vary="alpha", values=[0.0, 1.0, 3.0])
    done = prepare([photos], asked, store=store).run()
    (grid,) = done.grids()
    labels = [row.label for row in grid.rows]
    assert labels == [
        "Zero-shot",
        "Tip-Adapter, alpha 0.0",
        "Tip-Adapter, alpha 1.0 (default)",
        "Tip-Adapter, alpha 3.0",
    ]
    assert grid.rows[0].cells == grid.rows[1].cells  # no learning strength is zero-shot


def test_views_and_templates_are_encoded_anew(photos, store):
    asked = Request("ablation", ["tip"], [2], seeds=1, vary="views", values=[1, 2])
    ready = prepare([photos], asked, store=store)
    one, two = (c.episodes[0] for c in ready.configurations[1:])
    images, plain, viewed = one.support, one.task, two.task
    assert np.array_equal(two.support, images)
    assert not np.allclose(
        plain.features(images, support=True), viewed.features(images, support=True)
    )
    assert np.array_equal(plain.features(images), viewed.features(images))
    asked = Request("ablation", ["tip"], [2], seeds=1, vary="templates", values=["photo", "a {}"])
    configurations = prepare([photos], asked, store=store).configurations
    assert [c.label for c in configurations] == [
        "Zero-shot, templates photo",
        "Zero-shot, templates a {}",
        "Tip-Adapter, templates photo",
        "Tip-Adapter, templates a {}",
    ]


# ImageNet's layout


def imagenet_layout(folder: Path) -> tuple[Path, Path, Path]:
    """ImageNet, a variant by labels with one class missing, and V2's folders by number."""
    task = playground.task(playground.tasks()[0], 2, 0, 2)
    labels = [f"n{i:08}" for i in range(3)]
    lines = "".join(f"{label} crane\n" for label in labels)  # one name for several, as it has
    homes = (folder / "imagenet", folder / "imagenet-a", folder / "imagenetv2")
    for home in homes:
        home.mkdir()
        (home / "classnames.txt").write_text(lines)
    written = folder / "written"
    playground.write(task, written)
    for i, label in enumerate(labels):
        found = written / "train" / task.classes[i], written / "test" / task.classes[i]
        shutil.copytree(found[0], homes[0] / "images" / "train" / label)
        shutil.copytree(found[1], homes[0] / "images" / "val" / label)
        shutil.copytree(found[0], homes[2] / "v2-format-val" / str(i))
        if i:
            shutil.copytree(found[1], homes[1] / "imagenet-a" / label)
    return homes


def test_imagenet_and_its_variants(tmp_path, store):
    homes = imagenet_layout(tmp_path)
    whole, words = imagenet(homes[0])
    assert set(whole.splits) == {"train", "test"}
    assert list(words.values()) == ["crane"] * 3
    some, _ = imagenet(homes[1])
    assert set(some.labels) == {"n00000001", "n00000002"}
    numbered, _ = imagenet(homes[2])
    assert set(numbered.labels) == set(whole.labels)
    asked = Request("domain", ["zero_shot"], [1], seeds=1)
    done = prepare(homes, asked, store=store).run()
    (grid,) = done.grids()
    assert grid.columns == ("imagenet (taught)", "imagenet-a", "imagenetv2", "mean of the others")
    assert {s.query_set: s.images for s in done.scores} == {
        "imagenet": 6,
        "imagenet-a": 4,
        "imagenetv2": 3,  # three of six are copies of support images
    }


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("n1\n", "line 1: 'n1' has no class name"),
        ("n1 a\nn1 b\n", "line 2: 'n1' repeats"),
        ("n1 a\n", "no folders named by its labels"),
    ],
)
def test_an_imagenet_that_is_none(lines, words, tmp_path):
    (tmp_path / "classnames.txt").write_text(lines)
    with pytest.raises(InputError, match=words):
        imagenet(tmp_path)


# The page


PAGE = (Path(__file__).parents[1] / "docs" / "bench.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page's reader has it."""
    folder = tmp_path_factory.mktemp("desk")
    for name, home in zip(("eurosat", "dtd"), coop_layout(folder, 2), strict=True):
        home.rename(folder / name)
    imagenet_layout(folder)
    made = task(classes=4, each=12)
    own = FeatureSet("mine", made.values, made.labels, made.text)
    save_features(folder / "mine.safetensors", own)
    cache = folder / "tip_cache"
    cache.mkdir()
    for part, name in ((made.splits == "train", "4shots"), (made.splits == "test", "test")):
        rows, labels = made.values[part], torch.tensor(made.labels[part])
        if name == "test":
            torch.save(torch.tensor(rows).half(), cache / "test_f.pt")
            torch.save(labels, cache / "test_l.pt")
        else:
            torch.save(torch.tensor(rows).T.half(), cache / f"keys_{name}.pt")
            hot = torch.nn.functional.one_hot(labels).half()
            torch.save(hot, cache / f"values_{name}.pt")
    torch.save(torch.tensor(made.text.weights).T.half(), cache / "clip_weights.pt")
    return folder


COMMANDS = [line for line in PAGE.splitlines() if line.startswith("handful ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_page_s_commands_run(line, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    words = shlex.split(line)[1:]
    if words[words.index("--shots") + 1] == "1,2,4,8,16":  # the desk's classes have four
        words[words.index("--shots") + 1] = "1,2,4"
        words += ["--methods", "tip"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code, capsys.readouterr().err
    assert "Zero-shot" in capsys.readouterr().out


def test_the_page_s_program_runs(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert "Tip-Adapter" in capsys.readouterr().out
