"""Statistics that a skill states, from its support set alone: calibration, conformal, novelty.

The entries go into `pack.json`, tensors into `weights.safetensors`; `handful.packs.confidence` and
`handful.packs.novelty` read them again and answer by them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.adapters import fit_with_pool
from handful.contracts import Array
from handful.packs import novelty
from handful.packs.confidence import SCORES, WEIGHTS
from handful.packs.format import Statements
from handful.packs.support import Support
from handful.selection import calibration, conformal
from handful.selection.groups import group_folds, left_out_units, unit_weights

TUNED = (
    "the encoder was tuned on the support images, which therefore look easier to it than new ones "
    "will; how sure it may be is not known"
)
_ONE_EACH = "every class has one image, and none can be left out; its scores are the method's own"
_ONE_GROUP_EACH = (
    "all photos of each class belong together (one burst, one patient, copies), so that none can "
    "be left out to test it; its scores are the method's own"
)
_NOT_INDUCTIVE = "an answer of this method depends on other images; its scores are the method's own"
_SCORES_ARE = "1 - p of their true class"
_HOW = (
    "softmax of the factor times the logits; the factor is the likeliest for support images by "
    "fits without them (one unit of each class at a time; a unit is a group, the copies of a "
    f"picture, or an image alone), the scores are {_SCORES_ARE}"
)
_HOW_CALIBRATED = (
    "softmax of the logits, whose weights are the likeliest for support images left out one unit "
    "at a time (a group, the copies of a picture, or an image alone); the scores are "
    f"{_SCORES_ARE} by the same left-out answers"
)
_FOLDS = 8
ENTRIES = ("confidence", "unknown")  # of the manifest; their tensors have these names and a dot


def state(
    adapter: Any,
    support: Support,
    *,
    tuned: bool = False,
    pool: Array | None = None,
    left_out: Array | None = None,
) -> Statements:
    """The entries `confidence` and `unknown` of a skill, and their tensors.

    Args:
        adapter: fitted on the support set.
        support: features, labels, text and groups.
        tuned: whether the features come from an encoder that was trained on these images; leaving
            one out of the head does not leave it out of the encoder then.
        pool: `[M, D]` features of photos without labels that helped the adapter.
        left_out: `[N, C]` logits of the support images by fits with the pool and without them.
    """
    if tuned:
        return {"confidence": {"cannot": TUNED}, "unknown": {"cannot": TUNED}}, {}
    entry, tensors = novelty.fit(support)
    sure, scores = confidence(adapter, support, pool, left_out)
    return {"confidence": sure, "unknown": entry}, tensors | scores


def confidence(
    adapter: Any,
    support: Support,
    pool: Array | None = None,
    left_out: Array | None = None,
) -> Statements:
    """The factor on the logits, the scores that sets of answers are made from, how many were right.

    Args:
        adapter: fitted on the support set; others like it are fitted on parts of it.
        support: the support set; images of a unit are left out together, and count as one.
        pool: as for `state`.
        left_out: as for `state`.
    """
    if getattr(adapter, "semantics", "inductive") != "inductive":
        return {"cannot": _NOT_INDUCTIVE}, {}
    units, targets = support.units, support.targets
    others = left_out_units(targets, units)  # images whose class has some of other units
    if not others.any():
        alone = int(units.max()) + 1 == len(units)
        return {"cannot": _ONE_EACH if alone else _ONE_GROUP_EACH}, {}
    if adapter.calibrated:
        if left_out is None:
            left_out = adapter.leave_one_out(support.features, targets, support.text, units)
        # its weights were fitted on left-out logits, so they are at the right scale already
        logits, factor = left_out[others], 1.0
    else:
        logits = logits_by_folds(adapter, support, pool)[others]
    truth, weights = targets[others], unit_weights(units[others])
    if not adapter.calibrated:
        factor = calibration.inverse_temperature(logits, truth, weights)
    right, count = logits.argmax(axis=1) == truth, round(float(weights.sum()))
    statement = {
        "factor": factor,
        "images": len(right),
        "units": count,
        "right": int(right.sum()),
        # the mean over units of the mean over their images: a burst counts as one photo
        "accuracy": min(1.0, float(weights @ right) / count),
        "smallest": round(conformal.smallest_error(count), 6),
        "how": _HOW_CALIBRATED if adapter.calibrated else _HOW,
    }
    scores = conformal.nonconformity_scores(calibration.softmax(logits, factor), truth)
    order = np.argsort(scores, kind="stable")
    tensors = {SCORES: scores[order]}
    return statement, tensors | ({WEIGHTS: weights[order]} if count < len(right) else {})


def logits_by_folds(adapter: Any, support: Support, pool: Array | None = None) -> NDArray[Any]:
    """`[N, C]` logits of the support images, each by a fit that leaves a unit of each class out.

    Leaving a single unit out takes a shot from its own class only, and every method then gives
    that class smaller logits than the others: factors come out too small by a half at four shots.
    Up to eight folds; the only unit of a class stays in all of them, its own rows are zero.
    """
    units = support.units
    folds = group_folds(support.targets, units, _FOLDS)
    # a unit stays where no class of its images has others
    folds[~np.isin(units, units[left_out_units(support.targets, units)])] = -1
    logits = np.zeros((len(support.targets), len(support.text.classes)))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        if not out.any():
            continue
        fresh = type(adapter)(**adapter.get_params(deep=False))
        taught = support.features[~out], support.targets[~out], support.text
        if pool is None:
            fresh.fit(*taught, groups=units[~out])
        else:
            fit_with_pool(fresh, *taught, pool, groups=units[~out])
        logits[out] = fresh.logits(support.features[out])
    return logits
