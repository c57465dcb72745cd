"""Which skills a library can serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handful.errors import InputError, MismatchError
from handful.packs import deltas
from handful.packs.format import mismatched
from handful.packs.pack import Pack


def check_compatible(pack: Pack, name: str, encoder: Mapping[str, Any]) -> None:
    """Refuse what a library cannot serve.

    Args:
        pack: the skill.
        name: what errors call it.
        encoder: `name`, `fingerprint` and `dim` of the library's encoder.

    Raises:
        InputError: answers that depend on other images, several labels an image.
        MismatchError: another encoder.
    """
    # a tuned skill has two fingerprints: that of the frozen encoder it was tuned from counts here
    differing = mismatched(deltas.base(pack.manifest), str(encoder["fingerprint"]))
    frozen = deltas.untouched(pack.tensors, len(pack.classes), pack.where)
    tuned = deltas.KEY in pack.manifest
    width = frozen.features.shape[1] if frozen else pack.manifest["encoder"]["dim"]
    # without features of the frozen encoder a tuned skill's width need not be that encoder's
    if width != encoder["dim"] and (frozen or not tuned):
        differing.append(f"width differs (skill {width}, encoder {encoder['dim']})")
    if differing:
        parts = "; ".join(part.replace("encoder ", "library ") for part in differing)
        raise MismatchError(
            f"{name}: is a skill of another encoder than the library's "
            f"({encoder['name']}): {parts}. Teach it again on that encoder, or make a "
            "library of its own for it"
        )
    if pack.manifest.get("multi_label"):
        raise InputError(
            f"{name}: says of each class whether an image shows it; a library chooses one "
            "skill an image and serves skills of one label an image only"
        )
    if pack.semantics != "inductive":
        raise InputError(
            f"{name}: answers of {pack.method!r} depend on other images, and a library judges "
            "each image by itself; teach it with another method"
        )
