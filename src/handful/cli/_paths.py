"""Paths on the command line that must exist: refused before anything slow is imported.

Each is a callback of an argument; the room that reads such paths words the refusal.
"""

from __future__ import annotations

from pathlib import Path


def existing_skill(path: Path) -> Path:
    """A skill's folder or file.

    Raises:
        PackError: there is none.
    """
    if not path.exists():
        from handful.packs import storage

        storage.open_source(path)
    return path


def existing_skills(paths: list[Path]) -> list[Path]:
    """Folders or files of skills.

    Raises:
        PackError: one of them is not there.
    """
    return [existing_skill(path) for path in paths]


def existing_images(path: Path) -> Path:
    """A source of labelled images.

    Raises:
        InputError: there is none.
    """
    if not path.exists():
        from handful.data import formats

        formats.load(path)
    return path


def existing_sources(paths: list[Path]) -> list[Path]:
    """Sources of labelled images.

    Raises:
        InputError: one of them is not there.
    """
    return [existing_images(path) for path in paths]


def existing_photo(path: Path) -> Path:
    """A photo.

    Raises:
        InputError: there is none.
    """
    if not path.exists():
        from handful import data

        data.find_images([path])
    return path
