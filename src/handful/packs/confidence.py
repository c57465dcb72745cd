"""The entry `confidence` of a manifest: calibrated probabilities and conformal sets.

`handful.skills.statements` makes the entry from the support set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.selection import calibration, conformal

ERRORS = (0.2, 0.1, 0.05)  # error rates of the sets that evaluate measures
SCORES = "confidence.scores"  # the tensor: 1 - p of the true class, by fits without the image
WEIGHTS = "confidence.weights"  # one over the size of each image's unit; missing: 1 each
_MOST = float(np.finfo(np.float32).max)  # times a float32 logit it is still a number


def factor(manifest: Mapping[str, Any], where: str = "the skill") -> float:
    """What the logits are multiplied by before the softmax; 1 where nothing is known of it.

    Raises:
        PackError: what the skill states is no positive number.
    """
    entry = manifest.get("confidence")
    if not isinstance(entry, Mapping) or "factor" not in entry:
        return 1.0
    value = entry["factor"]
    if type(value) not in (int, float) or not 0 < value <= _MOST:
        raise PackError(
            f"{where}: 'confidence.factor': expected a positive number within float32, "
            f"got {value!r}"
        )
    return float(value)


def probabilities(logits: Array, by: float) -> Array:
    """`[M, C]` logits to probabilities: the softmax of `by` times them."""
    return np.asarray(calibration.softmax(logits, by), dtype=np.float32)


def sets(
    manifest: Mapping[str, Any], tensors: Tensors, logits: Array, error: float, where: str
) -> NDArray[np.bool_]:
    """`[M, C]`, which classes an image may be of; see `Pack.sets`.

    Raises:
        InputError: the support set cannot guarantee this rate, and why.
    """
    entry = manifest.get("confidence")
    if not isinstance(entry, Mapping):
        raise InputError(
            f"{where}: cannot give sets of answers: it was made before skills learned to, or "
            "without its support set; teach it again"
        )
    if "cannot" in entry:
        raise InputError(f"{where}: cannot give sets of answers: {entry['cannot']}")
    if SCORES not in tensors or tensors[SCORES].ndim != 1:
        raise PackError(f"{where}: the tensor {SCORES} [N] is missing; teach the skill again")
    scores, weights = tensors[SCORES], tensors.get(WEIGHTS)
    if weights is not None and (weights.shape != scores.shape or not (weights > 0).all()):
        raise PackError(f"{where}: the tensor {WEIGHTS} does not fit; teach the skill again")
    most = conformal.conformal_quantile(scores, error, weights)
    return np.asarray(1 - calibration.softmax(logits, factor(manifest, where)) <= most)


def card_section(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card about it; "" where the skill states nothing that we understand.

    Args:
        manifest: of the skill.
        cell: escapes untrusted text for markdown.
    """
    entry = manifest.get("confidence")
    if not isinstance(entry, Mapping):
        return ""
    head = "## How sure it is\n"
    if "cannot" in entry:
        return "\n".join([head, f"Its scores are not calibrated: {cell(entry['cannot'])}.", ""])
    try:
        images, units = int(entry["images"]), int(entry.get("units", entry["images"]))
        without = (
            f"{images} support images, each answered by a fit without it"
            if units == images
            else f"{images} support images of {units} units (a group or the copies of a picture; "
            "an image alone is one), each answered by a fit without its unit"
        )
        line = (
            f"Its scores were calibrated on {without}: the logits are multiplied by "
            f"{float(entry['factor']):.3g} before the softmax. From the same images it gives sets "
            f"of answers that miss the true class at a rate you choose, "
            f"{100 * float(entry['smallest']):.2g} % or more; a set may hold several classes, or "
            "none. Both hold for photos like those it was taught with."
        )
    except (KeyError, TypeError, ValueError):
        return ""
    return "\n".join([head, line, ""])
