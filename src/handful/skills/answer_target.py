"""Where answers may be written: refusals before the work."""

from __future__ import annotations

from pathlib import Path

from handful import report
from handful.errors import InputError
from handful.report import files
from handful.skills.outputs import LineOutput, Output

JOURNAL = ".journal.jsonl"  # behind the name of a file that is made at the end


def check_target(path: Path, output: Output, *, overwrite: bool, resume: bool) -> None:
    """Refuse before the work what `AnswerFile` would refuse.

    Raises:
        InputError: there is something, and neither `overwrite` nor `resume`; nothing to resume.
        StorageError: the folder cannot be written.
        MissingExtraError: the format needs a library.
    """
    output.check()
    if overwrite and resume:
        raise InputError("--overwrite and --resume contradict each other; leave one out")
    if files.is_special(path):
        if resume:
            raise InputError(
                f"{path}: is a pipe or a device, which keeps no rows; leave --resume out"
            )
        return
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it: {path / 'answers.csv'}")
    target, rows_at = files.real_target(path), rows_place(path, output)
    report.check_folder(target.parent)
    held = [p for p in (target, rows_at) if p.exists() and p.stat().st_size]
    if held and not overwrite and not resume:
        raise InputError(
            f"{held[-1]}: exists already; go on with it (--resume), replace it (--overwrite) or "
            "choose another name"
        )
    if resume and held == [target] != [rows_at]:
        raise InputError(
            f"{path}: is finished, and a file of this format cannot be added to; choose .csv or "
            ".jsonl for a table that grows, or add --overwrite instead of --resume"
        )


def rows_place(path: Path, output: Output) -> Path:
    """Where the rows of a run are kept: in the file, or in the journal beside it."""
    target = files.real_target(path)
    return target if isinstance(output, LineOutput) else target.with_name(target.name + JOURNAL)
