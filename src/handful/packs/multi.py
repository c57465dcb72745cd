"""What a skill of several labels an image answers: each class from its own threshold on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import PackError
from handful.packs.format import Tensors

_KEPT = "head.thresholds"


def is_multi_label(manifest: Mapping[str, Any]) -> bool:
    """Whether an image may show several of a skill's classes, or none."""
    return bool(manifest.get("multi_label"))


def shown(
    manifest: Mapping[str, Any], tensors: Tensors, probabilities: Array, where: str = "the skill"
) -> NDArray[np.bool_]:
    """`[M, C]`: the classes that are answered; all of them for a skill of one label an image.

    Args:
        manifest: the skill's.
        tensors: the skill's.
        probabilities: `[M, C]`.
        where: what errors call the skill.

    Raises:
        PackError: it says that it has several labels an image, and has no threshold a class.
    """
    if not is_multi_label(manifest):
        return np.ones(probabilities.shape, dtype=np.bool_)
    limits = tensors.get(_KEPT)
    if limits is None or limits.shape != probabilities.shape[1:]:
        raise PackError(
            f"{where}: answers several labels an image, and has no threshold for each of its "
            f"{probabilities.shape[1]} classes ({_KEPT}); teach it again"
        )
    return np.asarray(probabilities >= limits, dtype=np.bool_)
