"""What every pass over pictures tells at its end."""

from __future__ import annotations

from dataclasses import dataclass

from handful.extract._run import Run

BATCH = 64


@dataclass(frozen=True)
class Failure:
    """One image that could not be used: what it is called, why, and where it stood."""

    name: str
    reason: str
    index: int


def failures(run: Run) -> tuple[Failure, ...]:
    """The images that could not be used, in order."""
    return tuple(Failure(run.images[i].name, run.reasons[i], i) for i in sorted(run.reasons))
