"""A skill that lives: images and classes come and go, two skills become one; no image is needed.

Everything is refitted from the features that the skill holds, so the result is what a fit of the
changed support set gives. Numbers measured on the skill as it was are dropped, and what it states
of itself as well: `Pack.stated` finds that out anew, which takes longer than the change. Classes
keep their order and new ones follow; so do images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from handful.contracts import ClassText, class_names
from handful.errors import InputError, MismatchError, PackError
from handful.packs import statements
from handful.packs.pack import Pack, _differences
from handful.packs.schema import KEYS
from handful.packs.sets import (
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
from handful.packs.support import Reserved, Support


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
    old = of(pack)
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
    return _again(pack, joined(old, given.subset(rows), text), words=_words(pack) | said)


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
    support = of(pack)
    more = Reserved(np.asarray(features, np.float32), tuple(ids), tuple(names))
    if not fresh(support, more.ids, [NONE] * len(more.ids)):
        return pack
    both = replace(support, reserved=reserved_of_both(support, replace(support, reserved=more)))
    facts = {key: value for key, value in pack.manifest.items() if key not in statements.KEYS}
    old = tuple(f"{key}." for key in statements.KEYS)
    tensors = {name: t for name, t in pack.tensors.items() if not name.startswith(old)}
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
    support = of(pack)
    gone = {row for image in images for row in find(support, image)}
    if not gone:
        raise InputError("no images given; name some that the skill was taught with")
    return _again(pack, without(support, gone))


def drop(pack: Pack, classes: Collection[str]) -> Pack:
    """Forget classes with all their images.

    Raises:
        InputError: a class that the skill does not have, or fewer than two would be left.
        PackError: the skill was saved without its support set.
    """
    support = of(pack)
    _check_known(pack, classes)
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
    words = {name: said for name, said in _words(pack).items() if name not in classes}
    return _again(pack, left, words=words)


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
    facts = pack.manifest | {"training": pack.manifest["training"] | {"words": _words(pack)}}
    return replace(pack, manifest=_called(facts, pack.classes, names))


def merge(first: Pack, second: Pack, *, join: bool = False) -> Pack:
    """Two skills of one encoder become one, of all their classes and images.

    Method, settings, seed and `created` are the first's; its classes and images come first. An
    image that both hold in the same class counts once.

    Images that show none of the classes (reserved ones) are united, less those that are images of a
    class now.

    Args:
        first: a skill with its support set.
        second: another.
        join: classes of the same name are one class: images united, text and spelling the first's.

    Raises:
        MismatchError: the skills have different encoders; names the parts.
        InputError: different templates, classes of the same name without `join`, an image that is
            in different classes.
        PackError: one of them was saved without its support set.
    """
    old, other = of(first), of(second)
    differing = _differences(first.fingerprint, second.fingerprint)
    if differing:
        told = "; ".join(d.replace("encoder ", "the second ") for d in differing)
        raise MismatchError(
            f"{first.where} and {second.where} are skills of different encoders, and features of "
            f"one mean nothing to the other: {told}. Teach one of them again on the other's encoder"
        )
    if first.manifest["templates"] != second.manifest["templates"]:
        raise InputError(
            f"the prompts differ: {_few(first.manifest['templates'])} and "
            f"{_few(second.manifest['templates'])}; classes of different prompts cannot be weighed "
            "against each other, teach one of the skills again with the other's --template"
        )
    same = clashes(first, second)
    if same and not join:
        raise InputError(
            f"both skills have {_few(list(same))}; where they mean the same, unite their images "
            "(--join, join=True), else rename one (--rename OLD=NEW changes the second's)"
        )
    other = replace(other, text=replace(other.text, classes=_spelled(second, same)))
    new = [c for c, name in enumerate(other.text.classes) if name not in first.classes]
    text = old.text
    if new:
        told_text = other.text.embeddings[new], tuple(other.text.classes[c] for c in new)
        text = together(old.text, ClassText(*told_text, old.text.scale))
    rows = fresh(replace(old, reserved=None), other.ids, other.labels)
    both = joined(old, other.subset(rows), text) if rows else replace(old, text=text)
    both = replace(both, reserved=reserved_of_both(both, other))
    words, others = _words(first), _words(second)
    words |= {name: word for name, word in others.items() if name not in same}
    merged = _again(first, both, words=words, **_lost(first, second))
    return replace(merged, manifest=merged.manifest | {"license": _licence(first, second)})


def of(pack: Pack) -> Support:
    """The support set of a skill that can change.

    Raises:
        PackError: it was saved without one.
    """
    if pack.support is None and pack.manifest.get("multi_label"):
        raise PackError(
            f"{pack.where}: a skill of several labels an image does not keep its images' features "
            "yet, so it cannot grow or forget; teach it again with handful fit"
        )
    if pack.support is None:
        raise PackError(
            f"{pack.where}: was saved without the features of its images (by a Handful before they "
            "were kept), so it cannot grow or forget; teach it again with handful fit"
        )
    return pack.support


def clashes(first: Pack, second: Pack) -> dict[str, str]:
    """Classes that both have: the second's spelling to the first's."""
    known = {name.strip().casefold(): name for name in first.classes}
    both = [name for name in second.classes if name.strip().casefold() in known]
    return {name: known[name.strip().casefold()] for name in both}


def differences(first: Pack, second: Pack) -> list[str]:
    """What `merge` decides where two skills of one encoder differ, in words."""
    one, two = first.manifest, second.manifest
    told = []
    if (one["method"], one["params"]) != (two["method"], two["params"]):
        told.append(f"the method is the first's, {first.method}, with its settings")
    precisions = one["encoder"]["precision"], two["encoder"]["precision"]
    if len({*precisions}) > 1:
        told.append(f"features of the first are of {precisions[0]}, of the second {precisions[1]}")
    views = [m["training"].get("views") or 1 for m in (one, two)]
    if len({*views}) > 1:
        told.append(
            f"features of the first are means of {views[0]} views, the second's of {views[1]}"
        )
    words, others = _words(first), _words(second)
    for name, same in clashes(first, second).items():
        if words[same] != others[name]:
            told.append(f"the prompts call {same!r} {words[same]!r}, as in the first")
    if any(pack.support and pack.support.reserved for pack in (first, second)):
        told.append(
            "images that show none of the classes are united; see that none shows a class of the "
            "other skill"
        )
    if one["license"] != two["license"]:
        told.append(f"the licences differ; the new skill's is {_licence(first, second)!r}")
    return told


def _again(pack: Pack, support: Support, **training: Any) -> Pack:
    """Taught again; what is stated of the former support set goes.

    That is: how many images a class were asked for, and keys that nobody here knows and that
    teaching did not make anew, for what an unlearned image left in them cannot be told.
    """
    made_anew = pack.taught(support, shots=None, **training)
    kept = {
        key: value
        for key, value in made_anew.manifest.items()
        if key in KEYS or value is not pack.manifest.get(key)
    }
    return replace(made_anew, manifest=kept) if len(kept) < len(made_anew.manifest) else made_anew


def _words(pack: Pack) -> dict[str, str]:
    """What the prompts call each class; of a skill that does not say, its name."""
    said = pack.manifest["training"].get("words")
    said = said if isinstance(said, Mapping) else {}
    return {name: str(said.get(name, name)) for name in pack.classes}


def _spelled(pack: Pack, same: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(same.get(name, name) for name in pack.classes)


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


def _lost(first: Pack, second: Pack) -> dict[str, int]:
    """Images that could not be used, of both fits together."""
    lost = [pack.manifest["training"].get("failed") for pack in (first, second)]
    counts = [n for n in lost if isinstance(n, int)]
    return {"failed": sum(counts)} if counts else {}


def _licence(first: Pack, second: Pack) -> str:
    one, two = (str(pack.manifest["license"]) for pack in (first, second))
    if one == two:
        return one
    return "unknown" if "unknown" in (one, two) else "other"


def _check_known(pack: Pack, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in pack.classes]
    if unknown:
        raise InputError(
            f"the skill has no class {unknown[0]!r}; it knows: {', '.join(pack.classes[:10])}"
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
