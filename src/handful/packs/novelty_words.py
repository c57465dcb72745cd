"""The answer `unknown` in words: the section of a card, and what a detector was learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from handful.selection.novelty_scorer import NoveltyScorer


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
            f"{int(statement['reserved'])} of something else; what rates come from is worth "
            f"{float(statement['effective']):.0f} that have nothing in common. The smallest "
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


def sources(learned: NoveltyScorer) -> str:
    """What its rates rest on."""
    if learned.uses_reserved:
        return f"{len(learned.reserved)} reserved images"
    classes = len(np.unique(learned.groups))
    also = f" and {len(learned.reserved)} reserved images" if len(learned.reserved) else ""
    return (
        f"{len(learned.left_out)} images of {classes} classes{also}, worth "
        f"{learned.effective_count:.0f} images that have nothing in common,"
    )
