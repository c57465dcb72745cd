"""Two skills of one encoder become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from handful.contracts import ClassText
from handful.errors import InputError, MismatchError
from handful.packs.format import mismatched
from handful.packs.pack import Pack
from handful.skills.edit.refit import class_words, refit, support_of
from handful.skills.edit.support_sets import fresh, joined, reserved_of_both, together


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
    old, other = support_of(first), support_of(second)
    differing = mismatched(first.fingerprint, second.fingerprint)
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
    words, others = class_words(first), class_words(second)
    words |= {name: word for name, word in others.items() if name not in same}
    merged = refit(first, both, words=words, **_lost(first, second))
    return replace(merged, manifest=merged.manifest | {"license": _licence(first, second)})


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
    words, others = class_words(first), class_words(second)
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


def clashes(first: Pack, second: Pack) -> dict[str, str]:
    """Classes that both have: the second's spelling to the first's."""
    known = {name.strip().casefold(): name for name in first.classes}
    both = [name for name in second.classes if name.strip().casefold() in known]
    return {name: known[name.strip().casefold()] for name in both}


def _spelled(pack: Pack, same: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(same.get(name, name) for name in pack.classes)


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


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
