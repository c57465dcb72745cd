"""`handful evaluate`: how good a skill is on labelled images it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _evaluation, _options, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.evaluated import Evaluated


def run(
    skill: _options.Skill,
    images: _options.Images,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json, answers.csv and the figures."),
    ] = None,
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
    as_json: _options.Json = False,
) -> int:
    """Measure a skill on labelled photos."""
    # Over 60 lines for its options alone, which typer reads from the signature.
    # long, for every option of the command is declared with its help
    from handful import report
    from handful.skills.evaluate import evaluate

    _check(keep_leaks=keep_leaks, record=record, pool=pool)
    if out is not None:
        report.check_folder(out)
    with _console.progress("encoding") as progress:
        done = evaluate(
            skill,
            images,
            encoder=encoder,
            precision=precision,
            device=device,
            keep_leaks=keep_leaks,
            pool=pool,
            group_by=group_by,
            at=at or (),
            by=by or (),
            progress=progress,
        )
    if as_json:
        _console.echo_json(done.as_dict())
    else:
        _show(done)
        _evaluation.show_more(done, full=full)
    if out is not None:
        _evaluation.write(done, out, by or ())
    if record:
        _record(skill, images, done.as_dict())
    _report_left_out(done, keep_leaks=keep_leaks)
    return _console.report_failures(done.failures, done.ignored)


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
    for names, what, how in (
        (done.leaks, "test images are also in the support set, byte for byte", treated),
        (done.in_pool, "test images helped to teach the skill without their labels", treated),
        (done.repeated, "test images are byte for byte another one", "each picture counts once"),
        (done.contradictory, "test images are one picture with different labels", "left out"),
    ):
        _results.report_left_out(names, what, how)
    for note in done.notes:
        _console.echo_err(note)


_NOT_RECORDED = {"failures", "repeated", "contradictory"}  # names of files stay here


def _record(skill: Path, images: Path, answer: Mapping[str, Any]) -> None:
    """Write the numbers into the skill; names of files stay here."""
    from handful.packs import Pack

    facts = {key: value for key, value in answer.items() if key not in _NOT_RECORDED}
    facts |= {"dataset": images.resolve().name, "leaks": len(answer["leaks"])}
    Pack.load(skill).with_evaluation(facts).save(skill, overwrite=True)
    _console.echo_err(f"wrote the numbers into {skill}")


def _show(done: Evaluated) -> None:
    if done.transductive:
        _console.echo(
            f"{done.transductive['note']}. Do not compare these numbers with those of a skill as "
            "it is."
        )
    _console.echo_parts(done.task.evaluation_summary(done.result))
    if done.confidence:
        _show_confidence(done.confidence)
    if done.unknown:
        _show_unknown(done.unknown)


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
