"""Add features to a skill: of its classes, of new classes, and of none of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from numpy.typing import ArrayLike

from handful.contracts import ClassText
from handful.errors import InputError
from handful.packs import Pack
from handful.packs.schema import without_derived
from handful.packs.support import Reserved
from handful.skills.edit import support_sets
from handful.skills.edit.refit import prompt_words, refit, require_support, without_statements
from handful.skills.statements import ENTRIES


def add_features(
    pack: Pack,
    features: ArrayLike,
    labels: Sequence[str],
    ids: Sequence[str],
    names: Sequence[str],
    new_text: ClassText | None = None,
    words: Mapping[str, str] | None = None,
    groups: Sequence[str] = (),
) -> Pack:
    """Refit a skill with more images; it states nothing of itself until `refit.restate`.

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
        groups: K names of what belongs together, "" for none; of images that the skill holds, too.

    Raises:
        InputError: sizes that disagree, a label that is no class, a new class without images, a
            reserved name, an image that the skill holds in another class.
        PackError: the skill was saved without its support set.
    """
    support = require_support(pack)
    new = new_text.classes if new_text else ()
    support_sets.check_class_names(new)
    text = support_sets.concatenate_texts(support.text, new_text) if new_text else support.text
    given = support_sets.from_labels(features, labels, ids, names, text, groups)
    rows = support_sets.new_rows(support, given.ids, given.labels)
    empty = [name for name in new if name not in given.labels]
    if empty:
        raise InputError(f"no image of the new class {empty[0]!r}; add some, or leave it out")
    if not rows:
        return pack
    new_words = {name: (words or {}).get(name, name) for name in new}
    larger = support_sets.concatenate(support, given.subset(rows))
    return refit(pack, larger, words=prompt_words(pack) | new_words)


def add_reserved(pack: Pack, reserved: Reserved) -> Pack:
    """More images that show none of the classes, for the answer "unknown"; the head stays."""
    support = require_support(pack)
    if not support_sets.new_rows(
        support, reserved.ids, [support_sets.NO_CLASS] * len(reserved.ids)
    ):
        return pack
    united = support_sets.united_reserved(support, replace(support, reserved=reserved))
    support = replace(support, reserved=united)
    # what the skill states depends on its reserved images, the fit of its head does not
    facts = {key: value for key, value in pack.manifest.items() if key not in ENTRIES}
    facts |= {"support": support.stated(), "evaluation": None}
    return Pack(without_derived(facts), without_statements(pack) | support.tensors(), pack.where)
