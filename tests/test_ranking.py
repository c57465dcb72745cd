"""`compare`: the order of methods, what the draws cannot tell, and a figure that can be read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from handful import plugins
from handful.cli import compare as command
from handful.protocols import figures, markdown
from handful.protocols.compare import Comparison
from handful.protocols.methods import inductive_methods, title
from handful.protocols.ranking import LEVEL, explained, holm, rank
from handful.protocols.runner import Score


def scores(values: dict[str, list[float]], shots: tuple[int, ...] = (4,)) -> tuple[Score, ...]:
    """One accuracy a method and draw, a point more with every further shot count."""
    return tuple(
        Score(title(method), method, "t", "test", k, seed, value + i, 0.1, 100)
        for method, draws in values.items()
        for seed, value in enumerate(draws)
        for i, k in enumerate(shots)
    )


HARD = np.array([0.0, -9.0, 6.0, -4.0, 8.0])  # what a draw makes hard for all methods


def test_methods_are_sorted_and_what_a_paired_test_cannot_tell_is_marked():
    noise = np.array([0.5, -0.5, 1.0, -1.0, 0.2])
    (ranking,) = rank(
        scores(
            {
                "tip": list(60 + HARD + noise),
                "auto": list(70 + HARD),
                "gda": list(70.3 + HARD + 4 * noise),
            }
        )
    )
    assert [(row.method, row.place) for row in ranking.rows] == [
        ("gda", "best"), ("auto", "alike"), ("tip", "worse"),
    ]  # fmt: skip
    best, _, worst = ranking.rows
    # side by side the intervals of the worst and the best overlap; draw by draw they differ
    assert best.mean.accuracy - best.mean.interval < worst.mean.accuracy + worst.mean.interval


def test_p_values_are_those_of_scipys_paired_test():
    rng = np.random.default_rng(0)
    values = {
        m: list(70 + 5 * i + HARD + rng.normal(0, 2, 5)) for i, m in enumerate(("tip", "gda"))
    }
    (ranking,) = rank(scores(values))
    assert ranking.rows[1].p == pytest.approx(ttest_rel(values["gda"], values["tip"]).pvalue)


def test_holm_keeps_the_order_and_corrects_the_smallest_by_all():
    assert holm([0.04, None, 0.01]) == pytest.approx([0.04, None, 0.02], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_by_chance_alone_hardly_any_method_is_called_worse():
    rng = np.random.default_rng(1)
    names = inductive_methods()[:8]
    wrong = 0
    for _ in range(200):
        (ranking,) = rank(scores({name: list(70 + rng.normal(0, 3, 5)) for name in names}))
        wrong += any(row.place == "worse" for row in ranking.rows)
    # the best of eight is compared with the others, so 5 % is not exact
    assert wrong / 200 < 3 * LEVEL


def test_one_draw_and_equal_draws_tell_nothing():
    (one,) = rank(scores({"auto": [80.0], "tip": [50.0]}))
    assert [row.place for row in one.rows] == ["best", "alike"]
    assert "--seeds 10" in " ".join(explained(one))
    (equal,) = rank(scores({"auto": [80.0] * 3, "tip": [50.0] * 3}))
    assert [row.place for row in equal.rows] == ["best", "alike"]
    assert equal.rows[1].p is None


def test_the_advised_number_of_draws_would_tell():
    rng = np.random.default_rng(2)
    gap, spread = 2.0, 3.0
    noise = rng.normal(0, 1, 5)
    noise = spread * (noise - noise.mean()) / noise.std(ddof=1)
    (ranking,) = rank(scores({"auto": list(70 + HARD), "tip": list(70 - gap + HARD + noise)}))
    assert ranking.rows[1].place == "alike"
    needed = ranking.needed
    more = rng.normal(0, 1, needed)
    more = spread * (more - more.mean()) / more.std(ddof=1)
    base = list(70 + rng.normal(0, 6, needed))
    (told,) = rank(scores({"auto": base, "tip": list(np.array(base) - gap + more)}))
    assert told.rows[1].place == "worse"
    assert f"--seeds {needed}" in " ".join(explained(ranking))


def test_a_difference_that_no_number_of_draws_tells_is_said_to():
    (ranking,) = rank(scores({"auto": [70.0, 60.0, 80.0], "tip": [69.99, 61.0, 78.99]}))
    assert ranking.needed is None
    assert "take either" in " ".join(explained(ranking))


def test_the_smallest_difference_that_could_be_told_is_stated_and_is_the_limit():
    noise = np.array([8.0, -7.0, -1.0])
    draws = {"auto": list(70 + HARD[:3]), "tip": list(50 + 2 * noise + HARD[:3])}
    (few,) = rank(scores(draws))
    assert few.rows[1].place == "alike"  # 20 points, and 3 draws cannot tell
    assert few.least > 20
    assert f"{few.least:.1f} points" in " ".join(explained(few))
    for factor, place in ((0.99, "alike"), (1.01, "worse")):
        tip = 70 - factor * few.least + 2 * (noise - noise.mean()) + HARD[:3]
        (moved,) = rank(scores({"auto": draws["auto"], "tip": list(tip)}))
        assert moved.rows[1].place == place


def every_method(shots: tuple[int, ...]) -> Comparison:
    rng = np.random.default_rng(3)
    names = plugins.names("adapters")
    draws = {name: list(50 + 2 * i + rng.normal(0, 1, 3)) for i, name in enumerate(names)}
    return Comparison(scores(draws, shots), {"equal draws": [16]})


@pytest.mark.parametrize("shots", [(4,), (1, 2, 4, 8, 16), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)])
def test_no_colour_stands_for_two_things_and_six_are_enough(shots):
    axes = figures.comparison_figure(every_method(shots)).axes[0]
    colours = [tuple(part.lines[0].get_color()) for part in axes.containers]
    assert len(set(colours)) == len(colours) <= 6
    shown = [int(part.get_label()) for part in axes.containers]
    assert {shots[0], shots[-1]} <= set(shown)
    names = [text.get_text().split(" ")[0] for text in axes.get_yticklabels()]
    assert sorted(names) == sorted(plugins.names("adapters"))


def test_the_table_takes_eighty_columns_and_names_methods_as_the_option_does(capsys):
    command.show(every_method((1, 2, 4, 8, 16)))
    out = capsys.readouterr().out
    table = [line for line in out.splitlines() if "  " in line or "─" in line]
    assert max(len(line) for line in table) <= 80
    assert "lp_plus_plus" in out
    assert "paired t-test over the same draws" in out
    assert "every draw is the same images" in out


def test_the_report_has_the_order_of_the_screen():
    result = every_method((1, 4))
    text = markdown.comparison_markdown(result)
    order = [row.method for part in result.rankings for row in part.rows]
    places = [text.index(f"| `{name}` |") for name in order]
    assert places == sorted(places)
    assert [row["method"] for row in result.as_dict()["ranking"]] == order
