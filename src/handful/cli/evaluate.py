"""`handful evaluate`: how good a skill is on labelled images it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _measured, _multilabel, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.evaluate import Evaluated


def run(
    skill: _options.Skill,
    images: _options.Images,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for confusion.png, reliability.png and evaluation.json."),
    ] = None,
    encoder: _options.OtherEncoder = None,
    keep_leaks: Annotated[
        bool, typer.Option(help="Count images of the skill's own support set too.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Write the numbers into the skill and onto its card.")
    ] = False,
    as_json: _options.Json = False,
) -> int:
    """Measure a skill on labelled photos."""
    from handful import report
    from handful.packs import multi
    from handful.skills import evaluate

    if keep_leaks and record:
        raise InputError(
            "--record with --keep-leaks would write numbers on images the skill was taught with "
            "onto its card; leave one of the two out"
        )
    if out is not None:
        report.check_folder(out)
    if multi.says_so(skill):
        return _multilabel.evaluate(
            skill,
            images,
            out=out,
            encoder=encoder,
            keep_leaks=keep_leaks,
            record=record,
            as_json=as_json,
        )
    with _console.progress("encoding") as progress:
        done = evaluate.evaluate(
            skill, images, encoder=encoder, keep_leaks=keep_leaks, progress=progress
        )
    answer = {
        **_measured.answer(done),
        **({"unknown": dict(done.unknown)} if done.unknown else {}),
        **({"confidence": dict(done.confidence)} if done.confidence else {}),
        "ignored": dict(done.ignored),
    }
    if as_json:
        _console.say_json(answer)
    else:
        _show(done)
    if out is not None:
        report.save(answer, out / "evaluation.json")
        path = report.save(report.confusion_figure(done.result), out / "confusion.png")
        beside = "evaluation.json"
        if done.confidence:
            report.save(report.reliability_figure(done.confidence), out / "reliability.png")
            beside = "reliability.png and evaluation.json"
        _console.complain(f"wrote {path} and {beside} beside it")
    if record:
        _measured.record(skill, images, answer)
    _measured.tell_leaks(done.leaks, kept=keep_leaks)
    _console.tell_ignored(done.ignored)
    return _console.report_failures(done.failures)


def _show(done: Evaluated) -> None:
    result = done.result
    rows = [
        [name, f"{c['precision']:.3f}", f"{c['recall']:.3f}", f"{c['f1']:.3f}", str(c["support"])]
        for name, c in result.per_class.items()
    ]
    headers = ["class", "precision", "recall", "F1", "images"]
    _console.say_table(_console.table(headers, rows, right=[1, 2, 3, 4]))
    low, high = result.interval
    _console.say(
        f"accuracy {100 * result.accuracy:.2f} % "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f}), "
        f"macro-F1 {result.macro_f1:.3f}, {result.count} images"
    )
    if done.confidence:
        _show_confidence(done.confidence)
    if done.unknown and "cannot" in done.unknown:
        _console.say(str(done.unknown["cannot"]))
    elif done.unknown:
        _console.say(
            f"{done.unknown['unknown']} images of no class: told from the others with "
            f"AUROC {done.unknown['auroc']:.3f}"
        )
        rows = [
            [rate, *(f"{100 * found[key]:.1f}" for key in ("false_accept", "false_reject"))]
            for rate, found in done.unknown["at"].items()
        ]
        headers = ["asked for", "taken for a class, %", "wrongly unknown, %"]
        _console.say_table(_console.table(headers, rows, right=[0, 1, 2]))


def _show_confidence(found: Mapping[str, Any]) -> None:
    _console.say(
        f"calibration error (ECE, 15 bins) {100 * found['ece']:.1f} %, "
        f"{100 * found['ece_uncalibrated']:.1f} % of the method's own scores"
    )
    sets = {rate: row for rate, row in found["sets"].items() if "cannot" not in row}
    if not sets:  # one reason holds for all of them, and the highest rate has the mildest
        _console.say(next(iter(found["sets"].values()))["cannot"])
        return
    rows = [
        [f"{100 * float(rate):g}", f"{100 * (1 - row['coverage']):.1f}", f"{row['size']:.2f}"]
        for rate, row in sets.items()
    ]
    headers = ["error asked for, %", "sets without the class, %", "classes in a set"]
    _console.say_table(_console.table(headers, rows, right=[0, 1, 2]))
