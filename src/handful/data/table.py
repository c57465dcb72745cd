"""Labelled images from a table: CSV, JSON lines or Parquet, one row an image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from handful.contracts import ImageRef
from handful.data._rows import is_file, read
from handful.data.dataset import SPLITS, Dataset
from handful.errors import InputError

# The first name that a table has is taken; upper and lower case are one.
COLUMNS = {
    "path": ("path", "file_name", "filename", "image", "image_path", "filepath", "file"),
    "label": ("label", "class", "category", "class_name", "classname"),
    "split": ("split",),
    "group": ("group",),
}
_SHOWN = 5


def table(path: str | Path) -> Dataset:
    """Labelled images from `path,label[,split,group]`, one row an image.

    CSV (comma, semicolon or tab; UTF-8), JSON lines or Parquet; Hugging Face's `metadata.csv`,
    `.jsonl` and `.parquet` (`file_name,label`) too, and Parquet that holds the images themselves.
    Relative paths start at the table's folder.

    Raises:
        InputError: missing columns, missing files, empty cells, an image listed twice, a split
            other than train, val and test, a group in more than one; everything that is wrong at
            once, with its lines.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    source = Path(path)
    columns, rows = read(source, _knows)
    chosen = _columns(source, columns)
    problems = _Problems(source)
    images: list[ImageRef] = []
    cells: dict[str, list[str]] = {"label": [], "split": [], "group": []}
    seen: dict[str, str] = {}
    for place, row in rows:
        for name, values in cells.items():
            values.append(_text(row.get(chosen[name])) if chosen[name] else "")
        if not cells["label"][-1]:
            problems.add("empty labels", place)
        image = _image(source, place, row.get(chosen["path"]), problems)
        if image is None:
            continue
        images.append(image)
        if image.path is None:
            continue
        first = seen.setdefault(str(image.path), place)
        if first != place:
            problems.add("images listed twice", f"{image.name} ({first} and {place})")
    splits = [SPLITS.get(s.casefold(), s) for s in cells["split"]]
    if any(splits) and not all(splits):
        for (place, _), split in zip(rows, splits, strict=True):
            if not split:
                problems.add("empty splits, where other rows state one", place)
    known = {"", *SPLITS.values()}
    for (place, _), split in zip(rows, splits, strict=True):
        if split not in known:
            problems.add("unknown splits, expected train, val or test", f"{split!r} ({place})")
    problems.report(len(rows))
    return _dataset(source, images, cells["label"], splits, cells["group"])


class _Problems:
    """Everything wrong with a table, so that it can be put right in one go."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.found: dict[str, list[str]] = {}

    def add(self, kind: str, which: str) -> None:
        self.found.setdefault(kind, []).append(which)

    def report(self, count: int) -> None:
        if not self.found:
            return
        parts = [f"{kind} ({len(which)}): {_few(which)}" for kind, which in self.found.items()]
        hint = ""
        if "missing files" in self.found:
            hint = f"; relative paths start at {self.source.parent}"
        if "images listed twice" in self.found:
            hint += "; where an image has several labels, fit with --multi-label"
        raise InputError(
            f"{self.source}: {count} rows, with {'; '.join(parts)}{hint}; correct them"
        )


def _few(things: Sequence[str]) -> str:
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return ", ".join(things[:_SHOWN]) + more


def _dataset(
    source: Path,
    images: list[ImageRef],
    labels: list[str],
    splits: list[str],
    groups: list[str],
) -> Dataset:
    try:
        return Dataset(tuple(images), tuple(labels), tuple(splits), tuple(groups))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _column(columns: Iterable[str], what: str) -> str:
    """The table's own name of a column; "" where it has none."""
    there = {c.strip().casefold(): c for c in reversed(list(columns))}
    return next((there[name] for name in COLUMNS[what] if name in there), "")


def _knows(columns: Iterable[str]) -> bool:
    columns = list(columns)
    return bool(_column(columns, "path") and _column(columns, "label"))


def _columns(source: Path, columns: Sequence[str]) -> dict[str, str]:
    chosen = {what: _column(columns, what) for what in COLUMNS}
    for what in ("path", "label"):
        if not chosen[what]:
            raise InputError(
                f"{source}: has no column for the {what}; expected one named "
                f"{' or '.join(COLUMNS[what][:3])}, got {', '.join(columns) or 'none'}"
            )
    return chosen


def _text(cell: Any) -> str:
    """A cell as text; empty for nothing and for not-a-number."""
    if cell is None or cell != cell:  # NaN, as data frames write gaps
        return ""
    return unicodedata.normalize("NFC", str(cell)).strip()


def _image(source: Path, place: str, cell: Any, problems: _Problems) -> ImageRef | None:
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):  # Hugging Face's image
        return ImageRef.of(
            cell["bytes"], f"{source.name}, {place} {cell.get('path') or ''}".strip()
        )
    if isinstance(cell, dict):
        cell = cell.get("path")
    name = "" if cell is None else str(cell).strip()
    if not name:
        problems.add("empty paths", place)
        return None
    path = source.parent / name
    if not is_file(path) and "\\" in name:  # a table made on Windows
        path = source.parent / name.replace("\\", "/")
    if not is_file(path):
        kind = "things that are no files" if os.path.exists(path) else "missing files"  # noqa: PTH110
        problems.add(kind, f"{name} ({place})")
        return None
    return ImageRef.of(path)
