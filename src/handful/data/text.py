"""Names as people and spreadsheets write them: one spelling for what looks the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Letters that nobody sees: soft hyphen, zero-width space, marks of direction, byte order mark, ...
_UNSEEN = dict.fromkeys(
    (0xAD, 0x34F, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0xFE0E, 0xFE0F, 0xFEFF)
    + tuple(range(0x202A, 0x202F))
    + tuple(range(0x2060, 0x2070))
)
# Joiners change how Persian, Indic scripts and emoji look; beside Latin letters they do nothing.
_IDLE_JOINER = re.compile(r"(?:(?<=[\0-\u024f])|^)[\u200c\u200d]+|[\u200c\u200d]+(?=[\0-\u024f]|$)")
# How programs write that a value is missing. Not "none", which is a label for photos of no class.
_MISSING = frozenset(
    ("nan", "NaN", "NAN", "-nan", "null", "NULL", "Null", "None", "N/A", "n/a", "#N/A", "<NA>")
)
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0+")


def clean_name(text: str) -> str:
    r"""A name without what cannot be seen: letters without shape, spaces at its ends, other forms.

    A Mac writes `é` as two characters, Windows as one (Unicode's forms NFD and NFC); a spreadsheet
    keeps a no-break space that was pasted into it.

    >>> clean_name("cafe\u0301 \u200b") == clean_name("\ufeffcaf\u00e9")
    True
    """
    plain = _IDLE_JOINER.sub("", unicodedata.normalize("NFC", text).translate(_UNSEEN))
    return "".join(" " if unicodedata.category(c) == "Zs" else c for c in plain).strip()


def is_missing_text(text: str) -> bool:
    """Whether a cell's text is how a program writes that there is no value.

    >>> is_missing_text("NaN"), is_missing_text("none")
    (True, False)
    """
    return text in _MISSING


def same_name(name: str, names: Iterable[str]) -> str:
    """The one of `names` that differs from `name` by nothing that can be seen; else `name`."""
    there = list(names)
    wanted = clean_name(name)
    return name if name in there else next((n for n in there if clean_name(n) == wanted), wanted)


def suggestion(name: str, known: Sequence[str]) -> str:
    """A hint for an error about a name that is not among those known; "" where none comes close.

    >>> suggestion("Sick", ["well", "sick"])
    "did you mean 'sick'? "
    """
    plain = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), plain, n=1)
    return f"did you mean {plain[close[0]]!r}? " if close else ""


def without_float_twins(labels: Sequence[str]) -> list[str]:
    """N labels; `1.0` becomes `1` where both occur, as where a column of numbers has gaps.

    >>> without_float_twins(["1", "1.0", "2.0"])
    ['1', '1', '2.0']
    """
    there = set(labels)
    found = []
    for label in labels:
        whole = _WHOLE_FLOAT.fullmatch(label)
        found.append(whole[1] if whole and whole[1] in there else label)
    return found


def case_twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in upper and lower case alone, the first seen first."""
    first: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        other = first.setdefault(name.casefold(), name)
        if other != name:
            pairs.append((other, name))
    return pairs
