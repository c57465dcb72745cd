"""Operations on support sets: find images, remove them, append others."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from handful.contracts import ClassText
from handful.data import RESERVED, is_reserved
from handful.data.image_names import ends_like, name_parts
from handful.errors import InputError
from handful.packs.support import Reserved, Support
from handful.skills.group_names import is_near, near_name

_DIGEST = re.compile(r"[0-9a-f]{8,64}")  # eight digits are unique among a few thousand photos
NO_CLASS = "none of the classes"  # the label of a reserved image


def from_labels(
    features: ArrayLike, labels: Sequence[str], ids: Sequence[str], names: Sequence[str],
    text: ClassText, groups: Sequence[str] = (),
) -> Support:  # fmt: skip
    """A support set from class names instead of positions.

    Raises:
        InputError: sizes that disagree, a label that is no class.
    """
    column = {name: c for c, name in enumerate(text.classes)}
    unknown = sorted({str(label) for label in labels} - column.keys())
    if unknown:
        raise InputError(
            f"labels {unknown[:5]} are not among the {len(column)} classes; "
            "give the text of new classes, or correct them"
        )
    targets = np.array([column[label] for label in labels], dtype=np.int64)
    rows = np.asarray(features, np.float32)
    return Support(rows, targets, text, tuple(ids), tuple(names), groups=tuple(groups))


def find_rows(support: Support, image: int | str, label: str | None = None) -> list[int]:
    """Rows of one image, also where it was given more than once.

    Rows from N on are those of the reserved images.

    Args:
        support: the support set to search.
        image: a row, a digest (or its first eight digits or more), or a name: `cat/1.jpg` or
            `1.jpg`.
        label: search among images of this class alone; a reserved name for the reserved images.

    Raises:
        InputError: no such image; different images of that name.
    """
    ids, names, labels = _all_images(support)
    if isinstance(image, int):
        if not 0 <= image < len(ids):
            raise InputError(f"expected a row from 0 to {len(ids) - 1}, got {image}")
        return [i for i, id_ in enumerate(ids) if id_ == ids[image]]
    if label is not None and is_reserved(label) and label not in support.text.classes:
        label = NO_CLASS
    rows = [i for i in range(len(ids)) if label in (None, labels[i])]
    path = "/".join(name_parts(unicodedata.normalize("NFC", image)))
    names = tuple(unicodedata.normalize("NFC", name) for name in names)
    # the most exact meaning that finds anything: digest, whole name, end of a name
    found = [i for i in rows if _DIGEST.fullmatch(image) and ids[i].startswith(image)]
    found = found or [i for i in rows if names[i] and names[i] == path]
    found = found or [i for i in rows if names[i] and ends_like(names[i], path)]
    if not found:
        raise InputError(
            f"{image}: no image of this name or digest among the {len(rows)} that the skill was "
            f"taught with{f' as {label!r}' if label else ''}; handful inspect --json lists them"
        )
    different = {ids[i]: names[i] for i in found}
    if len(different) > 1:
        shown = ", ".join(f"{name} ({id_[:12]})" for id_, name in [*different.items()][:5])
        raise InputError(
            f"{image}: {len(different)} images are called so: {shown}; name the class (--class), "
            "or give the digest in brackets"
        )
    return [i for i in range(len(ids)) if ids[i] in different]


def remove_rows(support: Support, rows: Collection[int]) -> Support:
    """The support set without some rows, as `find_rows` counts them.

    Raises:
        InputError: a class would have no image left.
    """
    count, gone = len(support.ids), frozenset(rows)
    kept = [i for i in range(count) if i not in gone]
    labels = support.labels
    empty = {*labels} - {labels[i] for i in kept}
    if empty:
        first = min(empty)
        raise InputError(
            f"{first!r} would have no image left; a class is known by its images here: drop it "
            f"(--drop {first!r}), or add others of it first"
        )
    reserved = support.reserved
    if reserved is not None:
        left = [i for i in range(len(reserved.ids)) if count + i not in gone]
        reserved = reserved.subset(left) if left else None
    return replace(support.subset(kept), reserved=reserved)


def new_rows(support: Support, ids: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Positions of the images that the support set does not hold yet, each image once.

    Raises:
        InputError: an image that is in one class there and in another here.
    """
    held: dict[str, dict[str, str]] = {}  # digest to label to name
    for id_, name, label in zip(*_all_images(support), strict=True):
        held.setdefault(id_, {})[label] = name
    rows = []
    for i, (id_, label) in enumerate(zip(ids, labels, strict=True)):
        # a support set may hold one image under several labels; any of them may come again
        known = held.setdefault(id_, {})
        if known and label not in known:
            there, name = min(known.items())
            raise InputError(
                f"the image {name or id_[:12]} ({id_[:12]}) is {there!r} already and {label!r} "
                "here, byte for byte the same; remove it where it is wrong (handful remove SKILL "
                "DIGEST) or leave it out"
            )
        if not known:
            rows.append(i)
        known[label] = ""
    return rows


