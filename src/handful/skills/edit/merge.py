"""Merge two skills of one encoder into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from handful.contracts import ClassText
from handful.data import clean_name
from handful.errors import InputError, MismatchError
from handful.packs import Pack
from handful.packs.format import mismatched
from handful.skills.edit import support_sets
from handful.skills.edit.edited import Edited, apply, load_pack
from handful.skills.edit.refit import prompt_words, refit, require_support
from handful.skills.edit.rename import rename as rename_classes
from handful.skills.loaded import AnySkill


def merge(
    first: AnySkill,
    second: AnySkill,
    *,
    join: bool = False,
    rename: Mapping[str, str] | None = None,
    statements: bool = True,
) -> Edited:
    """Two skills of one encoder become one, of all their classes and images.

    Method, settings, seed and `created` are the first's; its classes and images come first. An
    image that both hold in the same class counts once. Images that show none of the classes
    (reserved ones) are united, less those that are images of a class now.

    Args:
        first: a pack or its folder, with its support set.
        second: another.
        join: classes of the same name are one class: images united, text and spelling the first's.
        rename: other names for classes of the second first.
        statements: compute anew what the skill states of itself; see `remove`.

    Raises:
        MismatchError: the skills have different encoders; names the parts.
        InputError: different templates, classes of the same name without `join`, an image that is
            in different classes.
        PackError: one of them was saved without its support set.
    """
    one, two = load_pack(first), load_pack(second)
    if rename:
        two = rename_classes(two, rename).pack
    edited = apply(one, lambda: _merged(one, two, join=join), statements=statements)
    held = frozenset(one.support_ids)
    support = require_support(two)
    repeated = [n for n, id_ in zip(support.names, support.ids, strict=True) if id_ in held]
    return replace(edited, repeated=tuple(repeated), notes=(*edited.notes, *differences(one, two)))


def _merged(first: Pack, second: Pack, *, join: bool) -> Pack:
    support, other = require_support(first), require_support(second)
    shared = shared_classes(first, second)
    _check_compatible(first, second, shared, join=join)
    text = support.text
    new = [c for c, name in enumerate(second.classes) if name not in shared]
    if new:
        names = tuple(second.classes[c] for c in new)
        added = ClassText(other.text.embeddings[new], names, text.scale)
        text = support_sets.concatenate_texts(text, added)
    labels = [shared.get(label, label) for label in other.labels]
    more = support_sets.from_labels(
        other.features, labels, other.ids, other.names, text, other.groups
    )
    # without the first's reserved images: one that is an image of a class in the second becomes one
    rows = support_sets.new_rows(replace(support, reserved=None), more.ids, labels)
    united = replace(support, text=text)
    if rows:
        united = support_sets.concatenate(support, more.subset(rows))
    united = replace(united, reserved=support_sets.united_reserved(united, other))
    words = prompt_words(first)
    words |= {name: word for name, word in prompt_words(second).items() if name not in shared}
    merged = refit(first, united, words=words, **_failed(first, second))
    return replace(merged, manifest=merged.manifest | {"license": _licence(first, second)})


def _check_compatible(first: Pack, second: Pack, shared: Mapping[str, str], *, join: bool) -> None:
    differing = mismatched(first.fingerprint, second.fingerprint)
    if differing:
        parts = "; ".join(d.replace("encoder ", "the second ") for d in differing)
        raise MismatchError(
            f"{first.where} and {second.where} are skills of different encoders, and features of "
            f"one mean nothing to the other: {parts}. Teach one of them again on the other's "
            "encoder"
        )
    if first.manifest["templates"] != second.manifest["templates"]:
        raise InputError(
            f"the prompts differ: {_few(first.manifest['templates'])} and "
            f"{_few(second.manifest['templates'])}; classes of different prompts cannot be weighed "
            "against each other, teach one of the skills again with the other's --template"
        )
    if shared and not join:
        raise InputError(
            f"both skills have {_few(list(shared))}; where they mean the same, unite their images "
            "(--join, join=True), else rename one (--rename OLD=NEW changes the second's)"
        )


def differences(first: Pack, second: Pack) -> list[str]:
    """What `merge` decides where two skills of one encoder differ, in words."""
    one, two = first.manifest, second.manifest
    notes = []
    if (one["method"], one["params"]) != (two["method"], two["params"]):
        notes.append(f"the method is the first's, {first.method}, with its settings")
    precisions = one["encoder"]["precision"], two["encoder"]["precision"]
    if len({*precisions}) > 1:
        notes.append(f"features of the first are of {precisions[0]}, of the second {precisions[1]}")
    views = [m["training"].get("views") or 1 for m in (one, two)]
    if len({*views}) > 1:
        notes.append(
            f"features of the first are means of {views[0]} views, the second's of {views[1]}"
        )
    words, others = prompt_words(first), prompt_words(second)
    for name, same in shared_classes(first, second).items():
        if words[same] != others[name]:
            notes.append(f"the prompts call {same!r} {words[same]!r}, as in the first")
    if any(pack.support and pack.support.reserved for pack in (first, second)):
        notes.append(
            "images that show none of the classes are united; see that none shows a class of the "
            "other skill"
        )
    if one["license"] != two["license"]:
        notes.append(f"the licences differ; the new skill's is {_licence(first, second)!r}")
    return notes


def shared_classes(first: Pack, second: Pack) -> dict[str, str]:
    """Classes that both have, in whatever case: the second's spelling to the first's."""
    known = {clean_name(name).casefold(): name for name in first.classes}
    folded = {name: clean_name(name).casefold() for name in second.classes}
    return {name: known[key] for name, key in folded.items() if key in known}


def _failed(first: Pack, second: Pack) -> dict[str, int]:
    """Images that could not be used, of both fits together."""
    counts = [pack.manifest["training"].get("failed") for pack in (first, second)]
    counts = [n for n in counts if isinstance(n, int)]
    return {"failed": sum(counts)} if counts else {}


def _licence(first: Pack, second: Pack) -> str:
    one, two = (str(pack.manifest["license"]) for pack in (first, second))
    if one == two:
        return one
    return "unknown" if "unknown" in (one, two) else "other"


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
