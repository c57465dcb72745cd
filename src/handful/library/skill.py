"""What of a pack is needed to answer in a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from handful.contracts import Array
from handful.library.task_support import TaskSupport
from handful.packs import confidence, deltas
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
    """

    name: str
    classes: tuple[str, ...]
    adapter: Any
    factor: float
    support: TaskSupport | None
    text: Array | None
    scale: float
    tuned: bool = False

    @classmethod
    def from_pack(cls, name: str, pack: Pack) -> Skill:
        """Of a pack, leaving behind what answers do not need."""
        factor = confidence.factor(pack.manifest, pack.where)
        scale = float(pack.manifest["scale"])
        if deltas.KEY not in pack.manifest:
            return cls.from_adapter(name, pack.adapter, pack.classes, pack.support, factor, scale)
        frozen = deltas.untouched(pack.tensors, len(pack.classes), pack.where)
        support = TaskSupport(frozen.features, frozen.targets) if frozen else None
        text = frozen.text if frozen else None
        return cls(name, pack.classes, pack.adapter, factor, support, text, scale, tuned=True)

    @classmethod
    def from_adapter(
        cls,
        name: str,
        adapter: Any,
        classes: Sequence[str],
        support: Support | None,
        factor: float,
        scale: float,
    ) -> Skill:
        """Of a fitted adapter and its support set, both on the frozen encoder."""
        rows = TaskSupport(support.features, support.targets) if support else None
        text = support.text.weights if support else None
        return cls(name, tuple(classes), adapter, factor, rows, text, scale)

    def probabilities(self, X: Array) -> Array:
        """`[M, D]` features to `[M, C]`, bit for bit those of the pack by itself."""
        if self.factor == 1:
            return np.asarray(self.adapter.predict_proba(X), dtype=np.float32)
        return confidence.probabilities(self.adapter.logits(X), self.factor)

    @property
    def head(self) -> nn.Module:
        """The module that states the formula."""
        module: nn.Module = self.adapter.module_
        return module
