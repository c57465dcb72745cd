"""How sure a skill may sound: what it states about that, and the sets of answers it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.packs.support import Support
from handful.selection import calibration, conformal

ERRORS = (0.2, 0.1, 0.05)  # error rates that evaluate tells about
_ALONE = "every class has one image, and none can be left out; its scores are the method's own"
_TOGETHER = "an answer of this method depends on other images; its scores are the method's own"
SCORES = "confidence.scores"
_ROUNDS = 8
_MOST = float(np.finfo(np.float32).max)  # times a float32 logit it is still a number
HOW = (
    "softmax of the factor times the logits; the factor is the likeliest for support images by "
    "fits without them (one of each class at a time), the scores are 1 - p of their true class"
)

HOW_CALIBRATED = (
    "softmax of the logits, whose weights are the likeliest for support images left out one at a "
    "time; the scores are 1 - p of their true class by the same left-out answers"
)


def fit(adapter: Any, support: Support) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The factor on the logits, and the scores that sets of answers are made from.

    Args:
        adapter: fitted on the support set; others like it are fitted on parts.
        support: the support set.
    """
    if getattr(adapter, "semantics", "inductive") != "inductive":
        return {"cannot": _TOGETHER}, {}
    known = np.bincount(support.targets)[support.targets] > 1
    if known.sum() < 2:
        return {"cannot": _ALONE}, {}
    targets = support.targets[known]
    if adapter.calibrated:
        labels = np.array(support.labels)
        logits, factor = adapter.leave_one_out(support.features, labels, support.text)[known], 1.0
    else:
        logits = left_out(adapter, support)[known]
        factor = calibration.inverse_temperature(logits, targets)
    scores = conformal.nonconformity_scores(calibration.softmax(logits, factor), targets)
    statement = {
        "factor": factor,
        "images": len(scores),
        "smallest": round(conformal.smallest_error(len(scores)), 6),
        "how": HOW_CALIBRATED if adapter.calibrated else HOW,
    }
    return statement, {SCORES: scores}


def left_out(adapter: Any, support: Support) -> NDArray[Any]:
    """`[N, C]` logits of the support images, each by a fit that leaves one of each class out.

    Leaving a single image out takes a shot from its own class only, and every method then believes
    in that class less than in the others: factors come out too small by a half at four shots.
    Up to eight rounds; the only image of a class stays in all of them, its own row is zero.
    """
    rounds = _rounds(support.targets)
    labels = np.array(support.labels)
    logits = np.zeros((len(labels), len(support.text.classes)))
    for turn in range(int(rounds.max()) + 1):
        out = rounds == turn
        fresh = type(adapter)(**adapter.get_params(deep=False))
        fresh.fit(support.features[~out], labels[~out], support.text)
        logits[out] = fresh.logits(support.features[out])
    return logits


def _rounds(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[N]` in which round each image is left out, -1 for the only one of its class."""
    rounds = np.full(len(targets), -1)
    for c in np.unique(targets):
        rows = np.flatnonzero(targets == c)
        if len(rows) > 1:
            rounds[rows] = np.arange(len(rows)) % _ROUNDS
    return rounds


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
        InputError: the skill cannot promise this rate, and why.
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
    most = conformal.conformal_quantile(tensors[SCORES], error)
    return np.asarray(1 - calibration.softmax(logits, factor(manifest, where)) <= most)


def told(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The card's section about it; nothing where the skill states nothing that we understand.

    Args:
        manifest: of the skill.
        cell: keeps what a stranger wrote from being read as markdown.
    """
    entry = manifest.get("confidence")
    if not isinstance(entry, Mapping):
        return ""
    head = "## How sure it is\n"
    if "cannot" in entry:
        return "\n".join([head, f"Its scores are not calibrated: {cell(entry['cannot'])}.", ""])
    try:
        line = (
            f"Its scores were calibrated on {int(entry['images'])} support images, each answered "
            f"by a fit without it: the logits are multiplied by {float(entry['factor']):.3g} "
            "before the softmax. From the same images it gives sets of answers that miss the true "
            f"class at a rate you choose, {100 * float(entry['smallest']):.2g} % or more; a set "
            "may hold several classes, or none. Both hold for photos like those it was taught with."
        )
    except (KeyError, TypeError, ValueError):
        return ""
    return "\n".join([head, line, ""])