def concatenate(support: Support, more: Support) -> Support:
    """Images of both under the classes of `more`, which begin with those of `support`.

    Reserved images stay those of `support`; `united_reserved` gives those of both.
    """
    return replace(
        support,
        features=np.concatenate([support.features, more.features]),
        targets=np.concatenate([support.targets, more.targets]),
        text=more.text,
        ids=support.ids + more.ids,
        names=support.names + more.names,
        groups=support.groups + _renumbered(more.groups, support.groups),
    )


def concatenate_texts(first: ClassText, second: ClassText) -> ClassText:
    """Classes of both; the second's follow.

    Raises:
        InputError: other prompts or another width, names that repeat.
    """
    expected, got = first.embeddings.shape[1:], second.embeddings.shape[1:]
    if expected != got:
        raise InputError(
            f"expected {expected[0]} prompts a class of width {expected[1]}, as the skill has, "
            f"got {got[0]} of {got[1]}; use the skill's own templates and encoder"
        )
    embeddings = np.concatenate([first.embeddings, second.embeddings])
    return ClassText(embeddings, first.classes + second.classes, first.scale)


def united_reserved(first: Support, second: Support) -> Reserved | None:
    """Reserved images of both, each once, less those that are images of a class of either."""
    parts = [s.reserved for s in (first, second) if s.reserved is not None]
    if not parts:
        return None
    features = np.concatenate([part.features for part in parts])
    ids = tuple(id_ for part in parts for id_ in part.ids)
    names = tuple(name for part in parts for name in part.names)
    groups = parts[0].groups
    for part in parts[1:]:
        groups += _renumbered(part.groups, groups)
    first_row = {id_: i for i, id_ in reversed([*enumerate(ids)])}
    in_classes = {*first.ids, *second.ids}
    rows = [i for i, id_ in enumerate(ids) if first_row[id_] == i and id_ not in in_classes]
    return Reserved(features, ids, names, groups).subset(rows) if rows else None


def _renumbered(groups: Sequence[str], taken: Collection[str]) -> tuple[str, ...]:
    """Groups of another support set: a stated name means the same group in both, a number does not.

    Groups of near copies are numbered within a support set, and get numbers of their own here.

    >>> _renumbered(["near:1", "near:1", "patient 3"], ["near:1", "near:2", ""])
    ('near:3', 'near:3', 'patient 3')
    """
    used = {*taken} | {group for group in groups if not is_near(group)}
    free = (name for i in itertools.count(1) if (name := near_name(i)) not in used)
    names = {g: next(free) for g in dict.fromkeys(groups) if is_near(g)}
    return tuple(names.get(group, group) for group in groups)


def check_class_names(names: Iterable[str]) -> None:
    """Refuse names that mean "none of the classes".

    Raises:
        InputError: naming it.
    """
    bad = [name for name in names if is_reserved(name)]
    if bad:
        raise InputError(
            f"{bad[0]!r} cannot be a class: {', '.join(sorted(RESERVED))} stand for what is none "
            "of the classes (images in a folder called so teach a skill to say unknown); call it "
            "what it shows"
        )


def check_known(classes: Sequence[str], names: Iterable[str]) -> None:
    """Refuse names that are no class of the skill.

    Raises:
        InputError: naming the first of them and the classes that there are.
    """
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise InputError(
            f"the skill has no class {unknown[0]!r}; it knows: {', '.join(classes[:10])}"
        )


def _all_images(support: Support) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Digests, names and labels of all images, the reserved ones last."""
    reserved = support.reserved
    if reserved is None:
        return support.ids, support.names, support.labels
    labels = support.labels + (NO_CLASS,) * len(reserved.ids)
    return support.ids + reserved.ids, support.names + reserved.names, labels
