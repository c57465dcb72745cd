"""A file of answers that grows as a run goes on, and is gone on with after any end of it.

A format of records (csv, jsonl) is written to its place at once. Of another one (json, parquet,
xlsx) the rows are kept in a journal beside it, from which the file is made at the end. Whatever
ends a run, at most the record that was being written is cut short, and a later run takes it away.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from handful.errors import InputError, StorageError
from handful.report import files
from handful.skills import outputs
from handful.skills.answer_table import SHORT, Row, Schema
from handful.skills.answer_target import check_target, rows_place
from handful.skills.outputs import LineOutput, Output
from handful.skills.tally import Tally

_LONGEST_TAIL = 1 << 20  # bytes of a record that was cut short; more is no tail, but damage


class AnswerFile:
    """Rows of answers on disk; use it as a context manager, and `finish` it.

    Args:
        path: the file; a link, a pipe or a device is written as it is, never replaced.
        output: its format.
        schema: the columns.
        overwrite: replace a file that is there.
        resume: go on with a file that is there; its rows are in `tally`.

    Raises:
        InputError: it cannot be written there, or gone on with, and why.
        StorageError: the disk refused, or another run is writing the file.

    Attributes:
        tally: of all rows, those that were there and those added.
        rows_at: where rows are kept now: the file itself, or its journal.
    """

    def __init__(
        self,
        path: Path,
        output: Output,
        schema: Schema,
        *,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        check_target(path, output, overwrite=overwrite, resume=resume)
        self.path, self.output, self.schema = path, output, schema
        self.tally = Tally(schema.several)
        lines = output if isinstance(output, LineOutput) else outputs.get("jsonl")
        self._lines = cast(LineOutput, lines)
        self._special = files.is_special(path)
        self._known: Counter[str] = Counter()
        self._stack = ExitStack()
        self.rows_at = rows_place(path, output)
        self._file = self._open(resume=resume)

    def __enter__(self) -> AnswerFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What is buffered is for nobody once the reader went away; and after an error a full disk
        # refuses it a second time, which must not hide the first.
        with suppress(OSError if error is not None else BrokenPipeError):
            self._stack.close()

    @property
    def kept(self) -> str:
        """What is on disk, and how to go on with it; of a pipe or a device only how many rows."""
        rows = f"{self.tally.rows:,} row{'s' * (self.tally.rows != 1)}".replace(",", " ")
        if self._special:
            return f"{rows} were written"
        return (
            f"{rows} are kept in {self.rows_at}; the same command with --resume goes on from there"
        )

    def takes(self, name: str) -> bool:
        """Whether a photo of this name has a row still to come; each row there counts once."""
        spelled = self._lines.spelled(name)
        if self._known[spelled]:
            self._known[spelled] -= 1
            return False
        return True

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows, so that nothing but the disk itself can lose them."""
        given = list(rows)
        self._write("".join(self._lines.record(row, self.schema) for row in given))
        for row in given:  # written: what is told of them after an error is true
            self.tally.add(row)

    def finish(self) -> None:
        """All rows are there: make the file of its journal, where it has one."""
        if isinstance(self.output, LineOutput):
            return
        self._file.seek(0)
        rows = map(json.loads, self._file)
        try:
            if self._special:
                with tempfile.TemporaryFile() as held, files.open_special(self.path) as file:
                    self.output.write(rows, self.schema, held)  # a pipe cannot be searched
                    held.seek(0)
                    shutil.copyfileobj(held, file)
                return
            target = files.real_target(self.path)
            with files.beside(target) as part, part.open("wb") as file:
                self.output.write(rows, self.schema, file)
            self.rows_at.unlink()
        except OSError as error:
            raise _refused(self.path, error) from error

    def _open(self, *, resume: bool) -> IO[bytes]:
        try:
            if self._special and isinstance(self.output, LineOutput):
                file = self._stack.enter_context(files.open_special(self.path))
            elif self._special:
                file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the stack
                self._stack.enter_context(file)
            else:
                self.rows_at.parent.mkdir(parents=True, exist_ok=True)
                file = self._stack.enter_context(self.rows_at.open("a+b"))
                _lock(file, self.rows_at)
                file.truncate(self._read(file) if resume else 0)
                file.seek(0, os.SEEK_END)
        except OSError as error:
            raise _refused(self.path, error) from error
        except BaseException:
            self._stack.close()
            raise
        self._file = file
        if self._special or not file.tell():  # a new one
            self._write(self._lines.head(self.schema))
        return file

    def _read(self, file: IO[bytes]) -> int:
        """Count what is there; the end of the last whole record."""
        end = 0
        file.seek(0)
        try:
            for end, row in self._lines.records(file, self.schema):  # noqa: B007  # the last one
                if row:
                    self._check(row)
                    self._known[row["file"]] += 1
                    self.tally.add(row)
            _check_tail(file.seek(0, os.SEEK_END) - end)
            if not end:
                file.seek(0)
                _check_beginning(file.read(_LONGEST_TAIL), self._lines.beginning(self.schema))
        except InputError as error:
            raise InputError(
                f"{self.rows_at}: cannot be resumed: {error}; choose another file, or say "
                "--overwrite in place of --resume"
            ) from error
        return end

    def _check(self, row: dict[str, Any]) -> None:
        """Refuse rows of another skill or of other options."""
        ours = {digest[:SHORT] for digest in self.schema.skills.values()}
        if row.get("digest") not in ours | ({""} if self.schema.library else set()):
            raise InputError(
                f"it holds answers of the skill {row.get('skill')} with the digest "
                f"{row.get('digest')}, and this one has {', '.join(sorted(ours))}"
            )
        if row.get("options") != self.schema.options:
            raise InputError(
                f"it holds answers to the options {row.get('options')}, and these are "
                f"{self.schema.options}"
            )

    def _write(self, text: str) -> None:
        try:
            self._file.write(text.encode("utf-8", "backslashreplace"))
            self._file.flush()
        except OSError as error:
            raise _refused(self.path, error) from error


def _check_tail(size: int) -> None:
    if size > _LONGEST_TAIL:
        raise InputError(f"its last {size} bytes are no rows")


def _check_beginning(found: bytes, expected: bytes) -> None:
    size = min(len(found), len(expected))
    if found[:size] != expected[:size]:
        raise InputError("it does not begin as such a table does")


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep a second run out, where the system can; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            f"{path}: is being written by another run; wait for it or choose another name"
        ) from error
    except OSError:  # a disk of a network that cannot lock
        return


def _refused(path: Path, error: OSError) -> OSError:
    """A reader that went away is no fault of the disk, nor is an error that has its words."""
    known = isinstance(error, BrokenPipeError | StorageError)
    return error if known else files.cannot_be_written(path, error)
