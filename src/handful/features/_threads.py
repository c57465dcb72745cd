"""Threads that work ahead of the encoder: hash files, read the very bytes that were hashed."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from handful.contracts import ImageRef, image_file
from handful.errors import ImageError

_CHUNK = 16  # files in one job: handing over a job costs as much as hashing a small file
_PIECE = 1 << 20  # bytes; hashlib.file_digest would take a 256 KiB buffer for every small file
_In = TypeVar("_In")
_Out = TypeVar("_Out")


def digests(pool: ThreadPoolExecutor, images: Sequence[ImageRef]) -> Iterator[str | ImageError]:
    """The digest of each image, or why it cannot be read; in order."""
    chunks = (images[at : at + _CHUNK] for at in range(0, len(images), _CHUNK))
    for chunk in ahead(pool, lambda refs: [_digest(ref) for ref in refs], chunks, depth=256):
        yield from chunk


def _digest(ref: ImageRef) -> str | ImageError:
    """As `ImageRef.digest`, in pieces: many threads do not hold many files whole."""
    try:
        if ref.path is None:
            return ref.digest()
        digest = hashlib.sha256()
        with image_file(ref.name, ref.path) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()
    except ImageError as error:
        return error


def pinned(ref: ImageRef, digest: str) -> ImageRef:
    """The very bytes that were hashed, so that no feature can be stored under a wrong digest."""
    if ref.path is None:
        return ref
    content = ref.content()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImageError(f"{ref.name}: changed while it was being read; run again")
    return ImageRef(ref.name, data=content)


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[_In], _Out], items: Iterable[_In], depth: int
) -> Iterator[_Out]:
    """`pool.map` with a bound: in order, and never more than `depth` results ahead.

    `map` itself submits everything at once, and the decoded images would fill the memory.
    """
    waiting = iter(items)
    queue: deque[Future[_Out]] = deque(pool.submit(work, i) for i in islice(waiting, depth))
    while queue:
        result = queue.popleft().result()
        queue.extend(pool.submit(work, item) for item in islice(waiting, 1))
        yield result


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
