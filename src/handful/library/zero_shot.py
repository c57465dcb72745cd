"""Zero-shot over the union of a library's classes, for images of no known task."""

from __future__ import annotations

import numpy as np

from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.library.ensemble import SkillEnsemble
from handful.library.task_support import Values
from handful.packs import confidence


def zero_shot(
    ensemble: SkillEnsemble,
    X: Array,
    extra_classes: ClassText | None = None,
    discount: Values | None = None,
) -> tuple[tuple[str, ...], Array]:
    """Labels, and `[M, C]` probabilities by text alone over the union of all classes.

    Args:
        ensemble: the skills.
        X: `[M, D]` unit rows.
        extra_classes: further classes, known by their text only.
        discount: `[M]` factors on the probabilities of the skills' classes
            (`known_class_discount`), which then matter against those of `extra_classes`.

    Raises:
        InputError: no class has a text.
    """
    rows: list[Array] = []
    labels: list[str] = []
    scales: list[float] = []
    for skill, columns in zip(ensemble.skills, ensemble.columns, strict=True):
        if skill.text is not None:
            rows.append(skill.text)
            labels += ensemble.labels[columns]
            scales.append(skill.scale)
    if extra_classes is not None:
        rows.append(extra_classes.weights)
        labels += extra_classes.classes
        scales = scales or [extra_classes.scale]
    if not rows:
        raise InputError("no skill kept the text of its classes, so there is no zero-shot")
    # the smallest is the encoder's own; prompts that depend on the image state a larger one
    found = confidence.probabilities(X @ np.concatenate(rows).T, min(scales))
    if extra_classes is not None and discount is not None:
        found[:, : -len(extra_classes.classes)] *= discount[:, None].astype(np.float32)
        found /= np.maximum(found.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    return tuple(labels), found


def known_class_discount(rates: Values, unknown: float) -> Values:
    """`[M]` `min(1, unknown / rate)`: factors on zero-shot's probabilities of known classes.

    At the limit of what is accepted nothing counts against the tasks that are there; of an image
    less familiar than all unknown ones their classes count no more than the rate.

    Args:
        rates: `[M]` false-accept rates of the images.
        unknown: the rate up to which images are accepted.
    """
    return np.asarray(np.minimum(1.0, unknown / np.maximum(rates, unknown)))
