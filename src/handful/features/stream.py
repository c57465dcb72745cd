"""Batches of a stream of images, in any form and amount, sized to fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from handful import data
from handful.contracts import Array, Encoder, ImageRef
from handful.features.batching import Failure, Progress
from handful.features.extraction import extract_features
from handful.features.store import FeatureStore

MAX_BYTES = 256 << 20  # of images that came in memory, held together

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """N of the images, encoded.

    Args:
        refs: of the M that could be read.
        features: `[M, D]`.
        positions: of the M among the N.
        failures: the N - M others.
        encoded: different images that went through the encoder now; the others were known.
    """

    refs: tuple[ImageRef, ...]
    features: Array
    positions: tuple[int, ...]
    failures: tuple[Failure, ...]
    encoded: int = 0

    def __len__(self) -> int:
        return len(self.positions) + len(self.failures)

    @property
    def names(self) -> list[str]:
        """Of the M that could be read."""
        return [ref.name for ref in self.refs]

    def in_order(self, results: Iterable[_T], failed: Iterable[_T]) -> list[_T]:
        """M results, and those for the failures, in the order of the N images."""
        placed = dict(zip(self.positions, results, strict=True))
        placed |= dict(zip((f.index for f in self.failures), failed, strict=True))
        return [placed[i] for i in range(len(self))]


def encode_batches(
    encoder: Encoder,
    images: Iterable[Any],
    size: int,
    store: FeatureStore | None = None,
    *,
    max_bytes: int | None = None,
    total: int = 0,
    progress: Progress | None = None,
) -> Iterator[EncodedBatch]:
    """Encode images as they come; one that cannot be used is reported and stops no other.

    Args:
        encoder: what turns images into features.
        images: anything that `handful.data.image_ref` takes, mixed.
        size: the most images in a batch.
        store: where features are kept; the user's own store when not given.
        max_bytes: of images in memory in a batch; `MAX_BYTES` when not given.
        total: images in all, for `progress`.
        progress: called with (images done, images in all).
    """
    report: Progress = progress or (lambda done, total: None)
    done = 0
    for items in _batches(images, size, MAX_BYTES if max_bytes is None else max_bytes):
        yield _encode(encoder, items, store, _after(done, total, report))
        done += len(items)
        report(done, total)


def _after(done: int, total: int, report: Progress) -> Progress:
    """Progress within a batch, reported as progress within all images."""
    return lambda here, _: report(done + here, total)


def _encode(
    encoder: Encoder,
    refs: list[ImageRef],
    store: FeatureStore | None,
    progress: Progress,
) -> EncodedBatch:
    found = extract_features(encoder, refs, store, progress=progress)
    kept = tuple(refs[i] for i in found.kept)
    return EncodedBatch(kept, found.features.values, found.kept, found.failures, found.encoded)


def _batches(images: Iterable[Any], size: int, max_bytes: int) -> Iterator[list[ImageRef]]:
    """Images until there are enough; what is no image is a reference that says so."""
    batch: list[ImageRef] = []
    held = 0  # bytes
    for number, image in enumerate(images):
        batch.append(data.reference(image, f"<image {number}>"))
        held += _size(batch[-1])
        if len(batch) >= size or held >= max_bytes:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _size(item: ImageRef) -> int:
    """Bytes of memory that an image takes; of a file none before it is read."""
    if item.pixels is not None:
        return item.pixels.nbytes
    if item.image is not None:
        return 4 * item.image.width * item.image.height  # the most a pixel takes in PIL
    return len(item.data or b"")
