"""A run of `predict` over many photos: how far it is, and what came out, on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _answers, _console
from handful.errors import InputError
from handful.skills.answer_file import AnswerFile
from handful.skills.tally import Tally

if TYPE_CHECKING:
    from handful.cli._ask import Answering
    from handful.skills.answer_table import Row
    from handful.skills.outputs import Output, TextOutput
    from handful.skills.prediction import Prediction

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


def summary(finished: Finished, ignored: Mapping[str, int]) -> None:
    """What came out: counts, failures by kind, files passed over, seconds.

    Args:
        finished: the run.
        ignored: files that are no photos, by kind.
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


def to_screen(answering: Answering, images: Sequence[Any]) -> Finished:
    """A table, once all answers are there."""
    predictions: list[Prediction] = []
    tally, schema = Tally(answering.schema.several), answering.schema
    clock = Clock(tally)
    with progress(clock) as update:
        for batch in answering.batches(images, update):
            predictions += batch
            for prediction in batch:
                tally.add(schema.row(prediction))
    _answers.show(predictions, schema)
    return Finished(tally, clock.seconds, len(images))


def to_output(answering: Answering, images: Sequence[Any], output: TextOutput) -> Finished:
    """Text on standard output, as it comes."""
    schema = answering.schema
    tally = Tally(schema.several)
    clock = Clock(tally)

    def rows(update: Update) -> Iterator[Row]:
        for batch in answering.batches(images, update):
            for prediction in batch:
                row = schema.row(prediction)
                tally.add(row)
                yield row
            _console.flush()

    with progress(clock) as update:
        for chunk in output.chunks(rows(update), schema, ascii_only=not _console.writes_unicode()):
            sys.stdout.write(chunk)
    return Finished(tally, clock.seconds, len(images))


def to_file(
    answering: Answering,
    images: Sequence[Any],
    output: Output,
    out: Path,
    *,
    overwrite: bool,
    resume: bool,
) -> Finished:
    """Rows in a file, as they come; those that are there already are left as they are."""
    if resume and not answering.alone:
        raise InputError(
            "--resume: this skill's method answers photos by one another, so that a run cannot be "
            "gone on with; leave --resume out"
        )
    schema = answering.schema
    with AnswerFile(out, output, schema, overwrite=overwrite, resume=resume) as file:
        before = file.tally.rows
        left = [image for image in images if file.takes(image.name)]
        clock = Clock(file.tally, before)
        try:
            with progress(clock) as update:
                for batch in answering.batches(left, update):
                    file.append(map(schema.row, batch))
            file.finish()
        except KeyboardInterrupt:
            rows = _console.count(file.tally.rows)
            _console.say_when_stopped(
                f"stopped; {rows} answers are kept in {file.rows_at}; the same command with "
                "--resume goes on from there"
            )
            raise
    _console.echo_err(f"wrote {_console.count(file.tally.rows)} answers to {out}")
    return Finished(file.tally, clock.seconds, len(left))
