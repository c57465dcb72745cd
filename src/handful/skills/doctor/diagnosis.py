"""Diagnosis of the support set of a skill (without its encoder), or of labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handful import data, encoders, plugins, tasks
from handful.contracts import Encoder, ImageRef, at_home
from handful.data.group_by import AUTO
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.packs import Pack, deltas
from handful.packs.format import LIBRARY, MANIFEST
from handful.skills.doctor.duplicates import SIMILAR
from handful.skills.doctor.examination import examine
from handful.skills.doctor.findings import Examination
from handful.skills.grouping import with_groups
from handful.skills.locate import decode_or_none, locate_images
from handful.skills.support import encode_support, read_support


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


def diagnose(
    source: Any,
    *,
    images: Path | None = None,
    encoder: str | Path | Encoder = encoders.DEFAULT,
    templates: Sequence[str] = prompts.DEFAULT,
    words: Mapping[str, str] | None = None,
    similar: float = SIMILAR,
    group_by: str = AUTO,
    precision: str = "auto",
    device: str = "auto",
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
        group_by: for images: what belongs together, as for `handful.fit`; a skill holds its groups.
        precision: for images: of an encoder that is loaded by name; see `handful.encoders.load`.
        device: likewise.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: a skill without its support set; whatever is wrong with the images.
    """
    source = _as_pack(source)
    if isinstance(source, Pack):
        if group_by != AUTO:
            raise InputError(
                f"{source.where}: holds the groups it was taught with; --group-by is for photos "
                "that are not a skill yet"
            )
        return _of_skill(source, images, similar)
    if images is not None:
        raise InputError(f"{images}: the pictures of a folder need not be named again")
    task = tasks.get("classify")
    read = data.read_source(source, classes=words)
    labelled = read_support(task, read, words, group_by=group_by, keep_copies=True)
    without_class = labelled.reserved
    labelled = replace(labelled, reserved=without_class.subset([]))  # not examined, so not encoded
    loaded = encoders.load(encoder, precision=precision, device=device)
    text = prompts.embed(loaded, labelled.words, prompts.expand_templates(templates))
    found = encode_support(task, labelled, loaded, store=store, progress=progress)
    _, found, _ = with_groups(labelled, found)
    support = found.as_support(text)
    adapter = plugins.get("adapters", "auto")()
    result = examine(support, adapter, sizes=_sizes(found.images), similar=similar)
    if len(without_class):
        names = ", ".join(sorted(set(without_class.labels)))
        note = f"{len(without_class)} images of no class ({names}) were left out"
        result = replace(result, notes=(*result.notes, note))
    pictures = dict(zip(support.ids, found.images, strict=True))
    return Diagnosis(result, pictures, found.encoded, found.failures, labelled.ignored)


def _as_pack(source: Any) -> Any:
    """A skill as its pack; anything else as it is."""
    path = at_home(source) if isinstance(source, str | Path) else None
    # of a library too, whose refusal names its skills
    made_here = path and any((path / name).is_file() for name in (MANIFEST, LIBRARY))
    if path and (made_here or (path.suffix == ".skill" and path.is_file())):
        return Pack.load(path)
    return getattr(source, "pack", source)  # of a skill with its encoder in memory


def _of_skill(pack: Pack, images: Path | None, similar: float) -> Diagnosis:
    if not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers {pack.task.answers}; the doctor knows skills of one label "
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
    pictures = locate_images(images, support.ids, support.names)
    sizes = _sizes([pictures.get(id_) for id_ in support.ids])
    result = examine(support, adapter, sizes=sizes, similar=similar)
    return Diagnosis(result, pictures, failures=pictures.failures, ignored=pictures.ignored)


def _sizes(refs: Sequence[ImageRef | None]) -> list[tuple[int, int] | None]:
    """N widths and heights; None for what cannot be read."""
    pictures = (decode_or_none(ref) for ref in refs)
    return [None if picture is None else picture.size for picture in pictures]
