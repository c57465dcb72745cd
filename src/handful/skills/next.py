"""Which photos to label next: those whose labels would help a skill most."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from handful import data, report
from handful.contracts import Array, Encoder, ImageRef
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.selection import variance_reduction_order
from handful.skills.distinct import Distinct, find_unlabelled
from handful.skills.edit.refit import require_support
from handful.skills.loaded import AnySkill, unpack
from handful.skills.locate import decode_or_none
from handful.skills.predict import Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNT = 20
_ACROSS = 3  # photos in a row of the sheet: captions can be read on a telephone
_LONGEST = 24  # letters of a class name


@dataclass(frozen=True)
class Suggestion:
    """A photo whose label would help.

    Args:
        name: of the image, its path where it has one.
        doubt: 0 to 1, 1 less the lead of the likeliest class over the second.
        looks_like: the class that the skill answers.
        or_like: the second.
        rank: from 1; the order in which labels help, each counted after those before it.
    """

    name: str
    doubt: float
    looks_like: str
    or_like: str
    rank: int


@dataclass(frozen=True, eq=False)
class Suggested:
    """The photos to label, the most helpful first, and what was left out.

    Args:
        photos: what to label.
        pictures: their images, in the same order.
        asked: how many were asked for.
        candidates: different photos that they were chosen from.
        in_support: names of photos that are byte for byte support images.
        repeated: names of photos that are there more than once.
        failures: photos that could not be read.
        encoded: photos that went through the encoder now.
        classes: of the skill.
    """

    photos: tuple[Suggestion, ...]
    pictures: tuple[ImageRef, ...]
    asked: int
    candidates: int
    in_support: tuple[str, ...]
    repeated: tuple[str, ...]
    failures: tuple[Failure, ...]
    encoded: int
    classes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON, without pictures and failures."""
        return {
            "photos": [asdict(photo) for photo in self.photos],
            "asked": self.asked,
            "candidates": self.candidates,
            "in_support": list(self.in_support),
            "repeated": list(self.repeated),
            "encoded": self.encoded,
        }

    def to_csv(self) -> str:
        """A table to fill in labels, which `handful add` and `handful fit` read."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "label", "rank", "looks_like", "or_like", "doubt"])
        for photo, ref in zip(self.photos, self.pictures, strict=True):
            where = str(ref.path.resolve()) if ref.path else photo.name
            rows.writerow(
                [where, "", photo.rank, photo.looks_like, photo.or_like, f"{photo.doubt:.3f}"]
            )
        return text.getvalue()


def suggest(
    skill: AnySkill,
    images: Any,
    count: int = COUNT,
    *,
    encoder: str | Path | Encoder | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Suggested:
    """Photos whose labels would help a skill most.

    They are chosen one after the other (`handful.selection.variance_reduction_order`): apart from
    the support images and from each other, and like many photos that the skill is in doubt of,
    each of which weighs `sqrt(1 - lead of the likeliest class)`. No label is needed in between.

    Args:
        skill: a skill with its support set; its folder, or what `handful.fit` returns.
        images: files, folders or images, without labels (`handful.data.images_of`).
        count: how many; all where there are fewer.
        encoder: to use instead of the one the skill names.
        precision: of an encoder that is loaded by name; see `Predictor`.
        device: likewise.
        store: where features are kept.
        progress: called with (images done, images in all).

    Raises:
        InputError: a skill of several labels an image; no photo but those of the support set.
        PackError: the skill was saved without its support set.
    """
    if count < 1:
        raise InputError(f"expected 1 or more photos to label, got {count}")
    refs = find_unlabelled(images, "image")
    if not refs:
        raise InputError("no images given; name image files or folders")
    predictor = _predictor(skill, encoder, store, precision=precision, device=device)
    support = require_support(predictor.pack)
    found = extract_features(predictor.encoder, refs, store or predictor.store, progress=progress)
    known = {*support.ids, *(support.reserved.ids if support.reserved else ())}
    left = Distinct.of(found, refs, known)
    if not left.rows:
        why = f"; {len(left.in_support)} are support images" if left.in_support else ""
        raise InputError(
            f"no photo to label among {len(refs)}{why}{data.describe_failures(found.failures)}"
        )
    places = [found.kept[row] for row in left.rows]
    rows = found.features.values[list(left.rows)]
    chosen, suggestions = _choose(predictor.pack, rows, [refs[p].name for p in places], count)
    return Suggested(
        suggestions,
        tuple(refs[places[i]] for i in chosen),
        count,
        len(places),
        left.in_support,
        left.repeated,
        found.failures,
        found.encoded,
        predictor.pack.classes,
    )


def _predictor(
    skill: AnySkill,
    encoder: str | Path | Encoder | None,
    store: FeatureStore | None,
    *,
    precision: str,
    device: str,
) -> Predictor:
    """The skill with its encoder, which is not loaded in vain.

    Raises:
        InputError: its doubt is not that of one class among several.
    """
    pack, *_ = unpack(skill)
    if not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers {pack.task.answers}; which photo to label next can be said of "
            "skills of one label an image"
        )
    require_support(pack)
    read = pack if isinstance(skill, str | Path) else skill  # from disk once
    return Predictor(read, encoder, store, precision=precision, device=device)


def _choose(
    pack: Pack, rows: Array, names: Sequence[str], count: int
) -> tuple[list[int], tuple[Suggestion, ...]]:
    """Positions of the chosen rows of `[M, D]`, and why."""
    support = require_support(pack)
    probabilities = pack.probabilities(rows)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    lead = np.take_along_axis(probabilities, order, 1)
    doubt = np.clip(1 - (lead[:, 0] - lead[:, 1]), 0, 1)
    known = support.features
    if support.reserved:  # photos of no class are as well known
        known = np.concatenate([known, support.reserved.features])
    chosen = variance_reduction_order(
        torch.from_numpy(known), torch.from_numpy(rows), torch.from_numpy(doubt).sqrt(), count
    )
    classes = pack.classes
    return chosen, tuple(
        Suggestion(
            names[i], round(float(doubt[i]), 4), classes[order[i, 0]], classes[order[i, 1]], rank
        )
        for rank, i in enumerate(chosen, start=1)
    )


def contact_sheet(found: Suggested) -> Figure:
    """The photos with their rank, and the two classes that they look like."""
    down = -(-len(found.photos) // _ACROSS)
    figure = report.new_figure(2 * _ACROSS, 2.5 * down)
    cells = (
        (
            decode_or_none(ref),
            photo.name,
            f"{photo.rank}. {report.shorten(photo.looks_like, _LONGEST)}?\n"
            f"or {report.shorten(photo.or_like, _LONGEST)}, doubt {100 * photo.doubt:.0f} %",
            report.COLOURS[4] if photo.doubt >= 0.5 else report.COLOURS[5],
        )
        for photo, ref in zip(found.photos, found.pictures, strict=True)
    )
    report.show_photos(figure, down, _ACROSS, cells)
    return figure
