"""`handful fit`: labelled images in, a skill out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from handful.cli import _console, _multilabel, _options, _tuning


def run(
    images: _options.Images,
    out: Annotated[Path, typer.Option(help="Folder to write the skill to.")],
    encoder: _options.EncoderName = "tiny",
    method: Annotated[
        str | None, typer.Option(help="Default auto, which chooses; see: handful methods.")
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
    checkpoint: _options.Checkpoint = None,
    log: _options.Log = None,
    seed: _options.Seed = 0,
    several: Annotated[
        bool,
        typer.Option(
            "--multi-label", help="Photos show several classes or none; takes a table of labels."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a skill that is there.")] = False,
    as_json: _options.Json = False,
) -> int:
    """Teach a skill from a folder of labelled photos and save it."""
    from handful.encoders import prompts
    from handful.packs import deltas
    from handful.skills import fit

    _options.check_free(out, overwrite=overwrite)
    given: dict[str, Any] = {
        "encoder": encoder,
        "params": _options.read_params(param),
        "shots": shots,
        "templates": template or prompts.DEFAULT,
        "words": _options.read_classes(classes),
        "seed": seed,
        "views": views,
    }
    tuning = _tuning.read_tuning(tuner, with_, tune, unlabelled, checkpoint, log)
    if several:
        _tuning.refuse_multi_label(tuning)
        return _multilabel.fit(
            images, out, method=method, overwrite=overwrite, as_json=as_json, **given
        )
    if template and tuning is not None and "soft_prompt" in tuning.tuners:
        _console.complain(
            "--template counts only where nothing of the tuning is kept: soft_prompt learns its "
            "own prompts, which begin as --tune words='a photo of a'"
        )
    method = method or fit.DEFAULT_METHOD
    began = time.perf_counter()
    with _console.training_progress("encoding") as (progress, live):
        if tuning is not None:
            tuning = replace(tuning, progress=live)
        fitted = fit.fit(images, method=method, tuning=tuning, progress=progress, **given)
    seconds = time.perf_counter() - began
    if _tuning.is_secondary_process():
        return 0
    fitted.pack.save(out, overwrite=overwrite)
    counts = fitted.pack.manifest["training"]["counts"]
    none = fitted.pack.manifest["support"].get("reserved", {}).get("images", [])
    if as_json:
        _console.say_json(
            {
                "skill": str(out),
                "method": fitted.pack.method,
                "encoder": encoder,
                "classes": list(fitted.pack.classes),
                "images": sum(counts.values()),
                "reserved": len(none),
                "encoded": fitted.encoded,
                "seconds": round(fitted.seconds, 3),
                "selection": fitted.selection,
                **({"training": _tuning.to_json(fitted.trained)} if fitted.trained else {}),
                "ignored": dict(fitted.ignored),
                "failures": _console.named(fitted.failures),
            }
        )
    else:
        _console.say(
            f"Taught {len(counts)} classes from {sum(counts.values())} images "
            f"with {fitted.pack.method} on {encoder} in {fitted.seconds:.2f} s "
            f"({fitted.encoded} encoded now)."
        )
        if fitted.trained:
            _console.say(_tuning.summary(fitted.trained, seconds))
        if none:
            _console.say(
                f"{len(none)} images of folders called background, none, noise or other are no "
                "class: they teach it the answer unknown."
            )
        if fitted.selection:
            show(fitted.selection)
            if fitted.trained and fitted.trained.weight:
                _console.say(deltas.TOO_GOOD)
        _console.say(f"The skill is in {out}. Try: handful predict {out} PHOTO...")
    _console.tell_ignored(fitted.ignored)
    return _console.report_failures(fitted.failures)


def show(selection: Mapping[str, Any]) -> None:
    """Why these methods: the sentence and the ranking, as the skill's card has them."""
    from handful.packs import card

    headers, *rows = card.selection_rows(selection)
    _console.say_table(_console.table(headers, rows, right=range(2, len(headers))))
    _console.say(selection["reason"])
