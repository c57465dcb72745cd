"""Rename the classes of a skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handful.contracts import class_names
from handful.data import clean_name, same_name
from handful.packs.schema import without_derived
from handful.skills.edit.edited import Edited, load_pack
from handful.skills.edit.refit import prompt_words
from handful.skills.edit.support_sets import check_class_names, check_known
from handful.skills.loaded import AnySkill


def rename(skill: AnySkill, names: Mapping[str, str]) -> Edited:
    """Other labels for classes; nothing is refitted and every answer stays as it is.

    The text features of a class belong to the words in its prompts, which stay (`training.words`);
    so do numbers measured on the skill. Works for a skill without its support set too.

    Args:
        skill: a pack or its folder.
        names: old name to new; two may change places.

    Raises:
        InputError: a class that the skill does not have, a reserved name, names that repeat.
    """
    pack = load_pack(skill)
    names = {same_name(old, pack.classes): clean_name(new) for old, new in names.items()}
    check_known(pack.classes, names)
    check_class_names([new for old, new in names.items() if new != old])
    class_names([names.get(name, name) for name in pack.classes])
    training = pack.manifest["training"] | {"words": prompt_words(pack)}
    facts = without_derived(pack.manifest) | {"training": training}
    return Edited(replace(pack, manifest=_renamed(facts, pack.classes, names)), pack)


def _renamed(value: Any, classes: tuple[str, ...], names: Mapping[str, str]) -> Any:
    """A part of the manifest with new names in every mapping or list of exactly all classes."""
    if isinstance(value, Mapping):
        inner = {key: _renamed(item, classes, names) for key, item in value.items()}
        if {*inner} != {*classes}:
            return inner
        return {names.get(name, name): item for name, item in inner.items()}
    if isinstance(value, list) and tuple(value) == classes:
        return [names.get(name, name) for name in value]
    return value
