"""The split files of the CoOp data sets, `split_zhou_<Name>.json`, which the field measures on.

Layout: https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful.contracts import ImageRef, at_home
from handful.data._files import is_file, parse_json, read_text
from handful.data.dataset import Dataset
from handful.errors import InputError

# Where the eleven data sets keep their images, beside the split file.
IMAGE_FOLDERS = (
    "",
    "images",
    "101_ObjectCategories",
    "jpg",
    "2750",
    "SUN397",
    "UCF-101-midframes",
    "caltech-101/101_ObjectCategories",
)
_PARTS = ("train", "val", "test")
_PROBES = 50
_SHOWN = 5


def coop(path: str | Path) -> Dataset:
    """Labelled images with their published `train`, `val` and `test` splits.

    The file is `{"train": [[path, number, class name], ...], "val": ..., "test": ...}`; paths start
    at its folder or at one of the data sets' image folders in it. The numbers order the classes.

    Raises:
        InputError: not such a file; a number with two class names; files that are missing.
    """
    source = at_home(path)
    rows = [(part, *row) for part, row in _rows_of(source)]
    names = _class_names(source, [(number, name) for _, _, number, name in rows])
    base = _base(source.parent, [relative for _, relative, _, _ in rows])
    paths = [base / relative for _, relative, _, _ in rows]
    missing = [str(p) for p in paths if not is_file(p)]
    if missing:
        raise InputError(
            f"{source}: {len(missing)} of {len(paths)} images are missing, such as "
            f"{', '.join(missing[:_SHOWN])}; put the data set's images beside the split file, "
            "as CoOp's DATASETS.md describes"
        )
    return Dataset(
        images=tuple(ImageRef.of(p) for p in paths),
        labels=tuple(name for *_, name in rows),
        splits=tuple(part for part, *_ in rows),
        classes=tuple(names),
    )


def _rows_of(source: Path) -> list[tuple[str, tuple[str, int, str]]]:
    content = parse_json(source, read_text(source))
    if not isinstance(content, dict) or not any(content.get(part) for part in _PARTS):
        raise InputError(
            f"{source}: expected a split file of the form "
            '{"train": [[path, number, class name], ...], "val": ..., "test": ...}'
        )
    found = []
    for part in _PARTS:
        rows = content.get(part, [])
        for i, row in enumerate(rows if isinstance(rows, list) else [rows]):
            if not _is_row(row):
                raise InputError(
                    f"{source}: {part}[{i}]: expected [path, number, class name], got {row!r:.80}"
                )
            found.append((part, (row[0], row[1], row[2])))
    return found


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and [type(cell) for cell in row] == [str, int, str]
        and bool(row[0])
        and bool(row[2].strip())
    )


def _class_names(source: Path, pairs: list[tuple[int, str]]) -> list[str]:
    """Class names in the order of their numbers; each number has one name and each name one."""
    names: dict[int, str] = {}
    for number, name in pairs:
        if names.setdefault(number, name) != name:
            raise InputError(
                f"{source}: class {number} is called both {names[number]!r} and {name!r}; "
                "correct the file"
            )
    return [names[number] for number in sorted(names)]


def _base(folder: Path, relatives: list[str]) -> Path:
    """The image folder in which most of some paths exist."""
    probes = relatives[:: max(1, len(relatives) // _PROBES)]
    candidates = [folder / name for name in IMAGE_FOLDERS]
    return max(candidates, key=lambda base: sum(is_file(base / p) for p in probes))
