"""Probabilities of a skill's own support images by fits without them, from the skill alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.packs import Pack, confidence
from handful.selection.groups import left_out_units
from handful.skills.pool import pool_ids
from handful.skills.statements import logits_by_folds


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Support images that could be left out of the fit, with their whole groups.

    Args:
        probabilities: `[N, C]`, calibrated as the skill's answers are.
        targets: `[N]` columns.
        units: `[N]`, equal for images that belong together and for copies.
    """

    probabilities: Array
    targets: NDArray[np.int64]
    units: NDArray[np.int64]


def left_out_probabilities(pack: Pack) -> LeftOut:
    """Answer every support image that has others of its class outside its group.

    Raises:
        InputError: the skill has no such answers, and why.
    """
    support, stated = pack.support, pack.manifest.get("confidence")
    if isinstance(stated, dict) and "cannot" in stated:
        raise InputError(f"{pack.where}: has no left-out answers: {stated['cannot']}")
    if support is None:
        raise InputError(
            f"{pack.where}: has no left-out answers, for it was saved without the features of its "
            "images; teach it again with handful fit"
        )
    if pool_ids(pack):
        raise InputError(
            f"{pack.where}: has no left-out answers, for photos without labels helped to teach it, "
            "and it does not hold them; teach it again without them"
        )
    units = support.units
    factor = confidence.factor(pack.manifest, pack.where)
    adapter = type(pack.adapter)(**pack.manifest["params"])
    if adapter.calibrated:  # its weights were fitted on left-out logits
        logits = adapter.leave_one_out(support.features, support.targets, support.text, units)
    else:
        logits = logits_by_folds(adapter, support)
    rows = left_out_units(support.targets, units)
    probabilities = confidence.probabilities(logits, factor)
    return LeftOut(probabilities[rows], support.targets[rows], units[rows])
