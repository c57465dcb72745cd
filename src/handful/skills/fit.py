"""From labelled images to a skill, in five steps.

    data -> text -> features -> adapter -> pack

`handful.skills.evaluate` measures the skill; `handful.protocols.compare` fits one for each method.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful import data, encoders, tasks
from handful.contracts import ClassText, Encoder, check_count
from handful.data.group_by import AUTO
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.skills.copies import REFUSE, check_on_conflict
from handful.skills.fitted import Fitted
from handful.skills.grouping import grouping_facts, grouping_notes, with_groups
from handful.skills.pool import Helped, check_pool, encode_pool, find_pool, teach
from handful.skills.statements import state
from handful.skills.support import (
    SupportFeatures,
    SupportImages,
    encode_support,
    features_before_tuning,
    read_support,
)
from handful.tasks import Task

if TYPE_CHECKING:
    from handful.tuners import Trained, Tuning


def fit(
    source: Any,
    *,
    classes: Sequence[str] | None = None,
    root: str | Path | None = None,
    task: str | None = None,
    encoder: str | Path | Encoder = encoders.DEFAULT,
    method: str | None = None,
    params: Mapping[str, Any] | None = None,
    shots: int | None = None,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    seed: int = 0,
    views: int = 1,
    unlabelled: Any = None,
    group_by: str = AUTO,
    on_conflict: str = REFUSE,
    tuning: Tuning | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Teach a skill from labelled images; only from those of `train` where splits are stated.

    Over 60 lines for its arguments, each told in a line.

    Args:
        source: a folder per class, a table, a split file (`handful.data.load`); or in memory a
            data frame, pairs, arrays, a torch data set (`handful.data.read_source`).
        classes: names of the classes, in the order of the columns; labels in memory may be numbers
            then, 0 standing for the first.
        root: where relative paths in memory start; the working directory when not given.
        task: what is asked, a file of `handful.tasks`; by default what the data show.
        encoder: name, folder or a loaded encoder.
        method: an adapter's name; `auto`, which blends several, when not given.
        params: the method's own arguments, such as `{"alpha": 2.0}`.
        shots: images a class, drawn by `seed`; all of them when not given.
        templates: prompts with `{}` for the class, or names of sets such as `satellite`.
        words: class name to its words in a prompt, in the order of the classes, instead of
            `classes`.
        seed: of the draw, of augmented views and of the method where it has one.
        views: augmented views averaged into each support feature; 1 means the image as it is.
        unlabelled: photos of the same kind without labels, a folder or images, that help `auto`
            (`handful.adapters.fit_with_pool`). Support images among them are left out.
        group_by: what belongs together and is left out together: `auto` (the groups that the data
            state, else near copies and bursts that are found), `none`, `parent`, a duration such
            as `60s`, a regular expression on the file's name or a column of the table; see
            `handful.data.grouping.group_images`.
        on_conflict: of a picture that is there under several labels, byte for byte: `refuse`, or
            `drop` all its copies.
        tuning: what to train inside the encoder first; it then computes in float32.
        precision: `float32`, `bfloat16` or `auto`, of an encoder that is loaded by name; see
            `handful.encoders.load`.
        device: likewise, where it computes: `auto`, or as torch names it (`cpu`, `cuda:1`).
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images, labels or arguments that has to be put right first.
    """
    check_count("views", views)
    if shots is not None:
        check_count("shots", shots)
    classes, words = _class_names(classes, words)
    source = data.read_source(source, classes=classes, root=root)
    chosen = tasks.choose(task, source)
    create = partial(chosen.create, method, seed, params)
    adapter = create()  # before any image is read: a wrong parameter is refused at once
    check_on_conflict(on_conflict)
    if unlabelled is not None:
        check_pool(chosen, method, tuned=tuning is not None)
        unlabelled = find_pool(unlabelled)
    images = read_support(
        chosen, source, words, shots, seed, group_by=group_by, on_conflict=on_conflict
    )
    class_prompts = prompts.class_prompts(images.words, prompts.expand_templates(templates))
    if tuning is not None and encoders.check_precision(precision) == "bfloat16":
        raise InputError("a tuner is trained in float32; leave the precision bfloat16 out")
    precision = "float32" if tuning else precision
    model = encoders.load(encoder, precision=precision, device=device)
    encode = partial(encode_support, chosen, views=views, seed=seed, store=store, progress=progress)
    trained, used = None, class_prompts
    images, support, near = with_groups(images, encode(images, model))
    if tuning is not None:
        trained = _tune(chosen, tuning, model, images, class_prompts, create, seed, store, progress)
        if trained.weight:  # at 0 nothing of the training is kept
            model, used = trained.encoder, replace(class_prompts, templates=trained.templates)
            support = encode(images, model)
    text = prompts.encode_prompts(model, used)
    pool = None
    if unlabelled is not None:
        known = (*support.ids, *(support.reserved.ids if support.reserved else ()))
        pool = encode_pool(model, unlabelled, known, store, progress)
    began = time.perf_counter()
    helped = teach(adapter, support, text, pool)
    seconds = time.perf_counter() - began
    facts = {"shots": shots, "counts": support.counts, **chosen.facts(support.targets)}
    facts |= {"precision": model.precision} if precision != "auto" else {}
    facts |= grouping_facts(images, support, near)
    facts |= {"words": images.words, "seed": seed, "views": views, "failed": len(support.failures)}
    untouched = features_before_tuning(model, class_prompts, support, store)
    pack = _pack(chosen, adapter, helped, model, used.templates, text, support, untouched, facts)
    return Fitted(
        pack,
        support.failures,
        support.encoded,
        seconds,
        images.ignored,
        model,
        trained,
        store,
        pool,
        images.repeated,
        images.dropped,
        grouping_notes(chosen, images, support, near),
    )


