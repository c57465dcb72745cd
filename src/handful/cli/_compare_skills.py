"""`handful compare SKILL_A SKILL_B PHOTOS`: two skills on the same photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console, _evaluation_files, _paths, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from typer import Context

    from handful.skills.compare_skills import SkillComparison

_ENOUGH = 0.05  # a difference is called one where chance makes as large a one more rarely


def is_skill(path: Path) -> bool:
    """Whether a path is a skill rather than photos: by its files, nothing is read."""
    return path.suffix == ".skill" or (path / "pack.json").is_file()


def refuse_idle(options: Mapping[str, Any]) -> None:
    """Refuse options of the other use of the command.

    Raises:
        InputError: naming the first that was given.
    """
    for option, given in options.items():
        if given:
            raise InputError(
                f"{option} is for comparing methods, and a skill was named; leave it out"
            )


def refuse_typed(context: Context, options: Mapping[str, str]) -> None:
    """The same of options that have a value also where nobody typed one.

    Args:
        context: of the command.
        options: parameter of the command to what users type.
    """
    refuse_idle(
        {
            option: (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
            for name, option in options.items()
        }
    )


def run(paths: Sequence[Path], out: Path | None, *, as_json: bool, **options: Any) -> int:
    """Compare, show and write; the arguments are those of the command.

    Raises:
        InputError: other than two skills and photos.
    """
    from handful import report
    from handful.skills.compare_skills import compare_skills, names_of

    if len(paths) != 3 or is_skill(paths[2]):
        raise InputError(
            "two skills and photos are compared as: handful compare SKILL_A SKILL_B PHOTOS; got "
            f"{' '.join(map(str, paths))}"
        )
    first, second = (_paths.existing_skill(path) for path in paths[:2])
    images = _paths.existing_images(paths[2])
    if out is not None:
        _evaluation_files.check_out(out)
    with _console.progress("encoding") as progress:
        result = compare_skills(first, second, images, progress=progress, **options)
    names = names_of(paths[:2])
    if as_json:
        _console.echo_json(result.as_dict())
    else:
        show(result, names)
    if out is not None:
        written = report.save(_table(result, names), out / "answers.csv")
        report.save(result.as_dict(), out / "comparison.json")
        _console.echo_err(f"wrote {written}, beside it comparison.json")
    what = "of the photos taught one of the skills, or are of its groups"
    _results.report_left_out(result.only_one, what, "left out for both")
    for note in result.notes:
        _console.echo_err(note)
    return _console.report_failures(result.failures, result.ignored)


def show(result: SkillComparison, names: Sequence[str]) -> None:
    """Both accuracies, on which photos they differ, and whether that may be chance."""
    found = result.difference
    rows = [
        [name, f"{100 * share:.2f}", _ends(interval, 1), str(alone)]
        for name, share, interval, alone in zip(
            names, result.accuracies, result.intervals, (found.first, found.second), strict=True
        )
    ]
    headers = ["skill", "accuracy, %", "95 % interval", "only it is right"]
    _console.echo_table(headers, rows, right=[1, 2, 3])
    count = len(result.answers[0])
    groups = f" in {found.units} groups" if found.units < count else ""
    _console.echo_text(
        f"{count} photos{groups}; both are right on {found.both}, neither on {found.neither}."
    )
    better, points = names[found.difference > 0], 100 * abs(found.difference)
    sign = 1 if found.difference > 0 else -1
    if not found.difference:
        _console.echo_text(f"They are right equally often ({_p(found.p, found.method)}).")
        return
    verdict = (
        "more than chance explains"
        if found.p < _ENOUGH
        else "which may be chance; more photos would tell"
    )
    _console.echo_text(
        f"{better} is right on {points:.2f} points more (95 % interval "
        f"{_ends(found.interval, sign)}), {verdict} ({_p(found.p, found.method)})."
    )


def _ends(interval: tuple[float, float] | None, sign: int) -> str:
    if interval is None:
        return "not known"
    low, high = sorted(sign * 100 * end for end in interval)
    return f"{low:.2f} to {high:.2f}"


def _p(value: float, method: str) -> str:
    return f"p {'< 0.001' if value < 0.001 else f'= {value:.3f}'}, {method}"


def _table(result: SkillComparison, names: Sequence[str]) -> str:
    """`answers.csv`: a row a photo, the answer of each skill."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    a, b = result.answers
    heads = [f"{what}:{name}" for name in names for what in ("answer", "right", "score")]
    facts = [f"digest:{name}" for name in names]
    writer.writerow(["file", "group", "truth", *heads, *facts, "handful"])
    digests = [one.facts["skill"]["digest"][:12] for one in result.evaluated]
    version = result.evaluated[0].facts["handful"]
    for i, name in enumerate(a.names):
        cells = [
            cell
            for one in (a, b)
            for cell in (
                one.answer_labels[i],
                "yes" if one.right[i] else "no",
                f"{one.probabilities[i].max():.6f}" if one.exclusive else "",
            )
        ]
        writer.writerow([name, a.groups[i], a.labels[i], *cells, *digests, version])
    return text.getvalue()
