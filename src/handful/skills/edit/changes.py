"""A skill that lives: images and classes come and go, two skills become one; no image is needed.

Everything is refitted from the features that the skill holds, so the result is what a fit of the
changed support set gives. Numbers measured on the skill as it was are dropped, and what it states
of itself as well: `refit.restate` finds that out anew, which takes longer than the change. Classes
keep their order and new ones follow; so do images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from handful.contracts import ClassText, class_names
from handful.errors import InputError
from handful.packs import deltas
from handful.packs.pack import Pack
from handful.packs.support import Reserved
from handful.skills.edit.refit import class_words, refit, support_of, without_statements
from handful.skills.edit.support_sets import (
    NONE,
    check_names,
    find,
    fresh,
    joined,
    made,
    reserved_of_both,
    together,
    without,
)
from handful.skills.edit.union import clashes, differences, merge
from handful.skills.statements import ENTRIES

__all__ = [
    "add",
    "add_reserved",
    "clashes",
    "differences",
    "drop",
    "merge",
    "remove",
    "rename",
    "support_of",
]


def add(
    pack: Pack,
    features: ArrayLike,
    labels: Sequence[str],
    ids: Sequence[str],
    names: Sequence[str],
    new_text: ClassText | None = None,
    words: Mapping[str, str] | None = None,
) -> Pack:
    """More images of known classes, and new classes.

    An image that the skill holds already in its class, by digest, does not count twice; where all
    are such and no class is new, the same pack comes back.

    Args:
        pack: a skill with its support set.
        features: `[K, D]` unit rows from the skill's encoder.
        labels: K class names, of the skill or of `new_text`.
        ids: K image digests.
        names: K names of the images.
        new_text: text of the new classes, from the skill's templates.
        words: what the prompts call the new classes, where not by their names.

    Raises:
        InputError: sizes that disagree, a label that is no class, a new class without images, a
            reserved name, an image that the skill holds in another class.
        PackError: the skill was saved without its support set.
    """
    old = support_of(pack)
    new = new_text.classes if new_text else ()
    check_names(new)
    text = together(old.text, new_text) if new_text else old.text
    given = made(features, labels, ids, names, text)
    rows = fresh(old, given.ids, given.labels)
    without = [name for name in new if name not in given.labels]
    if without:
        raise InputError(f"no image of the new class {without[0]!r}; add some, or leave it out")
    if not rows:
        return pack
    said = {name: (words or {}).get(name, name) for name in new}
    return refit(pack, joined(old, given.subset(rows), text), words=class_words(pack) | said)


def add_reserved(pack: Pack, features: ArrayLike, ids: Sequence[str], names: Sequence[str]) -> Pack:
    """More images that show none of the classes, for the answer "unknown"; the head stays.

    Args:
        pack: a skill with its support set.
        features: `[R, D]` unit rows from the skill's encoder.
        ids: R image digests; one that the skill holds as such already does not count twice.
        names: R names of the images.

    Raises:
        InputError: sizes that disagree, an image that the skill holds in a class.
        PackError: the skill was saved without its support set.
    """
    support = support_of(pack)
    more = Reserved(np.asarray(features, np.float32), tuple(ids), tuple(names))
    if not fresh(support, more.ids, [NONE] * len(more.ids)):
        return pack
    both = replace(support, reserved=reserved_of_both(support, replace(support, reserved=more)))
    facts = {key: value for key, value in pack.manifest.items() if key not in ENTRIES}
    tensors = without_statements(pack)
    facts |= {"support": both.stated(), "evaluation": None}
    return Pack(facts, tensors | both.tensors(), pack.where)


def remove(pack: Pack, images: Iterable[int | str]) -> Pack:
    """Unlearn images: nothing of them remains in the skill, as if it had never seen them.

    Args:
        pack: a skill with its support set.
        images: rows of the support set, digests (or their first eight digits or more), or names;
            also of reserved images, whose rows follow.

    Raises:
        InputError: no such image, a name that several have, or a class would have none left.
        PackError: the skill was saved without its support set.
    """
    support = support_of(pack)
    gone = {row for image in images for row in find(support, image)}
    if not gone:
        raise InputError("no images given; name some that the skill was taught with")
    _check_forgets(pack)
    return refit(pack, without(support, gone))


def drop(pack: Pack, classes: Collection[str]) -> Pack:
    """Forget classes with all their images.

    Raises:
        InputError: a class that the skill does not have, or fewer than two would be left.
        PackError: the skill was saved without its support set.
    """
    support = support_of(pack)
    _check_known(pack, classes)
    _check_forgets(pack)
    kept = [c for c, name in enumerate(pack.classes) if name not in classes]
    if len(kept) < 2:
        raise InputError(
            f"a skill tells at least two classes apart, and {len(kept)} of {len(pack.classes)} "
            "would be left; add another class first"
        )
    told = support.text
    text = ClassText(told.embeddings[kept], tuple(told.classes[c] for c in kept), told.scale)
    part = support.subset(np.flatnonzero(np.isin(support.targets, kept)))
    left = replace(part, text=text, targets=np.searchsorted(kept, part.targets))
    words = {name: said for name, said in class_words(pack).items() if name not in classes}
    return refit(pack, left, words=words)


def rename(pack: Pack, names: Mapping[str, str]) -> Pack:
    """Other labels for classes; nothing is refitted and every answer stays as it is.

    The text of a class belongs to the words of its prompt, which stay (`training.words`); so do
    numbers measured on the skill. Works for a skill without its support set too.

    Args:
        pack: a skill.
        names: old name to new; two may change places.

    Raises:
        InputError: a class that the skill does not have, a reserved name, names that repeat.
    """
    _check_known(pack, names)
    check_names([new for old, new in names.items() if new != old])
    class_names([names.get(name, name) for name in pack.classes])
    facts = pack.manifest | {"training": pack.manifest["training"] | {"words": class_words(pack)}}
    return replace(pack, manifest=_called(facts, pack.classes, names))


def _called(value: Any, classes: tuple[str, ...], names: Mapping[str, str]) -> Any:
    """Facts with every table of all classes under their new names."""
    if isinstance(value, Mapping):
        told = {key: _called(inner, classes, names) for key, inner in value.items()}
        if {*told} != {*classes}:
            return told
        return {names.get(name, name): inner for name, inner in told.items()}
    if isinstance(value, list) and tuple(value) == classes:
        return [names.get(name, name) for name in value]
    return value


def _check_forgets(pack: Pack) -> None:
    """Refuse to promise what cannot be kept."""
    if deltas.KEY in pack.manifest:
        raise InputError(
            f"{pack.where}: its encoder was tuned on these images, and what it learned from them "
            "cannot be taken out of it; teach the skill again without them"
        )


def _check_known(pack: Pack, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in pack.classes]
    if unknown:
        raise InputError(
            f"the skill has no class {unknown[0]!r}; it knows: {', '.join(pack.classes[:10])}"
        )
