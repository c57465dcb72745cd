"""Images to what enters a block of the encoder, computed once for each image and view."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from handful.contracts import Array, Encoder, ImageRef
from handful.data import augmentation
from handful.errors import InputError
from handful.features import memory
from handful.features.batching import BATCH, BatchedExtraction, Failure, Group, Progress
from handful.features.store import ActivationStore, activation_space

AUGMENTATIONS = ("none", "crop", "semantic")
Compute = Callable[[list[Any]], Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Activations:
    """What enters a block, of the good images and their views, and an account of the others.

    Args:
        values: `[K, V, ...]` float32: of each good image in order, its V views; view 0 is the
            image as it is.
        ids: digests of the K images.
        kept: K positions of them among the images asked for.
        failures: the images that could not be used, in order.
        encoded: different images that went through the encoder now.
        known: images of which everything was in the store already.
    """

    values: Array
    ids: tuple[str, ...]
    kept: tuple[int, ...]
    failures: tuple[Failure, ...]
    encoded: int
    known: int


def extract_activations(
    encoder: Encoder,
    images: Sequence[ImageRef],
    compute: Compute,
    *,
    block: int,
    views: int = 1,
    augmentation: str = "none",
    seed: int = 0,
    store: ActivationStore | None = None,
    batch_size: int = BATCH,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Activations:
    """Inputs of a block of the vision tower, `[K, V, ...]`, from the store where it has them.

    One bad image is a `Failure` and never stops the others. An image is decoded once for all its
    views; images of equal content are computed once. Each view is a space of its own in the
    store, so more views of the same seed only compute what is new.

    Args:
        encoder: whose fingerprint and precision the activations belong to, and whose `prepare`
            makes the inputs.
        images: N images, in any mixture of files, bytes and pixels.
        compute: B prepared images to `[B, ...]` activations (array or tensor), the same shape
            for every image.
        block: which block they enter; part of the key.
        views: V. View 0 is the image as it is, the others are random.
        augmentation: of the views from 1: `"crop"` or `"semantic"`; `"none"` where V is 1.
        seed: of the views.
        store: where activations are kept; the user's own store when not given.
        batch_size: images (or views) a call of `compute`.
        workers: threads that hash and decode; as many as there are processors when not given.
        progress: called with (images done, N).

    Raises:
        InputError: no images, an argument that makes no sense, or too little memory.
        StorageError: the store cannot be read or written (full disk); what was stored is kept.
    """
    extraction = _ActivationExtraction(
        encoder=encoder,
        images=images,
        compute=compute,
        block=block,
        views=views,
        augmentation=augmentation,
        seed=seed,
        store=ActivationStore() if store is None else store,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    )
    extraction.run()
    return extraction.result()


@dataclass(kw_only=True, eq=False)
class _ActivationExtraction(BatchedExtraction):
    """One extraction of activations; `there[slot, view]`: which of `values` are filled."""

    computes = "activations"

    compute: Compute
    block: int
    augmentation: str
    store: ActivationStore
    keeps: bool = field(default=True, init=False)  # until the store has no room for more

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augmentation not in AUGMENTATIONS or (
            self.views > 1 and self.augmentation == "none"
        ):
            raise InputError(
                f"expected augmentation {', '.join(AUGMENTATIONS)}, and another than none for "
                f"several views; got {self.augmentation!r} with {self.views} views"
            )
        self.spaces = [
            activation_space(
                self.encoder.fingerprint,
                self.encoder.precision,
                self.block,
                augmentation=self.augmentation,
                view=view,
                seed=self.seed,
            )
            for view in range(self.views)
        ]
        self.values: Array = np.zeros((0, self.views), dtype=np.float32)  # [U, V, ...]
        self.there: NDArray[np.bool_] = np.zeros((0, self.views), dtype=np.bool_)  # [U, V]

    def result(self) -> Activations:
        """The rows in the order of the images."""
        kept, slots = self.kept()
        ids = tuple(self.digests[slot] for slot in slots)
        values = self.values
        if slots == sorted(set(slots)):
            for place, slot in enumerate(slots):  # no image twice: moved up without a copy
                if place != slot:
                    values[place] = values[slot]
            values = values[: len(slots)]
        else:
            values = values[slots]
        return Activations(values, ids, kept, self.failures(), self.encoded, self.known)

    def _read(self) -> NDArray[np.bool_]:
        self.there = np.zeros((len(self.digests), self.views), dtype=np.bool_)
        shapes = {shape for space in self.spaces if (shape := self.store.shape(space))}
        if len(shapes) == 1 and self.digests:
            self._allocate(shapes.pop())
            for view, space in enumerate(self.spaces):
                self.there[:, view] = self.store.read(space, self.digests, self.values[:, view])
        return np.asarray(self.there.all(axis=1), dtype=np.bool_)

    def _allocate(self, shape: tuple[int, ...]) -> None:
        """Make the place for everything, once the shape of a row is known.

        Raises:
            InputError: it would not fit into memory.
        """
        count, row = len(self.digests), 4 * int(np.prod(shape))
        repeated = any(len(places) > 1 for places in self.places)
        # `result` copies the rows where an image is there twice
        twice = sum(len(places) for places in self.places) if repeated else 0
        refused = memory.refusal((count + twice) * self.views * row)
        if refused:
            raise InputError(
                f"the activations of {count} images in {self.views} views, {list(shape)} each, "
                f"{refused}; take fewer views, a higher first block, fewer images, or do without "
                "cached activations (cache=False)"
            )
        self.values = np.zeros((count, self.views, *shape), dtype=np.float32)

    def _views_of(self, image: Image, slot: int) -> list[Image]:
        key = self.digests[slot]
        return [
            image
            if view == 0
            else augmentation.random_view(image, self.seed, view, key=key, kind=self.augmentation)
            for view in np.flatnonzero(~self.there[slot]).tolist()
        ]

    def _finish(self, group: Group) -> None:
        slots = np.array([slot for slot, _ in group])
        where = [(s, v) for s in slots.tolist() for v in np.flatnonzero(~self.there[s]).tolist()]
        rows: list[Array | None] = []
        inputs = [each for _, several in group for each in several]
        for start in range(0, len(inputs), self.batch_size):
            rows += self._rows(inputs[start : start + self.batch_size])
        for (slot, view), row in zip(where, rows, strict=True):
            if row is not None and np.isfinite(row).all():
                self.values[slot, view] = row
                self.there[slot, view] = True
        good = np.asarray(self.there[slots].all(axis=1), dtype=np.bool_)
        self._keep([(s, v) for s, v in where if self.there[s].all()])
        self._count(slots, good)

    def _compute(self, inputs: list[Any]) -> Array:
        rows = self.compute(inputs)
        if hasattr(rows, "detach"):  # a tensor, on any device and in any precision
            rows = rows.detach().float().cpu().numpy()
        return np.asarray(rows, dtype=np.float32)

    def _check(self, rows: Array, count: int) -> None:
        if not self.values.size and rows.ndim > 1 and len(rows) == count and rows.size:
            self._allocate(rows.shape[1:])
        if rows.shape != (count, *self.values.shape[2:]) or rows.ndim < 2:
            raise InputError(
                f"{self.encoder.name}: expected activations "
                f"{[count, *self.values.shape[2:]]}, got {list(rows.shape)}"
            )

    def _keep(self, where: list[tuple[int, int]]) -> None:
        """Store what was just computed, view by view."""
        if not where or not self.keeps:
            return
        if not self.store.writable:
            _log.warning("%s cannot be written; activations are not kept", self.store.path)
            self.keeps = False
            return
        for view, space in enumerate(self.spaces):
            slots = [slot for slot, each in where if each == view]
            if slots and self.keeps:
                ids = [self.digests[slot] for slot in slots]
                rows = self.values[slots, view]
                self.keeps = self.store.put(
                    space, ids, rows, encoder=self.encoder.name, spare=self.spaces
                )
        if not self.keeps and self.store.max_bytes != 0:
            _log.warning(
                "%s has no room for more activations than %.2f GB (max_bytes); the rest is "
                "computed again next time",
                self.store.path,
                self.store.budget / 1e9,
            )
