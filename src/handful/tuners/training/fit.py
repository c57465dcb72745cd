"""Training: labelled images in, an encoder with a delta out. Every tuner goes this way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful import plugins
from handful.contracts import ImageRef
from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import ActivationStore
from handful.tuners._base import BaseTuner, FirstChanged
from handful.tuners._delta import Delta
from handful.tuners._tuned_encoder import (
    TunedEncoder,
    TunerModule,
    attached,
    check_single_prompt,
    encode_texts,
)
from handful.tuners.training import loop
from handful.tuners.training.images import TrainingImages, prepare_images
from handful.tuners.training.loop import TrainingProgress
from handful.tuners.training.memory import gradient_checkpointing
from handful.tuners.training.objective import Objective
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.text import TrainingText


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gave.

    Args:
        encoder: the tuned encoder.
        report: losses, steps, seconds, precision and peak memory.
        failures: images that could not be used.
        templates: the prompts that the classes are to be read with from now on.
        weight: how much of what was learned the encoder has, 0 to 1.
    """

    encoder: TunedEncoder
    report: loop.Report
    failures: tuple[Failure, ...]
    templates: tuple[str, ...]
    weight: float = 1.0


def fit(
    tuners: Sequence[BaseTuner],
    encoder: Tunable | TunedEncoder,
    images: Sequence[ImageRef],
    labels: Sequence[str],
    text: ClassPrompts,
    *,
    unlabelled: Sequence[ImageRef] = (),
    recipe: Recipe | None = None,
    store: ActivationStore | None = None,
    progress: Progress | None = None,
    live: TrainingProgress | None = None,
    checkpoint: Path | None = None,
    callbacks: Sequence[Any] = (),
) -> Trained:
    """Train tuners, several of them jointly; the encoder's own weights are not touched.

    What stays the same is computed once for each image and view: everything before the first block
    that any of the tuners changes. It is kept in the store under the encoder's fingerprint.

    Args:
        tuners: what is to be learned; attached one on top of the other.
        encoder: in float32; a tuned one keeps its deltas, frozen, below the new ones.
        images: N images; one that cannot be used is told and left out.
        labels: N class names.
        text: C classes and the prompts a person would write for them.
        unlabelled: images of the new domain without labels, for the consistency loss.
        recipe: how to train; the first tuner's own when not given.
        store: where what is computed once is kept; the user's own store when not given.
        progress: called with (images done, images in all) while images are read.
        live: called with (steps done, steps in all, loss, seconds left) while training.
        checkpoint: a folder that is written after each epoch; training goes on from it.
        callbacks: told of every step; see `handful.tuners.callbacks`.

    Raises:
        InputError: labels that are no class, a range of blocks that is not there, contexts that do
            not fit the text window, a loss that leaves the finite numbers in float32.
    """
    if not tuners:
        raise InputError("no tuner given; see handful.plugins.names('tuners')")
    recipe = recipe or tuners[0].recipe
    base, below = (
        (encoder.base, encoder.modules) if isinstance(encoder, TunedEncoder) else (encoder, ())
    )
    _check(base, labels, images, text, recipe, unlabelled)
    limit = min(tuner.max_learning_rate for tuner in tuners)
    if recipe.learning_rate > limit:
        raise InputError(
            f"learning_rate={recipe.learning_rate:g} is too fast for weights of the encoder "
            f"itself, which a few images would destroy; {limit:g} or less"
        )
    if recipe.base_rate:  # first, for it changes parameters that other tuners stand on
        tuners = [plugins.get("tuners", "full")(), *tuners]
    check_single_prompt([*(part.tuner for part in below), *tuners])
    made = [_part(t, base, text, recipe.seed + i) for i, t in enumerate(tuners)]
    entry: FirstChanged = reduce(FirstChanged.earliest, (t._first_changed(base) for t in tuners))
    templates = reduce(lambda given, t: t._templates(given), tuners, text.templates)
    spoken = ClassPrompts(text.classes, text.names, templates)
    with ExitStack() as stack:
        stack.enter_context(attached(base, below))
        frozen = _classes(base, below, text)
        sight = prepare_images(base, encoder, images, entry.vision, recipe, store, progress)
        others = None
        if len(unlabelled):
            others = prepare_images(
                base, encoder, unlabelled, entry.vision, recipe, store, progress
            )
            if not len(others):
                raise InputError(
                    "no image without a label could be read, such as "
                    f"{others.failures[0].name}: {others.failures[0].reason}"
                )
        kept = [labels[i] for i in sight.kept]
        if not kept:
            raise InputError("no image could be read; nothing to train on")
        column = {name: i for i, name in enumerate(text.classes)}
        targets = torch.tensor([column[label] for label in kept])
        words = TrainingText(base, (*below, *made), spoken, entry.text, recipe)
        objective = Objective(made, sight, words, targets, recipe, frozen, others, below)
        stack.enter_context(attached(base, made))
        if recipe.checkpointing:
            stack.enter_context(gradient_checkpointing(_later(base, entry)))
        report = loop.train(
            objective,
            len(kept),
            recipe,
            unlabelled=len(others) if others is not None else 0,
            rates=_rates(made, recipe),
            device=base.device,
            progress=live,
            checkpoint=checkpoint,
            about=_about(encoder, made, text, (sight, others), kept) if checkpoint else "",
            callbacks=callbacks,
        )
    deltas = dict(encoder.deltas) if isinstance(encoder, TunedEncoder) else {}
    for part in made:
        deltas[_free(_name(part.tuner), deltas)] = _create_module(part, base, text, recipe, report)
    failures = (*sight.failures, *(others.failures if others is not None else ()))
    return Trained(TunedEncoder(base, deltas), report, failures, templates)


