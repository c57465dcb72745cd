"""The options of `handful fit` that change the encoder inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.tuners import Trained, Tuning

_CHOSEN = ("weight", "weight_why", "held_out", "held_out_loss")


def read_tuning(
    tuner: str | None,
    second: str | None,
    params: list[str] | None,
    unlabelled: Path | None,
    checkpoint: Path | None,
    log: Path | None,
) -> Tuning | None:
    """The tuning that the options ask for, or None where nothing is to be tuned."""
    if tuner is None:
        given = {"--with": second, "--tune": params, "--checkpoint": checkpoint, "--log": log}
        idle = [option for option, value in given.items() if value]
        if idle:
            raise InputError(f"{idle[0]} says something of a tuner, and none is named: add --tuner")
        return None
    from handful import data
    from handful.tuners import TensorBoard, Tuning
    from handful.tuners.training.tune import plan

    names = (_full_name(tuner), *([_full_name(second)] if second else []))
    arguments = _options.read_params(params, "--tune")
    plan(names, arguments)  # refuses a wrong argument before any image is read
    images = data.find_images([unlabelled]).with_unreadable() if unlabelled else ()
    callbacks = (TensorBoard(log),) if log is not None else ()
    return Tuning(names, arguments, images, checkpoint, callbacks=callbacks)


def refuse_multi_label(tuning: Tuning | None) -> None:
    """Several labels an image are learned on the frozen encoder alone."""
    if tuning is not None:
        raise InputError("--tuner and --multi-label do not go together yet; leave one of them out")


def is_secondary_process() -> bool:
    """Whether a launcher runs several processes and another one writes the skill."""
    return os.environ.get("RANK", "0") != "0"


def to_json(trained: Trained) -> dict[str, Any]:
    """The training in the output of `--json`."""
    facts = _facts(trained)
    return {**trained.report.to_dict(), **{key: facts[key] for key in _CHOSEN if key in facts}}


def summary(trained: Trained, seconds: float) -> str:
    """One line about what was learned inside the encoder, and the seconds of the whole command."""
    report, encoder = trained.report, trained.encoder
    size = sum(delta.size for delta in encoder.deltas.values())
    whole = encoder.vision.size + encoder.text.size
    facts, why, spared = _facts(trained), "", ""
    if "held_out" in facts:
        apart = f"on {facts['held_out']} images set apart"
        why = f"; kept {facts['weight']:.0%} of it, which did best {apart}"
        if not facts["weight"]:
            why = f"; kept none of it, as the frozen encoder did best {apart}"
    elif "weight_why" in facts:
        why = f"; kept all of it, for {facts['weight_why']}"
    if report.resumed_at:
        spared = f"; {report.resumed_at} epochs were in the checkpoint"
    return (
        f"Tuned {', '.join(encoder.deltas)} in {seconds:.1f} s in all: {size:,} numbers, "
        f"{size / whole:.2%} of the encoder ({report.steps} steps, loss {report.losses[0]:.3f} to "
        f"{report.losses[-1]:.3f}{spared}){why}."
    )


def _facts(trained: Trained) -> Mapping[str, Any]:
    """Of the delta that was learned last; the weight is the same for all that were now."""
    return next(reversed(trained.encoder.deltas.values())).facts


def _full_name(name: str) -> str:
    """`--with prompt` is short for `soft_prompt`."""
    return "soft_prompt" if name in ("prompt", "prompts") else name
