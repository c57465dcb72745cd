"""Features: one unit row a picture, or the mean of several views."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from handful.contracts import UNIT_TOLERANCE, Array, Encoder, ImageRef
from handful.data import augment
from handful.errors import InputError
from handful.features.encoding import Group, Progress, Run, asked_singly
from handful.features.store import FeatureStore, space

_log = logging.getLogger(__name__)


class FeatureRun(Run):
    """One extraction of features."""

    def __init__(
        self,
        encoder: Encoder,
        images: Sequence[ImageRef],
        store: FeatureStore,
        views: int,
        seed: int,
        progress: Progress,
    ) -> None:
        super().__init__(encoder, images, seed, progress)
        self.store, self.views = store, views
        self.space = space(encoder.fingerprint, encoder.precision, views, seed)
        self.values: Array = np.zeros((0, encoder.dim), dtype=np.float32)  # [U, D]

    def _read(self) -> NDArray[np.bool_]:
        known, good = self.store.get(self.space, self.digests)
        self.values = np.zeros((len(self.digests), self.encoder.dim), dtype=np.float32)
        if len(known):
            self.values[good] = known
        return good

    def _pictures(self, image: Image, slot: int) -> list[Image]:
        if self.views == 1:
            return [image]
        key = self.digests[slot]
        return [augment.view(image, self.seed, v, key=key) for v in range(self.views)]

    def _finish(self, group: Group) -> None:
        rows = self._rows([each for _, inputs in group for each in inputs])
        rows = rows.reshape(len(group), self.views, -1)
        if self.views > 1:
            rows = rows.mean(axis=1, keepdims=True)
            with np.errstate(invalid="ignore"):  # views that cancel out leave no direction
                rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
        rows = rows[:, 0]
        good: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1), dtype=np.bool_)
        slots = np.array([slot for slot, _ in group])
        if good.any() and self.store.writable:
            ids = [self.digests[slot] for slot in slots[good]]
            self.store.put(self.space, ids, rows[good], encoder=self.encoder.name)
        elif good.any() and not self.encoded:
            _log.warning("%s cannot be written; features are not kept", self.store.path)
        self.values[slots[good]] = rows[good]
        self._count(slots, good, "the encoder gives no finite feature of length one for it")

    def _rows(self, inputs: list[Any]) -> Array:
        """`[N, D]` unit features; a row of NaN where the encoder gives none."""
        none: Array = np.full(self.encoder.dim, np.nan, dtype=np.float32)
        found = asked_singly(self._encoded, self._check, inputs)
        rows: Array = np.stack([none if row is None else row for row in found])
        bad = ~(np.abs(np.linalg.norm(rows, axis=1) - 1) <= UNIT_TOLERANCE)  # NaN is bad too
        return np.where(bad[:, None], np.float32(np.nan), rows)

    def _encoded(self, inputs: list[Any]) -> Array:
        return np.asarray(self.encoder.images(inputs), dtype=np.float32)

    def _check(self, rows: Array, count: int) -> None:
        if rows.shape != (count, self.encoder.dim):
            raise InputError(
                f"{self.encoder.name}: expected features [{count}, {self.encoder.dim}], "
                f"got {list(rows.shape)}"
            )