def _check(
    base: Tunable,
    labels: Sequence[str],
    images: Sequence[ImageRef],
    text: ClassPrompts,
    recipe: Recipe,
    unlabelled: Sequence[ImageRef],
) -> None:
    if len(labels) != len(images) or not len(images):
        raise InputError(f"expected a label an image, got {len(images)} and {len(labels)}")
    strange = sorted(set(labels) - set(text.classes))
    if strange:
        raise InputError(f"labels {strange[:5]} are not among the classes of the prompts")
    if base.precision != "float32":
        raise InputError(
            f"{base.name} computes in {base.precision} here; load it with precision='float32' to "
            "tune it (mixed precision while training is the recipe's precision)"
        )
    if len(unlabelled) and not recipe.consistency:
        raise InputError(
            "images without labels teach by the consistency loss alone; give consistency=1 too"
        )


def _rates(made: Sequence[TunerModule], recipe: Recipe) -> dict[torch.nn.Parameter, float]:
    """Where several train together, each keeps the rate of its own recipe.

    The recipe's rate is meant for the first tuner; the others' stand to it as their own recipes'
    do. The encoder's own weights have the rate that the recipe says.
    """
    rates: dict[torch.nn.Parameter, float] = {}
    first = made[1 if recipe.base_rate else 0].tuner.recipe.learning_rate
    for part in made[1:]:
        rate = recipe.learning_rate * part.tuner.recipe.learning_rate / first
        rates |= dict.fromkeys(part.module.parameters(), rate)
    if recipe.base_rate:
        rates |= dict.fromkeys(made[0].module.parameters(), recipe.base_rate)
    return rates


def _part(tuner: BaseTuner, base: Tunable, text: ClassPrompts, seed: int) -> TunerModule:
    return TunerModule(tuner, tuner.create_module(base, text.names, seed).to(base.device).train())


def _classes(base: Tunable, below: Sequence[TunerModule], text: ClassPrompts) -> Tensor:
    """`[C, D]` unit rows as the encoder reads the classes before training."""
    with torch.no_grad():
        rows = [encode_texts(base, below, part) for part in _batches(text.texts)]
        each = torch.nn.functional.normalize(torch.cat(rows).float(), dim=-1)
        mean = each.reshape(len(text.classes), len(text.templates), -1).mean(dim=1)
        return torch.nn.functional.normalize(mean, dim=-1)


def _batches(texts: Sequence[str], size: int = 128) -> list[Sequence[str]]:
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def _about(
    encoder: Tunable,
    made: Sequence[TunerModule],
    text: ClassPrompts,
    sights: Sequence[TrainingImages | None],
    labels: Sequence[str],
) -> str:
    """Who is taught what on which images, for a checkpoint."""
    tuners = [(_name(p.tuner), sorted(p.tuner.get_params().items())) for p in made]
    digests = [[ref.digest() for ref in sight.refs] if sight else [] for sight in sights]
    return repr((encoder.fingerprint, tuners, text, digests, list(labels)))


def _later(base: Tunable, entry: FirstChanged) -> list[torch.nn.Module]:
    """The blocks that a gradient passes."""
    found = []
    for tower, first in ((base.vision, entry.vision), (base.text, entry.text)):
        if first is not None:
            found += [tower.module(block.name) for block in tower.blocks[max(0, first) :]]
    return found


def _create_module(
    part: TunerModule, base: Tunable, text: ClassPrompts, recipe: Recipe, report: loop.Report
) -> Delta:
    tensors = {n: v.detach().cpu().float().numpy() for n, v in part.module.state_dict().items()}
    classes = text.names if part.tuner.class_specific else ()
    params = part.tuner.get_params(deep=False)
    facts = {"recipe": asdict(recipe), "training": report.to_dict()}
    return Delta(_name(part.tuner), params, classes, tensors, base.fingerprint, facts)


def _name(tuner: BaseTuner) -> str:
    """The tuner's file, which is its name."""
    return type(tuner).__module__.rpartition(".")[2]


def _free(name: str, taken: dict[str, Delta]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}{number}", number + 1
    return free
