"""Images to features: one unit row an image, or the mean of several views."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from handful.contracts import UNIT_TOLERANCE, Array, Encoder, Features, ImageRef
from handful.data import augmentation
from handful.errors import InputError
from handful.features.batching import BATCH, BatchedExtraction, Failure, Group, Progress
from handful.features.store import FeatureStore, space

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Extraction:
    """Features of the good images and an account of the others.

    Args:
        features: `[K, D]` rows of the good images, in order.
        kept: K positions of them among the images asked for.
        failures: the images that could not be used, in order.
        encoded: different images that went through the encoder now.
        known: images whose features were in the store already.
    """

    features: Features
    kept: tuple[int, ...]
    failures: tuple[Failure, ...]
    encoded: int
    known: int


def extract_features(
    encoder: Encoder,
    images: Sequence[ImageRef],
    store: FeatureStore | None = None,
    *,
    views: int = 1,
    seed: int = 0,
    batch_size: int = BATCH,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Features of N images, from the store where it has them.

    One bad image is a `Failure` and never stops the others. Images of equal content are encoded
    once. With V > 1 views a row is `unit(mean_v unit(f(view_v(x))))`. Tip-Adapter's code averages
    before any normalisation, which differs only in weighing the views of one image by the lengths
    of their raw features.

    Args:
        encoder: what turns images into features.
        images: N images, in any mixture of files, bytes and pixels.
        store: where features are kept; the user's own store when not given.
        views: V, augmented views averaged into each row; 1 means the image as it is.
        seed: of the views; it counts only where there are several.
        batch_size: images (or views) a call of the encoder.
        workers: threads that hash and decode; as many as there are processors when not given.
        progress: called with (images done, N).

    Raises:
        InputError: no images, or an argument that makes no sense.
        StorageError: the store cannot be read or written (full disk); what was stored is kept.
    """
    extraction = _FeatureExtraction(
        encoder=encoder,
        images=images,
        store=FeatureStore() if store is None else store,
        views=views,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    extraction.run()
    kept, slots = extraction.kept()
    ids = tuple(extraction.digests[slot] for slot in slots)
    rows = Features(extraction.values[slots], ids, encoder.fingerprint)
    return Extraction(rows, kept, extraction.failures(), extraction.encoded, extraction.known)


@dataclass(kw_only=True, eq=False)
class _FeatureExtraction(BatchedExtraction):
    """One extraction of features; `values[slot]` is one unit row."""

    computes = "features"

    store: FeatureStore

    def __post_init__(self) -> None:
        super().__post_init__()
        self.space = space(self.encoder.fingerprint, self.encoder.precision, self.views, self.seed)
        self.values: Array = np.zeros((0, self.encoder.dim), dtype=np.float32)  # [U, D]

    def _read(self) -> NDArray[np.bool_]:
        self.values = np.zeros((len(self.digests), self.encoder.dim), dtype=np.float32)
        return self.store.read(self.space, self.digests, self.values)

    def _views_of(self, image: Image, slot: int) -> list[Image]:
        if self.views == 1:
            return [image]
        key = self.digests[slot]
        return [augmentation.random_view(image, self.seed, v, key=key) for v in range(self.views)]

    def _finish(self, group: Group) -> None:
        none: Array = np.full(self.encoder.dim, np.nan, dtype=np.float32)
        found = self._rows([each for _, inputs in group for each in inputs])
        rows: Array = np.stack([none if row is None else row for row in found])
        bad = ~(np.abs(np.linalg.norm(rows, axis=1) - 1) <= UNIT_TOLERANCE)  # NaN is bad too
        rows[bad] = np.nan
        if self.views > 1:
            rows = rows.reshape(len(group), self.views, -1).mean(axis=1)
            with np.errstate(invalid="ignore"):  # views that cancel out leave no direction
                rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        good = np.asarray(np.isfinite(rows).all(axis=1), dtype=np.bool_)
        slots = np.array([slot for slot, _ in group])
        if good.any() and self.store.writable:
            ids = [self.digests[slot] for slot in slots[good]]
            self.store.put(self.space, ids, rows[good], encoder=self.encoder.name)
        elif good.any() and not self.encoded:
            _log.warning("%s cannot be written; features are not kept", self.store.path)
        self.values[slots[good]] = rows[good]
        self._count(slots, good)

    def _compute(self, inputs: list[Any]) -> Array:
        return np.asarray(self.encoder.images(inputs), dtype=np.float32)

    def _check(self, rows: Array, count: int) -> None:
        if rows.shape != (count, self.encoder.dim):
            raise InputError(
                f"{self.encoder.name}: expected features [{count}, {self.encoder.dim}], "
                f"got {list(rows.shape)}"
            )
