"""Tasks: what every one of them must do, and a third one dropped into a plug-in folder."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import run
from handful import plugins, tasks
from handful.contracts import ClassText, unit
from handful.data import Dataset, MultiLabelDataset, playground
from handful.errors import InputError, PackError, UnknownNameError
from handful.packs import Pack
from handful.skills.evaluate import evaluate
from handful.skills.fit import fit
from handful.skills.predict import Predictor

CLASSES = ("ant", "bee", "cow")
NAMES = plugins.names("tasks")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Twenty-four drawn scenes of one, two or three objects; half of them for the test."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(24):
        scene = playground.scene(9_000_000 + i, objects=1 + i % 3)
        Image.fromarray(np.asarray(playground.render(scene))).save(folder / f"{i}.png")
    return folder


def table(folder: Path, name: str, column: str, cell) -> Path:
    rows = [f"{i}.png,{cell(i)},{'train' if i < 12 else 'test'}" for i in range(24)]
    path = folder / f"{name}.csv"
    path.write_text("\n".join([f"path,{column},split", *rows]))
    return path


@pytest.fixture(params=NAMES)
def case(request, pictures) -> tuple[tasks.Task, Path]:
    """A task and a table of its kind."""
    if request.param == "classify":
        return tasks.get("classify"), table(pictures, "one", "label", lambda i: CLASSES[i % 3])
    several = lambda i: "|".join(c for b, c in enumerate(CLASSES) if (i % 8) >> b & 1)  # noqa: E731
    return tasks.get(request.param), table(pictures, "several", "labels", several)


# what every task must do


def test_its_name_finds_it_and_the_data_choose_it(case):
    task, source = case
    assert type(tasks.get(tasks.name_of(task))) is type(task)
    assert type(tasks.choose(None, source)) is type(task)
    assert type(tasks.choose(tasks.name_of(task), source)) is type(task)
    assert type(tasks.choose(None, task.load(source))) is type(task)


def test_data_of_another_task_are_refused(case, pictures):
    task, source = case
    image = task.load(source).images[:1]
    other = Dataset(image, ("ant",))
    if tasks.name_of(task) == "classify":
        other = MultiLabelDataset(image, (("ant",),))
    with pytest.raises(InputError):
        task.load(other)


def test_targets_have_a_row_an_image_in_any_order_of_classes(case):
    task, source = case
    dataset = task.load(source)
    targets = task.targets(dataset, CLASSES)
    assert len(targets) == len(dataset)
    turned = task.targets(dataset, CLASSES[::-1])
    counts = task.counts(targets, CLASSES)
    assert counts == {n: task.counts(turned, CLASSES[::-1])[n] for n in CLASSES}
    assert sum(counts.values()) > 0
    with pytest.raises(InputError, match="are not among"):
        task.targets(dataset, CLASSES[:2])


def test_a_draw_is_one_of_the_images_and_depends_on_the_seed_alone(case):
    task, source = case
    dataset = task.load(source)
    drawn = task.draw(dataset, CLASSES, 2, 0)
    assert drawn == task.draw(dataset, CLASSES, 2, 0)
    assert any(drawn != task.draw(dataset, CLASSES, 2, seed) for seed in range(1, 6))
    assert len(set(drawn)) == len(drawn) < len(dataset)
    part = dataset.subset(drawn)
    assert min(task.counts(task.targets(part, CLASSES), CLASSES).values()) >= 2


def test_words_keep_the_order_of_the_classes(case):
    task, source = case
    dataset = task.load(source)
    assert tuple(task.class_words(dataset, None)) == CLASSES
    words = {"cow": "a cow", "bee": "a bee", "ant": "an ant"}
    assert task.class_words(dataset, words) == words


def test_wrong_methods_and_parameters_are_named(case):
    task, _ = case
    with pytest.raises((InputError, UnknownNameError), match="nonsense"):
        task.create("nonsense")
    with pytest.raises(InputError, match="no parameter nonsense"):
        task.create(None, params={"nonsense": 1})


def test_answers_and_numbers_of_a_fit(case):
    task, source = case
    dataset = task.load(source)
    targets = task.targets(dataset, CLASSES)
    rng = np.random.default_rng(0)
    features = unit(rng.standard_normal((len(dataset), 16)))
    text = ClassText(unit(rng.standard_normal((3, 1, 16))), CLASSES, 20.0)
    fitted = task.create(None).fit(features, targets, text)
    probabilities = fitted.predict_proba(features)
    answered = task.answered(fitted, probabilities)
    assert answered.shape == probabilities.shape == (len(dataset), 3)
    assert answered.dtype == np.bool_
    if task.exclusive:
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    result = task.evaluate(probabilities, answered, targets, CLASSES)
    json.dumps(result.as_dict())
    assert task.evaluation_summary(result)
    assert str(len(CLASSES)) in task.description(len(CLASSES))


def test_a_skill_takes_the_whole_road(case, tmp_path, capsys):
    task, source = case
    fitted = fit(source, shots=2)
    assert fitted.pack.manifest["task"] == tasks.name_of(task)
    pack = Pack.load(fitted.pack.save(tmp_path / "s"))
    assert type(pack.task) is type(task)
    assert (pack.support is not None) == task.keeps_support
    images = task.load(source).split("test").images
    answers = Predictor(pack).predict(list(images))
    assert answers == Predictor(fitted.pack).predict(list(images))
    done = evaluate(Predictor(pack), source)
    assert done.result.count == 12
    assert (done.confidence is not None) == task.exclusive
    code, out, _ = run(capsys, "evaluate", tmp_path / "s", source)
    assert code == 0
    assert "12 images" in out


# a third task, without an edit anywhere else

GRADE = '''
    """Grades: how far along an ordered scale is what the image shows?"""

    from dataclasses import dataclass

    import numpy as np
    import torch
    from sklearn.base import BaseEstimator

    from handful import data
    from handful.adapters import Head
    from handful.tasks import Table, Task


    class GradeHead(Head):
        """`logits = -(x w - g)^2`, g the grades in their order."""

        weights: torch.Tensor
        grades: torch.Tensor

        def forward(self, x):
            return -((x @ self.weights)[:, None] - self.grades).square()


    class GradeRidge(BaseEstimator):
        head = GradeHead
        semantics = "inductive"

        def __init__(self, penalty=1.0):
            self.penalty = penalty

        def fit(self, X, y, text):
            wide = X.T @ X + self.penalty * np.eye(X.shape[1])
            weights = np.linalg.solve(wide, X.T @ y).astype(np.float32)
            grades = torch.arange(len(text.classes)).float()
            self.module_ = GradeHead(weights=torch.from_numpy(weights), grades=grades)
            self.classes_, self.n_features_in_ = np.array(text.classes), X.shape[1]
            return self

        def logits(self, X):
            with torch.inference_mode():
                return self.module_(torch.from_numpy(np.asarray(X, np.float32))).numpy()

        def predict_proba(self, X):
            return torch.from_numpy(self.logits(X)).softmax(1).numpy()


    @dataclass
    class Error:
        error: float
        count: int

        def as_dict(self):
            return {"mean_absolute_error": self.error, "count": self.count}


    class Grade(Task):
        title = "Grades"
        default_method = "grade_ridge"
        default_top_k = 1
        estimators = {"grade_ridge": GradeRidge}

        def load(self, source):
            return data.load(source)

        def class_words(self, dataset, words):
            return {name: name for name in sorted(dataset.classes, key=int)}

        def draw(self, dataset, classes, shots, seed):
            return data.draw_shots(dataset.labels, shots, seed)

        def targets(self, dataset, classes):
            return np.array([classes.index(label) for label in dataset.labels])

        def counts(self, targets, classes):
            return {name: int((targets == i).sum()) for i, name in enumerate(classes)}

        def evaluate(self, probabilities, answered, targets, classes, units=None):
            gap = np.abs(probabilities.argmax(1) - targets)
            return Error(float(gap.mean()), len(gap))

        def fit_summary(self, manifest):
            return [f"Taught {len(manifest['classes'])} grades"]

        def evaluation_summary(self, result):
            return [Table(["mean absolute error"], [[f"{result.error:.3f}"]], right=[0])]

        def description(self, classes):
            return f"Grades a photo on a scale of {classes}."
'''


@pytest.fixture
def grade(tmp_path, monkeypatch):
    (tmp_path / "plugins" / "tasks").mkdir(parents=True)
    (tmp_path / "plugins" / "tasks" / "grade.py").write_text(textwrap.dedent(GRADE))
    monkeypatch.setenv("HANDFUL_PLUGINS", str(tmp_path / "plugins"))


def test_a_third_task_is_one_file(grade, pictures, tmp_path, capsys):
    source = table(pictures, "grades", "label", lambda i: 1 + i % 3)
    assert "grade" in plugins.names("tasks")
    fitted = fit(source, task="grade", params={"penalty": 0.5})
    pack = Pack.load(fitted.pack.save(tmp_path / "s"))
    assert (pack.method, pack.classes, pack.support) == ("grade_ridge", ("1", "2", "3"), None)
    images = [str(i.path) for i in tasks.get("grade").load(source).split("test").images]
    answers = Predictor(pack).predict(images, top_k=1)
    assert {answer.scores[0]["label"] for answer in answers} <= {"1", "2", "3"}
    done = evaluate(Predictor(pack), source)
    assert done.result.count == 12
    assert done.result.error < 1
    assert done.confidence is None
    skill = tmp_path / "again"
    code, out, _ = run(capsys, "fit", source, "--task", "grade", "--out", skill)
    assert (code, "Taught 3 grades in" in out) == (0, True)
    code, out, _ = run(capsys, "evaluate", skill, source, "--out", tmp_path / "e", "--record")
    assert (code, "mean absolute error" in out) == (0, True)
    written = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert written["mean_absolute_error"] < 1
    assert [f.name for f in (tmp_path / "e").iterdir()] == ["evaluation.json"]
    assert "Grades a photo on a scale of 3." in (skill / "README.md").read_text()
    code, out, _ = run(capsys, "predict", skill, *images, "--json")
    assert [len(row["predictions"]) for row in json.loads(out)] == [1] * 12
    assert run(capsys, "inspect", skill)[0] == 0
    code, _, err = run(capsys, "doctor", skill)
    assert (code, "answers something else than one label an image" in err) == (2, True)
    shelf = tmp_path / "library"
    assert run(capsys, "library", "init", shelf, "--encoder", "tiny")[0] == 0
    code, _, err = run(capsys, "library", "add", shelf, skill)
    assert (code, "serves skills of one label an image only" in err) == (2, True)
    code, _, err = run(capsys, "predict", skill, *images, "--unknown", "0.1")
    assert (code, "support set" in err) == (2, True)


def test_a_task_that_is_not_installed_is_named(grade, pictures, tmp_path, monkeypatch):
    source = table(pictures, "grades", "label", lambda i: 1 + i % 3)
    fit(source, task="grade").pack.save(tmp_path / "s")
    monkeypatch.delenv("HANDFUL_PLUGINS")
    with pytest.raises(PackError, match="needs the task 'grade', which is not installed here"):
        Pack.load(tmp_path / "s")
    with pytest.raises(UnknownNameError, match="no task named 'grade'"):
        fit(source, task="grade")


def test_a_skill_made_before_tasks_had_names_is_found():
    assert tasks.of_manifest({}) == "classify"
    assert tasks.of_manifest({"multi_label": {"thresholds": []}}) == "multi_label"
    assert tasks.of_manifest({"task": "grade"}) == "grade"


def test_contradicting_options_are_refused(pictures, tmp_path, capsys):
    source = table(pictures, "one", "label", lambda i: CLASSES[i % 3])
    options = ("--out", tmp_path / "s", "--multi-label", "--task", "classify")
    code, _, err = run(capsys, "fit", source, *options)
    assert (code, "--multi-label contradict each other" in err) == (2, True)
    code, _, err = run(capsys, "fit", source, "--out", tmp_path / "s", "--task", "nonsense")
    assert (code, "no task named 'nonsense'" in err) == (2, True)
