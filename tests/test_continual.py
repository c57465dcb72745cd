"""The protocol of tasks one after another, and the worlds of the playground."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handful.cli import main
from handful.contracts import ClassText, unit
from handful.data import FeatureSet, playground, save_features
from handful.errors import InputError
from handful.protocols import continual, continual_report
from handful.protocols.bench import Request
from handful.protocols.continual_result import (
    LABELS,
    ContinualResult,
    average,
    forgetting,
    last,
    transfer,
)
from handful.protocols.task_sequence import WAYS

TASKS = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Feature files of four tasks in one space, far apart, the text a rough hint."""
    rng = np.random.default_rng(0)
    folder, found = tmp_path_factory.mktemp("features"), []
    for t in range(TASKS):
        means = 2 * rng.standard_normal((1, 32)) + rng.standard_normal((4, 32))
        labels = np.repeat(np.arange(4), 14)
        values = unit(means[labels] + 0.6 * rng.standard_normal((len(labels), 32)))
        words = means[:, None] + 2.5 * rng.standard_normal((4, 1, 32))
        made = FeatureSet(
            name=f"task{t}",
            values=values,
            labels=labels,
            text=ClassText(words, ("red", "green", "blue", f"only {t}"), 20.0),
        )
        found.append(save_features(folder / f"task{t}" / f"task{t}.safetensors", made))
    return found


@pytest.fixture(scope="module")
def done(files) -> ContinualResult:
    asked = Request(protocol="continual", methods=["text_gda"], shots=[4], seeds=2)
    return continual.prepare(files, asked, rate=0.3).run()


def test_the_measures_on_a_matrix_worked_by_hand():
    a = np.array([[90.0, 10.0, 20.0], [80.0, 70.0, 40.0], [85.0, 60.0, 50.0]])
    assert transfer(a) == pytest.approx((10 + (20 + 40) / 2) / 2)
    assert average(a) == pytest.approx(a.sum() / 9)
    assert last(a) == pytest.approx(65)
    assert forgetting(a) == pytest.approx((5 + 10) / 2)


def test_nothing_is_forgotten_and_what_is_to_come_is_not_harmed(done):
    for one in done.sequences:
        named = one.matrices["named"]
        assert forgetting(named) == 0
        assert one.changed == 0
        later = np.arange(TASKS)[:, None] < np.arange(TASKS)
        assert np.array_equal(named[later], np.tile(one.zero_shot, (TASKS, 1))[later])
        assert np.array_equal(named.diagonal(), named[-1])
        assert last(named) > one.zero_shot.mean() + 10


def test_without_names_most_images_find_their_task(done):
    for one in done.sequences:
        assert one.router[-1] > 90
        assert last(one.matrices["named"]) - last(one.matrices["routed"]) < 10
        assert (one.matrices["routed"] <= one.matrices["named"].max(0) + 1e-9).all()
        assert np.isnan(one.accepted[:2]).all()
        assert (one.accepted[-1] > 0.5).all()
        # too few tasks to learn a rate from: everything is answered by zero-shot
        assert np.array_equal(one.matrices["open"][:2], np.tile(one.union, (2, 1)))


def test_any_order_gives_the_same_last_answers(files):
    def learned(paths: list[Path]) -> dict[str, list[float]]:
        asked = Request(protocol="continual", methods=["tip"], shots=[2], seeds=1)
        (one,) = continual.prepare(paths, asked, rate=0.3).run().sequences
        rows = {way: one.matrices[way][-1] for way in ("named", "routed")}
        rows["accepted"] = one.accepted[-1]
        return {n: [float(rows[w][i]) for w in rows] for i, n in enumerate(one.order)}

    assert learned(files) == learned(files[::-1]) == learned([files[i] for i in (2, 0, 3, 1)])


def test_the_report_tells_all_of_it(done, tmp_path):
    text = continual_report.continual_markdown(done, "continual")
    for words in ("Transfer", "Last", *LABELS.values(), "kB a task", "task3"):
        assert words in text
    told = json.loads(json.dumps(done.as_dict()))
    assert set(told["sequels"][0]["matrices"]) == set(WAYS)
    assert told["table"]["library, tasks named"]["forgetting"]["mean"] == 0
    assert len(continual_report.continual_figure(done).axes) == 4


def test_the_command(files, tmp_path, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["bench", *map(str, arguments), "--protocol", "continual"])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    out = tmp_path / "out"
    more = ("--methods", "text_gda", "--shots", 2, "--seeds", 1)
    code, said, _ = run(*files, *more, "--out", out, "--unknown", "0.2")
    assert code == 0
    assert "library, no names" in said
    assert {f.name for f in out.iterdir()} == {"report.md", "report.json", "figure.png"}
    code, said, _ = run(*files, *more, "--json")
    assert json.loads(said)["protocol"] == "continual"
    assert run(files[0], *more)[0] == 2
    assert run(*files, "--methods", "tip,gda")[0] == 2
    code, _, err = run(*files, "--methods", "transclip", "--shots", 2)
    assert code == 2
    assert "depend on other images" in err
    assert run(*files, *more, "--unknown", "2")[0] == 2
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(files[0]), "--methods", "tip", "--shots", "1", "--unknown", "0.1"])
    assert stop.value.code == 2


def test_folders_of_images_and_the_playground_are_sources(tmp_path, monkeypatch):
    for name in ("night", "sea"):
        playground.write(playground.world(name, 2, 0, 1), tmp_path / name)
    monkeypatch.setattr(playground, "worlds", lambda: ("desert", "fog"))
    monkeypatch.setattr(continual, "_TRAIN", 2)
    monkeypatch.setattr(continual, "_QUERIES", 1)
    asked = Request(protocol="continual", methods=["text_gda"], shots=[1], seeds=1)
    paths = [tmp_path / "night", "playground", tmp_path / "sea"]
    ready = continual.prepare(paths, asked)
    assert [task.name for task in ready.tasks] == ["night", "desert", "fog", "sea"]
    (one,) = ready.run().sequences
    assert one.changed == 0


def test_worlds_are_drawn_by_lot_and_stay_as_they_are():
    one, same = (playground.world("plaza", 1, 3, 1) for _ in range(2))
    other = playground.world("plaza", 1, 4, 1)
    assert all(np.array_equal(a, b) for a, b in zip(one.support, same.support, strict=True))
    assert not np.array_equal(one.support[0], other.support[0])
    assert not np.array_equal(one.support[0], one.test[0])
    assert len(playground.worlds()) == 10
    with pytest.raises(InputError, match="no world named 'moon'"):
        playground.world("moon", 1, 0)
