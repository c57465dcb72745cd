"""`FeatureSet`: image features with labels and the text of their classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText, unit
from handful.data.dataset import SPLITS, groups_in_several_splits
from handful.errors import InputError, MismatchError


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """N labelled image features and the text of their classes.

    Args:
        name: what tables call it.
        values: `[N, D]`; made float32 unit rows.
        labels: `[N]` columns of `text.classes`.
        text: class names and text features.
        splits: N of `train`, `val`, `test`, "" where none is stated. May be left out.
        ids: N image digests; digests of the rows when left out, so that copies share one.
        encoder: name or fingerprint of the encoder; "" where not stated.
        groups: N names of what belongs together; "" for none. May be left out.
        notes: what a reader had to assume.

    Raises:
        InputError: lengths or widths that disagree, NaN, rows of zeros, labels outside the
            classes, a group in more than one split.
    """

    name: str
    values: Array
    labels: NDArray[np.int64]
    text: ClassText
    splits: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    encoder: str = ""
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values, labels = np.asarray(self.values), np.asarray(self.labels)
        if values.ndim != 2 or 0 in values.shape or not np.issubdtype(values.dtype, np.floating):
            raise InputError(
                f"expected image features [N, D], got {list(values.shape)} {values.dtype}"
            )
        object.__setattr__(self, "values", unit(values, "image features"))
        count, classes = len(values), len(self.text.classes)
        if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"expected {count} whole numbers as labels, one an image, "
                f"got {list(labels.shape)} {labels.dtype}"
            )
        if labels.min() < 0 or labels.max() >= classes:
            raise InputError(
                f"expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}"
            )
        object.__setattr__(self, "labels", labels.astype(np.int64))
        width = self.text.embeddings.shape[2]
        if width != values.shape[1]:
            raise InputError(
                f"expected image features of the text's width {width}, got {values.shape[1]}; "
                "both must come from one encoder"
            )
        # the rows' own digests, so that byte-identical copies are found as leaks
        ids = self.ids or tuple(hashlib.sha256(row.tobytes()).hexdigest() for row in values)
        object.__setattr__(self, "ids", tuple(ids))
        object.__setattr__(self, "groups", tuple(self.groups) or ("",) * count)
        splits = tuple(SPLITS.get(s.casefold(), s) for s in self.splits) or ("",) * count
        object.__setattr__(self, "splits", splits)
        for field in ("splits", "ids", "groups"):
            if len(getattr(self, field)) != count:
                raise InputError(f"expected {count} {field}, got {len(getattr(self, field))}")
        shared = groups_in_several_splits(self.groups, self.splits)
        if shared:
            raise InputError(f"groups in more than one split: {', '.join(shared[:5])}")

    def __len__(self) -> int:
        return len(self.labels)

    def check_encoder(self, expected: str) -> None:
        """Refuse features of another encoder; without a stated one, nothing is checked.

        Raises:
            MismatchError: naming both.
        """
        if self.encoder and self.encoder != expected:
            raise MismatchError(
                f"{self.name}: the features come from the encoder {self.encoder!r}, expected "
                f"{expected!r}; features of two encoders cannot be compared; encode again"
            )
