"""Training of tuners: labelled images in, an encoder with deltas out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

import torch

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
)
from handful.tuners.training import loop
from handful.tuners.training.callbacks import Callback
from handful.tuners.training.images import TrainingImages, prepare_images
from handful.tuners.training.memory import gradient_checkpointing
from handful.tuners.training.objective import Objective
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.text import TrainingText, encode_classes
from handful.tuners.training.trainer import Report, TrainingProgress


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a training.

    Args:
        encoder: the tuned encoder.
        report: losses, steps, seconds, precision and peak memory.
        failures: images that could not be used.
        templates: the prompts that the classes are to be encoded with from now on.
        weight: the share of the learned change that the encoder has, 0 to 1.
    """

    encoder: TunedEncoder
    report: Report
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
    training_progress: TrainingProgress | None = None,
    checkpoint: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trained:
    """Train tuners, several of them jointly; the encoder's own weights are not touched.

    What stays the same is computed once for each image and view: everything before the first block
    that any of the tuners changes. It is kept in the store under the encoder's fingerprint.

    Most of its 90 lines are arguments and their description.

    Args:
        tuners: what is to be learned; attached one on top of the other.
        encoder: in float32; a tuned one keeps its deltas, frozen, below the new ones.
        images: N images; one that cannot be used is reported and left out.
        labels: N class names.
        text: C classes and their prompts as text.
        unlabelled: images of the new domain without labels, for the consistency loss.
        recipe: how to train; the first tuner's own when not given.
        store: where what is computed once is kept; the user's own store when not given.
        progress: called with (images done, images in all) while images are read.
        training_progress: called with (steps done, steps in all, loss, seconds left).
        checkpoint: a folder that is written after each epoch; training goes on from it.
        callbacks: called at every step; see `handful.tuners.training.callbacks`.

    Raises:
        InputError: labels that are no class, a range of blocks that is not there, contexts that do
            not fit the text window, a loss that leaves the finite numbers in float32.
    """
    base: Tunable = encoder
    below: tuple[TunerModule, ...] = ()
    deltas: dict[str, Delta] = {}
    if isinstance(encoder, TunedEncoder):
        base, below, deltas = encoder.base, encoder.modules, dict(encoder.deltas)
    if not tuners:
        raise InputError("no tuner given; see handful.plugins.names('tuners')")
    recipe = recipe or tuners[0].recipe
    _check(tuners, base, labels, images, text, recipe, unlabelled)
    if recipe.base_rate:  # first, for it changes parameters that other tuners stand on
        tuners = [plugins.get("tuners", "full")(), *tuners]
    check_single_prompt([*(m.tuner for m in below), *tuners])
    made = []
    for i, tuner in enumerate(tuners):
        # + i: two tuners of one kind must not begin with the same random tensors
        module = tuner.create_module(base, text.names, recipe.seed + i)
        made.append(TunerModule(tuner, module.to(base.device).train()))
    # up to here in each tower nothing changes while training: computed once and kept
    first = reduce(FirstChanged.earliest, (t._first_changed(base) for t in tuners))
    templates = reduce(lambda given, t: t._templates(given), tuners, text.templates)
    prompts = ClassPrompts(text.classes, text.names, templates)
    with ExitStack() as stack:
        stack.enter_context(attached(base, below))
        # the reference of the losses, so before the new tuners are attached
        frozen_text = encode_classes(base, below, text)
        labelled = prepare_images(encoder, images, first.vision, recipe, store, progress)
        if not len(labelled):
            raise InputError("no image could be read; nothing to train on")
        extra = None
        if len(unlabelled):
            extra = prepare_images(encoder, unlabelled, first.vision, recipe, store, progress)
            _check_unlabelled(extra)
        kept = [labels[i] for i in labelled.kept]
        targets = torch.tensor([text.classes.index(label) for label in kept])
        classes = TrainingText(base, (*below, *made), prompts, first.text, recipe)
        objective = Objective(made, labelled, classes, targets, recipe, frozen_text, extra, below)
        # from here on the model is the tuned one; `Objective` has taken its frozen features
        stack.enter_context(attached(base, made))
        if recipe.checkpointing:
            stack.enter_context(gradient_checkpointing(_trained_blocks(base, first)))
        report = loop.train(
            objective,
            len(labelled),
            recipe,
            unlabelled=len(extra) if extra is not None else 0,
            rates=_learning_rates(made, recipe),
            device=base.device,
            progress=training_progress,
            checkpoint=checkpoint,
            identity=_identity(encoder, made, text, (labelled, extra), kept) if checkpoint else "",
            callbacks=callbacks,
        )
    facts = {"recipe": asdict(recipe), "training": report.to_dict()}
    for m in made:
        deltas[_free_name(m.tuner.name, deltas)] = m.to_delta(base, text.names, facts)
    failures = (*labelled.failures, *(extra.failures if extra is not None else ()))
    return Trained(TunedEncoder(base, deltas), report, failures, templates)


