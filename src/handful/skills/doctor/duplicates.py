"""Copies and near-copies in a support set."""

from __future__ import annotations

import numpy as np

from handful.contracts import Array
from handful.errors import InputError
from handful.packs.support import Support
from handful.skills.doctor.findings import Duplicate
from handful.skills.group_names import is_near

# How far from the threshold a pair is called near (see `measures`): cosines move by the sine of
# their angle.
_NEAR_TURN = 0.004
SIMILAR = 0.97  # cosine from which two pictures may be near-duplicates ...
_CLOSE = 0.25  # ... if they are also this much closer than neighbours usually are
_BLOCK = 1024  # images compared with all at once


def find_duplicates(
    support: Support, similar: float = SIMILAR, notes: list[str] | None = None
) -> tuple[Duplicate, ...]:
    """Pairs that are byte for byte the same, or much closer than neighbours are, across first.

    With those a little below the threshold, which another precision may see above it. Pairs of one
    class within a stated group are no news; how many there are goes into `notes`.

    Raises:
        InputError: `similar` outside 0 to 1.
    """
    if not 0 < similar <= 1:
        raise InputError(f"expected a similarity above 0 and up to 1, got {similar}")
    X, targets = support.features, support.targets
    _, codes = np.unique(np.array(support.ids), return_inverse=True)
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(X), _BLOCK)]  # [N, N] may not fit
    units = support.units
    nearest = np.concatenate(
        [np.where(units[at][:, None] == units, -1, _cosines(X, at)).max(axis=1) for at in blocks]
    )
    # in a narrow domain all pictures are similar, so a copy has to be closer than neighbours are
    usual = float(np.median(1 - nearest)) if len(X) > 2 else np.inf
    least = min(max(similar, 1 - _CLOSE * usual), 1 - 1e-6)
    margin = _NEAR_TURN * float(np.sqrt(1 - least**2))
    result, within = [], []
    for at in blocks:
        cosines = _cosines(X, at)
        same = codes[at][:, None] == codes
        for i, j in zip(*np.nonzero((cosines > least - margin) | same), strict=True):
            first, second = int(i) + at.start, int(j)
            if first < second:
                group = support.groups[first]
                across = bool(targets[first] != targets[second])
                cosine, exact = float(cosines[i, j]), bool(same[i, j])
                stated = group and not is_near(group)
                if stated and group == support.groups[second] and not across:
                    within.append(group)
                    continue
                near_least = not exact and abs(cosine - least) <= margin
                result.append(Duplicate(first, second, cosine, exact, across, near_least))
    if within and notes is not None:
        names = sorted(set(within))
        notes.append(
            f"{len(within)} pairs of copies or near-copies lie within {len(names)} "
            f"group{'s' * (len(names) > 1)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)}), "
            "whose photos count as one together; they are not listed"
        )
    order = sorted(result, key=lambda d: (not d.across, not d.exact, -d.cosine, d.first))
    return tuple(order)


def _cosines(X: Array, at: slice) -> Array:
    """`[n, N]` of some rows with all; -1 with themselves."""
    cosines: Array = np.clip(X[at] @ X.T, -1, 1)
    cosines[np.arange(len(cosines)), np.arange(len(cosines)) + at.start] = -1
    return cosines
