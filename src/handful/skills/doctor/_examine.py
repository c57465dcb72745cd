"""Look at every image of a support set as one that the others have to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handful import plugins
from handful.contracts import Array
from handful.errors import InputError
from handful.packs.support import Support
from handful.selection.label_errors import estimate_label_errors, ridge_influence
from handful.skills.doctor._findings import Examination, Finding, Twins

Doubles = NDArray[np.float64]

SUSPECT = 0.5  # probability of a wrong label from which an image is named
FAR = 3.5  # robust deviations; the usual bound of Iglewicz and Hoaglin, 1993
SIMILAR = 0.97  # cosine from which two pictures may be near-duplicates ...
_CLOSE = 0.25  # ... if they are also this much closer than neighbours usually are
SMALL = 32  # pixels of the shorter side; encoders see at least 7 times as many
_SMALL_SHARE = 0.25  # of the median shorter side, below `_SMALL_BELOW` pixels
_SMALL_BELOW = 128
_BLOCK = 1024  # images compared with all at once
_AT_LEAST = 3  # images of a class before one of them can be far from it
_INFLUENCE_UP_TO = 2048  # images: exact influence takes N² C time and N² memory
_BETA, _PENALTY = 1.5, 0.1  # of the kernel ridge regression that stands for all methods there
LEFT_OUT, TEXT_ALONE = "leave-one-out", "text alone"


def examine(
    support: Support,
    adapter: Any,
    *,
    sizes: Sequence[tuple[int, int] | None] | None = None,
    similar: float = SIMILAR,
) -> Examination:
    """Look at every support image as one that the others have to explain.

    Whatever the adapter, labels are judged by the left-out logits of `auto`, the likeliest blend
    (`handful.selection.label_errors`); whether an image hurts, by the exact influence in kernel
    ridge regression (`ridge_influence`). The adapter says whether it would have got the image
    right.

    Args:
        support: the support set.
        adapter: the method of the skill, fitted or not; it is not changed.
        sizes: N widths and heights, None where unknown.
        similar: cosine above which two pictures count as near-duplicates.

    Raises:
        InputError: `sizes` of another length, `similar` outside 0 to 1.
    """
    n = len(support.ids)
    if sizes is not None and len(sizes) != n:
        raise InputError(f"expected {n} sizes, one an image, got {len(sizes)}")
    if not 0 < similar <= 1:
        raise InputError(f"expected a similarity above 0 and up to 1, got {similar}")
    notes: list[str] = []
    known = np.bincount(support.targets)[support.targets] > 1
    blend = _left_out(_method("auto"), support) if known.any() else None
    wrong, probabilities, rate = _labels(support, known, blend, notes)
    seen = _Measures(
        known,
        wrong,
        probabilities,
        _right(support, adapter, blend),
        _influence(support, known, notes),
        _distances(support),
        list(sizes or [None] * n),
    )
    if sizes is None:
        notes.append(
            "the sizes of the pictures are not known from features; hand in the pictures "
            "(--images FOLDER) to find those too small to help"
        )
    elif None in seen.sizes:
        notes.append(f"{seen.sizes.count(None)} of {n} pictures were not found, nor measured")
    problems = _problems(seen)
    found = [_finding(support, seen, i, problems[i]) for i in range(n)]
    found.sort(key=lambda f: (-f.wrong, f.given, f.row))
    return Examination(tuple(found), twins(support, similar), support.counts, rate, tuple(notes))


def twins(support: Support, similar: float = SIMILAR) -> tuple[Twins, ...]:
    """Pairs that are byte for byte the same, or much closer than neighbours are, across first."""
    X, targets = support.features, support.targets
    _, codes = np.unique(np.array(support.ids), return_inverse=True)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(X), _BLOCK)]
    nearest = np.concatenate([_cosines(X, at).max(axis=1) for at in blocks])
    usual = float(np.median(1 - nearest)) if len(X) > 2 else np.inf
    least = min(max(similar, 1 - _CLOSE * usual), 1 - 1e-6)
    result = []
    for at in blocks:
        cosines = _cosines(X, at)
        same = codes[at][:, None] == codes
        for i, j in zip(*np.nonzero((cosines > least) | same), strict=True):
            first, second = int(i) + at.start, int(j)
            if first < second:
                across = bool(targets[first] != targets[second])
                close = float(cosines[i, j])
                result.append(Twins(first, second, close, bool(same[i, j]), across))
    return tuple(sorted(result, key=lambda t: (not t.across, not t.exact, -t.cosine, t.first)))


@dataclass(frozen=True)
class _Measures:
    """What was measured of N images; see `Finding`. NaN where there is nothing."""

    known: NDArray[np.bool_]
    wrong: Doubles
    probabilities: Doubles
    right: NDArray[np.bool_]
    influence: Doubles
    distances: Doubles
    sizes: Sequence[tuple[int, int] | None]


def _problems(seen: _Measures) -> list[tuple[str, ...]]:
    least, hurting = _least_side(seen.sizes), _outlying(seen.influence)
    told = []
    for i, size in enumerate(seen.sizes):
        has = {
            "label": seen.wrong[i] > SUSPECT,
            "hurts": hurting[i],
            "far": seen.distances[i] > FAR,
            "small": size is not None and min(size) < least,
        }
        told.append(tuple(name for name, true in has.items() if true))
    return told


def _cosines(X: Array, at: slice) -> Array:
    """`[n, N]` of some rows with all; -1 with themselves."""
    cosines: Array = np.clip(X[at] @ X.T, -1, 1)
    cosines[np.arange(len(cosines)), np.arange(len(cosines)) + at.start] = -1
    return cosines


def _finding(support: Support, seen: _Measures, i: int, problems: tuple[str, ...]) -> Finding:
    classes, own = support.text.classes, int(support.targets[i])
    return Finding(
        row=i,
        name=support.names[i] or support.ids[i][:12],
        id=support.ids[i],
        label=classes[own],
        wrong=float(seen.wrong[i]),
        looks_like=classes[int(seen.probabilities[i].argmax())],
        given=float(seen.probabilities[i, own]),
        evidence=LEFT_OUT if seen.known[i] else TEXT_ALONE,
        right=bool(seen.right[i]) if seen.known[i] else None,
        influence=None if np.isnan(seen.influence[i]) else float(seen.influence[i]),
        distance=None if np.isnan(seen.distances[i]) else float(seen.distances[i]),
        size=seen.sizes[i],
        problems=problems,
    )


def _labels(
    support: Support, known: NDArray[np.bool_], blend: torch.Tensor | None, notes: list[str]
) -> tuple[Doubles, Doubles, float | None]:
    """`[N]` P(wrong), `[N, C]` probabilities and the rate; by text where nothing is known."""
    targets = torch.from_numpy(support.targets)
    wrong = np.zeros(len(targets))
    probabilities = np.zeros((len(targets), len(support.text.classes)))
    rate = None
    if not known.all():
        by_text = estimate_label_errors(_left_out(_method("zero_shot"), support), targets)
        wrong[~known] = by_text.wrong.numpy()[~known]
        probabilities[~known] = by_text.probabilities.numpy()[~known]
        lone = int((~known).sum())
        notes.append(
            f"{lone} image{'s are the only ones' if lone > 1 else ' is the only one'} of "
            f"{'their' if lone > 1 else 'its'} class, so nothing can be left out there; "
            f"{'their labels were' if lone > 1 else 'its label was'} judged by the text alone, "
            "which is a weaker witness"
        )
    if blend is not None:
        judged = estimate_label_errors(blend[known], targets[known])
        wrong[known] = judged.wrong.numpy()
        probabilities[known] = judged.probabilities.numpy()
        rate = judged.rate
    return wrong, probabilities, rate


def _method(name: str, **params: Any) -> Any:
    return plugins.get("adapters", name)(**params)


def _left_out(adapter: Any, support: Support) -> torch.Tensor:
    X, y, text = support.features, support.targets, support.text
    if len(X) < 2:  # only zero-shot, which has seen none of them, comes here
        return torch.from_numpy(adapter.fit(X, y, text).logits(X))
    return torch.from_numpy(adapter.leave_one_out(X, y, text))


def _right(support: Support, adapter: Any, blend: torch.Tensor | None) -> NDArray[np.bool_]:
    """`[N]` does the skill's own method, which `blend` may be, know each image unseen?"""
    if blend is None:
        return np.zeros(len(support.ids), dtype=np.bool_)
    usual = _method("auto")
    fresh = type(adapter)(**adapter.get_params(deep=False))
    same = type(fresh) is type(usual) and fresh.get_params() == usual.get_params()
    logits = blend if same else _left_out(fresh, support)
    return np.asarray(logits.argmax(dim=1).numpy() == support.targets)


