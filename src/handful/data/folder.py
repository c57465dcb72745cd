"""A folder per class, also with `train/ val/ test/` above; and images anywhere, to predict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from handful.contracts import ImageRef, at_home, missing_path
from handful.data import _passed_over
from handful.data._split_folders import class_like, split_folders
from handful.data._walk import (
    EXTENSIONS,
    PHOTO_EXTENSIONS,
    Search,
    entries,
    is_folder,
    printable,
    written_by_handful,
)
from handful.data.dataset import Dataset
from handful.data.reading import remark
from handful.data.text import clean_name
from handful.errors import InputError

__all__ = ["EXTENSIONS", "PHOTO_EXTENSIONS", "STRAY", "FoundImages", "find_images", "folder"]

STRAY = "outside the class folders"  # what `Dataset.ignored` calls images without a class


def folder(path: str | Path, *, classes: bool = False) -> Dataset:
    """Labelled images from `path/<class>/...` or `path/<train|val|test>/<class>/...`.

    The folder's name is the label; folders below a class belong to it. Hidden files, folders of
    systems (`@eaDir`, `$RECYCLE.BIN`), what Handful wrote and files without an image's extension
    are passed over and counted in `Dataset.ignored`; a folder below a class that cannot be listed
    is named in `Dataset.unreadable`.

    Args:
        path: the folder.
        classes: where the folders in it all hold the same folders: they are known to be classes.

    Raises:
        InputError: no such folder, no class folders, a class without images or whose folder cannot
            be listed or whose name is no UTF-8, no images at all, folders of which it is not clear
            whether they are classes.
    """
    top = at_home(path)
    if not top.is_dir():
        raise InputError(f"{path}: is not a folder; expected one folder per class in it")
    ignored: Counter[str] = Counter()
    parts = split_folders(top, classes=classes)
    if parts:
        _count_beside(top, ignored)
    found: list[tuple[str, str, Path]] = []
    unreadable: list[tuple[str, str]] = []
    for part, split in parts or [(top, "")]:
        for name in _class_folders(part, ignored):
            label = clean_name(name)  # a Mac writes é as two characters
            _check_name(part / name)
            search = Search()
            images = search.images(part / name)
            ignored.update(search.ignored)
            unreadable += search.unreadable
            if not images:
                raise InputError(_nothing(part / name, search.ignored, f"class {label!r}"))
            found += [(label, split, image) for image in images]
    if not found:
        raise InputError(f"{path}: has no images; expected one folder per class with images in it")
    labels, splits, paths = zip(*found, strict=True)
    return Dataset(
        images=tuple(_ref(p) for p in paths),
        labels=labels,
        splits=splits,
        ignored=dict(ignored),
        unreadable=tuple(unreadable),
    )


class FoundImages(list[ImageRef]):
    """Images of files and folders, and what was passed over.

    Attributes:
        ignored: kind (an extension such as `.mov`, `hidden`, `no extension`, `system or trash`) to
            number of files, and of folders that are not searched.
        unreadable: name and reason of folders that cannot be listed, below those that were named.
    """

    def __init__(
        self,
        images: Iterable[ImageRef],
        ignored: Mapping[str, int],
        unreadable: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(images)
        self.ignored = dict(ignored)
        self.unreadable = tuple(unreadable)

    def with_unreadable(self) -> list[ImageRef]:
        """The images, then the folders that cannot be listed, as references that say why."""
        lost = (
            ImageRef(name, problem=reason.removeprefix(f"{name}: "))
            for name, reason in self.unreadable
        )
        return [*self, *lost]


def find_images(paths: Iterable[str | Path] | str | Path) -> FoundImages:
    """Every image in any mixture of files and folders, in the order given, none twice.

    A folder is searched to its bottom, in natural order. A file that is named is always taken,
    whatever its extension, and so is every photo of a folder (`PHOTO_EXTENSIONS`); one that cannot
    be read fails later, by name, and stops no other. So does a folder that cannot be listed, unless
    it was itself named.

    Raises:
        InputError: no image at all; only names of files that do not exist; a named folder that
            cannot be listed.
    """
    found: dict[str, Path] = {}
    search = Search(EXTENSIONS | PHOTO_EXTENSIONS)
    given = [at_home(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for path in given:
        for image in search.images(path) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(image), image)  # noqa: PTH100  # keeps links apart
    if not given:
        raise InputError("no images given; name image files or folders")
    if not found:
        lost = "".join(f"; {reason}" for _, reason in search.unreadable[:3])
        raise InputError(_nothing(given[0], search.ignored, "the folder") + lost)
    if not any(os.path.lexists(p) for p in found.values()):
        raise InputError(missing_path(given[0], "check the path"))
    return FoundImages([_ref(p) for p in found.values()], search.ignored, search.unreadable)


def _class_folders(part: Path, ignored: Counter[str]) -> list[str]:
    """Names of the class folders; counts what else lies beside them."""
    names = class_like(part)
    loose = _count_beside(part, ignored)
    if not names and loose:
        raise InputError(
            f"{part}: {len(loose)} images lie in this folder without a class; "
            f"put them into one folder per class: {part.name}/<class>/{loose[0]}"
        )
    if not names:
        raise InputError(f"{part}: has no images; expected one folder per class with images in it")
    return names


def _check_name(path: Path) -> None:
    """Refuse a class folder whose name is no text; ask about one that may hold deleted photos."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{printable(path)}: the name of this class folder is not UTF-8; rename it"
        ) from error
    if _passed_over.may_be_trash(path.name):
        remark(
            "is taken for a class by its name in this place; if it holds deleted photos or "
            "thumbnails, take it out",
            str(path),
        )


def _count_beside(part: Path, ignored: Counter[str]) -> list[str]:
    """Count what lies beside folders of classes or splits; returns the images among it."""
    images: list[str] = []
    for entry in entries(part):
        why = _passed_over.passed_over(entry)
        if not why and is_folder(entry):
            why = _passed_over.OWN if written_by_handful(Path(entry.path)) else ""
        elif not why and _passed_over.kind(entry.name) in EXTENSIONS:
            images.append(entry.name)
            why = STRAY
        else:
            why = why or _passed_over.kind(entry.name)
        ignored.update([why] * bool(why))
    return images


def _ref(path: Path) -> ImageRef:
    return ImageRef.of(path, printable(path))  # a name that can be printed and stored


def _nothing(path: Path, skipped: Counter[str], what: str) -> str:
    passed = ", ".join(f"{n} x {e}" for e, n in skipped.most_common(3))
    there = f" (passed over: {passed})" if passed else ""
    return (
        f"{path}: {what} has no images{there}; expected JPEG, PNG, WebP, AVIF, BMP, TIFF, "
        "GIF or DICOM files, or take the folder away"
    )
