"""One skill of a library: what of its pack is needed to answer, and whether it can be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handful.contracts import Array
from handful.errors import InputError, MismatchError
from handful.library.task_support import TaskSupport
from handful.packs import confidence, deltas
from handful.packs.format import mismatched
from handful.packs.pack import Pack
from handful.packs.support import Support


@dataclass(frozen=True, eq=False)
class Skill:
    """A fitted adapter and what routes images to it; the rest of its pack stays on disk.

    Args:
        name: what the library calls it.
        classes: C names.
        adapter: fitted.
        factor: inverse temperature: what its logits are multiplied by before the softmax.
        support: its support set, by which an image finds it; None if saved without.
        text: `[C, D]` unit rows; None if saved without.
        scale: the encoder's logit scale.
        tuned: whether its features come from an encoder that it tunes; its support set and its text
            are of the frozen one.
        digest: of its pack; "" for a skill that lies on no disk.
    """

    name: str
    classes: tuple[str, ...]
    adapter: Any
    factor: float
    support: TaskSupport | None
    text: Array | None
    scale: float
    tuned: bool = False
    digest: str = ""

    @classmethod
    def from_pack(cls, name: str, pack: Pack) -> Skill:
        """Of a pack, leaving behind what answers do not need."""
        factor = confidence.factor(pack.manifest, pack.where)
        tuned = deltas.KEY in pack.manifest
        digest = str(pack.manifest.get("digest") or "")
        if pack.support is not None and not tuned:
            skill = cls.from_adapter(name, pack.adapter, pack.support, factor)
            return replace(skill, digest=digest)
        frozen = deltas.untouched(pack.tensors, len(pack.classes), pack.where) if tuned else None
        units = pack.support.units if pack.support else None
        support = TaskSupport(frozen.features, frozen.targets, units) if frozen else None
        text, scale = frozen.text if frozen else None, float(pack.manifest["scale"])
        adapter = pack.adapter
        return cls(name, pack.classes, adapter, factor, support, text, scale, tuned, digest)

    @classmethod
    def from_adapter(cls, name: str, adapter: Any, support: Support, factor: float) -> Skill:
        """Of a fitted adapter and its support set, both on the frozen encoder."""
        rows, text = TaskSupport(support.features, support.targets, support.units), support.text
        return cls(name, text.classes, adapter, factor, rows, text.weights, float(text.scale))

    def probabilities(self, X: Array) -> Array:
        """`[M, D]` features to `[M, C]`, bit for bit those of the pack by itself."""
        if self.factor == 1:  # the adapter's own way, which may differ in the last bit
            return np.asarray(self.adapter.predict_proba(X), dtype=np.float32)
        return confidence.probabilities(self.adapter.logits(X), self.factor)


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
    if not pack.task.exclusive:
        raise InputError(
            f"{name}: answers {pack.task.answers}; a library chooses one skill an image and serves "
            "skills of one label an image only"
        )
    if pack.semantics != "inductive":
        raise InputError(
            f"{name}: answers of {pack.method!r} depend on other images, and a library judges "
            "each image by itself; teach it with another method"
        )
