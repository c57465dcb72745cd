"""A folder per class, also with `train/ val/ test/` above; and images anywhere, to predict."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from handful.contracts import ImageRef, missing_path
from handful.data.dataset import SPLITS, Dataset
from handful.errors import InputError

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo"),
        *("png", "apng", "webp", "bmp", "dib", "tif", "tiff", "gif"),
    )
)
# Files of cameras and phones that are photos although no decoder here may read them. Whoever asks
# about photos is told so of each, instead of an answer that silently lacks them.
PHOTO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("heic", "heif", "hif", "avif", "jxl", "jp2", "j2k"),
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "orf", "rw2", "raf", "pef", "srw"),
    )
)
STRAY = "outside the class folders"  # what `Dataset.ignored` calls images without a class
_Visited = set[tuple[int, int]]


def folder(path: str | Path) -> Dataset:
    """Labelled images from `path/<class>/...` or `path/<train|val|test>/<class>/...`.

    The folder's name is the label; folders below a class belong to it. Hidden files and files
    without an image's extension are passed over and counted in `Dataset.ignored`.

    Raises:
        InputError: no such folder, no class folders, a class without images, no images at all.
    """
    top = Path(path)
    if not top.is_dir():
        raise InputError(f"{path}: is not a folder; expected one folder per class in it")
    ignored: Counter[str] = Counter()
    parts = _split_folders(top)
    found: list[tuple[str, str, Path]] = []
    for part, split in parts or [(top, "")]:
        for name in _class_folders(part, ignored):
            label = unicodedata.normalize("NFC", name)  # a Mac writes é as two characters
            skipped: Counter[str] = Counter()
            images = sorted(_images(part / name, skipped), key=_natural)
            ignored.update(skipped)
            if not images:
                raise InputError(_nothing(part / name, skipped, f"class {label!r}"))
            found += [(label, split, image) for image in images]
    labels, splits, paths = zip(*found, strict=True)
    return Dataset(
        images=tuple(_ref(p) for p in paths), labels=labels, splits=splits, ignored=dict(ignored)
    )


class FoundImages(list[ImageRef]):
    """Images of files and folders, and what was passed over.

    Attributes:
        ignored: kind (an extension such as `.mov`, `hidden`, `no extension`) to number of files.
    """

    def __init__(self, images: Iterable[ImageRef], ignored: Mapping[str, int]) -> None:
        super().__init__(images)
        self.ignored = dict(ignored)


def find_images(paths: Iterable[str | Path] | str | Path) -> FoundImages:
    """Every image in any mixture of files and folders, in the order given, none twice.

    A folder is searched to its bottom, in natural order. A file that is named is always taken,
    whatever its extension, and so is every photo of a folder (`PHOTO_EXTENSIONS`); one that cannot
    be read fails later, by name, and stops no other.

    Raises:
        InputError: no image at all; only names of files that do not exist.
    """
    found: dict[str, Path] = {}
    skipped: Counter[str] = Counter()
    given = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for path in given:
        kinds = EXTENSIONS | PHOTO_EXTENSIONS
        inside = sorted(_images(path, skipped, kinds), key=_natural) if path.is_dir() else [path]
        for image in inside:
            found.setdefault(os.path.abspath(image), image)  # noqa: PTH100  # keeps links apart
    if not given:
        raise InputError("no images given; name image files or folders")
    if not found:
        raise InputError(_nothing(given[0], skipped, "the folder"))
    if not any(os.path.lexists(p) for p in found.values()):
        raise InputError(missing_path(given[0], "check the path"))
    return FoundImages([_ref(p) for p in found.values()], skipped)


def _split_folders(top: Path) -> list[tuple[Path, str]]:
    """`train/`, `val/`, `test/` with class folders in them; none where a class is called `test`."""
    names = _folders(top)
    known = [n for n in names if n.casefold() in SPLITS and _folders(top / n)]
    if not known:
        if len(names) > 1 and all(n.casefold() in SPLITS for n in names):
            raise InputError(
                f"{top}: the images of {', '.join(sorted(names))} lie in no folder of a class, and "
                "splits are no classes; put each image into a folder of its class: "
                f"{sorted(names)[0]}/<class>/, or list file and label in a table"
            )
        return []
    others = [n for n in names if n not in known]
    if not others:
        return [(top / n, SPLITS[n.casefold()]) for n in sorted(known, key=_split_order)]
    if len(known) > 1 or "train" in map(str.casefold, known):
        raise InputError(
            f"{top}: holds the splits {', '.join(known)} and other folders "
            f"({', '.join(others[:5])}); keep only one kind, or name one of the folders"
        )
    return []


def _split_order(name: str) -> int:
    return ("train", "val", "test").index(SPLITS[name.casefold()])


def _class_folders(part: Path, ignored: Counter[str]) -> list[str]:
    names = _folders(part)
    loose = [e.name for e in entries(part) if not _is_folder(e)]
    images = [n for n in loose if _is_image(n)]
    if not names:
        if images:
            raise InputError(
                f"{part}: {len(images)} images lie in this folder without a class; "
                f"put them into one folder per class: {part.name}/<class>/{images[0]}"
            )
        raise InputError(f"{part}: has no images; expected one folder per class with images in it")
    ignored.update(STRAY if _is_image(n) else _extension(n) for n in loose)
    return sorted(names)


def _images(top: Path, skipped: Counter[str], kinds: frozenset[str] = EXTENSIONS) -> Iterator[Path]:
    """Files with an image's extension, to the bottom; a link back up is not followed."""
    visited: _Visited = {_identity(p) for p in top.resolve().parents}
    todo = [top]
    while todo:
        here = todo.pop()
        if _identity(here) in visited:
            continue
        visited.add(_identity(here))
        for entry in entries(here):
            if _is_folder(entry):
                if not _is_hidden(entry.name):
                    todo.append(Path(entry.path))
            elif _is_image(entry.name, kinds):
                yield Path(entry.path)
            else:
                skipped[_extension(entry.name)] += 1


def entries(path: Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, in no order."""
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be listed ({error.strerror}); check its rights or take it out"
        ) from error


def _folders(path: Path) -> list[str]:
    return [e.name for e in entries(path) if _is_folder(e) and not _is_hidden(e.name)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # os.path.isdir: DirEntry.is_dir raises on a link that leads to itself
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # the leavings of a Mac's zip


def _is_image(name: str, kinds: frozenset[str] = EXTENSIONS) -> bool:
    return not _is_hidden(name) and _extension(name) in kinds


def _extension(name: str) -> str:
    return "hidden" if _is_hidden(name) else Path(name).suffix.lower() or "no extension"


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _natural(path: Path) -> tuple[list[str | int], str]:
    """`2.jpg` before `10.jpg`, in whatever case; the path itself where that is not decisive."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], str(path)


def _ref(path: Path) -> ImageRef:
    shown = os.fsencode(path).decode("utf-8", "replace")  # a name that can be printed and stored
    return ImageRef.of(path, shown)


def _nothing(path: Path, skipped: Counter[str], what: str) -> str:
    passed = ", ".join(f"{n} x {e}" for e, n in skipped.most_common(3))
    there = f" (passed over: {passed})" if passed else ""
    return (
        f"{path}: {what} has no images{there}; expected JPEG, PNG, WebP, BMP, TIFF or GIF files, "
        "or take the folder away"
    )
