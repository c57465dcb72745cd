"""How the method of a skill was chosen, for the card and the screen; imports nothing slow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handful.packs import deltas


def selection_rows(selection: Mapping[str, Any]) -> list[list[str]]:
    """The ranking of `handful.adapters.auto.Auto.explain` as a table: headers, then rows."""
    rows = [["method", "settings", "right on left-out images, %", "share of the answer, %"]]
    for row in selection["ranking"]:
        settings = ", ".join(f"{name} {value:g}" for name, value in row["params"].items())
        known = row["accuracy"] is not None
        accuracy = f"{100 * row['accuracy']:.1f}" if known else "not known"
        rows.append([row["title"], settings or "defaults", accuracy, f"{100 * row['share']:.0f}"])
    return rows


def selection_parts(manifest: Mapping[str, Any]) -> tuple[list[list[str]], str]:
    """Headers and rows of the ranking, and the reason in words; what is not stated is empty.

    Members whose share rounds to 0 % are counted, not listed. What is not as
    `Auto.explain` makes it is left out: a pack is untrusted.
    """
    selection = manifest["training"].get("selection")
    if not isinstance(selection, Mapping):
        return [], ""
    try:
        shown = [row for row in selection["ranking"] if round(100 * row["share"])]
        few = len(selection["ranking"]) - len(shown)
        rows = selection_rows({"ranking": shown})
    except (AttributeError, KeyError, TypeError, ValueError):
        rows, few = [], 0
    reason = str(selection.get("reason") or "")
    if reason and deltas.KEY in manifest:
        reason = f"{reason} {deltas.TOO_GOOD}"
    if few:
        members = "1 member" if few == 1 else f"{few} members"
        reason = f"{reason} Not shown: {members} with 0 % of the answer.".strip()
    return rows, reason


def method_line(manifest: Mapping[str, Any]) -> str:
    """The method and the encoder in a few words: `auto (54 % Text-prior GDA, 46 % ZS-LP) on tiny`.

    >>> method_line({"method": "tip", "encoder": {"name": "tiny"}, "training": {}})
    'tip on tiny'
    """
    shares: dict[str, float] = {}
    try:
        for row in manifest["training"].get("selection", {}).get("ranking", ()):
            shares[str(row["title"])] = shares.get(str(row["title"]), 0.0) + float(row["share"])
    except (AttributeError, KeyError, TypeError, ValueError):  # a pack is untrusted
        shares = {}
    parts = [f"{100 * s:.0f} % {n}" for n, s in sorted(shares.items(), key=lambda p: -p[1])]
    blend = ", ".join(part for part in parts if not part.startswith("0 %"))
    name = manifest["method"]
    return f"{name}{f' ({blend})' if blend else ''} on {manifest['encoder']['name']}"
