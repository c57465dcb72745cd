"""Write figures, texts and JSON to files, whole or not at all."""

from __future__ import annotations

import io
import json
import secrets
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.errors import InputError, StorageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_SUFFIXES = (".png", ".pdf", ".svg", ".jpg")


def save(content: Figure | str | Mapping[str, Any], path: Path) -> Path:
    """Write a figure, a text or JSON whole or not at all.

    Raises:
        StorageError: naming the file and the error of the disk.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # two may write at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            _write(content, part)
        elif isinstance(content, Mapping):
            _write(json.dumps(content, indent=1) + "\n", part)
        else:
            with _no_layout_warnings():
                content.savefig(part, format=path.suffix[1:], dpi=150)
        part.replace(path)
    except OSError as error:
        raise _cannot_be_written(path, error) from error
    finally:
        with suppress(OSError):  # the error above is the one to report
            part.unlink(missing_ok=True)
    return path


def png(figure: Figure, most: int = 1600) -> bytes:
    """A figure as a small PNG at most `most` pixels wide; the same figure gives the same bytes."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    dots = min(100.0, most / figure.get_figwidth())
    with _no_layout_warnings():
        figure.savefig(full, format="png", dpi=dots)
    # 64 colours are plenty for a chart, and make the file a third of its size
    palette = Image.open(full).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True)
    return small.getvalue()


def check_folder(folder: Path) -> None:
    """Can files be written into this folder, which need not exist? Leaves nothing behind.

    Raises:
        StorageError: naming the folder and the error of the disk.
    """
    nearest = folder.absolute()
    try:
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _cannot_be_written(folder, error) from error


def check_figure_name(path: Path) -> None:
    """Refuse a file for a figure whose name does not end like one, before the work is done.

    Raises:
        InputError: naming the endings that can be written.
    """
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends with {', '.join(FIGURE_SUFFIXES)}")


def _write(text: str, path: Path) -> None:
    # a file name that is not valid Unicode is written as its escape, which JSON reads back
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _cannot_be_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: cannot be written ({error.strerror or error}); "
        "free some space or choose another folder"
    )


@contextmanager
def _no_layout_warnings() -> Iterator[None]:
    """Without matplotlib's warnings of missing glyphs and tight layouts: no user can mend them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
