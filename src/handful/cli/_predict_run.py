"""A run of `predict` over many photos: answers to the screen, to standard output, to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _answers, _console
from handful.cli._summary import Clock, Finished, Update, progress
from handful.contracts import ImageRef
from handful.data.exif import read_exif
from handful.errors import InputError, StorageError
from handful.skills.answer_file import AnswerFile
from handful.skills.tally import Tally

if TYPE_CHECKING:
    from handful.cli._ask import Answering
    from handful.skills.answer_table import Row, Schema
    from handful.skills.outputs import Output, TextOutput
    from handful.skills.prediction import Prediction
    from handful.skills.sort_photos import PhotoSorter

EXIF = ("time", "camera", "latitude", "longitude")
Photo = tuple[ImageRef, tuple[str, ...]]  # and its cells of the table that listed it


class Rows:
    """Makes rows of answers, with what is known of their photos.

    Args:
        schema: the columns.
        photos: in the order of the answers to come, each with its cells of `schema.carried`.
        sorter: puts photos into folders, where that was asked for.
    """

    def __init__(
        self, schema: Schema, photos: Iterable[Photo], sorter: PhotoSorter | None = None
    ) -> None:
        self._schema, self._photos, self._sorter = schema, iter(photos), sorter

    def __call__(self, batch: Sequence[Prediction]) -> list[dict[str, Any]]:
        """Rows of the next photos; a photo is in its folder before its row is anywhere."""
        photos = [next(self._photos) for _ in batch]
        if self._sorter is not None:
            self._sorter.place([image for image, _ in photos], batch)
        more = [dict(zip(self._schema.carried, cells, strict=True)) for _, cells in photos]
        if self._schema.exif:
            more = [m | exif_cells(image) for m, (image, _) in zip(more, photos, strict=True)]
        return [self._schema.row(p, m) for p, m in zip(batch, more, strict=True)]


def exif_cells(image: ImageRef) -> dict[str, Any]:
    """What the camera wrote, by the names of `EXIF`; None for what it did not."""
    found = read_exif(image)
    time = found.time.isoformat() if found.time else None
    values = (time, found.camera or None, found.latitude, found.longitude)
    return dict(zip(EXIF, values, strict=True))


def to_screen(
    answering: Answering, photos: Sequence[Photo], sorter: PhotoSorter | None
) -> Finished:
    """A table, once all answers are there."""
    predictions: list[Prediction] = []
    tally, schema = Tally(answering.schema.several), answering.schema
    clock, rows = Clock(tally), Rows(schema, photos, sorter)
    try:
        with progress(clock) as update:
            for batch in answering.batches([image for image, _ in photos], update):
                predictions += batch
                for row in rows(batch):
                    tally.add(row)
    except KeyboardInterrupt:
        _say_lost(0)
        raise
    _answers.show(predictions, schema)
    encoded = answering.encoded()
    return Finished(tally, clock.seconds, len(photos), encoded, schema.error)


def _say_lost(rows: int) -> None:
    """What is said when Ctrl-C ends a run that writes to no file."""
    written = f"{_console.count(rows)} rows were" if rows else "nothing was"
    _console.say_when_stopped(
        f"stopped; {written} written; name a file with --out to be able to go on with --resume"
    )


def to_output(
    answering: Answering,
    photos: Sequence[Photo],
    sorter: PhotoSorter | None,
    output: TextOutput,
) -> Finished:
    """Text on standard output, as it comes."""
    schema = answering.schema
    tally = Tally(schema.several)
    clock, rows = Clock(tally), Rows(schema, photos, sorter)

    def counted(update: Update) -> Iterator[Row]:
        for batch in answering.batches([image for image, _ in photos], update):
            for row in rows(batch):
                tally.add(row)
                yield row
            _console.flush()

    ascii_only = not _console.writes_unicode()
    try:
        with progress(clock) as update:
            for chunk in output.chunks(counted(update), schema, ascii_only=ascii_only):
                sys.stdout.write(chunk)
    except KeyboardInterrupt:
        _say_lost(tally.rows)
        raise
    encoded = answering.encoded()
    return Finished(tally, clock.seconds, len(photos), encoded, schema.error)


def to_file(
    answering: Answering,
    photos: Sequence[Photo],
    sorter: PhotoSorter | None,
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
        left = [photo for photo in photos if file.takes(photo[0].name)]
        clock, rows = Clock(file.tally, before), Rows(schema, left, sorter)
        try:
            with progress(clock) as update:
                for batch in answering.batches([image for image, _ in left], update):
                    file.append(rows(batch))
            file.finish()
        except KeyboardInterrupt:
            _console.say_when_stopped(f"stopped; {file.kept}")
            raise
        except StorageError as error:
            raise StorageError(f"{error}. {file.kept}") from error
    failed = file.tally.failed
    answers = f"{_console.count(file.tally.rows - failed)} answers"
    failures = f" and {_console.count(failed)} failure{'s' * (failed != 1)}" if failed else ""
    _console.echo_err(f"wrote {answers}{failures} to {out}")
    return Finished(file.tally, clock.seconds, len(left), answering.encoded(), schema.error, out)
