"""What features and activations share: hash, group what is equal, decode ahead, compute in batches.

Every finished batch is stored before the next begins, so that whatever ends a run (Ctrl-C, a kill,
a power cut), the next run goes on where it stopped.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from handful import data
from handful.contracts import Array, Encoder, ImageRef
from handful.data.reading import Settings, current, settings
from handful.data.splits import check_seed
from handful.errors import ImageError, InputError
from handful.features._threads import ahead, digests, pinned, processors

_log = logging.getLogger(__name__)

BATCH = 64
MAX_ASPECT = 200  # long side over short; encoders scale the short side up, and memory follows

Progress = Callable[[int, int], None]
Group = list[tuple[int, list[Any]]]  # slots of a batch, and the encoder's inputs for each


@dataclass(frozen=True)
class Failure:
    """One image that could not be used: its name, why, and its position among the images."""

    name: str
    reason: str
    index: int


@dataclass(kw_only=True, eq=False)
class BatchedExtraction(ABC):
    """One pass over N images, of which U have different content; each has a *slot* from 0 to U - 1.

    Args:
        encoder: whose `prepare` makes the inputs.
        images: N images, in any mixture of files, bytes and pixels.
        views: V, of each image.
        seed: of the views.
        batch_size: images (or views) computed at once.
        workers: threads that hash and decode; as many as there are processors when not given.
        progress: called with (images done, N).

    Raises:
        InputError: no images, or an argument that makes no sense.
    """

    computes: ClassVar[str]  # for messages

    encoder: Encoder
    images: Sequence[ImageRef]
    views: int
    seed: int
    batch_size: int
    workers: int | None
    progress: Progress | None

    digests: list[str] = field(default_factory=list, init=False)  # [U]
    places: list[list[int]] = field(default_factory=list, init=False)  # [U]: positions of images
    reasons: dict[int, str] = field(default_factory=dict, init=False)  # position: why it failed
    encoded: int = field(default=0, init=False)  # slots
    known: int = field(default=0, init=False)  # images
    done: int = field(default=0, init=False)  # images
    reading: Settings = field(default_factory=settings, init=False)  # threads have none

    def __post_init__(self) -> None:
        if not len(self.images):
            raise InputError(
                f"no images given; expected at least one to compute {self.computes} of"
            )
        if min(self.views, self.batch_size) < 1 or (self.workers is not None and self.workers < 1):
            raise InputError(
                "expected views, batch_size and workers of 1 or more, "
                f"got {self.views}, {self.batch_size} and {self.workers}"
            )
        self.seed = check_seed(self.seed)

    @abstractmethod
    def _read(self) -> NDArray[np.bool_]:
        """Read the rows that the store has; `[U]`: which slots are complete."""

    @abstractmethod
    def _views_of(self, image: Image, slot: int) -> list[Image]:
        """What the encoder has to see of a decoded image; runs in a thread."""

    @abstractmethod
    def _compute(self, inputs: list[Any]) -> Array:
        """B prepared images to `[B, ...]`; an `InputError` refuses all, without saying which."""

    @abstractmethod
    def _check(self, rows: Array, count: int) -> None:
        """Raise `InputError` where the rows of `count` inputs have a wrong shape."""

    @abstractmethod
    def _finish(self, group: Group) -> None:
        """Compute one batch, store it, and count it."""

    def run(self) -> None:
        """Look everything up, then compute what is missing."""
        pool = ThreadPoolExecutor(self.workers or processors(), thread_name_prefix="handful")
        try:
            self._compute_missing(pool, self._look_up(pool))
        finally:
            pool.shutdown(cancel_futures=True)  # `with` would finish everything that is queued
            if current() is None:  # nobody else gathers them
                for line in self.reading.notes.lines():
                    _log.warning("%s", line)

    def _look_up(self, pool: ThreadPoolExecutor) -> list[int]:
        """Hash everything, group what is equal, read what is known; the slots that are missing."""
        self._report()
        slots: dict[str, int] = {}
        for position, digest in enumerate(digests(pool, self.images)):
            if isinstance(digest, ImageError):
                self.reasons[position] = str(digest)
                continue
            slot = slots.setdefault(digest, len(slots))
            if slot == len(self.places):
                self.places.append([])
            self.places[slot].append(position)
        self.digests = list(slots)
        complete = self._read()
        self.known = sum(len(self.places[slot]) for slot in np.flatnonzero(complete))
        self.done = self.known + len(self.reasons)
        self._report()
        return np.flatnonzero(~complete).tolist()

    def _compute_missing(self, pool: ThreadPoolExecutor, missing: list[int]) -> None:
        """Decode ahead of the encoder; each batch is stored before the next begins."""
        size = max(1, self.batch_size // self.views)
        group: Group = []
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
        self._report()

    def kept(self) -> tuple[tuple[int, ...], list[int]]:
        """Positions of the good images, and the slot of each."""
        slot_of = {place: slot for slot, places in enumerate(self.places) for place in places}
        positions = tuple(i for i in range(len(self.images)) if i not in self.reasons)
        return positions, [slot_of[i] for i in positions]

    def failures(self) -> tuple[Failure, ...]:
        """The images that could not be used, in order."""
        return tuple(Failure(self.images[i].name, self.reasons[i], i) for i in sorted(self.reasons))

    def _prepared(self, slot: int) -> list[Any] | ImageError:
        """The encoder's inputs for one slot; runs in a thread."""
        ref = self.images[self.places[slot][0]]
        try:
            image = data.decode(
                pinned(ref, self.digests[slot]),
                max_pixels=self.reading.limit(),
                note=self.reading.note_of(ref.name),
            )
            if max(image.size) > MAX_ASPECT * min(image.size):
                return ImageError(
                    f"{ref.name}: has {image.width} x {image.height} pixels, more than "
                    f"{MAX_ASPECT} times as long as wide; crop it"
                )
            return [self.encoder.prepare(each) for each in self._views_of(image, slot)]
        except ImageError as error:
            return error
        except (ValueError, OverflowError, MemoryError) as error:  # a shape nothing can resize
            cause = str(error) or type(error).__name__
            return ImageError(f"{ref.name}: cannot be prepared for the encoder ({cause})")

    def _rows(self, inputs: list[Any]) -> list[Array | None]:
        """Rows of a batch; where it is refused, one by one, with None for what is refused alone."""
        try:
            rows = self._compute(inputs)
        except InputError:
            if len(inputs) == 1:
                return [None]
            return [row for each in inputs for row in self._rows([each])]
        self._check(rows, len(inputs))
        return list(rows)

    def _count(self, slots: NDArray[np.int64], good: NDArray[np.bool_]) -> None:
        """A batch is done: the good slots are encoded, the others fail."""
        self.encoded += int(good.sum())
        self.done += sum(len(self.places[slot]) for slot in slots[good])
        for slot in slots[~good].tolist():
            name = self.images[self.places[slot][0]].name
            self._fail(slot, f"{name}: the encoder gives no finite {self.computes} for it")
        self._report()

    def _fail(self, slot: int, reason: str) -> None:
        """All images of one content fail for the reason of the first, under their own names."""
        first = self.images[self.places[slot][0]].name
        for position in self.places[slot]:
            own = self.images[position].name
            same = reason.startswith(first)
            self.reasons[position] = own + reason[len(first) :] if same else reason
        self.done += len(self.places[slot])

    def _report(self) -> None:
        """Call `progress` with how many images are done."""
        if self.progress is not None:
            self.progress(self.done, len(self.images))
