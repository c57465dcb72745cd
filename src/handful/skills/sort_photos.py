"""Photos into a folder for each answer, as copies or links; nothing is overwritten or moved."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from handful.contracts import ImageRef
from handful.errors import InputError
from handful.report import files
from handful.skills.prediction import Prediction

UNKNOWN, NONE = "_unknown", "_none"  # folders of refusals, and of photos of none of several labels
# What Windows takes in no name; a leading underscore would meet the folders above
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]|^[._ ]|[. ]+$')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", -1), errno.EROFS)


class PhotoSorter:
    """Puts each photo into `folder/<class>/`.

    A photo that is there already is left: the same bytes under the same name. Other bytes of that
    name get a number: `IMG_0001-2.jpg`.

    Args:
        folder: made where it is missing.
        read: files and folders that the photos come from; the folder may lie in none of them.
        link: make symbolic links in place of copies.
        several: photos have several labels: one goes into the folder of each.

    Raises:
        InputError: the folder lies in one that is read, or is a file.
        StorageError: nothing can be written there.

    Attributes:
        placed: photos that are where they belong.
        failed: photos that could not be put there.
        reason: of the first of them, with its name.
    """

    def __init__(
        self, folder: Path, read: Sequence[Path], *, link: bool = False, several: bool = False
    ) -> None:
        inside = Path(os.path.realpath(folder))
        for source in read:
            if source.is_dir() and inside.is_relative_to(os.path.realpath(source)):
                raise InputError(
                    f"{folder}: lies in {source}, which is read: the next run would take the "
                    "sorted photos for new ones; choose a folder beside it"
                )
        option = "--link-to" if link else "--copy-to"
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{option} {folder}: is a file; name a folder, which is made")
        files.check_folder(folder)
        self.folder, self.link, self.several = folder, link, several
        self.placed = self.failed = 0
        self.reason = ""

    def place(self, images: Sequence[ImageRef], answers: Sequence[Prediction]) -> None:
        """Put photos where their answers say; those without an answer stay out.

        Raises:
            StorageError: the disk is full or read-only.
        """
        for image, answer in zip(images, answers, strict=True):
            if answer.error or image.path is None:
                continue
            try:
                for name in self._names(answer):
                    self._put(image.path, self.folder / name)
                self.placed += 1
            except OSError as error:
                if error.errno in _FULL:
                    raise files.cannot_be_written(self.folder, error) from error
                self.failed += 1
                self.reason = self.reason or self._why(image.path, error)

    @property
    def summary(self) -> str:
        """What came of it, in one line."""
        verb = "linked" if self.link else "copied"
        done = f"{_photos(self.placed)} {verb} to {self.folder}{os.sep}"
        if not self.failed:
            return done
        others = "the first" if self.failed > 1 else "it"
        return f"{done}; {_photos(self.failed)} could not be ({others}: {self.reason})"

    def _why(self, photo: Path, error: OSError) -> str:
        return str(files.cannot_be_written(Path(error.filename2 or error.filename or photo), error))

    def _names(self, answer: Prediction) -> list[str]:
        if answer.unknown:
            return [UNKNOWN]
        labels = [score["label"] for score in answer.scores]
        return [folder_name(x) for x in (labels if self.several else labels[:1])] or [NONE]

    def _put(self, photo: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number, there = 1, folder / photo.name
        while os.path.lexists(there):
            if there.exists() and filecmp.cmp(photo, there, shallow=False):
                return
            number += 1
            there = folder / f"{photo.stem}-{number}{photo.suffix}"
        if self.link:
            there.symlink_to(photo.absolute())
            return
        part = folder / f".{photo.name}.{secrets.token_hex(4)}.part"
        try:
            shutil.copy2(photo, part)
            part.rename(there)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _photos(number: int) -> str:
    return f"{number:,} photo{'s' * (number != 1)}".replace(",", " ")


def folder_name(label: str) -> str:
    """A class as the name of a folder that every system takes.

    A name that had to change gets six digits of its digest, so that no two classes meet.

    >>> folder_name("red panda"), folder_name("cat/dog"), folder_name("_unknown")
    ('red panda', 'cat-dog-c9102e', '-unknown-72c674')
    """
    name = _UNSAFE.sub("-", label)
    if name == label and name and not _DEVICES.fullmatch(name):
        return name
    return f"{name}-{hashlib.sha256(label.encode('utf-8', 'replace')).hexdigest()[:6]}"
