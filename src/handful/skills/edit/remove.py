"""Remove images (exact unlearning) or whole classes from a skill."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from handful import data
from handful.contracts import ClassText, ImageRef, at_home
from handful.errors import InputError
from handful.packs import Pack, deltas
from handful.packs.support import Support
from handful.skills.edit.edited import Edited, apply, load_pack
from handful.skills.edit.refit import prompt_words, refit, require_support
from handful.skills.edit.support_sets import check_known, find_rows, remove_rows
from handful.skills.loaded import AnySkill


def remove(
    skill: AnySkill,
    images: Collection[int | str] = (),
    *,
    label: str | None = None,
    drop: Collection[str] = (),
    statements: bool = True,
) -> Edited:
    """Unlearn images exactly, or whole classes: nothing of them remains in the skill.

    Args:
        skill: a pack or its folder, with its support set.
        images: rows of the support set, names as the skill holds them, files, or digests (their
            first eight digits do); also of reserved images, whose rows follow.
        label: search among the images of this class alone.
        drop: classes to forget with all their images.
        statements: compute anew what the skill states of itself, which takes longer than the
            change; without it the skill states nothing.

    Raises:
        InputError: no such image or class, a name that several images have, or too little would be
            left.
        PackError: the skill was saved without its support set.
    """
    pack = load_pack(skill)
    support = require_support(pack)
    if not images and not drop:
        raise InputError("nothing to remove: name images by name or digest, or classes to drop")
    drop = [data.same_name(name, pack.classes) for name in drop]
    label = None if label is None else data.same_name(label, pack.classes)
    if label is not None and not data.is_reserved(label):
        check_known(pack.classes, [label])
    check_known(pack.classes, drop)
    rows = {row for image in images for row in _rows(support, image, label)}
    if deltas.KEY in pack.manifest:  # the encoder's own weights cannot be refitted from features
        raise InputError(
            f"{pack.where}: its encoder was tuned on these images, and what it learned from them "
            "cannot be taken out of it; teach the skill again without them"
        )
    return apply(pack, lambda: _without(pack, support, rows, drop), statements=statements)


def _without(pack: Pack, support: Support, rows: set[int], drop: Collection[str]) -> Pack:
    """The skill refitted without some rows of its support set and without some classes."""
    dropped = {row for row, name in enumerate(support.labels) if name in drop}
    left = remove_rows(support, rows - dropped)
    if not drop:
        return refit(pack, left)
    columns = [c for c, name in enumerate(pack.classes) if name not in drop]
    if len(columns) < 2:
        raise InputError(
            f"a skill tells at least two classes apart, and {len(columns)} of {len(pack.classes)} "
            "would be left; add another class first"
        )
    text = left.text
    kept = ClassText(text.embeddings[columns], tuple(text.classes[c] for c in columns), text.scale)
    part = left.subset(np.flatnonzero(np.isin(left.targets, columns)))
    # targets are positions among the classes: position of each old column among the kept ones
    part = replace(part, text=kept, targets=np.searchsorted(columns, part.targets))
    words = {name: word for name, word in prompt_words(pack).items() if name not in drop}
    return refit(pack, part, words=words)


def _rows(support: Support, image: int | str, label: str | None) -> Iterable[int]:
    """Rows of an image named as the skill does, or of a file by its content."""
    if isinstance(image, str) and at_home(image).is_file():
        digest = ImageRef.of(image).digest()
        if digest in support.ids:
            return find_rows(support, digest, label)
    return find_rows(support, image, label)
