"""A learned change of an encoder as values: named tensors and the tuner that can attach them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from handful import plugins
from handful.contracts import Array
from handful.errors import InputError


@dataclass(frozen=True, eq=False)
class Delta:
    """A learned change of an encoder; it holds no weight of the encoder itself.

    Args:
        tuner: the name of the tuner that made it, and can attach it.
        params: the tuner's own arguments, plain values.
        classes: what prompts call the classes it was trained on, where the tuner depends on them.
        tensors: what was learned, float32.
        base: fingerprint of the encoder it belongs to.
        facts: how it was trained; documentation, no feature depends on it.
    """

    tuner: str
    params: Mapping[str, Any]
    classes: tuple[str, ...]
    tensors: Mapping[str, Array]
    base: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Learned numbers."""
        return sum(int(t.size) for t in self.tensors.values())

    @property
    def bytes(self) -> int:
        """Bytes of the tensors."""
        return sum(int(t.nbytes) for t in self.tensors.values())

    @property
    def digest(self) -> str:
        """Identity of everything that changes a feature, 16 hexadecimal digits."""
        origin = [self.tuner, dict(self.params), list(self.classes)]
        digest = hashlib.sha256(json.dumps(origin, sort_keys=True).encode())
        for name in sorted(self.tensors):
            # little-endian on every machine, or the same skill would have two identities
            values = np.ascontiguousarray(self.tensors[name], dtype="<f4")
            digest.update(f"{name} {values.shape}".encode() + values.tobytes())
        return digest.hexdigest()[:16]

    def scaled(self, weight: float) -> Delta:
        """The change at `weight` of its strength: 0 is the encoder as it was, 1 the tuned one.

        At 0 a soft prompt still encodes classes with its contexts, as they were before training.

        Every tuner's change is linear in some of its tensors (see `Tuner.is_linear_in`), and those
        are multiplied. For tuners that change weights this is the interpolation of WiSE-FT,
        `(1 - a) * W0 + a * W1` (Wortsman et al., CVPR 2022); for modules put between blocks it
        shrinks what they add.
        """
        if not 0 <= weight <= 1:
            raise InputError(f"expected a weight from 0 to 1, got {weight}")
        tuner = plugins.get("tuners", self.tuner)(**self.params)
        # one factor of a product such as LoRA's B A: both would scale the change by weight squared
        tensors = {
            name: tensor * np.float32(weight) if tuner.is_linear_in(name) else tensor
            for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=tensors, facts={**self.facts, "weight": weight})


def average(deltas: Sequence[Delta], weights: Sequence[float] | None = None) -> Delta:
    """The mean of deltas of one tuner, tensor by tensor (as AdapterSoup and model soups do).

    A mean of the tensors is not the mean of the functions; it works for deltas that were trained
    from one start (one seed), as those papers found too.

    Args:
        deltas: of one tuner with the same arguments, for one encoder.
        weights: how much each counts, scaled to add up to one; equal when not given.

    Raises:
        InputError: nothing to average, or deltas that do not go together.
    """
    if not deltas:
        raise InputError("no deltas given; expected at least one to average")
    first = deltas[0]
    share = np.asarray(weights if weights is not None else [1.0] * len(deltas), dtype=np.float64)
    if len(share) != len(deltas) or not (share >= 0).all() or not share.sum() > 0:
        raise InputError(f"expected {len(deltas)} weights of 0 or more, got {list(share)}")
    for other in deltas[1:]:
        same = (first.tuner, dict(first.params), first.classes, first.base)
        if (other.tuner, dict(other.params), other.classes, other.base) != same:
            raise InputError(
                f"deltas to average must come from one tuner with the same arguments and one "
                f"encoder; got {first.tuner} {dict(first.params)} and "
                f"{other.tuner} {dict(other.params)}"
            )
    share = share / share.sum()
    mean = {
        name: sum(
            (np.float32(w) * d.tensors[name] for w, d in zip(share, deltas, strict=True)),
            start=np.zeros_like(first.tensors[name]),
        )
        for name in first.tensors
    }
    return replace(first, tensors=mean, facts={"averaged": len(deltas)})