def _class_names(
    classes: Sequence[str] | None, words: Mapping[str, str] | None
) -> tuple[Sequence[str] | None, Mapping[str, str] | None]:
    """The names of the classes, and their words; each from the other where it is missing.

    Raises:
        InputError: both are given, and name other classes or another order.
    """
    names = data.check_classes(classes)
    if words is None:
        return names, None if names is None else {name: name for name in names}
    if names is not None and names != tuple(words):
        raise InputError(
            f"classes= names {', '.join(names[:5])}, and words= {', '.join([*words][:5])}; "
            "leave classes= out, for the words name the classes in their order"
        )
    return tuple(words), words


def _tune(
    task: Task,
    tuning: Tuning,
    encoder: Encoder,
    support: SupportImages,
    class_prompts: prompts.ClassPrompts,
    head: Callable[[], Any],
    seed: int,
    store: FeatureStore | None,
    progress: Progress | None,
) -> Trained:
    """Train a tuner on the support images; its report, with the tuned encoder."""
    if not task.exclusive:
        raise InputError("--tuner and --multi-label do not go together yet; leave one of them out")
    from handful.tuners import tune  # imports what training alone needs

    labelled = support.images
    return tune(
        tuning,
        encoder,
        labelled.images,
        labelled.labels,
        class_prompts,
        seed=seed,
        head=head,
        groups=labelled.groups,
        store=store,
        progress=progress,
    )


def _pack(
    task: Task,
    adapter: Any,
    helped: Helped | None,
    encoder: Encoder,
    templates: Sequence[str],
    text: ClassText,
    features: SupportFeatures,
    untouched: deltas.Untouched | None,
    facts: Mapping[str, Any],
) -> Pack:
    """The skill, with its statements where its task keeps the support set."""
    support = features.as_support(text) if task.keeps_support else None
    chosen = {"selection": adapter.explain()} if hasattr(adapter, "explain") else {}
    more: dict[str, Any] = {"tuned": untouched is not None}
    if helped:
        more |= {"pool": helped.pool.features, "left_out": helped.fit.left_out}
    stated = state(adapter, support, **more) if support else None
    if helped:
        facts = {**facts, "pool": helped.facts}
        stated = helped.with_digests(stated)
    return Pack.of(
        adapter,
        text,
        encoder,
        task=tasks.name_of(task),
        templates=templates,
        support_ids=features.ids,
        support=support,
        untouched=untouched,
        statements=stated,
        entries=task.statements(adapter),
        training={**facts, **chosen},
    )
