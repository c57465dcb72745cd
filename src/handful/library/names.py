"""What a skill may be called in a library, on every disk and in every script."""

from __future__ import annotations

import re
import unicodedata

from handful.errors import InputError

_NAME = re.compile(r"\w[\w .-]*")  # no slash: `name/class` has to tell the two apart
_RESERVED = frozenset({"unknown", "zero-shot", "library.json"})
_LETTERS, _BYTES = 80, 200  # disks allow 255 bytes, and a name is longer while it is written


def check(name: str) -> None:
    """Refuse what cannot be a skill's name.

    Raises:
        InputError: says what can be.

    >>> check("Vögel"), check("पक्षी")
    (None, None)
    """
    # macOS writes é as e and an accent, and some scripts have marks for vowels
    letters = "".join(c for c in name if unicodedata.category(c)[0] != "M")
    long = len(name) > _LETTERS or len(name.encode(errors="replace")) > _BYTES
    if long or not _NAME.fullmatch(letters) or name[-1] in " ." or same(name) in _RESERVED:
        shown = name if len(name) <= _LETTERS else f"{name[:_LETTERS]}..."
        raise InputError(
            f"{shown!r} cannot be a skill's name in a library: letters, digits, spaces, dots, - "
            f"and _, up to {_LETTERS} of them and {_BYTES} bytes, a letter or digit first, and not "
            "'unknown' or 'zero-shot'; give another (--name, name=)"
        )


def same(name: str) -> str:
    r"""Equal for names that some disk takes for one.

    >>> same("Caf\u00e9") == same("cafe\u0301")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()
