"""One extraction: look up what is known, encode the rest batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from handful import data
from handful.contracts import UNIT_TOLERANCE, Array, Encoder, ImageRef
from handful.data import augment
from handful.errors import ImageError, InputError
from handful.extract._threads import ahead, digests, pinned
from handful.store import FeatureStore, space

LONGEST = 200  # times as long as wide; encoders scale the short side up, and memory follows
_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


class Run:
    """The state of one extraction; a *slot* is a place for one of U different contents."""

    def __init__(
        self,
        encoder: Encoder,
        images: Sequence[ImageRef],
        store: FeatureStore,
        views: int,
        seed: int,
        progress: Progress,
    ) -> None:
        self.encoder, self.images, self.store = encoder, images, store
        self.views, self.seed, self.progress = views, seed, progress
        self.space = space(encoder.fingerprint, encoder.precision, views, seed)
        self.digests: list[str] = []  # of each slot
        self.places: list[list[int]] = []  # positions of the images in each slot
        self.reasons: dict[int, str] = {}  # position -> why it failed
        self.values: Array = np.zeros((0, encoder.dim), dtype=np.float32)  # [U, D]
        self.good = np.zeros(0, dtype=np.bool_)  # [U]
        self.encoded = self.known = self.done = 0

    def look_up(self, pool: ThreadPoolExecutor) -> None:
        """Hash everything, group what is equal, and read what is known."""
        self.progress(0, len(self.images))
        slots: dict[str, int] = {}
        for position, digest in enumerate(digests(pool, self.images)):
            if isinstance(digest, ImageError):
                self.reasons[position] = str(digest)
            elif digest in slots:
                self.places[slots[digest]].append(position)
            else:
                slots[digest] = len(self.places)
                self.places.append([position])
        self.digests = list(slots)
        known, self.good = self.store.get(self.space, self.digests)
        self.values = np.zeros((len(slots), self.encoder.dim), dtype=np.float32)
        if len(known):
            self.values[self.good] = known
        self.known = sum(len(self.places[slot]) for slot in np.flatnonzero(self.good))
        self.done = self.known + len(self.reasons)
        self.progress(self.done, len(self.images))

    def encode(self, pool: ThreadPoolExecutor, batch_size: int) -> None:
        """Decode ahead of the encoder; store every batch before the next."""
        missing = np.flatnonzero(~self.good).tolist()
        size = max(1, batch_size // self.views)
        group: list[tuple[int, list[Any]]] = []
        prepared = ahead(pool, self._prepared, missing, depth=2 * size)
        for slot, inputs in zip(missing, prepared, strict=True):
            if isinstance(inputs, ImageError):
                self._fail(slot, str(inputs))
            else:
                group.append((slot, inputs))
            if len(group) == size:
                self._finish(group)
                group = []
        if group:
            self._finish(group)
        self.progress(self.done, len(self.images))

    def _prepared(self, slot: int) -> list[Any] | ImageError:
        """The encoder's input for one picture, or for each of its views; runs in a thread."""
        ref = self.images[self.places[slot][0]]
        digest = self.digests[slot]
        try:
            image = data.decode(pinned(ref, digest))
            _check_shape(ref.name, image.size)
            if self.views == 1:
                return [self.encoder.prepare(image)]
            return [
                self.encoder.prepare(augment.view(image, self.seed, v, key=digest))
                for v in range(self.views)
            ]
        except ImageError as error:
            return error
        except (ValueError, OverflowError, MemoryError) as error:  # a shape nothing can resize
            cause = str(error) or type(error).__name__
            return ImageError(f"{ref.name}: cannot be prepared for the encoder ({cause})")

    def _finish(self, group: list[tuple[int, list[Any]]]) -> None:
        """Encode one batch and store it."""
        rows = self._rows([each for _, inputs in group for each in inputs])
        rows = rows.reshape(len(group), self.views, -1)
        if self.views > 1:
            rows = rows.mean(axis=1, keepdims=True)
            with np.errstate(invalid="ignore"):  # views that cancel out leave no direction
                rows = rows / np.linalg.norm(rows, axis=2, keepdims=True)
        rows = rows[:, 0]
        good = np.isfinite(rows).all(axis=1)
        slots = np.array([slot for slot, _ in group])
        if good.any() and self.store.writable:
            ids = [self.digests[slot] for slot in slots[good]]
            self.store.put(self.space, ids, rows[good], encoder=self.encoder.name)
        elif good.any() and not self.encoded:
            _log.warning("%s cannot be written; features are not kept", self.store.path)
        self.values[slots[good]] = rows[good]
        self.good[slots[good]] = True
        self.encoded += int(good.sum())
        self.done += sum(len(self.places[slot]) for slot in slots[good])
        for slot in slots[~good].tolist():
            name = self.images[self.places[slot][0]].name
            self._fail(slot, f"{name}: the encoder gives no finite feature of length one for it")
        self.progress(self.done, len(self.images))

    def _rows(self, inputs: list[Any]) -> Array:
        """`[N, D]` unit features; a row of NaN where the encoder gives none."""
        dim = self.encoder.dim
        try:
            rows = np.asarray(self.encoder.images(inputs), dtype=np.float32)
        except InputError:  # it does not say which, so ask one by one
            if len(inputs) == 1:
                return np.full((1, dim), np.nan, dtype=np.float32)
            return np.concatenate([self._rows([each]) for each in inputs])
        if rows.shape != (len(inputs), dim):
            raise InputError(
                f"{self.encoder.name}: expected features [{len(inputs)}, {dim}], "
                f"got {list(rows.shape)}"
            )
        bad = ~(np.abs(np.linalg.norm(rows, axis=1) - 1) <= UNIT_TOLERANCE)  # NaN is bad too
        return np.where(bad[:, None], np.float32(np.nan), rows)

    def _fail(self, slot: int, reason: str) -> None:
        first = self.images[self.places[slot][0]].name
        for position in self.places[slot]:
            own = self.images[position].name
            same = reason.startswith(first)
            self.reasons[position] = own + reason[len(first) :] if same else reason
        self.done += len(self.places[slot])


def _check_shape(name: str, size: tuple[int, int]) -> None:
    if max(size) > LONGEST * min(size):
        raise ImageError(
            f"{name}: has {size[0]} x {size[1]} pixels, more than {LONGEST} times as long as "
            "wide; crop it"
        )
