"""The options of `handful fit` that change the encoder inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.tuners import Trained
    from handful.tuners.training.tune import Tuning

_CHOSEN = ("weight", "weight_why", "held_out", "held_out_loss")


def asked(
    tuner: str | None,
    second: str | None,
    params: list[str] | None,
    unlabelled: Path | None,
    checkpoint: Path | None,
    log: Path | None,
) -> Tuning | None:
    """What the options say, or None where nothing is to be tuned."""
    if tuner is None:
        given = {"--with": second, "--tune": params, "--unlabelled": unlabelled}
        given |= {"--checkpoint": checkpoint, "--log": log}
        idle = [option for option, value in given.items() if value]
        if idle:
            raise InputError(f"{idle[0]} says something of a tuner, and none is named: add --tuner")
        return None
    from handful import data
    from handful.tuners.training.tune import Tuning, plan

    names = (_short(tuner), *([_short(second)] if second else []))
    arguments = _options.read_params(params, "--tune")
    plan(names, arguments)  # a wrong argument is told before any image is looked at
    images = data.find_images([unlabelled]) if unlabelled else ()
    return Tuning(names, arguments, images, checkpoint, callbacks=_callbacks(log))


def refuse(tuning: Tuning | None) -> None:
    """Several labels an image are learned on the untouched encoder."""
    if tuning is not None:
        raise InputError("--tuner and --multi-label do not go together yet; leave one of them out")


def is_spare() -> bool:
    """Whether a launcher runs several of us and another one writes the skill."""
    return os.environ.get("RANK", "0") != "0"


def facts(trained: Trained) -> dict[str, Any]:
    """What `--json` says of the training."""
    chosen = _facts(trained)
    return {**trained.report.to_dict(), **{key: chosen[key] for key in _CHOSEN if key in chosen}}


def said(trained: Trained, seconds: float) -> str:
    """One line about what was learned inside the encoder, and the seconds of the whole command."""
    report, tower = trained.report, trained.encoder
    size = sum(delta.size for delta in tower.deltas.values())
    whole = tower.vision.size + tower.text.size
    losses = [f"{loss:.3f}" for loss in report.losses]
    chosen, why, spared = _facts(trained), "", ""
    if "held_out" in chosen:
        apart = f"on {chosen['held_out']} images set apart"
        why = f"; kept {chosen['weight']:.0%} of it, which did best {apart}"
        if not chosen["weight"]:
            why = f"; kept none of it, as the frozen encoder did best {apart}"
    elif "weight_why" in chosen:
        why = f"; kept all of it, for {chosen['weight_why']}"
    if report.resumed_at:
        spared = f"; {report.resumed_at} epochs were in the checkpoint"
    return (
        f"Tuned {', '.join(tower.deltas)} in {seconds:.1f} s in all: {size:,} numbers, "
        f"{size / whole:.2%} of the encoder ({report.steps} steps, loss {losses[0]} to "
        f"{losses[-1]}{spared}){why}."
    )


def _facts(trained: Trained) -> Mapping[str, Any]:
    """Of the delta that was learned last; the weight is the same for all that were now."""
    return next(reversed(trained.encoder.deltas.values())).facts


def _short(name: str) -> str:
    """`--with prompt` is what people say."""
    return "soft_prompt" if name in ("prompt", "prompts") else name


def _callbacks(log: Path | None) -> tuple[Any, ...]:
    if log is None:
        return ()
    from handful.tuners import TensorBoard

    return (TensorBoard(log),)
