"""Refit a skill from a changed support set: every edit but a new name does this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handful._version import __version__
from handful.data.group_by import NONE
from handful.errors import PackError
from handful.packs import Pack, confidence, deltas, golden, head
from handful.packs.pack import support_facts
from handful.packs.schema import KEYS, without_derived
from handful.packs.strict_json import plain
from handful.packs.support import Support
from handful.skills.statements import ENTRIES, state


def require_support(pack: Pack) -> Support:
    """The support set of a skill that can be edited.

    Raises:
        PackError: it was saved without one.
    """
    if pack.support is None and not pack.task.keeps_support:
        raise PackError(
            f"{pack.where}: a skill of {pack.task.answers} does not keep its images' features "
            "yet, so it cannot grow or forget; teach it again with handful fit"
        )
    if pack.support is None:
        raise PackError(
            f"{pack.where}: was saved without the features of its images (by a Handful before they "
            "were kept), so it cannot grow or forget; teach it again with handful fit"
        )
    return pack.support


def refit(pack: Pack, support: Support, **training: Any) -> Pack:
    """The same method on another support set, without images and encoder.

    What is stated of the former support set is dropped: measured numbers, how many images a class
    were asked for, what the skill states of itself (`restate` makes that anew, which takes longer),
    and keys unknown here that the fit did not make, for an unlearned image may have left traces in
    them.

    Args:
        pack: a skill.
        support: on the same encoder; its classes are the new skill's.
        training: facts to state beside or instead of those there are.

    Raises:
        InputError: the support set does not suit the method.
    """
    adapter = type(pack.adapter)(**pack.manifest["params"])
    adapter.fit(support.features, support.targets, support.text, groups=support.units)
    facts = pack.manifest["training"] | {"counts": support.counts, "shots": None} | training
    # of the former fit; images that were removed may have decided it, and a skill has no features
    # of its photos without labels
    facts.pop("selection", None)
    facts.pop("pool", None)
    facts.pop("units", None)
    if any(support.groups):
        facts["units"] = int(support.units.max()) + 1
    elif facts.get("group_by") != NONE:
        facts.pop("group_by", None)
    if hasattr(adapter, "explain"):
        facts["selection"] = adapter.explain()
    known = {k: v for k, v in pack.manifest.items() if k in (*KEYS, deltas.KEY)}
    manifest = known | {
        "handful": __version__,
        "classes": list(support.text.classes),
        "support": support_facts(support.ids, support),
        "training": plain(facts, "training"),
        "evaluation": None,
    }
    tensors = head.tensors_of(adapter) | golden.remake(pack.tensors, adapter)
    tensors |= deltas.delta_tensors(pack.tensors) | support.tensors()
    return Pack(without_derived(manifest), tensors, pack.where)


def restate(pack: Pack) -> Pack:
    """The same skill with what it can state of itself (`handful.skills.statements`).

    A skill without a support set has nothing to state and stays as it is.
    """
    if pack.support is None:
        return pack
    entries, more = state(pack.adapter, pack.support, tuned=deltas.KEY in pack.manifest)
    tensors = without_statements(pack) | dict(more)
    manifest = pack.manifest | plain(dict(entries), "statements")
    factor = confidence.factor(manifest)
    # the golden image is chosen by probabilities, which this factor multiplies into
    if factor != confidence.factor(pack.manifest):
        tensors |= golden.remake(pack.tensors, pack.adapter, factor)
    return replace(pack, manifest=without_derived(manifest), tensors=tensors)


def without_statements(pack: Pack) -> dict[str, Any]:
    """The tensors of a skill besides those that belong to its statements."""
    prefixes = tuple(f"{key}." for key in ENTRIES)
    return {name: t for name, t in pack.tensors.items() if not name.startswith(prefixes)}


def prompt_words(pack: Pack) -> dict[str, str]:
    """Class name to its words in prompts; the name itself where the skill does not state them."""
    words = pack.manifest["training"].get("words")
    words = words if isinstance(words, Mapping) else {}
    return {name: str(words.get(name, name)) for name in pack.classes}
