"""What every pass over pictures tells at its end."""

from __future__ import annotations

from dataclasses import dataclass

from handful.contracts import Array
from handful.features.encoding import Run

BATCH = 64


@dataclass(frozen=True)
class Failure:
    """One image that could not be used: what it is called, why, and where it stood."""

    name: str
    reason: str
    index: int


@dataclass(frozen=True, eq=False)
class Activations:
    """What enters a block, of the good images and their views, and an account of the others.

    Args:
        values: `[K, V, ...]` float32: of each good image in order, its V views; view 0 is the
            picture as it is.
        ids: digests of the K images.
        kept: K positions of them among the images asked for.
        failures: the images that could not be used, in order.
        encoded: different pictures that went through the encoder now.
        known: images of which everything was in the store already.
    """

    values: Array
    ids: tuple[str, ...]
    kept: tuple[int, ...]
    failures: tuple[Failure, ...]
    encoded: int
    known: int


def failures(run: Run) -> tuple[Failure, ...]:
    """The images that could not be used, in order."""
    return tuple(Failure(run.images[i].name, run.reasons[i], i) for i in sorted(run.reasons))
