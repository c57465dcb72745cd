"""Where a support set comes from: a skill, which needs no encoder, or labelled images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from handful import data, encoders, plugins
from handful.contracts import Encoder, ImageRef
from handful.data import Dataset
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.packs.support import Support
from handful.skills import support_images
from handful.skills.doctor._examine import SIMILAR, examine
from handful.skills.doctor._findings import Examination


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """An examination and what it was made from.

    Args:
        examination: what was found.
        pictures: digest to image, for those at hand.
        encoded: images that went through the encoder for this; 0 for a skill.
        failures: images of a folder that could not be used.
        ignored: files passed over while looking for images: how many of each kind.
    """

    examination: Examination
    pictures: Mapping[str, ImageRef]
    encoded: int = 0
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


def is_skill(path: Path) -> bool:
    """Does this folder hold a skill, or is it a skill file?"""
    return (path / "pack.json").exists() or (path.suffix == ".skill" and path.is_file())


def diagnose(
    source: str | Path | Pack | Dataset,
    *,
    images: Path | None = None,
    encoder: str | Path | Encoder = "tiny",
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    similar: float = SIMILAR,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Diagnosis:
    """Examine the support set of a skill, or labelled images before a skill is made of them.

    Args:
        source: a skill, or images as for `handful.fit`; of those that state splits, only `train`.
        images: for a skill: the folder that holds its images, to show and to measure them.
        encoder: for images; a skill has its features with it.
        templates: for images: prompts, or names of sets of them.
        words: for images: what the prompts call a class.
        similar: cosine above which two pictures count as near-duplicates.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: a skill without its support set; whatever is wrong with the images.
    """
    if isinstance(source, str | Path) and is_skill(Path(source)):
        source = Pack.load(source)
    if isinstance(source, Pack):
        return _of_skill(source, images, similar)
    if images is not None:
        raise InputError(f"{images}: the pictures of a folder need not be named again")
    dataset = data.split_or_all(data.load(source), "train")
    dataset, none = data.separate_reserved(dataset, words)
    names = data.class_words(dataset, words)
    tower = encoders.load(encoder)
    text = prompts.embed(tower, names, prompts.expand_templates(templates))
    found = extract_features(tower, dataset.images, store, progress=progress)
    labels = [dataset.labels[i] for i in found.kept]
    data.require_images(names, Counter(labels), found.failures)
    refs = [dataset.images[i] for i in found.kept]
    column = {name: i for i, name in enumerate(text.classes)}
    support = Support(
        found.features.values,
        np.array([column[label] for label in labels], dtype=np.int64),
        text,
        found.features.ids,
        tuple(data.short_name(ref.name) for ref in refs),
    )
    result = examine(
        support, plugins.get("adapters", "auto")(), sizes=_sizes(refs), similar=similar
    )
    if len(none):
        note = (
            f"{len(none)} images of no class ({', '.join(sorted(set(none.labels)))}) were left out"
        )
        result = replace(result, notes=(*result.notes, note))
    pictures = dict(zip(support.ids, refs, strict=True))
    return Diagnosis(result, pictures, found.encoded, found.failures, dataset.ignored)


def _of_skill(pack: Pack, images: Path | None, similar: float) -> Diagnosis:
    if not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers several labels an image; the doctor knows skills of one label "
            "an image only"
        )
    support = pack.support
    if support is None:
        raise InputError(
            f"{pack.where}: was saved without its support set, so its images cannot be examined; "
            "name the folder it was taught from instead, or teach the skill again"
        )
    if deltas.KEY in pack.manifest:
        raise InputError(
            f"{pack.where}: its encoder was tuned on these labels, right or wrong, so its features "
            "hide wrong ones; name the folder it was taught from instead"
        )
    adapter = plugins.get("adapters", pack.method)(**pack.manifest["params"])
    if images is None:
        return Diagnosis(examine(support, adapter, similar=similar), {})
    pictures = support_images.find(images, support.ids, support.names)
    sizes = _sizes([pictures.get(id_) for id_ in support.ids])
    return Diagnosis(examine(support, adapter, sizes=sizes, similar=similar), pictures)


def _sizes(refs: Sequence[ImageRef | None]) -> list[tuple[int, int] | None]:
    pictures = (support_images.picture(ref) for ref in refs)
    return [None if p is None else p.size for p in pictures]
