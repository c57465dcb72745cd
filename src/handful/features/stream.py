"""Images in any form and amount, encoded in runs that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from handful.contracts import Array, Encoder, ImageRef
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore

HELD = 256 << 20  # bytes of pictures that came in memory, held together

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, eq=False)
class Run:
    """N of the images, encoded.

    Args:
        refs: of the M that could be read.
        features: `[M, D]`.
        places: of the M among the N.
        failures: the N - M others.
    """

    refs: tuple[ImageRef, ...]
    features: Array
    places: tuple[int, ...]
    failures: tuple[Failure, ...]

    def __len__(self) -> int:
        return len(self.places) + len(self.failures)

    @property
    def names(self) -> list[str]:
        """Of the M that could be read."""
        return [ref.name for ref in self.refs]

    def merged(self, answers: Iterable[_Answer], others: Iterable[_Answer]) -> list[_Answer]:
        """M answers, and those to the failures, in the order of the N images."""
        told: Mapping[int, _Answer] = {
            **dict(zip(self.places, answers, strict=True)),
            **dict(zip((f.index for f in self.failures), others, strict=True)),
        }
        return [told[i] for i in range(len(self))]


def encoded(
    encoder: Encoder,
    images: Iterable[Any],
    size: int,
    store: FeatureStore | None = None,
    *,
    held: int | None = None,
    total: int = 0,
    progress: Progress | None = None,
) -> Iterator[Run]:
    """Encode images as they come; one that cannot be used is told and stops no other.

    Args:
        encoder: what sees them.
        images: paths, bytes, PIL images, `[H, W, 3]` uint8 arrays or `ImageRef`s, mixed.
        size: the most images in a run.
        store: where features are kept; the user's own store when not given.
        held: the most bytes of pictures in memory in a run; `HELD` when not given.
        total: images in all, for `progress`.
        progress: called with (images done, images in all).
    """
    done = 0
    for items in _runs(images, size, HELD if held is None else held):
        yield _run(encoder, items, store, _shifted(progress, done, total))
        done += len(items)
        if progress is not None:
            progress(done, total)


def single(images: Any) -> bool:
    """One image where several are expected: a path is not a list of letters."""
    if isinstance(images, ImageRef | str | Path | bytes) or hasattr(images, "convert"):
        return True
    return isinstance(images, np.ndarray) and images.ndim == 3


def _run(
    encoder: Encoder,
    items: list[ImageRef | Failure],
    store: FeatureStore | None,
    progress: Progress | None,
) -> Run:
    at = [i for i, item in enumerate(items) if isinstance(item, ImageRef)]
    refs = [item for item in items if isinstance(item, ImageRef)]
    failures = [item for item in items if isinstance(item, Failure)]
    if not refs:
        return Run((), np.zeros((0, encoder.dim), dtype=np.float32), (), tuple(failures))
    found = extract_features(encoder, refs, store, progress=progress)
    failures += [Failure(f.name, f.reason, at[f.index]) for f in found.failures]
    kept = found.kept
    return Run(
        tuple(refs[i] for i in kept),
        found.features.values,
        tuple(at[i] for i in kept),
        tuple(failures),
    )


def _runs(images: Iterable[Any], size: int, held: int) -> Iterator[list[ImageRef | Failure]]:
    """Images until there are enough; what is no image is a failure already."""
    run: list[ImageRef | Failure] = []
    bytes_ = 0
    for number, image in enumerate(images):
        run.append(_reference(image, number, len(run)))
        bytes_ += _size(run[-1])
        if len(run) >= size or bytes_ >= held:
            yield run
            run, bytes_ = [], 0
    if run:
        yield run


def _reference(image: Any, number: int, place: int) -> ImageRef | Failure:
    named = isinstance(image, ImageRef | str | Path)
    name = "" if named else f"<image {number}>"
    try:
        return ImageRef.of(image, name)
    except (OSError, ValueError, TypeError) as error:  # a lazy PIL image may fail only now
        return Failure(name, f"{name}: cannot be used as an image ({error})", place)


def _size(item: ImageRef | Failure) -> int:
    if isinstance(item, Failure):
        return 0
    if item.pixels is not None:
        return item.pixels.nbytes
    if item.image is not None:
        return 4 * item.image.width * item.image.height  # the most a pixel takes in PIL
    return len(item.data or b"")


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress within one run, told as progress within all of them."""
    if progress is None:
        return None
    told = progress  # the narrowed type, for the closure
    return lambda here, _: told(done + here, total)
