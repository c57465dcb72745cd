"""What a skill of several labels an image answers: each class from its own threshold on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import PackError
from handful.packs.format import Tensors, glance

LIMITS = (
    "- Each class is a question of its own: scores do not add up to one, and there may be no "
    "answer at all.",
    "- Where photos show a class much more often or more rarely than the images it was taught "
    "with, another threshold would be better.",
)
_KEPT = "head.thresholds"


def is_multi_label(manifest: Mapping[str, Any]) -> bool:
    """Whether an image may show several of a skill's classes, or none."""
    return bool(manifest.get("multi_label"))


def says_so(folder: Path) -> bool:
    """Whether a skill on disk has several labels an image, without verifying it.

    False too where it cannot be read: whoever loads it then tells why.
    """
    return is_multi_label(glance(folder))


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


def thresholds_told(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card that tells the thresholds; "" for a skill of one label an image.

    Args:
        manifest: the skill's; of a stranger's, what is not as expected is left out.
        cell: makes text safe inside a table.
    """
    try:
        stated = manifest["multi_label"]["thresholds"] if is_multi_label(manifest) else []
        rows = [
            f"| {cell(name)} | {row['threshold']:.3f} | {cell(row['from'])} |"
            for name, row in zip(manifest["classes"], stated, strict=False)
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        rows = []
    head = (
        "## When it says yes\n\nA class is answered from this probability on. The thresholds were "
        "learned from the support images alone, each as a fit sees it that had not seen it.\n"
    )
    table = ["| class | threshold | learned from |", "|---|---:|---|", *rows, ""]
    return "\n".join([head, *table]) if rows else ""
