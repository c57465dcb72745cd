"""The files that `evaluate` writes, and where it does not."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.evaluated import Evaluated


def write(
    done: Evaluated,
    out: Path,
    by: Sequence[str],
    *,
    photos: bool = True,
    spelling: Mapping[str, Any] | None = None,
) -> None:
    """The page, the figures that the numbers allow, every answer, and the numbers.

    Args:
        done: an evaluation.
        out: a folder.
        by: columns of the table that answers.csv repeats.
        photos: whether the page shows photos.
        spelling: `excel` and `separator` of answers.csv.
    """
    from handful import report
    from handful.skills.answers_file import answers_csv
    from handful.skills.evaluation_figures import figures_of
    from handful.skills.evaluation_report import report_page

    figures = figures_of(done)
    _remove_stale(out, figures)
    written = []
    if done.answers is not None:
        page = report_page(done, figures, photos=photos)  # first: saving escapes letters in figures
        written.append(report.save(page, out / "report.html"))
    written += [report.save(figure, out / f"{name}.png") for name, figure in figures.items()]
    if done.answers is not None:
        written.append(report.save(answers_csv(done, by, **(spelling or {})), out / "answers.csv"))
    written.append(report.save(done.as_dict(), out / "evaluation.json"))
    first, *others = written
    beside = ", ".join(path.name for path in others)
    _console.echo_err(f"wrote {first}" + (f", beside it {beside}" if beside else ""))


def check_out(out: Path) -> None:
    """Refuse a folder for a report that cannot be one, before the work is done.

    Raises:
        InputError: a file, or the folder of a skill.
        StorageError: the disk refuses to write there.
    """
    from handful import report

    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file, and a report is a folder; name another one")
    if (out / "pack.json").exists():
        raise InputError(
            f"--out {out}: is the folder of a skill, and its files are its own; name "
            "another folder for the report"
        )
    report.check_folder(out)


def _remove_stale(out: Path, drawn: Collection[str]) -> None:
    """Remove figures of an earlier report in this folder that this one does not have."""
    from handful.skills.evaluation_figures import SHOWS

    try:
        earlier = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if not isinstance(earlier, dict) or not {"schema", "handful", "data"} <= earlier.keys():
        return  # somebody else's
    for name in SHOWS:
        if name not in drawn:
            (out / f"{name}.png").unlink(missing_ok=True)
