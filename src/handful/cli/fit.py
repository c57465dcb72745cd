"""`handful fit`: labelled images in, a skill out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _options, _paths, _results, _task, _tuning

if TYPE_CHECKING:
    from handful.skills.fitted import Fitted
    from handful.tuners import Tuning


def run(
    images: _options.Images,
    out: Annotated[Path, typer.Option(help="Folder to write the skill to.")],
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    method: Annotated[
        str | None, typer.Option(help="Default auto, which chooses; see: handful methods.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What is asked: classify, multi_label, ...; by default as the data are."),
    ] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="Images a class; default all.")] = None,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    param: Annotated[
        list[str] | None, typer.Option(help="An argument of the method: alpha=2.0; repeatable.")
    ] = None,
    views: Annotated[int, typer.Option(min=1, help="Augmented views a support image.")] = 1,
    tuner: _options.TunerName = None,
    with_: _options.With = None,
    tune: _options.TuneParams = None,
    unlabelled: _options.Unlabelled = None,
    group_by: _options.GroupBy = "auto",
    on_conflict: _options.OnConflict = "refuse",
    checkpoint: _options.Checkpoint = None,
    log: _options.Log = None,
    seed: _options.Seed = 0,
    multi_label: Annotated[
        bool,
        typer.Option(
            "--multi-label", help="Photos show several classes or none; takes a table of labels."
        ),
    ] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Show how the method was chosen: its members, weights.")
    ] = False,
    overwrite: _options.Overwrite = False,
    as_json: _options.Json = False,
) -> int:
    """Teach a skill from a folder of labelled photos and save it."""
    # Over 60 lines for its options alone, which typer reads from the signature.
    from handful.encoders import prompts
    from handful.packs import novelty_words
    from handful.skills import fit
    from handful.skills.copies import check_on_conflict

    check_on_conflict(on_conflict)
    _options.check_output(out, overwrite=overwrite)  # before minutes of work, not after
    _paths.warn_inside(out, images)
    tuning = _tuning.read_tuning(tuner, with_, tune, unlabelled, checkpoint, log)
    task = _task.read_task(task, method, multi_label=multi_label)
    _check_tuning(tuning, task, template)
    began = time.perf_counter()
    with _console.training_progress("encoding") as (progress, live):
        fitted = fit.fit(
            images,
            task=task,
            encoder=encoder,
            precision=precision,
            device=device,
            method=method,
            params=_options.read_params(param),
            shots=shots,
            templates=template or prompts.DEFAULT,
            words=_options.read_classes(classes),
            seed=seed,
            views=views,
            unlabelled=unlabelled if tuning is None else None,
            group_by=group_by,
            on_conflict=on_conflict,
            tuning=None if tuning is None else replace(tuning, progress=live),
            progress=progress,
        )
    seconds = time.perf_counter() - began
    if _tuning.is_secondary_process():  # the first one of `accelerate launch` writes the skill
        return 0
    fitted.pack.save(out, overwrite=overwrite)
    if as_json:
        _console.echo_json(_facts(fitted, out))
    else:
        _show(fitted, out, seconds, why=why)
    for line in (*fitted.notes, *fitted.pack.task.fit_warnings(fitted.pack.manifest)):
        _console.echo_err(line)
    if of_unknown := novelty_words.fit_line(fitted.pack.manifest):
        _console.echo_err(of_unknown)
    return _report(fitted)


def _report(fitted: Fitted) -> int:
    """Name the photos that were left out; returns the exit code, 1 where some cannot be read."""
    pool, twice = fitted.pool, "photos are there more than once, byte for byte"
    _results.report_left_out(fitted.repeated, twice, "each counts once")
    _results.report_left_out(fitted.dropped, "photos have several labels, byte for byte the same")
    if pool is None:
        return _console.report_failures(fitted.failures, fitted.ignored)
    for names, why in (
        (pool.in_support, "are support images, byte for byte"),
        (pool.repeated, "are there more than once, byte for byte"),
    ):
        _results.report_left_out(names, f"of the photos without labels {why}")
    return _console.report_failures((*fitted.failures, *pool.failures), fitted.ignored)


def _check_tuning(tuning: Tuning | None, task: str | None, template: list[str] | None) -> None:
    """Refuse a tuning that the task cannot have; warn of options that it makes idle."""
    if task == _task.MULTI_LABEL:
        _tuning.refuse_multi_label(tuning)
    if template and tuning is not None and "soft_prompt" in tuning.tuners:
        _console.echo_err(
            "--template counts only where nothing of the tuning is kept: soft_prompt learns its "
            "own prompts, which begin as --tune words='a photo of a'"
        )


def _facts(fitted: Fitted, out: Path) -> dict[str, Any]:
    manifest = fitted.pack.manifest
    return {
        "skill": str(out),
        "task": manifest["task"],
        "method": fitted.pack.method,
        "encoder": manifest["encoder"]["name"],
        "classes": list(fitted.pack.classes),
        "images": len(fitted.pack.support_ids),
        "reserved": len(_reserved(manifest)),
        "encoded": fitted.encoded,
        "seconds": round(fitted.seconds, 3),
        "selection": fitted.selection,
        "expected": fitted.pack.task.expected(manifest),
        **fitted.pack.task.fit_json(manifest),
        **({"pool": _pool(fitted)} if fitted.pool else {}),
        **({"training": _tuning.to_json(fitted.trained)} if fitted.trained else {}),
        **_groups(manifest),
        "repeated": list(fitted.repeated),
        "dropped": list(fitted.dropped),
        "notes": list(fitted.notes),
        "ignored": dict(fitted.ignored),
        "failures": _console.failures_json(fitted.failures),
    }


def _groups(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """How groups came about, and how many units were left out together; empty without groups."""
    facts = manifest["training"]
    found = {"by": facts.get("group_by"), "units": facts.get("units")}
    return {"groups": found} if found["units"] else {}


def _pool(fitted: Fitted) -> dict[str, Any]:
    """What a pool did, and what of it was left out."""
    pool, facts = fitted.pool, fitted.pack.manifest["training"]["pool"]
    if pool is None:
        return {}
    return {
        **facts,
        "encoded": pool.encoded,
        "in_support": list(pool.in_support),
        "repeated": list(pool.repeated),
        "failures": _console.failures_json(pool.failures),
    }


def _show(fitted: Fitted, out: Path, seconds: float, *, why: bool) -> None:
    """What was taught, where it is, and last what to expect of it and by which method."""
    from handful.packs import chosen

    manifest, task = fitted.pack.manifest, fitted.pack.task
    first, *others = task.fit_summary(manifest)
    _console.echo(f"{first} in {fitted.seconds:.2f} s ({fitted.encoded} encoded now).")
    _console.echo_parts(others)
    if fitted.trained:
        _console.echo_text(_tuning.summary(fitted.trained, seconds))
    if fitted.pool:
        facts = manifest["training"]["pool"]
        _console.echo_text(
            f"{_pool_line(facts['images'], facts['trust'])} ({fitted.pool.encoded} encoded now)."
        )
    reserved = _reserved(manifest)
    if reserved:
        _console.echo_text(
            f"{len(reserved)} images of folders called background, none, noise or other are no "
            "class: they teach it the answer unknown."
        )
    if why and fitted.selection:
        _console.show_selection(*chosen.selection_parts(manifest))
    numbers = _console.left_out_line(task.expected(manifest))
    if why and numbers:
        _console.echo_text(f"The whole skill: {numbers}.")
    _console.echo(f"The skill is in {out}. Try: handful predict {out} PHOTO...")
    expectation = task.expectation(manifest)
    if expectation:
        _console.echo_text(expectation)
    more = "; how it was chosen: --why, or handful inspect" if fitted.selection and not why else ""
    _console.echo_text(f"Method: {chosen.method_line(manifest)}{more}.")


def _pool_line(images: int, trust: float) -> str:
    """Whether photos without labels helped, and how much.

    >>> _pool_line(1, 0.004)
    '1 photo without labels did not help: what it says is weighed 0.00'
    """
    photos = f"{images} photo{'s' * (images != 1)} without labels"
    say = "it says" if images == 1 else "they say"
    if f"{trust:.2f}" == "0.00":
        return f"{photos} did not help: what {say} is weighed 0.00"
    return f"{photos} helped; what {say} is weighed {trust:.2f} to 1 of what the labelled ones say"


def _reserved(manifest: Mapping[str, Any]) -> list[str]:
    """Digests of the images of no class, from folders such as `background/`."""
    found: list[str] = manifest["support"].get("reserved", {}).get("images", [])
    return found
