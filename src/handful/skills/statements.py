"""Statistics that a skill states, from its support set alone: calibration, conformal, novelty.

The entries go into `pack.json`, tensors into `weights.safetensors`; `handful.packs.confidence` and
`handful.packs.novelty` read them again and answer by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.adapters import fit_with_pool
from handful.contracts import Array
from handful.packs import novelty
from handful.packs.confidence import SCORES
from handful.packs.format import Statements
from handful.packs.support import Support
from handful.selection import calibration, conformal

TUNED = (
    "the encoder was tuned on the support images, which therefore look easier to it than new ones "
    "will; how sure it may be is not known"
)
_ONE_EACH = "every class has one image, and none can be left out; its scores are the method's own"
_ONE_GROUP_EACH = (
    "every class has one group of images (or copies of one), and none can be left out; its scores "
    "are the method's own"
)
_NOT_INDUCTIVE = "an answer of this method depends on other images; its scores are the method's own"
_SCORES_ARE = "1 - p of their true class"
_HOW = (
    "softmax of the factor times the logits; the factor is the likeliest for support images by "
    f"fits without them (one of each class at a time), the scores are {_SCORES_ARE}"
)
_HOW_CALIBRATED = (
    "softmax of the logits, whose weights are the likeliest for support images left out one at a "
    f"time; the scores are {_SCORES_ARE} by the same left-out answers"
)
_FOLDS = 8
ENTRIES = ("confidence", "unknown")  # of the manifest; their tensors have these names and a dot


def state(
    adapter: Any,
    support: Support,
    *,
    tuned: bool = False,
    groups: Sequence[str] = (),
    pool: Array | None = None,
    left_out: Array | None = None,
) -> Statements:
    """The entries `confidence` and `unknown` of a skill, and their tensors.

    Args:
        adapter: fitted on the support set.
        support: features, labels and text.
        tuned: whether the features come from an encoder that was trained on these images; leaving
            one out of the head does not leave it out of the encoder then.
        groups: N names of what belongs together, "" for none; left out together.
        pool: `[M, D]` features of photos without labels that helped the adapter.
        left_out: `[N, C]` logits of the support images by fits with the pool and without them.
    """
    if tuned:
        return {"confidence": {"cannot": TUNED}, "unknown": {"cannot": TUNED}}, {}
    entry, tensors = novelty.fit(support)
    sure, scores = confidence(adapter, support, groups, pool, left_out)
    return {"confidence": sure, "unknown": entry}, tensors | scores


def confidence(
    adapter: Any,
    support: Support,
    groups: Sequence[str] = (),
    pool: Array | None = None,
    left_out: Array | None = None,
) -> Statements:
    """The factor on the logits, the scores that sets of answers are made from, how many were right.

    Args:
        adapter: fitted on the support set; others like it are fitted on parts of it.
        support: the support set.
        groups: as for `state`.
        pool: as for `state`.
        left_out: as for `state`.
    """
    if getattr(adapter, "semantics", "inductive") != "inductive":
        return {"cannot": _NOT_INDUCTIVE}, {}
    units = _units(support.ids, groups)
    alone = len(np.unique(units)) == len(units)  # no image has a copy or another of its group
    folds = _folds(support.targets, units)
    others = folds >= 0  # images whose class has some that do not belong to them
    if others.sum() < 2:
        return {"cannot": _ONE_EACH if alone else _ONE_GROUP_EACH}, {}
    targets = support.targets[others]
    closed = adapter.calibrated and alone
    if closed:
        if left_out is None:
            left_out = adapter.leave_one_out(support.features, support.targets, support.text)
        # its weights were fitted on left-out logits, so they are at the right scale already
        logits, factor = left_out[others], 1.0
    else:
        logits = logits_by_folds(adapter, support, folds, pool)[others]
        factor = calibration.inverse_temperature(logits, targets)
    scores = conformal.nonconformity_scores(calibration.softmax(logits, factor), targets)
    statement = {
        "factor": factor,
        "images": len(scores),
        "units": len(np.unique(units[others])),
        "right": int((logits.argmax(axis=1) == targets).sum()),
        "smallest": round(conformal.smallest_error(len(scores)), 6),
        "how": _HOW_CALIBRATED if closed else _HOW,
    }
    return statement, {SCORES: scores}


def logits_by_folds(
    adapter: Any,
    support: Support,
    folds: NDArray[np.int64] | None = None,
    pool: Array | None = None,
) -> NDArray[Any]:
    """`[N, C]` logits of the support images, each by a fit that leaves one of each class out.

    Leaving a single image out takes a shot from its own class only, and every method then gives
    that class smaller logits than the others: factors come out too small by a half at four shots.
    Up to eight folds; the only image of a class stays in all of them, its own row is zero.
    """
    if folds is None:
        folds = _folds(support.targets, np.arange(len(support.targets)))
    logits = np.zeros((len(support.targets), len(support.text.classes)))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        fresh = type(adapter)(**adapter.get_params(deep=False))
        taught = support.features[~out], support.targets[~out], support.text
        if pool is None:
            fresh.fit(*taught)
        else:
            fit_with_pool(fresh, *taught, pool)
        logits[out] = fresh.logits(support.features[out])
    return logits


def _units(ids: Sequence[str], groups: Sequence[str]) -> NDArray[np.int64]:
    """`[N]` numbers of what is left out together: copies of a picture, and images of a group."""
    units = np.arange(len(ids))
    for names in (ids, groups):
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            if name and (unit := units[first.setdefault(name, i)]) != units[i]:
                units[units == units[i]] = unit
    return units


def _folds(targets: NDArray[np.int64], units: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[N]` in which fold each image is left out, -1 for a class that is all in one unit."""
    place: dict[int, int] = {}  # a unit may have images of several classes, and has one fold
    for c in np.unique(targets):
        own = dict.fromkeys(units[targets == c].tolist())
        free = [unit for unit in own if unit not in place]
        place |= {unit: i % _FOLDS for i, unit in enumerate(free)}
    folds = np.array([place[unit] for unit in units.tolist()], dtype=np.int64)
    for c in np.unique(targets):
        rows = targets == c
        if len(np.unique(folds[rows])) < 2:
            folds[rows] = -1
    return folds