def _check(
    tuners: Sequence[BaseTuner],
    base: Tunable,
    labels: Sequence[str],
    images: Sequence[ImageRef],
    text: ClassPrompts,
    recipe: Recipe,
    unlabelled: Sequence[ImageRef],
) -> None:
    if len(labels) != len(images) or not len(images):
        raise InputError(f"expected a label an image, got {len(images)} and {len(labels)}")
    unknown = sorted(set(labels) - set(text.classes))
    if unknown:
        raise InputError(f"labels {unknown[:5]} are not among the classes of the prompts")
    if base.precision != "float32":
        raise InputError(
            f"{base.name} computes in {base.precision} here; load it with precision='float32' to "
            "tune it (mixed precision while training is the recipe's precision)"
        )
    if len(unlabelled) and not recipe.consistency:
        raise InputError(
            "images without labels teach by the consistency loss alone; give consistency=1 too"
        )
    limit = min(tuner.max_learning_rate for tuner in tuners)
    if recipe.learning_rate > limit:
        raise InputError(
            f"learning_rate={recipe.learning_rate:g} is too fast for weights of the encoder "
            f"itself, which a few images would destroy; {limit:g} or less"
        )


def _check_unlabelled(images: TrainingImages) -> None:
    if not len(images):
        failure = images.failures[0]
        raise InputError(
            f"no image without a label could be read, such as {failure.name}: {failure.reason}"
        )


def _learning_rates(
    modules: Sequence[TunerModule], recipe: Recipe
) -> dict[torch.nn.Parameter, float]:
    """Where several train together, each keeps the learning rate of its own recipe.

    The recipe's rate is meant for the first tuner; the others' stand to it as their own recipes'
    do. The encoder's own weights have `base_rate`.
    """
    rates: dict[torch.nn.Parameter, float] = {}
    first = modules[1 if recipe.base_rate else 0].tuner.recipe.learning_rate
    for m in modules[1:]:
        rate = recipe.learning_rate * m.tuner.recipe.learning_rate / first
        rates |= dict.fromkeys(m.module.parameters(), rate)
    if recipe.base_rate:
        rates |= dict.fromkeys(modules[0].module.parameters(), recipe.base_rate)
    return rates


def _identity(
    encoder: Tunable,
    modules: Sequence[TunerModule],
    text: ClassPrompts,
    images: Sequence[TrainingImages | None],
    labels: Sequence[str],
) -> str:
    """Everything that the result depends on besides the recipe; a checkpoint belongs to it."""
    tuners = [(m.tuner.name, sorted(m.tuner.get_params().items())) for m in modules]
    digests = [[ref.digest() for ref in part.refs] if part else [] for part in images]
    # Spelt out: it is hashed into checkpoints, which must not depend on the name of a class.
    prompts = (
        f"ClassPrompts(classes={text.classes!r}, names={text.names!r}, "
        f"templates={text.templates!r})"
    )
    return f"({encoder.fingerprint!r}, {tuners!r}, {prompts}, {digests!r}, {list(labels)!r})"


def _trained_blocks(base: Tunable, first: FirstChanged) -> list[torch.nn.Module]:
    """The blocks that a gradient passes."""
    return [
        tower.module(block.name)
        for tower, index in ((base.vision, first.vision), (base.text, first.text))
        if index is not None
        for block in tower.blocks[max(0, index) :]
    ]


def _free_name(name: str, taken: Mapping[str, Delta]) -> str:
    """`name`, or the first of `name2`, `name3`, ... that is free."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}{number}", number + 1
    return free
