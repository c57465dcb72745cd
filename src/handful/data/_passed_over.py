"""What lies among photos and is none: leavings of systems and drives, and what Handful wrote."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

# Kinds in `Dataset.ignored` and `FoundImages.ignored`, beside extensions such as `.mov`.
HIDDEN, NO_EXTENSION = "hidden", "no extension"
SYSTEM = "system or trash"
OWN = "written by Handful"

# Folders and files that systems make by themselves, in the case of any of them. They hold
# thumbnails, deleted photos or older states: pictures that nobody labelled or asked about.
_SYSTEM = frozenset(
    (
        *(
            "@eadir",
            "#recycle",
            "#snapshot",
            "@tmp",
            "@synoresource",
        ),  # Synology: thumbnails, trash
        *("@recycle", "@recently-snapshot", "@__thumb", ".@__thumb"),  # QNAP
        *("~snapshot", ".snapshot", "_gsdata_"),  # NetApp, GoodSync
        *("appledouble", ".appledouble"),  # netatalk
        *("$recycle.bin", "recycler", "recycled", "system volume information"),  # Windows
        *("thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows Explorer
        *("__macosx", "network trash folder", "temporary items"),  # a Mac's zip and its shares
        *("lost+found", ".thumbnails"),  # ext file systems, desktops of Linux, Android
    )
)
# Lightroom's previews; Synology's thumbnails, which lie in @eaDir and are copied out of it; what
# Windows' chkdsk found.
_SYSTEM_PATTERN = re.compile(r".*\.lrdata|synophoto_thumb_.*|found\.\d{3}", re.IGNORECASE)
# Names that people and programs give to deleted photos or thumbnails, and that may be a class.
_MAY_BE_TRASH = frozenset(
    ("trash", "recycle bin", "recycling bin", "papierkorb", "thumbs", "thumbnails", "dropbox.cache")
)
# On Windows a name does not say that a file is hidden; its attributes do.
_ATTRIBUTES = stat.FILE_ATTRIBUTE_HIDDEN | stat.FILE_ATTRIBUTE_SYSTEM

# By these files a folder that Handful wrote is known: all of one row lie in it.
_MARKS: tuple[frozenset[str], ...] = tuple(
    frozenset(names)
    for names in (
        ("pack.json", "weights.safetensors"),  # a skill
        ("library.json",),
        ("evaluation.json",),
        ("doctor.json",),
        ("report.json", "report.md"),  # of compare and bench
        ("next.csv", "next.png"),
        ("training.safetensors",),  # a checkpoint
    )
)
# The pictures that it writes beside them; of a long one, several sheets.
_FIGURE = re.compile(
    r"(confusion|reliability|curves|subgroups|doctor|accuracy|figure|next)([-_]?\d+)?\.png"
)
OWN_FOLDERS = frozenset(("gallery",))  # and folders of pictures


def is_system(name: str) -> bool:
    """Whether a name is one of those that systems give to their own folders and files."""
    return name.casefold() in _SYSTEM or bool(_SYSTEM_PATTERN.fullmatch(name))


def may_be_trash(name: str) -> bool:
    """Whether a folder of this name may hold what somebody deleted, or thumbnails."""
    return name.casefold() in _MAY_BE_TRASH


def passed_over(entry: os.DirEntry[str]) -> str:
    """Why a file or folder is never looked at: `SYSTEM` or `HIDDEN`; "" where it is."""
    if is_system(entry.name):
        return SYSTEM
    return HIDDEN if entry.name.startswith(".") or _has_hidden_attribute(entry) else ""


def kind(name: str) -> str:
    """The extension by which files that are no photos are counted."""
    return Path(name).suffix.lower() or NO_EXTENSION


def is_figure(name: str) -> bool:
    """Whether a picture beside such files is one of those that Handful writes there."""
    return bool(_FIGURE.fullmatch(name))


def holds_own_files(names: Collection[str]) -> bool:
    """Whether a folder with these names in it is a skill or a report of Handful."""
    return any(marks <= set(names) for marks in _MARKS)


def _has_hidden_attribute(entry: os.DirEntry[str]) -> bool:
    if os.name != "nt":  # elsewhere it costs a system call for each file
        return False
    try:
        found = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    except OSError:  # gone or forbidden: whoever reads it says so
        return False
    return bool(found & _ATTRIBUTES)