def _influence(support: Support, known: NDArray[np.bool_], notes: list[str]) -> Doubles:
    n = len(support.ids)
    if not known.any() or n > _INFLUENCE_UP_TO:
        why = f"more than {_INFLUENCE_UP_TO} images" if known.any() else "one image a class"
        notes.append(f"whether an image hurts the others was not computed ({why})")
        return np.full(n, np.nan)
    rows = torch.from_numpy(support.features).double()
    base = rows @ torch.from_numpy(support.text.weights).double().T
    targets = torch.from_numpy(support.targets)
    goal = torch.nn.functional.one_hot(targets, base.shape[1]).double()
    kernel = (_BETA * (rows @ rows.T - 1)).exp()
    return np.asarray(ridge_influence(kernel, goal - base, base, targets, _PENALTY).numpy())


def _outlying(influence: Doubles) -> NDArray[np.bool_]:
    """Positive, and far beyond what is usual in this support set."""
    if np.isnan(influence).all():
        return np.zeros(len(influence), dtype=np.bool_)
    middle = np.median(influence)
    spread = 1.4826 * np.median(np.abs(influence - middle))
    return np.asarray((influence > 0) & (influence - middle > FAR * max(float(spread), 1e-9)))


def _distances(support: Support) -> Doubles:
    """`[N]` `(d - median of the class) / (1.4826 MAD)`, d the distance to the mean of the others.

    The deviations of all classes share one MAD: of a handful of images a class has none to speak
    of. NaN for classes of fewer than 3 images.
    """
    away = np.full(len(support.ids), np.nan)
    for c in np.unique(support.targets):
        rows = np.flatnonzero(support.targets == c)
        if len(rows) < _AT_LEAST:
            continue
        own = support.features[rows].astype(np.float64)
        others = (own.sum(axis=0) - own) / (len(rows) - 1)
        d = np.linalg.norm(own - others, axis=1)
        away[rows] = d - np.median(d)
    if np.isnan(away).all():
        return away
    spread = 1.4826 * float(np.nanmedian(np.abs(away)))
    return np.asarray(away / max(spread, 1e-9))


def _least_side(sizes: Sequence[tuple[int, int] | None] | None) -> float:
    sides = [min(size) for size in sizes or () if size]
    if not sides:
        return SMALL
    return max(SMALL, min(_SMALL_SHARE * float(np.median(sides)), _SMALL_BELOW))
