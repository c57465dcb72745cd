"""A run of `predict` over many photos: how far it is, and what came out, on standard error."""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handful.cli import _console
from handful.skills.tally import Tally

if TYPE_CHECKING:
    from handful.skills.sort_photos import PhotoSorter

MINUTE = 60.0  # seconds between two lines where there is no terminal
_MOST_LABELS = 20  # that are counted by name
_MOST_KINDS = 5  # of failures
_WIDTH = 80  # columns of a line with kinds

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
        rate, failed = done / max(self.seconds, 1e-9), _console.count(self._tally.failed)
        return (
            f"{_console.count(self._before + done)} of {_console.count(self._before + total)}, "
            f"{_rate(rate)}, {_left((total - done) / rate)} left, {failed} failed"
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
        encoded: different ones of them that went through the encoder.
        error: the error rate that was asked for, if any.
        out: the file of the rows, if any.
    """

    tally: Tally
    seconds: float
    added: int
    encoded: int
    error: float | None = None
    out: Path | None = None


def summary(
    finished: Finished, ignored: Mapping[str, int], sorter: PhotoSorter | None = None
) -> None:
    """What came out: counts, failures by kind, files passed over, seconds.

    Args:
        finished: the run.
        ignored: files that are no photos, by kind.
        sorter: that put photos into folders, if any.
    """
    tally = finished.tally
    every = f"see the column error of {finished.out}" if finished.out else "--out names them all"
    for error in tally.errors:
        _console.echo_err(f"skipped {error}")
    if tally.failed > len(tally.errors):
        left = _console.count(tally.failed - len(tally.errors))
        _console.echo_err(f"skipped {left} more: {every}")
    if ignored:
        _console.echo_err(_console.ignored_line(ignored))
    if tally.rows > 1:
        refused = [f"unknown {_console.count(tally.unknown)}"] if tally.unknown else []
        counts = [*_most(tally.labels, _MOST_LABELS), *refused]
        _console.echo_err(f"{', '.join(counts)}" if counts else "no photo has an answer")
    if tally.no_class:
        _console.echo_err(
            f"{_photos(tally.no_class)} with no class at --error {finished.error:g}: none is "
            "likely enough (may_be is empty)"
        )
    if tally.failed:
        kinds = _most(tally.failures, _MOST_KINDS)[:_MOST_KINDS]
        more = [f"more: {every}"] if len(tally.failures) > _MOST_KINDS else []
        whole = f"{_console.count(tally.failed)} of {_console.count(tally.rows)}"
        line = f"{whole} images could not be used: {'; '.join([*kinds, *more])}"
        _console.echo_err(
            textwrap.fill(
                line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
        )
    if sorter is not None:
        _console.echo_err(sorter.summary)
    if finished.added > 1:
        _console.echo_err(_pace(finished))


def _pace(finished: Finished) -> str:
    """Photos and seconds; a rate only of photos that were computed: others take next to nothing."""
    added, seconds, encoded = finished.added, finished.seconds, finished.encoded
    there = finished.tally.rows - added
    line = f"{_photos(added)} in {seconds:.1f} s"
    if encoded:
        line += f", {_rate(added / max(seconds, 1e-9))}"
    if encoded < added - finished.tally.failed:
        line += f"; {_console.count(encoded)} computed now, the others were known or failed"
    return f"{line} ({_console.count(there)} were there already)" if there else line


def _photos(number: int) -> str:
    return f"{_console.count(number)} photo{'s' * (number != 1)}"


def _most(counts: Counter[str], most: int) -> list[str]:
    shown = [f"{name} {_console.count(n)}" for name, n in counts.most_common(most)]
    rest = len(counts) - most
    return [*shown, f"{rest} more"] if rest > 0 else shown


def _rate(rate: float) -> str:
    return f"{_console.count(round(rate)) if rate >= 10 else f'{rate:.1f}'} photos a second"


def _left(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
