"""report.html: the numbers, escaped, in one file; and what its figures show."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from commands import run
from handful import metrics, report
from handful.packs import figures
from handful.report.fonts import use_fonts
from handful.skills.answers import Answers
from handful.skills.evaluation_figures import figures_of
from handful.skills.evaluation_report import report_page
from handful.skills.measure import with_details
from handful.skills.mistakes import surest_mistakes

ODD = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Tags, texts and addresses; every tag that opens has to close."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """Two classes with odd names, drawn so that some answers are wrong."""
    root = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        kind = i % 2
        # a slash cannot be in a file's name; all else of the tag can
        path = root / f"{ODD.replace('/', '')}{i}.png"
        shade = rng.normal(110 + 40 * kind, 40)
        pixels = np.clip(rng.normal(shade, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        rows.append((path, (ODD, "猫 & dog")[kind]))
    fitted = handful.fit(rows[:12])
    return fitted.evaluate(rows[12:], at=(f"sensitivity 0.8 of {ODD}",))


def test_one_file_with_escaped_names_and_no_network(done):
    text = report_page(done)
    page = Page(text)
    assert "script" not in page.tags
    assert any(ODD in text for text in page.texts)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"https?://|@import|url\(", re.sub(r'src="[^"]*"', "", text))
    assert len(text) < 5_000_000


def test_the_numbers_are_those_of_the_evaluation(done):
    texts = Page(report_page(done)).texts
    assert f"{100 * done.result.accuracy:.1f} %" in texts
    row = done.result.per_class[ODD]
    for rate in metrics.RATES:
        assert f"{100 * row[rate]:.1f} %" in texts
    assert done.facts["skill"]["digest"] in texts
    assert done.facts["data"]["digest"] in texts
    assert f"At sensitivity 0.8 of {ODD}" in texts


def test_photos_of_mistakes_carry_no_metadata_and_can_be_left_out(done):
    wrong = int((~done.answers.right).sum())
    assert wrong, "the fixture is to have mistakes"
    shown = [a for a in Page(report_page(done)).addresses if a.startswith("data:image/jpeg")]
    assert len(shown) == min(wrong, 24)
    for address in shown:
        picture = Image.open(BytesIO(base64.b64decode(address.partition(",")[2])))
        assert not picture.getexif()
        assert max(picture.size) <= 320
    without = Page(report_page(done, photos=False))
    assert not [a for a in without.addresses if a.startswith("data:image/jpeg")]
    assert "no picture" not in without.texts  # names alone, without empty boxes
    assert without.tags.count("figcaption") == min(wrong, 24)


def test_a_photo_that_is_gone_leaves_its_name(done):
    gone = replace(done.answers, names=tuple(f"gone/{i}.png" for i in range(len(done.answers))))
    texts = Page(report_page(replace(done, answers=gone))).texts
    assert "no picture" in texts


def test_without_mistakes_there_is_no_gallery(done):
    right = np.eye(2, dtype=np.float32)[done.answers.targets]
    page = Page(report_page(replace(done, answers=replace(done.answers, probabilities=right))))
    assert "The surest mistakes" not in page.texts


def test_the_surest_mistakes_come_first_and_one_of_a_group():
    answers = Answers(
        tuple("abcde"),
        ("p", "p", "", "q", ""),
        tuple("12345"),
        np.array([0, 0, 0, 0, 1]),
        np.array([[0.2, 0.8], [0.1, 0.9], [0.4, 0.6], [0.9, 0.1], [0.3, 0.7]], np.float32),
        ("x", "y"),
    )
    found = surest_mistakes(answers, 9)
    assert [(m.name, m.truth, m.answer) for m in found] == [("b", "x", "y"), ("c", "x", "y")]
    assert [m.name for m in surest_mistakes(answers, 1)] == ["b"]


def test_figures_say_what_was_measured(done):
    found = figures_of(done)
    assert [*found] == ["confusion", "curves", "reliability"]
    assert f"of {done.result.count} images right" in found["confusion"].axes[0].get_title("left")
    (_, precision) = found["curves"].axes
    labels = [text.get_text() for text in found["curves"].legends[0].get_texts()]
    assert any(label.startswith("sensitivity 0.") for label in labels)
    assert len([line for line in precision.lines if line.get_marker() == "*"]) == 1


def test_reliability_counts_and_intervals():
    bins = [
        {"from": 0.0, "to": 0.5, "count": 4, "confidence": 0.4, "accuracy": 0.5}
        | {"interval": [0.2, 0.9]},
        {"from": 0.5, "to": 1.0, "count": 6, "confidence": 0.9, "accuracy": 1.0}
        | {"interval": None},
    ]
    own = [bins[0] | {"confidence": 0.3}, bins[1]]
    told = {"ece": 0.1, "ece_uncalibrated": 0.2, "bins": {"ece": bins, "ece_uncalibrated": own}}
    above, below = report.reliability_figure(told).axes
    assert [text.get_text() for text in below.texts] == ["4", "6"]
    assert len(above.containers) == 2  # both curves, each with its bars
    known, unknown = above.containers[0].lines[2][0].get_segments()
    assert known[:, 1] == pytest.approx([0.2, 0.9])  # of the bin, not of its number of answers
    assert not len(unknown)
    assert "95 % intervals" in below.get_xlabel()
    same = told | {"bins": {"ece": bins, "ece_uncalibrated": bins}}
    assert len(report.reliability_figure(same).axes[0].containers) == 1


def test_letters_that_no_font_has_are_escaped_on_axes_and_in_texts(tmp_path: Path):
    letter = "\U0002f801"  # a rare ideograph
    figure = report.matrix_figure(np.array([[1, 0], [0, 1]]), [f"a{letter}", "Ω"], f"t{letter}")
    use_fonts(figure)
    axes = figure.axes[0]
    shown = [label.get_text() for label in axes.get_xticklabels()]
    if letter in shown[0]:
        pytest.skip("a font of this machine has the letter")
    assert shown == ["a\\U0002f801", "Ω"]
    assert axes.get_title("left") == "t\\U0002f801"


def test_the_command_writes_the_page(capsys, photos, tmp_path):
    skill = tmp_path / "skill"
    run(capsys, "fit", photos, "--out", skill)
    code, _, err = run(
        capsys, "evaluate", skill, photos, "--out", tmp_path / "report", "--no-photos"
    )
    assert code == 0
    Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert "report.html" in err


def test_several_labels_an_image_have_a_page(done):
    truth = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    given = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=bool)
    answers = Answers(
        *(tuple("abcd"), ("",) * 4, tuple("1234"), truth),
        *(np.where(given, 0.9, 0.1).astype(np.float32), ("red", "blue"), {}, given),
    )
    result = metrics.evaluate_multi_label(given, truth, answers.classes)
    several = replace(done, result=result, answers=answers, confidence=None, operating_points=())
    texts = Page(report_page(with_details(several, np.arange(4)))).texts
    assert "75.0 %" in texts
    assert any(text.startswith("with all labels right") for text in texts)


def test_photos_that_taught_the_skill_are_not_called_unseen(done):
    options = done.facts["options"] | {"keep_leaks": True}
    kept = replace(done, leaks=("a.png",), facts=done.facts | {"options": options})
    texts = " ".join(Page(report_page(kept)).texts)
    assert "that are not among its support photos" not in texts
    assert "1 of the photos taught the skill" in texts
    assert "that are not among its support photos" in " ".join(Page(report_page(done)).texts)


def test_a_page_of_a_cross_validation_says_so(done):
    answers = replace(done.answers, folds=(1, 2, 3) * (len(done.answers) // 3))
    facts = done.facts | {"skill": {"name": "", "digest": "", "method": "auto", "encoder": "photo"}}
    texts = Page(report_page(replace(done, answers=answers, facts=facts))).texts
    assert any(text.startswith("Cross-validation on") for text in texts)
    assert any("3 folds" in text for text in texts)


def test_groups_of_each_class_are_counted(done):
    groups = tuple("p" if i < 6 else "" for i in range(len(done.answers)))
    texts = Page(report_page(replace(done, answers=replace(done.answers, groups=groups)))).texts
    row = texts[texts.index("groups") :]
    counts = row[row.index(ODD) + 1 :]
    rows = np.flatnonzero(done.answers.targets == 0)
    own = [groups[i] for i in rows]
    assert [text for text in counts if text][:2] == [
        str(len(rows)),
        str(len({"p"} & {*own}) + own.count("")),
    ]


def test_large_matrices_have_the_share_right_beside_the_class():
    figure = report.matrix_figure(np.diag([3] * 20) + np.eye(20, k=1, dtype=int), list("ab") * 10)
    first = figure.axes[0].get_yticklabels()[0].get_text()
    assert first == "a  (4, 75 %)"
    small = report.matrix_figure(np.array([[3, 1], [0, 2]]), ["a", "b"])
    assert [text.get_text() for text in small.axes[0].texts] == ["3\n75 %", "1\n25 %", "2\n100 %"]


def test_both_areas_stand_in_the_legend(done):
    area = done.areas["per_class"][ODD]
    shown = [text.get_text() for text in figures_of(done)["curves"].legends[0].get_texts()]
    wanted = f"AUC {area['auroc']:.2f}, AP {area['average_precision']:.2f}"
    assert any(text.endswith(wanted) for text in shown)


def test_of_many_classes_the_others_are_right_only_where_they_are():
    truth = np.zeros((50, 50), dtype=np.int64)
    truth[np.arange(50), np.arange(50)] = 2
    truth[48, 49] = truth[49, 48] = 1  # two of the others, taken for one another
    truth[:39, 0] += 3  # the classes with most mistakes
    matrix, names = figures.shown(truth, [str(i) for i in range(50)])
    others = matrix[-1]
    assert (others[-2], others[-1]) == (truth[39:, 39:].trace(), 2)
    assert matrix.sum() == truth.sum()
    assert len(names) == matrix.shape[1] == 41
    drawn = report.matrix_figure(matrix, names)
    assert len(drawn.axes[0].get_yticklabels()) == 40
