"""From labelled images to a skill, in five steps.

    data -> text -> features -> adapter -> pack

`handful.skills.evaluate` measures the skill; `handful.protocols.compare` fits one for each method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful import encoders, tasks
from handful.contracts import ClassText, Encoder
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.skills.statements import state
from handful.skills.support import SupportFeatures, SupportImages, encode, read
from handful.tasks import Task

if TYPE_CHECKING:
    from handful.tuners import Trained, Tuning


@dataclass(frozen=True)
class Fitted:
    """A new skill and how it came about.

    Args:
        pack: the skill; `pack.save(folder)` writes it.
        failures: images that could not be used, by name, with the reason.
        encoded: images that went through the encoder; features of the rest were in the store.
        seconds: time spent fitting the adapter alone.
        ignored: files passed over while looking for images: how many of each kind.
        trained: the tuned encoder and the report of its training, where there was one.
    """

    pack: Pack
    failures: tuple[Failure, ...]
    encoded: int
    seconds: float
    ignored: Mapping[str, int]
    trained: Trained | None = None

    @property
    def selection(self) -> Mapping[str, Any] | None:
        """Why these methods, where the adapter chose: `reason` and `ranking` (`Auto.explain`)."""
        chosen: Mapping[str, Any] | None = self.pack.manifest["training"].get("selection")
        return chosen


def fit(
    source: tasks.Source,
    *,
    task: str | None = None,
    encoder: str | Path | Encoder = "tiny",
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    shots: int | None = None,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
    views: int = 1,
    tuning: Tuning | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Teach a skill from labelled images; only from those of `train` where splits are stated.

    Args:
        source: a folder per class, a table, a split file (`handful.data.load`), or a data set.
        task: what is asked, a file of `handful.tasks`; by default what the data show.
        encoder: name, folder or a loaded encoder.
        method: an adapter's name; `auto`, which blends several, when not given.
        params: the method's own arguments, such as `{"alpha": 2.0}`.
        shots: images a class, drawn by `seed`; all of them when not given.
        templates: prompts with `{}` for the class, or names of sets such as `satellite`.
        words: class name to its words in a prompt, in the order of the classes.
        seed: of the draw, of augmented views and of the method where it has one.
        views: augmented views averaged into each support feature; 1 means the image as it is.
        tuning: what to train inside the encoder first; it then computes in float32.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images, labels or arguments that has to be put right first.
    """
    what = tasks.choose(task, source)
    create = partial(what.create, method, seed, params)
    adapter = create()
    support = read(what, source, words, shots, seed)
    wording = prompts.class_prompts(support.words, prompts.expand_templates(templates))
    tower = encoders.load(encoder, precision="float32" if tuning else "auto")
    trained, used = None, wording
    if tuning is not None:
        trained = _tune(what, tuning, tower, support, wording, create, seed, store, progress)
        if trained.weight:  # at 0 nothing of the training is kept
            tower, used = trained.encoder, replace(wording, templates=trained.templates)
    text = prompts.encode_prompts(tower, used)
    found = encode(what, support, tower, views=views, seed=seed, store=store, progress=progress)
    began = time.perf_counter()
    adapter.fit(found.features, found.targets, text)
    seconds = time.perf_counter() - began
    facts = {"shots": shots, "counts": found.counts, **what.facts(found.targets)}
    facts |= {"words": support.words, "seed": seed, "views": views, "failed": len(found.failures)}
    untouched = _untouched(tower, wording, found, store)
    pack = _pack(what, adapter, tower, used.templates, text, found, untouched, facts)
    return Fitted(pack, found.failures, found.encoded, seconds, support.ignored, trained)


def _tune(
    what: Task,
    tuning: Tuning,
    tower: Encoder,
    support: SupportImages,
    wording: prompts.ClassPrompts,
    head: Callable[[], Any],
    seed: int,
    store: FeatureStore | None,
    progress: Progress | None,
) -> Trained:
    """The encoder with what a tuner learned from the support images."""
    if not what.exclusive:
        raise InputError("--tuner and --multi-label do not go together yet; leave one of them out")
    from handful.tuners import tune  # imports what training alone needs

    images = support.images
    return tune(
        *(tuning, tower, images.images, images.labels, wording),
        seed=seed,
        head=head,
        groups=images.groups,
        store=store,
        progress=progress,
    )


def _untouched(
    tower: Encoder,
    wording: prompts.ClassPrompts,
    found: SupportFeatures,
    store: FeatureStore | None,
) -> deltas.Untouched | None:
    """The support set as a tuned encoder's base sees it, by which a library finds the skill."""
    base = getattr(tower, "base", None)
    if base is None:
        return None
    plain = extract_features(base, found.images, store)
    text = prompts.encode_prompts(base, wording)
    return deltas.Untouched(plain.features.values, found.targets, text.weights)


def _pack(
    what: Task,
    adapter: Any,
    tower: Encoder,
    templates: Sequence[str],
    text: ClassText,
    found: SupportFeatures,
    untouched: deltas.Untouched | None,
    facts: Mapping[str, Any],
) -> Pack:
    """The skill, with what it states of itself where its task keeps the support set."""
    support = found.as_support(text) if what.keeps_support else None
    chosen = {"selection": adapter.explain()} if hasattr(adapter, "explain") else {}
    return Pack.of(
        adapter,
        text,
        tower,
        task=tasks.name_of(what),
        templates=templates,
        support_ids=found.ids,
        support=support,
        untouched=untouched,
        statements=state(adapter, support, tuned=untouched is not None) if support else None,
        entries=what.statements(adapter),
        training={**facts, **chosen},
    )
