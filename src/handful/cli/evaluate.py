"""`handful evaluate`: how good a skill is on labelled images it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _options, _results
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
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
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
    from handful import report
    from handful.skills.evaluate import evaluate

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
            progress=progress,
        )
    answer = _answer(done)
    if as_json:
        _console.echo_json(answer)
    else:
        _show(done)
    if out is not None:
        _write(done, answer, out)
    if record:
        _record(skill, images, answer)
    _report_left_out(done, keep_leaks=keep_leaks)
    return _console.report_failures(done.failures, done.ignored)


def _report_left_out(done: Evaluated, *, keep_leaks: bool) -> None:
    """Name the test images that taught the skill."""
    treated = "counted all the same" if keep_leaks else "left out"
    for names, what in (
        (done.leaks, "test images are also in the support set, byte for byte"),
        (done.in_pool, "test images helped to teach the skill without their labels"),
    ):
        _results.report_left_out(names, what, treated)


def _answer(done: Evaluated) -> dict[str, Any]:
    """The numbers and what was left out of them, for JSON."""
    return {
        **done.result.as_dict(),
        **({"transductive": dict(done.transductive)} if done.transductive else {}),
        "leaks": list(done.leaks),
        **({"in_pool": list(done.in_pool)} if done.in_pool else {}),
        "failed": len(done.failures),
        "failures": _console.failures_json(done.failures),
        **({"unknown": dict(done.unknown)} if done.unknown else {}),
        **({"confidence": dict(done.confidence)} if done.confidence else {}),
        "ignored": dict(done.ignored),
    }


def _write(done: Evaluated, answer: Mapping[str, Any], out: Path) -> None:
    """The figures that the numbers allow, and the numbers."""
    from handful import metrics, report

    written = []
    if isinstance(done.result, metrics.Evaluation):
        figure = report.confusion_figure(done.result)
        if done.transductive:
            figure.suptitle("transductive: fitted with the test photos, without their labels")
        written.append(report.save(figure, out / "confusion.png"))
    if done.confidence:
        figure = report.reliability_figure(done.confidence)
        written.append(report.save(figure, out / "reliability.png"))
    first, *others = [*written, report.save(answer, out / "evaluation.json")]
    beside = " and ".join(path.name for path in others)
    _console.echo_err(f"wrote {first}" + (f" and {beside} beside it" if beside else ""))


def _record(skill: Path, images: Path, answer: Mapping[str, Any]) -> None:
    """Write the numbers into the skill; names of files stay here."""
    from handful.packs import Pack

    facts = {key: value for key, value in answer.items() if key != "failures"}
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
