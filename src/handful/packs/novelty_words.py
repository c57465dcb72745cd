"""The answer `unknown` in words: the section of a card, and what a detector was learned from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from handful.selection.novelty_scorer import SOME, NoveltyScorer

LITTLE = 0.25  # share of a skill's own photos whose loss is not worth a word
_USUAL_RATE = 0.05  # of `predict --unknown`
_PLENTY = 19  # photos of something else, which promise that rate


def card_section(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card about it; "" where the skill states nothing that we understand.

    Args:
        manifest: of the skill.
        cell: escapes untrusted text for markdown.
    """
    statement = manifest.get("unknown")
    if not isinstance(statement, Mapping):
        return ""
    head = "## When it does not know\n"
    if "cannot" in statement:
        why = cell(statement["cannot"])
        return "\n".join([head, f"It cannot tell photos that show none of its classes: {why}.", ""])
    try:
        accepted = dict(statement["accepted"])
        rows = [
            f"| {100 * float(rate):g} | "
            + ("not known" if share is None else f"{100 * float(share):.0f}")
            + " |"
            for rate, share in accepted.items()
        ]
        worth = (
            f"Learned from {int(statement['images'])} images whose class was left out and "
            f"{int(statement['reserved'])} of something else. Images of one class, burst or group "
            "are alike, so those that rates come from count as "
            f"{float(statement['effective']):.0f} independent ones. The smallest "
            f"false-accept rate that they can promise is {100 * float(statement['smallest']):.1f} "
            f"%. How: {cell(statement['how'])}. For one kind of thing the share can be well "
            "above or below."
        )
    except (KeyError, TypeError, ValueError):  # of another version, or made by hand
        return ""
    table = [
        "| photos of something else taken for a class, at most, % | support photos kept, % |",
        "|---:|---:|",
        *rows,
        "",
    ]
    use = "`handful predict SKILL photo.jpg --unknown 0.05` answers `unknown` instead of guessing."
    return "\n".join([head, use, "", worth, "", *(table if rows else [])])


def how(learned: NoveltyScorer) -> str:
    """What a detector was learned from."""
    taken = "each class in turn was left out and its images taken as unknown"
    if not len(learned.left_out):
        taken = "with fewer than three classes only the reserved images were taken as unknown"
    elif learned.uses_reserved:
        taken += ", as the reserved images were, and rates are over the reserved ones"
    if not len(learned.known):
        taken += (
            "; with one image a class no image can be left out of its class, so the weights are "
            "fixed ones and nothing is known of the share of known images that are accepted"
        )
    such = "images" if learned.uses_reserved else "classes"
    return f"from the support set alone: {taken}; rates hold on average over such {such}"


def fit_line(manifest: Mapping[str, Any]) -> str:
    """What `handful fit` says of the answer `unknown`: the least rate, its cost, and the cure.

    "" for a skill that states nothing of it, as one of several labels does.

    >>> entry = {"reserved": 0, "smallest": 0.25, "cost": {"0.25": 0.04}}
    >>> fit_line({"unknown": entry})  # doctest: +NORMALIZE_WHITESPACE
    'predict can answer unknown (--unknown 0.25): it takes at most 25 % of photos of something else
    for a class, the least that this skill can promise, and refuses about 4 % of photos like its
    own; 19 or more photos of something else in a folder background/ make it better.'
    """
    entry = manifest.get("unknown")
    if not isinstance(entry, Mapping):
        return ""
    if "cannot" in entry:
        return f"predict cannot answer unknown (--unknown): {entry['cannot']}."
    try:
        smallest, reserved = float(entry["smallest"]), int(entry["reserved"])
        rate = max(_USUAL_RATE, above(smallest))
        lost = dict(entry["cost"]).get(f"{rate:g}")
        share = None if lost is None else 100 * float(lost)
    except (KeyError, TypeError, ValueError):  # of another version, or made by hand
        return ""
    least = ", the least that this skill can promise," if rate > _USUAL_RATE else ""
    cost = "how many photos like its own it refuses is not known"
    if share is not None:
        cost = f"refuses about {share:.0f} % of photos like its own"
    better = ""
    if rate > _USUAL_RATE or (share or 0) >= 100 * LITTLE:
        more = "more" if reserved >= _PLENTY else f"{_PLENTY} or more"
        there = f" (you have {reserved})" if 0 < reserved < _PLENTY else ""
        better = f"; {more} photos of something else in a folder background/{there} make it better"
    return (
        f"predict can answer unknown (--unknown {rate:g}): it takes at most {100 * rate:g} % of "
        f"photos of something else for a class{least} and {cost}{better}."
    )


def sources(learned: NoveltyScorer) -> str:
    """What its rates rest on."""
    if learned.uses_reserved:
        return f"{_reserved_count(learned)} in the folder background"
    classes = len(np.unique(learned.groups))
    return f"{len(learned.left_out)} photos of {classes} classes"


def cure(learned: NoveltyScorer, rate: float) -> str:
    """What would let it promise a rate: photos of something else, how many, and what there is."""
    needed = max(math.ceil(1 / rate - 1e-9) - 1, SOME)
    there = f"; {_reserved_count(learned)} are there" if len(learned.reserved) else ""
    first = "" if learned.uses_reserved else "teach more classes, or "
    return f"{first}put {needed} photos of something else in a folder 'background'{there}"


def above(rate: float) -> float:
    """A rate rounded up to thousandths."""
    return float(np.ceil(1000 * rate) / 1000)


def _reserved_count(learned: NoveltyScorer) -> str:
    """Photos of something else; fewer bursts where they are of some."""
    photos, weights = len(learned.reserved), learned.reserved_weights
    units = photos if weights is None else round(float(weights.sum()))
    return f"{photos} photos" if units == photos else f"{photos} photos of {units} bursts or groups"
