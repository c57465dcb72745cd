"""Support sets found in, compared, put together: what a skill that changes is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.contracts import ClassText
from handful.errors import InputError
from handful.packs.support import Support

RESERVED = frozenset({"background", "none", "noise", "other"})

_DIGEST = re.compile(r"[0-9a-f]{8,64}")  # eight digits tell one's own photos apart


def made(
    features: ArrayLike, labels: Sequence[str], ids: Sequence[str], names: Sequence[str],
    text: ClassText,
) -> Support:  # fmt: skip
    """A support set from labels.

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
    return Support(np.asarray(features, np.float32), targets, text, tuple(ids), tuple(names))


def find(support: Support, image: int | str, label: str | None = None) -> list[int]:
    """Rows of one image, also where it was given more than once.

    Args:
        support: where to look.
        image: a row, a digest (or its first eight digits or more), or a name: `cat/1.jpg` or
            `1.jpg`.
        label: look among images of this class alone.

    Raises:
        InputError: no such image; different images of that name.
    """
    if isinstance(image, int):
        if not 0 <= image < len(support.ids):
            raise InputError(f"expected a row from 0 to {len(support.ids) - 1}, got {image}")
        return [i for i, id_ in enumerate(support.ids) if id_ == support.ids[image]]
    rows = [i for i in range(len(support.ids)) if label in (None, support.labels[i])]
    found = [i for i in rows if _DIGEST.fullmatch(image) and support.ids[i].startswith(image)]
    asked = image.replace("\\", "/")
    found = found or [i for i in rows if support.names[i] and support.names[i] == asked]
    found = found or [i for i in rows if ("/" + support.names[i]).endswith("/" + asked)]
    if not found:
        raise InputError(
            f"{image}: no image of this name or digest among the {len(rows)} that the skill was "
            f"taught with{f' as {label!r}' if label else ''}; handful inspect --json lists them"
        )
    different = {support.ids[i]: support.names[i] for i in found}
    if len(different) > 1:
        told = ", ".join(f"{name} ({id_[:12]})" for id_, name in [*different.items()][:5])
        raise InputError(
            f"{image}: {len(different)} images are called so: {told}; name the class (--class), "
            "or give the digest in brackets"
        )
    return [i for i in range(len(support.ids)) if support.ids[i] in different]


def fresh(support: Support, ids: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Positions of the images that the support set does not hold yet, each image once.

    Raises:
        InputError: an image that is in one class there and in another here.
    """
    held: dict[str, set[str]] = {}
    for id_, label in zip(support.ids, support.labels, strict=True):
        held.setdefault(id_, set()).add(label)
    rows = []
    for i, (id_, label) in enumerate(zip(ids, labels, strict=True)):
        known = held.setdefault(id_, set())
        if known and label not in known:
            raise InputError(
                f"the image {id_[:12]} is {min(known)!r} already and {label!r} here, byte for byte "
                "the same; remove it where it is wrong (handful remove SKILL DIGEST) or leave it "
                "out"
            )
        if not known:
            rows.append(i)
        known.add(label)
    return rows


def together(one: ClassText, two: ClassText) -> ClassText:
    """Classes of both; the second's follow.

    Raises:
        InputError: other prompts or another width, names that repeat.
    """
    expected, got = one.embeddings.shape[1:], two.embeddings.shape[1:]
    if expected != got:
        raise InputError(
            f"expected {expected[0]} prompts a class of width {expected[1]}, as the skill has, "
            f"got {got[0]} of {got[1]}; use the skill's own templates and encoder"
        )
    both = np.concatenate([one.embeddings, two.embeddings])
    return ClassText(both, one.classes + two.classes, one.scale)


def joined(old: Support, more: Support, text: ClassText) -> Support:
    """Images of both under the classes of `text`, which begins with those of `old`."""
    column = {name: c for c, name in enumerate(text.classes)}
    targets: NDArray[np.int64] = np.array([column[label] for label in more.labels], dtype=np.int64)
    return Support(
        np.concatenate([old.features, more.features]),
        np.concatenate([old.targets, targets]),
        text,
        old.ids + more.ids,
        old.names + more.names,
    )


def check_names(names: Iterable[str]) -> None:
    """Refuse names that mean "none of the classes".

    Raises:
        InputError: naming it.
    """
    bad = [name for name in names if name.strip().casefold() in RESERVED]
    if bad:
        raise InputError(
            f"{bad[0]!r} cannot be a class: {', '.join(sorted(RESERVED))} stand for what is none "
            "of the classes; call it what it shows, or teach the skill again with such a folder "
            "(handful fit), so that it learns to say unknown"
        )
