"""What `evaluate` shows."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console, _options

if TYPE_CHECKING:
    from handful.skills.evaluated import Evaluated

_SHARES = {
    "recall": "sensitivity",
    "specificity": "specificity",
    "precision": "PPV",
    "npv": "NPV",
}
_MEANING = (
    "Sensitivity (recall): of the photos of a class, how many it finds. Specificity: of the "
    "others, how many it leaves alone. PPV (precision), NPV: how often its yes, its no is right. "
    "In %, with 95 % intervals."
)


def cross_validate(
    skill: Path | None,
    images: Path,
    folds: int,
    seed: int,
    recipe: Mapping[str, Any],
    options: dict[str, Any],
) -> Evaluated:
    """`--cv`: by the recipe of a skill, or by the options of `fit`.

    Args:
        skill: to take the recipe from, if any.
        images: labelled photos.
        folds: how many.
        seed: of the folds.
        recipe: `method`, `params`, `templates`, `words`, `task` as they were typed.
        options: further arguments of `handful.skills.cross_validate`.
    """
    from handful.encoders import prompts
    from handful.skills.cross_validate import cross_validate as run
    from handful.skills.recipe import Recipe

    if skill is not None:
        return run(images, folds, skill=skill, seed=seed, **options)
    options["encoder"] = options["encoder"] or os.environ.get("HANDFUL_ENCODER") or _options.ENCODER
    how = Recipe(
        task=recipe["task"],
        method=recipe["method"],
        params=_options.read_params(recipe["params"]),
        templates=recipe["templates"] or prompts.DEFAULT,
        words=_options.read_classes(recipe["words"]),
        seed=seed,
    )
    return run(images, folds, recipe=how, seed=seed, **options)


def show(done: Evaluated, *, full: bool) -> None:
    """The numbers of the task, and what was asked for."""
    if done.transductive:
        _console.echo(
            f"{done.transductive['note']}. Do not compare these numbers with those of a skill as "
            "it is."
        )
    _console.echo_parts(done.task.evaluation_summary(done.result))
    if baseline := _baseline(done.result):
        _console.echo_text(baseline)
    if done.confidence:
        _show_confidence(done.confidence)
    if done.unknown:
        _show_unknown(done.unknown)
    _show_more(done, full=full)


def _baseline(result: Any) -> str:
    """What answers without looking would get right; "" for several labels an image."""
    from handful import metrics
    from handful.metrics import words

    if not isinstance(result, metrics.Evaluation):
        return ""
    counts = {name: int(row["support"]) for name, row in result.per_class.items()}
    share, said = words.guessing(counts)
    said = said[:1].upper() + said[1:]
    if result.interval is None or not result.interval[0] <= share:
        return f"{said}."
    name = max(counts, key=lambda one: counts[one])
    chance = share == 1 / len(counts)
    always = "guessing" if chance else f"always answering {name}"
    if result.interval[1] < share:
        return f"That is worse than {always}, which would be right on {100 * share:.1f} %."
    return (
        f"{always[:1].upper()}{always[1:]} would be right on {100 * share:.1f} %: these photos do "
        "not show that the skill is better; more of them may tell."
    )


def _show_unknown(found: Mapping[str, Any]) -> None:
    """How well images of no class are recognised: one number, and both errors at each rate."""
    if "cannot" in found:  # the reason why the skill has no detector
        _console.echo_text(str(found["cannot"]))
        return
    _console.echo_text(
        f"{found['unknown']} images of no class: of one of them and one of a class, it takes the "
        f"right one for known {100 * found['auroc']:.0f} % of the time (AUROC "
        f"{found['auroc']:.3f})."
    )
    rows = [
        [
            f"{float(rate):g}",
            *(f"{100 * errors[key]:.1f}" for key in ("false_accept", "false_reject")),
        ]
        for rate, errors in found["at"].items()
    ]
    headers = ["--unknown", "taken for a class, %", "wrongly unknown, %"]
    _console.echo_table(headers, rows, right=[0, 1, 2])


def _show_confidence(found: Mapping[str, Any]) -> None:
    """How far its probabilities can be believed, and how often sets miss the class."""
    from handful import metrics

    _console.echo_text(metrics.calibration_in_words(found["bins"]["ece"], found["ece"]) + ".")
    sets = {rate: row for rate, row in found["sets"].items() if "cannot" not in row}
    if not sets:  # one reason holds for all of them, and the highest rate has the mildest
        _console.echo_text(next(iter(found["sets"].values()))["cannot"])
        return
    rows = [
        [f"{float(rate):g}", f"{100 * (1 - row['coverage']):.1f}", f"{row['size']:.2f}"]
        for rate, row in sets.items()
    ]
    headers = ["--error", "sets that miss the class, %", "classes in a set"]
    _console.echo_table(headers, rows, right=[0, 1, 2])


def _show_more(done: Evaluated, *, full: bool) -> None:
    """What was asked for: all rates of the classes, operating points, subgroups."""
    if full:
        _show_rates(done)
    _show_points(done)
    for column, values in done.subgroups.items():
        _show_subgroup(column, values)


def _show_rates(done: Evaluated) -> None:
    rows = [
        [name, *(_share(row, rate) for rate in _SHARES), _area(done, name)]
        for name, row in done.result.per_class.items()
    ]
    headers = ["class", *_SHARES.values(), "AUROC"]
    _console.echo_table(headers, rows, right=range(1, len(headers)))
    _console.echo_text(_MEANING)
    if done.confidence:
        _console.echo_text(
            f"Brier score {done.confidence['brier']:.3f} (0 at best, 2 at worst), NLL "
            f"{done.confidence['nll']:.3f}, ECE {done.confidence['ece']:.3f}"
        )


def _show_points(done: Evaluated) -> None:
    for point in done.operating_points:
        groups = ""
        if point.support_units < point.support_images:
            groups = f" in {point.support_units} groups"
        rates = ", ".join(f"{name} {_share(point.measured, key)}" for key, name in _SHARES.items())
        _console.echo_text(
            f"{point.asked}: {point.asked.of} from a probability of {point.threshold:.4g} on, by "
            f"{point.support_images} left-out support images{groups}. On these photos: {rates}, "
            "in % with 95 % intervals."
        )


def _show_subgroup(column: str, values: Any) -> None:
    rows = [
        [value, str(row["count"]), str(row["units"]), _percent(row["accuracy"], row["interval"])]
        for value, row in values.items()
    ]
    headers = [column, "images", "groups", "accuracy, %"]
    _console.echo_table(headers, rows, right=[1, 2, 3])


def _share(row: Any, rate: str) -> str:
    """`83 (70-92)`; a dash where nothing is counted."""
    if math.isnan(row[rate]):
        return "-"
    return _percent(row[rate], row["intervals"][rate])


def _area(done: Evaluated, name: str) -> str:
    row = done.areas["per_class"][name] if done.areas else {"auroc": None}
    return "-" if row["auroc"] is None else f"{row['auroc']:.3f}"


def _percent(value: float, interval: Sequence[float] | None) -> str:
    ends = "" if interval is None else f" ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})"
    return f"{100 * value:.0f}{ends}"
