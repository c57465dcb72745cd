"""Teaching a skill again from its own support set: what every change of one comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handful.errors import PackError
from handful.packs import deltas
from handful.packs.pack import Pack
from handful.packs.schema import KEYS
from handful.packs.support import Support


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


def again(pack: Pack, support: Support, **training: Any) -> Pack:
    """Taught again; what is stated of the former support set goes.

    That is: how many images a class were asked for, and keys that nobody here knows and that
    teaching did not make anew, for what an unlearned image left in them cannot be told.
    """
    made_anew = pack.taught(support, shots=None, **training)
    kept = {
        key: value
        for key, value in made_anew.manifest.items()
        if key in (*KEYS, deltas.KEY) or value is not pack.manifest.get(key)
    }
    return replace(made_anew, manifest=kept) if len(kept) < len(made_anew.manifest) else made_anew


def words(pack: Pack) -> dict[str, str]:
    """What the prompts call each class; of a skill that does not say, its name."""
    said = pack.manifest["training"].get("words")
    said = said if isinstance(said, Mapping) else {}
    return {name: str(said.get(name, name)) for name in pack.classes}
