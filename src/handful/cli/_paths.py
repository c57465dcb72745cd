"""Paths on the command line that must exist: refused before anything slow is imported.

Each is a callback of an argument; the room that reads such paths words the refusal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from handful.errors import InputError

# ~ or ~/photos or ~ada/photos, alone or after the = of an option or of NAME=SOURCE
_HOME = re.compile(r"(?P<before>(?:[^~=/\\]+=)?)(?P<path>~(?:[\w.-]*[/\\].*)?)", re.DOTALL)


def expand_home(arguments: Sequence[str]) -> list[str]:
    """Arguments of the command line with `~` as the user's own folder.

    A shell does it for `~/photos`, but not in quotes and not in `--out=~/skill`.
    """
    found = []
    for argument in arguments:
        match = _HOME.fullmatch(argument)
        expanded = os.path.expanduser(match["path"]) if match else ""  # noqa: PTH111
        found.append(match["before"] + expanded if match else argument)
    return found


def refuse_empty(command: Any) -> None:
    """Let a command refuse an empty path: `Path("")` is the folder one stands in.

    It holds for every argument, for every option that takes a path, and for `--encoder`.

    Args:
        command: of click; of a group, each of its commands.
    """
    for inner in getattr(command, "commands", {}).values():
        refuse_empty(inner)
    hints = get_type_hints(command.callback) if command.params and command.callback else {}
    for param in command.params:
        takes_path = param.name == "encoder" or "Path" in str(hints.get(param.name))
        if takes_path or param.param_type_name == "argument":
            param.process_value = partial(_never_empty, param, param.process_value)


def _never_empty(param: Any, process: Callable[..., Any], context: Any, value: Any) -> Any:
    """Process what was given for a parameter, or refuse it where it is, or holds, no letter."""
    if value == "" or (isinstance(value, list | tuple) and "" in value):
        named = param.param_type_name == "option"
        name = max(param.opts, key=len) if named else param.name.upper()
        raise InputError(f"{name}: an empty name was given; is a variable not set?")
    return process(context, value)


def warn_inside(out: Path | None, photos: Path | None) -> None:
    """Warn where what is written lies among the photos that it is made from."""
    if out is None or photos is None or not photos.is_dir() or (photos / "pack.json").exists():
        return
    inside, top = out.resolve(), photos.resolve()
    if inside == top or top in inside.parents:
        from handful.cli._console import echo_err

        echo_err(
            f"warning: {out} lies inside {photos}, the folder of the photos; what Handful writes "
            "is passed over there, but other programs and people may take it for a class: better "
            "write it elsewhere"
        )


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
