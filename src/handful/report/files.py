"""Write figures, texts and JSON to files, whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from handful.errors import InputError, StorageError
from handful.report.fonts import use_fonts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_SUFFIXES = (".png", ".pdf", ".svg", ".jpg")
_SPACE, _RIGHTS = "free some space or choose another folder", "check the rights of its folder"
_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM), f"{_RIGHTS} or choose another one"),
    errno.EROFS: "the disk can only be read: choose another folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder: choose another name",
    errno.EISDIR: "it is a folder: choose another name",
    errno.EEXIST: "a file is in the way of a folder: choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def save(content: Figure | str | bytes | Mapping[str, Any], path: Path) -> Path:
    """Write a figure, a text, bytes or JSON whole or not at all.

    A link stays a link: what it leads to is written. So is a pipe or a device, as it is.

    Raises:
        StorageError: naming the file and the error of the disk.
    """
    try:
        if is_special(path):
            with open_special(path) as file:
                _write(content, file, path.suffix)
            return path
        target = real_target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside(target) as part, part.open("wb") as file:
            _write(content, file, path.suffix)
    except BrokenPipeError:  # the reader went away, which is its right
        raise
    except OSError as error:
        raise cannot_be_written(path, error) from error
    return path


def real_target(path: Path) -> Path:
    """Where a link leads to, perhaps to nothing yet; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_special(path: Path) -> bool:
    """Whether this is neither a regular file nor a folder, but there: a pipe, a device.

    Also a link to a file that is open already, such as `/dev/stdout`, whatever that is.
    """
    here = path
    for _ in range(40):  # as many links as Linux follows
        if not here.is_symlink():
            break
        here = here.parent / here.readlink()
        if here.parent.parts[:2] == ("/", "proc") and here.exists():
            return True
    return path.exists() and not path.is_file() and not path.is_dir()


def open_special(path: Path) -> IO[bytes]:
    """Open a pipe or a device to write to; of a pipe, waits until somebody reads."""
    return path.open("ab")  # a file that is open already, behind what stands in it


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A free name beside a file, which takes the file's place at the end, or is gone."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # two may write at once
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):  # an error on the way is the one to report
            part.unlink(missing_ok=True)


def png(figure: Figure, most: int = 1600) -> bytes:
    """A figure as a small PNG at most `most` pixels wide; the same figure gives the same bytes."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    use_fonts(figure)
    dots = min(100.0, most / figure.get_figwidth())
    with no_layout_warnings():
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
        raise cannot_be_written(folder, error) from error


def check_figure_name(path: Path) -> None:
    """Refuse a file for a figure whose name does not end like one, before the work is done.

    Raises:
        InputError: naming the endings that can be written.
    """
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise InputError(f"{path}: expected a name that ends with {', '.join(FIGURE_SUFFIXES)}")


def _write(content: Figure | str | bytes | Mapping[str, Any], file: IO[bytes], suffix: str) -> None:
    if isinstance(content, bytes):
        file.write(content)
    elif isinstance(content, str):
        # a file name that is not valid Unicode is written as its escape, which JSON reads back
        file.write(content.encode("utf-8", "backslashreplace"))
    elif isinstance(content, Mapping):
        _write(json.dumps(content, indent=1) + "\n", file, suffix)
    else:
        use_fonts(content)
        held = io.BytesIO()  # a pipe cannot be searched, which writers of figures do
        with no_layout_warnings():
            content.savefig(held, format=suffix[1:], dpi=150)
        file.write(held.getvalue())


def cannot_be_written(path: Path, error: OSError) -> StorageError:
    """What to raise where the disk refuses a file, with the cure that fits the refusal."""
    return StorageError(
        f"{path}: cannot be written ({error.strerror or error}); "
        f"{_CURES.get(error.errno or 0, 'choose another folder')}"
    )


@contextmanager
def no_layout_warnings() -> Iterator[None]:
    """Without matplotlib's warnings of missing glyphs and tight layouts: no user can mend them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
