"""Add images to a skill, of its classes and of new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handful import data
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.data import Dataset
from handful.data.group_by import AUTO
from handful.encoders import prompts
from handful.errors import ImageError, InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.packs.support import Reserved, Support
from handful.skills.edit.add_features import add_features, add_reserved
from handful.skills.edit.edited import Edited, apply
from handful.skills.edit.labels import as_the_skill_spells, mark_reserved
from handful.skills.edit.new_groups import new_groups
from handful.skills.edit.refit import prompt_words, require_support
from handful.skills.edit.support_sets import NO_CLASS, new_rows
from handful.skills.encoder import load_encoder
from handful.skills.loaded import AnySkill, unpack
from handful.skills.support import unreadable


def add(
    skill: AnySkill,
    source: Any,
    *,
    encoder: str | Path | Encoder | None = None,
    words: Mapping[str, str] | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Edited:
    """Teach a skill more images of its classes, and new classes.

    Over 60 lines for its arguments, each told in a line.

    Images labelled `background`, `none`, `noise` or `other` show what is none of the classes, as in
    `handful.fit`. Only images that the skill does not hold are encoded, in the views it was taught
    with; only new classes are read by the text tower, in the skill's own templates.

    Args:
        skill: a pack or its folder, with its support set.
        source: labelled images, as for `handful.fit`; one class is enough. Where it states splits,
            only `train` is used.
        encoder: to use instead of the one the skill names.
        words: what the prompts call new classes, where the labels themselves will not do.
        precision: of an encoder that is loaded by name; see `handful.Predictor`.
        device: likewise.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images or labels that has to be put right first.
        MismatchError: the encoder is not the skill's.
        PackError: the skill was saved without its support set.
    """
    pack, encoder, store = unpack(skill, encoder, store, precision=precision, device=device)
    support = require_support(pack)
    # folders called as its classes are classes, also where all hold the same folders
    loaded_images = data.load(data.with_classes_known(source, AUTO, pack.classes))
    dataset = as_the_skill_spells(data.split_or_all(loaded_images, "train"), pack.classes)
    words = {data.same_name(n, pack.classes): word for n, word in (words or {}).items()}
    new_classes = _new_classes(pack, dataset, words)
    dataset = mark_reserved(dataset, pack.classes)
    unknown, repeated, failures = _split_by_digest(support, dataset)
    failures += unreadable(dataset)
    if not unknown:
        data.require_images(new_classes, {}, failures)
        edited = Edited(pack, pack)
        return replace(edited, repeated=repeated, failures=failures, ignored=dataset.ignored)
    loaded = load_encoder(pack, encoder, precision=precision, device=device)
    found = _encode(pack, loaded, dataset, unknown, store, progress)
    failures += found.failures
    data.require_images(new_classes, Counter(found.labels), failures)
    once = frozenset(new_rows(support, found.ids, found.labels))
    templates = pack.manifest["templates"]
    text = prompts.embed(loaded, new_classes, templates) if new_classes else None

    def change() -> Pack:
        changed = _with_images(pack, found, text, new_classes)
        images = [dataset.images[i] for i in unknown]
        return _with_untuned(pack, changed, loaded, images, new_classes, store)

    return replace(
        apply(pack, change),
        encoded=found.encoded,
        repeated=repeated + tuple(n for i, n in enumerate(found.names) if i not in once),
        failures=failures,
        ignored=dataset.ignored,
    )


@dataclass(frozen=True, eq=False)
class _NewImages:
    """`[K, D]` features, digests, labels, names, groups of K images, and those that failed."""

    features: Array
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    failures: tuple[Failure, ...]
    encoded: int


def _new_classes(pack: Pack, dataset: Dataset, words: Mapping[str, str] | None) -> dict[str, str]:
    """New labels and their words in prompts, in the order of `words`, then of the data."""
    given = dict(words or {})
    known = prompt_words(pack)
    other = [n for n, word in given.items() if n in known and word not in (n, known[n])]
    if other:
        raise InputError(
            f"the skill's prompts call {other[0]!r} {known[other[0]]!r} already, not "
            f"{given[other[0]]!r}; the words of a class are given when it is first taught"
        )
    present = set(dataset.labels)
    order = dict.fromkeys([*given, *dataset.classes])
    new = [n for n in order if n in present and n not in known and not data.is_reserved(n)]
    return {name: given.get(name, name) for name in new}


def _split_by_digest(
    support: Support, dataset: Dataset
) -> tuple[list[int], tuple[str, ...], tuple[Failure, ...]]:
    """Positions of images to encode, names of those that the skill holds, and unreadable ones.

    Raises:
        InputError: an image that the skill holds in another class.
    """
    ids = {*support.ids, *(support.reserved.ids if support.reserved else ())}
    unknown, held, failures = [], {}, []
    for i, image in enumerate(dataset.images):
        try:
            digest = image.digest()
        except ImageError as error:
            failures.append(Failure(image.name, str(error), i))
            continue
        if digest in ids:  # by content, so a renamed copy is not encoded again
            held[i] = digest
        else:
            unknown.append(i)
    new_rows(support, [*held.values()], [dataset.labels[i] for i in held])
    return unknown, tuple(dataset.images[i].name for i in held), tuple(failures)


def _encode(
    pack: Pack,
    encoder: Encoder,
    dataset: Dataset,
    positions: Sequence[int],
    store: FeatureStore | None,
    progress: Progress | None,
) -> _NewImages:
    """Features as the skill's own were made; images of the classes first, then the reserved ones.

    Images of the classes get the same number of augmented views from the same seed, so that the
    result is that of one fit; reserved images are never augmented.
    """
    facts = pack.manifest["training"]
    views, seed = facts.get("views") or 1, facts.get("seed") or 0
    found = []
    for count, reserved in ((views, False), (1, True)):
        rows = [i for i in positions if (dataset.labels[i] == NO_CLASS) == reserved]
        if rows:
            images = [dataset.images[i] for i in rows]
            got = extract_features(
                encoder, images, store, views=count, seed=seed, progress=progress
            )
            found.append((rows, got))
    kept = [rows[i] for rows, got in found for i in got.kept]
    features = np.concatenate([got.features.values for _, got in found])
    return _NewImages(
        features,
        tuple(id_ for _, got in found for id_ in got.features.ids),
        tuple(dataset.labels[i] for i in kept),
        tuple(dataset.images[i].name for i in kept),
        new_groups(pack, dataset, kept, features),
        tuple(replace(f, index=rows[f.index]) for rows, got in found for f in got.failures),
        sum(got.encoded for _, got in found),
    )


def _with_images(
    pack: Pack, found: _NewImages, text: ClassText | None, words: Mapping[str, str]
) -> Pack:
    """The skill with the new images; `text` and `words` are those of the new classes."""
    names = data.unique_names(found.names, _names_of(pack))
    # `_encode` puts the K images of the classes before the reserved ones
    k = sum(label != NO_CLASS for label in found.labels)
    if k:
        rows, labels, ids = found.features[:k], found.labels[:k], found.ids[:k]
        groups = found.groups[:k]
        pack = add_features(pack, rows, labels, ids, names[:k], text, words, groups=groups)
    if k < len(names):
        rows, ids, groups = found.features[k:], found.ids[k:], found.groups[k:]
        pack = add_reserved(pack, Reserved(rows, ids, tuple(names[k:]), groups))
    return pack


def _names_of(pack: Pack) -> frozenset[str]:
    """Names that the support images have, also the reserved ones."""
    support = require_support(pack)
    reserved = support.reserved.names if support.reserved else ()
    return frozenset((*support.names, *reserved))


def _with_untuned(
    pack: Pack,
    changed: Pack,
    encoder: Encoder,
    images: Sequence[ImageRef],
    words: Mapping[str, str],
    store: FeatureStore | None,
) -> Pack:
    """The changed skill with features of the new images from the encoder before it was tuned.

    A library compares skills on one frozen encoder, so a skill with a tuned encoder keeps both.
    """
    untuned = deltas.untouched(pack.tensors, len(pack.classes), pack.where)
    base, support = getattr(encoder, "base", None), changed.support
    if untuned is None or base is None or support is None:
        return changed
    found = extract_features(base, images, store).features
    by_id = dict(zip(found.ids, found.values, strict=True))
    # `concatenate` appends new images, so those that are held keep their rows
    more = [by_id[id_] for id_ in support.ids[len(untuned.features) :]]
    text = untuned.text
    if words:
        new = prompts.embed(base, words, pack.manifest["templates"]).weights
        text = np.concatenate([text, new])
    features = np.concatenate([untuned.features, more]) if more else untuned.features
    tensors = deltas.Untouched(features, support.targets, text).tensors()
    return replace(changed, tensors=changed.tensors | tensors)
