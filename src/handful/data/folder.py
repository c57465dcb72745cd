"""A folder per class, also with `train/ val/ test/` above; and images anywhere, to predict."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from handful.contracts import ImageRef, missing_path
from handful.data import _passed_over
from handful.data._walk import (
    EXTENSIONS,
    PHOTO_EXTENSIONS,
    Search,
    entries,
    is_folder,
    printable,
    written_by_handful,
)
from handful.data.dataset import SPLITS, Dataset
from handful.errors import InputError

__all__ = ["EXTENSIONS", "PHOTO_EXTENSIONS", "STRAY", "FoundImages", "find_images", "folder"]

STRAY = "outside the class folders"  # what `Dataset.ignored` calls images without a class


def folder(path: str | Path) -> Dataset:
    """Labelled images from `path/<class>/...` or `path/<train|val|test>/<class>/...`.

    The folder's name is the label; folders below a class belong to it. Hidden files, folders of
    systems (`@eaDir`, `$RECYCLE.BIN`), what Handful wrote and files without an image's extension
    are passed over and counted in `Dataset.ignored`; a folder below a class that cannot be listed
    is named in `Dataset.unreadable`.

    Raises:
        InputError: no such folder, no class folders, a class without images or whose folder cannot
            be listed, no images at all.
    """
    top = Path(path)
    if not top.is_dir():
        raise InputError(f"{path}: is not a folder; expected one folder per class in it")
    ignored: Counter[str] = Counter()
    parts = _split_folders(top)
    found: list[tuple[str, str, Path]] = []
    unreadable: list[tuple[str, str]] = []
    for part, split in parts or [(top, "")]:
        for name in _class_folders(part, ignored):
            label = unicodedata.normalize("NFC", name)  # a Mac writes é as two characters
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
    given = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
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
    """Names of the class folders; counts what else lies beside them."""
    inside = [(entry, _passed_over.passed_over(entry)) for entry in entries(part)]
    ignored.update(why for _, why in inside if why)
    names = [e.name for e, why in inside if not why and is_folder(e)]
    loose = [e.name for e, why in inside if not why and not is_folder(e)]
    images = [n for n in loose if _is_image(n)]
    if not names:
        if images:
            raise InputError(
                f"{part}: {len(images)} images lie in this folder without a class; "
                f"put them into one folder per class: {part.name}/<class>/{images[0]}"
            )
        raise InputError(f"{part}: has no images; expected one folder per class with images in it")
    ignored.update(STRAY if _is_image(n) else _passed_over.kind(n) for n in loose)
    written = [n for n in names if written_by_handful(part / n)]
    ignored.update(_passed_over.OWN for _ in written)
    return sorted(set(names) - {*written})


def _folders(path: Path) -> list[str]:
    """Folders that may be classes or splits."""
    inside = [e.name for e in entries(path) if not _passed_over.passed_over(e) and is_folder(e)]
    return [name for name in inside if not written_by_handful(path / name)]


def _is_image(name: str) -> bool:
    return _passed_over.kind(name) in EXTENSIONS


def _ref(path: Path) -> ImageRef:
    return ImageRef.of(path, printable(path))  # a name that can be printed and stored


def _nothing(path: Path, skipped: Counter[str], what: str) -> str:
    passed = ", ".join(f"{n} x {e}" for e, n in skipped.most_common(3))
    there = f" (passed over: {passed})" if passed else ""
    return (
        f"{path}: {what} has no images{there}; expected JPEG, PNG, WebP, BMP, TIFF or GIF files, "
        "or take the folder away"
    )
