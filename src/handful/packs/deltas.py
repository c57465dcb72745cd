"""The deltas of a tuned encoder in a pack, as named tensors and plain facts.

A pack names a tuner as it names a method, by the name of its file; `handful.skills.encoder`
attaches the deltas to an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.packs.support import check_support

KEY = "tuner"
TOO_GOOD = (
    "The encoder was tuned on the images left out too, so these numbers rank the methods and are "
    "too good; only other images tell how good it is: handful evaluate."
)
_FACTS = ("recipe", "training", "weight", "weight_why", "held_out", "held_out_loss")
PREFIX = "tuner."
UNTOUCHED = "untouched."  # what the encoder saw before it was tuned, by which an image finds a task


def of(encoder: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Manifest entries and tensors of an encoder's deltas; nothing for an encoder without any."""
    deltas = getattr(encoder, "deltas", {})
    if not deltas:
        return {}, {}
    tensors = {
        f"{PREFIX}{name}.{tensor}": np.asarray(values)
        for name, delta in deltas.items()
        for tensor, values in delta.tensors.items()
    }
    stated = [
        {
            "name": name,
            "tuner": delta.tuner,
            "params": dict(delta.params),
            "classes": list(delta.classes),
            "base": delta.base,
            "parameters": delta.size,
            "bytes": delta.bytes,
            "share": delta.size / parameters_of(encoder),
            **dict(delta.facts),
        }
        for name, delta in deltas.items()
    ]
    return {KEY: stated}, tensors


def parameters_of(encoder: Any) -> int:
    """Parameters of both towers."""
    return int(encoder.vision.size + encoder.text.size)


def read(manifest: Mapping[str, Any], tensors: Tensors, where: str) -> dict[str, dict[str, Any]]:
    """By name, what `handful.tuners.Delta` is built from; empty for a skill without a tuner.

    Raises:
        PackError: entries that are not what they should be.
    """
    found = {}
    entries = manifest.get(KEY, [])
    if KEY in manifest and not (isinstance(entries, list) and entries):
        raise PackError(f"{where}: {KEY!r}: expected a list of what changes the encoder")
    for entry in entries:
        try:
            begin = f"{PREFIX}{entry['name']}."
            found[str(entry["name"])] = {
                "tuner": str(entry["tuner"]),
                "params": dict(entry["params"]),
                "classes": tuple(entry["classes"]),
                "base": str(entry["base"]),
                "tensors": {
                    name.removeprefix(begin): values
                    for name, values in tensors.items()
                    if name.startswith(begin)
                },
                "facts": {k: v for k, v in entry.items() if k in _FACTS},
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PackError(
                f"{where}: what it says of its tuner cannot be read ({error!r}); make it again"
            ) from error
    return found


def summaries(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Name to a line about each delta: arguments, learned numbers, their share, their bytes."""
    lines = {}
    for entry in manifest.get(KEY, []):
        params = ", ".join(f"{k}={v}" for k, v in dict(entry.get("params", {})).items())
        size, share, held = (entry.get(k, 0) for k in ("parameters", "share", "bytes"))
        weight = entry.get("weight")
        partly = isinstance(weight, int | float) and weight != 1
        part = f", {weight:g} of the change kept" if partly else ""
        lines[str(entry.get("name"))] = (
            f"{entry.get('tuner')} ({params}): {size:,} parameters, {share:.2%} of the encoder, "
            f"{held / 1e3:,.0f} kB{part}"
        )
    return lines


def delta_tensors(tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The tensors of the deltas among a skill's."""
    return {name: values for name, values in tensors.items() if name.startswith(PREFIX)}


@dataclass(frozen=True, eq=False)
class Untouched:
    """The support set and the classes as the encoder saw them before it was tuned.

    Args:
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
    """

    features: Array
    targets: NDArray[np.int64]
    text: Array

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As a skill keeps them."""
        return {f"{UNTOUCHED}{name}": getattr(self, name) for name in _UNTOUCHED}


_UNTOUCHED = ("features", "targets", "text")


def untouched(tensors: Tensors, classes: int, where: str = "the skill") -> Untouched | None:
    """From a skill's tensors; None of a skill without a tuner, or one made without.

    Args:
        tensors: of the skill.
        classes: C, how many it has.
        where: what errors call it.

    Raises:
        PackError: tensors that do not fit one another.
    """
    found = {name: tensors.get(f"{UNTOUCHED}{name}") for name in _UNTOUCHED}
    features, targets, text = found.values()
    if features is None or targets is None or text is None:
        return None
    try:
        check_support(features, targets, text, classes)
    except InputError as error:
        raise PackError(f"{where}: what it saw untuned does not fit: {error}") from error
    return Untouched(features, targets, text)


def base(manifest: Mapping[str, Any]) -> str:
    """Fingerprint of the encoder before it was tuned; the skill's own where it was not."""
    entries = manifest.get(KEY)
    return str(entries[0]["base"] if entries else manifest["encoder"]["fingerprint"])
