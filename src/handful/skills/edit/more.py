"""New images on their way into a skill: sorted by what it holds already, encoded, added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from handful import data
from handful.contracts import Array, ClassText, Encoder
from handful.data import Dataset
from handful.encoders import prompts
from handful.errors import ImageError, InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.skills.edit import changes, support_sets


@dataclass(frozen=True, eq=False)
class More:
    """New images as features; those of none of the classes are labelled `sets.NONE`."""

    values: Array
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    failures: tuple[Failure, ...]
    encoded: int


def new_words(pack: Pack, dataset: Dataset, words: Mapping[str, str] | None) -> dict[str, str]:
    """New labels and what prompts call them, in the order of the data or of `words`."""
    given = dict(words or {})
    known = {name: pack.manifest["training"].get("words", {}).get(name) for name in pack.classes}
    other = [n for n, said in given.items() if n in known and said not in (n, known[n])]
    if other:
        raise InputError(
            f"the skill's prompts call {other[0]!r} {known[other[0]] or other[0]!r} already, not "
            f"{given[other[0]]!r}; the words of a class are given when it is first taught"
        )
    there = set(dataset.labels)
    order = [*given, *(name for name in dataset.classes if name not in given)]
    new = [n for n in order if n in there and n not in known and not data.is_reserved(n)]
    return {name: given.get(name, name) for name in new}


def sorted_out(
    pack: Pack, dataset: Dataset
) -> tuple[list[int], list[tuple[int, str]], tuple[Failure, ...]]:
    """Positions to encode; positions and digests of those the skill holds; those without bytes."""
    support = changes.support_of(pack)
    ids = {*support.ids, *(support.reserved.ids if support.reserved else ())}
    unread, held, failures = [], [], []
    for i, image in enumerate(dataset.images):
        try:
            digest = image.digest()
        except ImageError as error:
            failures.append(Failure(image.name, str(error), i))
            continue
        if digest in ids:
            held.append((i, digest))
        else:
            unread.append(i)
    return unread, held, tuple(failures)


def encoded(
    pack: Pack,
    encoder: Encoder,
    dataset: Dataset,
    store: FeatureStore | None,
    progress: Progress | None,
) -> More:
    """Features as the skill's own were made: a class's in the same views from the same seed."""
    facts = pack.manifest["training"]
    views, seed = facts.get("views") or 1, facts.get("seed") or 0
    labels = [meant(pack, label) for label in dataset.labels]
    found = []
    for none in (False, True):
        places = [i for i, label in enumerate(labels) if (label == support_sets.NONE) == none]
        if places:
            images, seen = [dataset.images[i] for i in places], 1 if none else views
            got = extract_features(encoder, images, store, views=seen, seed=seed, progress=progress)
            found.append((places, got))
    kept = [places[i] for places, got in found for i in got.kept]
    return More(
        np.concatenate([got.features.values for _, got in found]),
        tuple(id_ for _, got in found for id_ in got.features.ids),
        tuple(labels[i] for i in kept),
        tuple(dataset.images[i].name for i in kept),
        tuple(replace(f, index=places[f.index]) for places, got in found for f in got.failures),
        sum(got.encoded for _, got in found),
    )


def grown(pack: Pack, more: More, text: ClassText | None, words: Mapping[str, str]) -> Pack:
    """The skill with the new images; `text` and `words` are those of the new classes."""
    short = [data.short_name(name) for name in more.names]
    none = [i for i, label in enumerate(more.labels) if label == support_sets.NONE]
    rows = [i for i, label in enumerate(more.labels) if label != support_sets.NONE]
    if rows:
        labels, ids, names = ([v[i] for i in rows] for v in (more.labels, more.ids, short))
        pack = changes.add(pack, more.values[rows], labels, ids, names, text, words)
    if none:
        ids, names = ([v[i] for i in none] for v in (more.ids, short))
        pack = changes.add_reserved(pack, more.values[none], ids, names)
    return pack


def seen_untuned(
    former: Pack,
    made: Pack,
    encoder: Encoder,
    dataset: Dataset,
    words: Mapping[str, str],
    store: FeatureStore | None,
) -> Pack:
    """The grown skill with what the untuned encoder sees of the new images, for libraries."""
    seen = deltas.untouched(former.tensors, len(former.classes), former.where)
    base, support = getattr(encoder, "base", None), made.support
    if seen is None or base is None or support is None:
        return made
    found = extract_features(base, dataset.images, store).features
    rows = dict(zip(found.ids, found.values, strict=True))
    more = [rows[id_] for id_ in support.ids[len(seen.features) :]]
    text = seen.text
    if words:
        told = prompts.embed(base, words, former.manifest["templates"]).weights
        text = np.concatenate([text, told])
    features = np.concatenate([seen.features, more]) if more else seen.features
    both = deltas.Untouched(features, support.targets, text)
    return replace(made, tensors=made.tensors | both.tensors())


def meant(pack: Pack, label: str) -> str:
    """The label; what a reserved one stands for where the skill has no such class."""
    return support_sets.NONE if data.is_reserved(label) and label not in pack.classes else label
