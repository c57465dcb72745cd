"""`handful evaluate`: how good a skill is on labelled images it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _evaluation, _evaluation_files, _options, _paths, _results, _task
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.evaluated import Evaluated


def run(
    skill: Annotated[
        Path,
        typer.Argument(
            help="A skill: its folder, or one .skill file. With --cv the photos may stand here."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Argument(help="A folder per class, a table, or a split file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, its figures, answers.csv, evaluation.json."),
    ] = None,
    no_photos: Annotated[
        bool, typer.Option("--no-photos", help="Leave photos out of report.html.")
    ] = False,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="An operating point, chosen on the support set: 'sensitivity 0.95 of sick'; "
            "repeatable."
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(help="A column of the table: numbers for each of its values; repeatable."),
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            "--group-by",
            "--group",
            help="Photos that belong together, which intervals count once: auto (as stated), none, "
            "parent, 60s, a pattern on names, a column.",
        ),
    ] = "auto",
    cv: Annotated[
        int | None,
        typer.Option(
            "--cv",
            min=2,
            help="Where there are no further photos: cross-validation in so many folds of whole "
            "groups. Takes the skill's method, or --method on photos alone.",
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="With --cv and photos alone; default auto.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="With --cv and photos alone: what is asked, as for fit.")
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="The same of several labels a photo.")
    ] = False,
    param: Annotated[
        list[str] | None, typer.Option(help="With --cv: an argument of the method; repeatable.")
    ] = None,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds of --cv.")] = 0,
    full: Annotated[
        bool,
        typer.Option("--full", help="Show sensitivity, specificity, PPV, NPV and areas as well."),
    ] = False,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    keep_leaks: Annotated[
        bool, typer.Option(help="Count images of the skill's own support set too.")
    ] = False,
    pool: Annotated[
        bool,
        typer.Option(
            "--pool",
            help="Fit it anew with the test photos as unlabelled ones: transductive numbers.",
        ),
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Write the numbers into the skill and onto its card.")
    ] = False,
    excel: _options.Excel = False,
    separator: _options.Separator = None,
    as_json: _options.Json = False,
) -> int:
    """Measure a skill on labelled photos."""
    # Over 60 lines for its options alone, which typer reads from the signature.
    recipe: dict[str, Any] = {
        "method": method,
        "params": param,
        "templates": template,
        "words": classes,
    }
    recipe["task"] = _task.read_task(task, method, multi_label=multi_label)
    places = _places(skill, images, cv, recipe)  # before imports that take a second
    from handful.skills.evaluate import evaluate

    _check(keep_leaks=keep_leaks, record=record, pool=pool)
    if cv is not None:
        _check_cv(at=at, keep_leaks=keep_leaks, record=record, pool=pool)
    spelling = _spelling(out, excel=excel, separator=separator)
    if out is not None:
        _evaluation_files.check_out(out)
        _paths.warn_inside(out, places[1])
    options: dict[str, Any] = {"group_by": group_by, "by": by or ()}
    options |= {"encoder": encoder, "precision": precision, "device": device}
    with _console.progress("encoding") as progress:
        options["progress"] = progress
        if cv is not None:
            done = _evaluation.cross_validate(*places, cv, seed, recipe, options)
        else:
            options |= {"keep_leaks": keep_leaks, "pool": pool, "at": at or ()}
            done = evaluate(skill, places[1], **options)
    if as_json:
        _console.echo_json(done.as_dict())
    else:
        _evaluation.show(done, full=full)
    if out is not None:
        _evaluation_files.write(done, out, by or (), photos=not no_photos, spelling=spelling)
    if record:
        _record(*places, done.as_dict())
    _report_left_out(done, keep_leaks=keep_leaks)
    return _console.report_failures(done.failures, done.ignored)


def _places(
    first: Path, second: Path | None, cv: int | None, recipe: Mapping[str, Any]
) -> tuple[Path | None, Path]:
    """The skill and the photos; refused where one is missing, before anything slow is imported."""
    given = [f"--{name}" for name, value in zip(_RECIPE, recipe.values(), strict=True) if value]
    if given and (cv is None or second is not None):
        raise InputError(
            f"{given[0]} is how the folds of --cv are taught where no skill is named, and a skill "
            "states its own; leave one of the two out"
        )
    if second is not None:
        return _paths.existing_skill(first), _paths.existing_images(second)
    if cv is None:
        raise InputError(
            f"name the photos after the skill: handful evaluate {first} FOLDER; or, where there "
            "are no further photos, cross-validate: handful evaluate FOLDER --cv 5"
        )
    return None, _paths.existing_images(first)


_RECIPE = ("method", "param", "template", "classes", "task")


def _check_cv(*, at: list[str] | None, keep_leaks: bool, record: bool, pool: bool) -> None:
    """Refuse what has no meaning where every fold has a skill of its own."""
    given = {"--at": at, "--keep-leaks": keep_leaks, "--record": record, "--pool": pool}
    for option, value in given.items():
        if value:
            raise InputError(
                f"{option} with --cv: every fold is answered by a skill of its own, which is not "
                "the one that is used later; leave one of the two out"
            )


def _spelling(out: Path | None, *, excel: bool, separator: str | None) -> dict[str, Any]:
    """How answers.csv is spelled.

    Raises:
        InputError: nothing is written; a separator that is not one letter.
    """
    from handful.skills import outputs

    if out is None and (excel or separator is not None):
        raise InputError("--excel and --separator are about answers.csv; add --out FOLDER")
    spelling = {"excel": excel, "separator": _options.read_separator(separator)}
    outputs.get("csv", **spelling)  # refused before the work
    return spelling


def _check(*, keep_leaks: bool, record: bool, pool: bool) -> None:
    """Refuse options that contradict each other."""
    if keep_leaks and record:
        raise InputError(
            "--record with --keep-leaks would write numbers on images the skill was taught with "
            "onto its card; leave one of the two out"
        )
    if pool and (record or keep_leaks):
        option = "--record" if record else "--keep-leaks"
        raise InputError(
            f"--pool with {option}: numbers of a skill that was fitted anew with the test photos "
            "are not those of the skill as it is; leave one of the two out"
        )


def _report_left_out(done: Evaluated, *, keep_leaks: bool) -> None:
    """Name the test images that taught the skill, and those that count once or not at all."""
    treated = "counted all the same" if keep_leaks else "left out"
    groups = len(done.leaked_groups)
    of = f"of {groups} group{'s' * (groups > 1)} that the skill was taught with"
    for names, what, how in (
        (done.leaks, "also in the support set, byte for byte", treated),
        (done.group_leaks, of, treated),
        (done.in_pool, "among those that taught the skill without labels", treated),
        (done.repeated, "byte for byte another one", "each picture counts once"),
        (done.contradictory, "of a picture with different labels", "left out"),
    ):
        are = "test image is" if len(names) == 1 else "test images are"
        _results.report_left_out(names, f"{are} {what}", how)
    for note in done.notes:
        _console.echo_err(note)


# names of files and of patients stay here
_NOT_RECORDED = {"failures", "repeated", "contradictory", "leaked_groups"}


def _record(skill: Path | None, images: Path, answer: Mapping[str, Any]) -> None:
    """Write the numbers into the skill; names of files stay here."""
    from handful.packs import Pack

    if skill is None:  # refused by `_check_cv`
        return
    facts = {key: value for key, value in answer.items() if key not in _NOT_RECORDED}
    facts |= {"dataset": images.resolve().name, "leaks": len(answer["leaks"])}
    facts["group_leaks"] = len(answer["group_leaks"])
    Pack.load(skill).with_evaluation(facts).save(skill, overwrite=True)
    _console.echo_err(f"wrote the numbers into {skill}")
