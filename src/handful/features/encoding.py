"""One pass over pictures: hash, group what is equal, decode ahead, compute batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from handful import data
from handful.contracts import Array, Encoder, ImageRef
from handful.errors import ImageError, InputError
from handful.features.threads import ahead, digests, pinned

LONGEST = 200  # times as long as wide; encoders scale the short side up, and memory follows

Progress = Callable[[int, int], None]
Group = list[tuple[int, list[Any]]]  # slots, and the encoder's inputs for each


class Run(ABC):
    """The state of one pass; a *slot* is a place for one of U different contents."""

    def __init__(
        self, encoder: Encoder, images: Sequence[ImageRef], seed: int, progress: Progress
    ) -> None:
        self.encoder, self.images = encoder, images
        self.seed, self.progress = seed, progress
        self.digests: list[str] = []  # of each slot
        self.places: list[list[int]] = []  # positions of the images in each slot
        self.reasons: dict[int, str] = {}  # position -> why it failed
        self.good: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)  # [U]: has its values
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
        self.good = self._read()
        self.known = sum(len(self.places[slot]) for slot in np.flatnonzero(self.good))
        self.done = self.known + len(self.reasons)
        self.progress(self.done, len(self.images))

    def encode(self, pool: ThreadPoolExecutor, size: int) -> None:
        """Decode ahead of the encoder, `size` pictures a batch; each is stored before the next."""
        missing = np.flatnonzero(~self.good).tolist()
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
        self.progress(self.done, len(self.images))

    def kept(self) -> tuple[tuple[int, ...], list[int]]:
        """Positions of the good images, and the slot of each."""
        slot_of = {place: slot for slot, places in enumerate(self.places) for place in places}
        positions = tuple(i for i in range(len(self.images)) if i not in self.reasons)
        return positions, [slot_of[i] for i in positions]

    @abstractmethod
    def _read(self) -> NDArray[np.bool_]:
        """Read what the store knows of all slots; `[U]`: which are complete."""

    @abstractmethod
    def _pictures(self, image: Image, slot: int) -> list[Image]:
        """What the encoder has to see of a decoded picture; runs in a thread."""

    @abstractmethod
    def _finish(self, group: Group) -> None:
        """Compute one batch, store it, and count it."""

    def _prepared(self, slot: int) -> list[Any] | ImageError:
        """The encoder's inputs for one slot; runs in a thread."""
        ref = self.images[self.places[slot][0]]
        try:
            image = data.decode(pinned(ref, self.digests[slot]))
            _check_shape(ref.name, image.size)
            return [self.encoder.prepare(each) for each in self._pictures(image, slot)]
        except ImageError as error:
            return error
        except (ValueError, OverflowError, MemoryError) as error:  # a shape nothing can resize
            cause = str(error) or type(error).__name__
            return ImageError(f"{ref.name}: cannot be prepared for the encoder ({cause})")

    def _count(self, slots: NDArray[np.int64], good: NDArray[np.bool_], reason: str) -> None:
        """A batch is done: the good are encoded, the others fail for this reason."""
        self.good[slots[good]] = True
        self.encoded += int(good.sum())
        self.done += sum(len(self.places[slot]) for slot in slots[good])
        for slot in slots[~good].tolist():
            name = self.images[self.places[slot][0]].name
            self._fail(slot, f"{name}: {reason}")
        self.progress(self.done, len(self.images))

    def _fail(self, slot: int, reason: str) -> None:
        first = self.images[self.places[slot][0]].name
        for position in self.places[slot]:
            own = self.images[position].name
            same = reason.startswith(first)
            self.reasons[position] = own + reason[len(first) :] if same else reason
        self.done += len(self.places[slot])


def asked_singly(
    compute: Callable[[list[Any]], Array], check: Callable[[Array, int], None], inputs: list[Any]
) -> list[Array | None]:
    """Rows of a batch; where it is refused, one by one, with None for what is refused alone.

    Args:
        compute: N inputs to `[N, ...]`; an `InputError` is a refusal, which does not say of which.
        check: called with the rows and N; what it raises is nobody's refusal.
        inputs: N prepared pictures.
    """
    try:
        rows = compute(inputs)
    except InputError:
        if len(inputs) == 1:
            return [None]
        return [row for each in inputs for row in asked_singly(compute, check, [each])]
    check(rows, len(inputs))
    return list(rows)


def _check_shape(name: str, size: tuple[int, int]) -> None:
    if max(size) > LONGEST * min(size):
        raise ImageError(
            f"{name}: has {size[0]} x {size[1]} pixels, more than {LONGEST} times as long as "
            "wide; crop it"
        )
