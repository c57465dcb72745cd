"""Names in a library: its own file, valid names of skills, names of classes in its answers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from handful.contracts import at_home
from handful.errors import InputError
from handful.packs.format import LIBRARY as MANIFEST

_NAME = re.compile(r"\w[\w .-]*")  # no slash: `name/class` has to tell the two apart
_RESERVED = frozenset({"unknown", "zero-shot", MANIFEST})
_MAX_LETTERS = 80
_MAX_BYTES = 200  # disks allow 255, and a name is longer while its folder is written


def is_library(folder: str | Path) -> bool:
    """Whether a folder is a library."""
    return (at_home(folder) / MANIFEST).is_file()


def check_skill_name(name: str) -> None:
    """Refuse what cannot be a skill's name.

    Raises:
        InputError: not a valid name; states the rule.

    >>> check_skill_name("Vögel"), check_skill_name("पक्षी")
    (None, None)
    """
    # macOS writes é as e and an accent, and some scripts have marks for vowels
    letters = "".join(c for c in name if unicodedata.category(c)[0] != "M")
    long = len(name) > _MAX_LETTERS or len(name.encode(errors="replace")) > _MAX_BYTES
    if long or not _NAME.fullmatch(letters) or name[-1] in " ." or fold(name) in _RESERVED:
        shown = name if len(name) <= _MAX_LETTERS else f"{name[:_MAX_LETTERS]}..."
        raise InputError(
            f"{shown!r} cannot be a skill's name in a library: letters, digits, spaces, dots, - "
            f"and _, up to {_MAX_LETTERS} of them and {_MAX_BYTES} bytes, a letter or digit first, "
            "and not 'unknown' or 'zero-shot'; give another (--name, name=)"
        )


def fold(name: str) -> str:
    r"""Equal for names that some disk takes for one: without case, and composed.

    >>> fold("Caf\u00e9") == fold("cafe\u0301")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


def union_labels(classes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The class names of all skills; `skill/class` where one is not the only one of its name.

    >>> union_labels({"art": ["red", "blue"], "cars": ["Red"]})
    ('art/red', 'blue', 'cars/Red')
    """
    skills = {skill.casefold() for skill in classes}
    counts = Counter(c.strip().casefold() for names in classes.values() for c in names)

    def unique(name: str) -> bool:
        head, slash, _ = name.partition("/")  # a class named as if it were another skill's
        return counts[name.strip().casefold()] == 1 and not (slash and head.casefold() in skills)

    return tuple(
        c if unique(c) else f"{skill}/{c}" for skill, names in classes.items() for c in names
    )
