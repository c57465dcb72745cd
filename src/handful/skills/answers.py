"""`Answers`: what a skill answered of each test image, beside the truth; a row an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError


@dataclass(frozen=True, eq=False)
class Answers:
    """M test images with their truth and the probability of each class.

    Args:
        names: M names of the images: their paths where they have one.
        groups: M names of what belongs together (a patient, a burst); "" for none.
        ids: M image digests.
        targets: `[M]` columns of the true classes; of several labels an image `[M, C]`, 0 or 1.
        probabilities: `[M, C]`, calibrated where the skill states how.
        classes: C names.
        columns: further columns of the table the images came from: name to M texts.
        answered: `[M, C]`, the classes that are answered, where an image may have several; else
            None: the class of the largest probability is the answer.
        folds: M folds (from 1) of a cross-validation; empty without one.

    Raises:
        InputError: lengths that disagree.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    ids: tuple[str, ...]
    targets: NDArray[np.int64]
    probabilities: Array
    classes: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answered: NDArray[np.bool_] | None = None
    folds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = {len(self.names), len(self.groups), len(self.ids), len(self.targets)}
        sizes |= {len(column) for column in self.columns.values()}
        sizes |= {len(self.folds)} if self.folds else set()
        shape = (len(self.names), len(self.classes))
        if len(sizes) != 1 or self.probabilities.shape != shape:
            raise InputError(
                f"expected names, groups, ids, targets and columns of one length and probabilities "
                f"{[*shape]}, got lengths {sorted(sizes)} and {[*self.probabilities.shape]}"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def exclusive(self) -> bool:
        """Whether an image is of exactly one class."""
        return self.answered is None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """`[M]` columns of the largest probabilities; the first of equal ones."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """`[M, C]`, the truth as yes or no."""
        if self.exclusive:
            return np.asarray(self.targets[:, None] == np.arange(len(self.classes)))
        return np.asarray(self.targets > 0)

    @property
    def given(self) -> NDArray[np.bool_]:
        """`[M, C]`, the answers as yes or no."""
        if self.answered is None:
            return np.asarray(self.predicted[:, None] == np.arange(len(self.classes)))
        return self.answered

    @property
    def labels(self) -> tuple[str, ...]:
        """M names of the true classes; of several labels an image joined by `|`."""
        return self._joined(self.shown)

    @property
    def answer_labels(self) -> tuple[str, ...]:
        """The same of the answers."""
        return self._joined(self.given)

    def _joined(self, cells: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple("|".join(self.classes[c] for c in np.flatnonzero(row)) for row in cells)

    @property
    def right(self) -> NDArray[np.bool_]:
        """`[M]`, whether the answer is the truth: all of it, where there are several labels."""
        return np.asarray((self.given == self.shown).all(axis=1))

    def subset(self, rows: Sequence[int] | NDArray[Any]) -> Self:
        """The images at these positions, in this order.

        Args:
            rows: positions, or `[M]` booleans.
        """
        chosen = np.arange(len(self))[np.asarray(rows)].tolist()

        def pick(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[i] for i in chosen)

        return type(self)(
            pick(self.names),
            pick(self.groups),
            pick(self.ids),
            self.targets[chosen],
            self.probabilities[chosen],
            self.classes,
            {name: pick(column) for name, column in self.columns.items()},
            None if self.answered is None else self.answered[chosen],
            pick(self.folds) if self.folds else (),
        )
