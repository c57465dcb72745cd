"""A run of `predict` over many photos: how far it is, and what came out, on standard error."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handful.cli import _console
from handful.skills.tally import Tally

if TYPE_CHECKING:
    from handful.skills.sort_photos import PhotoSorter

MINUTE = 60.0  # seconds between two lines where there is no terminal
_MOST_LABELS = 20  # that are counted by name
_MOST_KINDS = 8  # of failures

Update = Callable[[int, int], None]


class Clock:
    """Tells how far a run is, a line a minute.

    Args:
        tally: of all rows, which grows.
        before: rows that were there when the run began; they took no time.
    """

    def __init__(self, tally: Tally, before: int = 0) -> None:
        self._tally, self._before = tally, before
        self.began = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.began

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` photos of this run are looked at."""
        now = time.monotonic()
        if now - self._told >= MINUTE and done:
            self._told = now
            _console.echo_err(self._line(done, total))

    def _line(self, done: int, total: int) -> str:
        rate = done / max(self.seconds, 1e-9)
        return (
            f"{_console.count(self._before + done)} of {_console.count(self._before + total)}, "
            f"{_rate(rate)}, {_left((total - done) / rate)} left, {self._tally.failed} failed"
        )


@contextmanager
def progress(clock: Clock) -> Iterator[Update]:
    """A bar on a terminal, else a line a minute."""
    with _console.progress("looking") as bar:
        yield clock if bar is None else bar


@dataclass(frozen=True)
class Finished:
    """A run that came to its end.

    Args:
        tally: of all rows.
        seconds: that this run took.
        added: photos that this run looked at.
    """

    tally: Tally
    seconds: float
    added: int


def summary(
    finished: Finished, ignored: Mapping[str, int], sorter: PhotoSorter | None = None
) -> None:
    """What came out: counts, failures by kind, files passed over, seconds.

    Args:
        finished: the run.
        ignored: files that are no photos, by kind.
        sorter: that put photos into folders, if any.
    """
    tally, seconds, added = finished.tally, finished.seconds, finished.added
    for error in tally.errors:
        _console.echo_err(f"skipped {error}")
    if tally.failed > len(tally.errors):
        _console.echo_err(f"skipped {_console.count(tally.failed - len(tally.errors))} more")
    if ignored:
        _console.echo_err(_console.ignored_line(ignored))
    if tally.rows > 1:
        counts = _most(tally.labels, _MOST_LABELS)
        _console.echo_err(f"{', '.join(counts)}" if counts else "no photo has an answer")
        if tally.unknown:
            _console.echo_err(f"unknown: {_console.count(tally.unknown)} of them")
    if tally.failed:
        kinds = "; ".join(_most(tally.failures, _MOST_KINDS))
        whole = f"{_console.count(tally.failed)} of {_console.count(tally.rows)}"
        _console.echo_err(f"{whole} images could not be used: {kinds}")
    if sorter is not None:
        _console.echo_err(sorter.summary)
    if added > 1:
        kept = tally.rows - added
        before = f" ({_console.count(kept)} were there already)" if kept else ""
        _console.echo_err(
            f"{_console.count(added)} photos in {seconds:.1f} s, "
            f"{_rate(added / max(seconds, 1e-9))}{before}"
        )


def _most(counts: Counter[str], most: int) -> list[str]:
    shown = [f"{name} {_console.count(n)}" for name, n in counts.most_common(most)]
    rest = len(counts) - most
    return [*shown, f"{rest} more"] if rest > 0 else shown


def _rate(rate: float) -> str:
    return f"{rate:.0f} photos a second" if rate >= 10 else f"{rate:.1f} photos a second"


def _left(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
