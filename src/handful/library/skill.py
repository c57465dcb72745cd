"""What of a pack is needed to answer, and what many of them answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from handful.contracts import Array
from handful.library.open_set import Part
from handful.packs import confidence, deltas
from handful.packs.pack import Pack
from handful.packs.support import Support


@dataclass(frozen=True, eq=False)
class Skill:
    """What of a pack is needed to answer; the rest stays on disk.

    Args:
        name: what the library calls it.
        classes: C names.
        adapter: fitted.
        factor: what its logits are multiplied by before the softmax.
        part: its support set, by which an image finds it; None if saved without.
        text: `[C, D]` unit rows; None if saved without.
        scale: the encoder's.
        tuned: whether its features come from an encoder that it changes; its part and its text are
            of the untouched one.
    """

    name: str
    classes: tuple[str, ...]
    adapter: Any
    factor: float
    part: Part | None
    text: Array | None
    scale: float
    tuned: bool = False

    @classmethod
    def of(cls, name: str, pack: Pack) -> Skill:
        """Of a pack, leaving behind what answers do not need."""
        factor = confidence.factor(pack.manifest, pack.where)
        if deltas.KEY in pack.manifest:
            seen = deltas.untouched(pack.tensors, len(pack.classes), pack.where)
            part = Part(seen.features, seen.targets) if seen else None
            text = seen.text if seen else None
            scale = float(pack.manifest["scale"])
            return cls(name, pack.classes, pack._adapter, factor, part, text, scale, tuned=True)
        return cls.fitted(
            name, pack._adapter, pack.classes, pack.support, factor, float(pack.manifest["scale"])
        )

    @classmethod
    def fitted(
        cls,
        name: str,
        adapter: Any,
        classes: Sequence[str],
        support: Support | None,
        factor: float,
        scale: float,
    ) -> Skill:
        """Of a fitted adapter and its support set."""
        part = Part(support.features, support.targets) if support else None
        text = support.text.weights if support else None
        return cls(name, tuple(classes), adapter, factor, part, text, scale)

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


@dataclass(frozen=True, eq=False)
class Answers:
    """What a library says of M images over the union of its C classes.

    Args:
        probabilities: `[M, C]`, how likely each class of each task is; 0 for the classes of a task
            that is out of the question.
        tasks: `[M]` positions of the tasks answered.
        shares: `[M]` how likely that task is, were the image of one of them.
        familiar: `[M]` share of images of unknown tasks that look as familiar; None where nobody
            asked.
    """

    probabilities: Array
    tasks: NDArray[np.int64]
    shares: NDArray[np.float64]
    familiar: NDArray[np.float64] | None = None
