"""`parse_group_by`: reads how groups are stated, as users write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from handful.errors import InputError

AUTO, NONE = "auto", "none"
OPTION = "--group-by (group_by=)"  # as errors call it, on the command line and in Python
Kind = Literal["auto", "none", "parent", "time", "name", "column"]

_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)")
_SEVERAL = re.compile(r"(\d+\s*(s|sec|m|min|h|d)\s*)+(\d+\s*(s|sec|m|min)?)|\d+:\d\d(:\d\d)?")
_WOULD_DO = (
    "groups are stated by auto, none, parent (the photo's folder), a duration such as 60s or 5min, "
    "a regular expression with one part in brackets for the file's name such as '(.+)_', or a "
    "column of the table"
)


@dataclass(frozen=True)
class GroupBy:
    """How groups are stated, as `parse_group_by` reads it.

    Args:
        kind: which of the ways.
        seconds: of `time`: at most that long after the photo before.
        pattern: of `name`: its one group is the name.
        column: of `column`: its name.
        levels: of `parent`: folders up, 1 for the one that holds the photo.
    """

    kind: Kind
    seconds: float = 0.0
    pattern: re.Pattern[str] | None = None
    column: str = ""
    levels: int = 1


def parse_group_by(text: str, columns: Sequence[str] = ()) -> GroupBy:
    """Read how groups are stated.

    Args:
        text: as users write it.
        columns: names of the columns that the data have.

    Raises:
        InputError: what cannot be meant, or could be two things; says what would do.

    >>> parse_group_by("5min").seconds
    300.0
    >>> parse_group_by("patient", ["patient", "site"]).column
    'patient'
    """
    if not isinstance(text, str):
        raise InputError(f"{OPTION}: expected a text, got {text!r}; {_WOULD_DO}")
    asked = text.strip()
    if not asked:
        raise InputError(f"{OPTION}: is empty; {_WOULD_DO}")
    word = asked.casefold()
    exact = [name for name in columns if name == asked]
    same = exact or [name for name in columns if name.casefold() == word]
    found = _word(word) or _duration(word, check=not same)
    if found and same:
        raise InputError(
            f"{OPTION}: {asked!r} has a meaning of its own and is a column too; rename the column"
        )
    if same:
        return GroupBy("column", column=same[0])
    return found or _pattern(asked, columns)


def _word(word: str) -> GroupBy | None:
    if word in (AUTO, NONE):
        return GroupBy("auto" if word == AUTO else "none")
    parent = re.fullmatch(r"parent([1-9]?)", word)
    return GroupBy("parent", levels=int(parent[1] or 1)) if parent else None


def _duration(word: str, *, check: bool) -> GroupBy | None:
    match = _DURATION.fullmatch(word)
    if check and not match and _SEVERAL.fullmatch(word):
        raise InputError(
            f"{OPTION}: {word!r} is read as a duration in two units; write it in "
            "one, such as 90min for an hour and a half"
        )
    if not match or not (check or match[2] in _UNITS):
        return None
    if match[2] not in _UNITS:
        what = f"{match[2]!r} is no unit of time" if match[2] else "its unit is not said"
        raise InputError(
            f"{OPTION}: {word!r} is read as a duration, and {what}; write {match[1]}s, "
            f"{match[1]}min, {match[1]}h or {match[1]}d"
        )
    if not float(match[1]):
        raise InputError(
            f"{OPTION}: {word!r} is no time; write a duration above 0, such as 1s "
            "for photos of one second, or none where every photo is alone"
        )
    return GroupBy("time", seconds=float(match[1]) * _UNITS[match[2]])


def _pattern(asked: str, columns: Sequence[str]) -> GroupBy:
    try:
        pattern = re.compile(asked)
    except re.error as error:
        raise InputError(
            f"{OPTION}: {asked!r} is no regular expression ({error}); {_WOULD_DO}"
        ) from error
    if pattern.groups == 1:
        return GroupBy("name", pattern=pattern)
    if pattern.groups:
        raise InputError(
            f"{OPTION}: {asked!r} has {pattern.groups} parts in brackets, and one has to be the "
            "group's name; write (?:...) for the others"
        )
    there = f" (its columns: {', '.join(columns)})" if columns else ""
    if re.fullmatch(r"[\w .-]+", asked):  # a word; nobody writes such an expression
        raise InputError(f"{OPTION}: the data have no column {asked!r}{there}; {_WOULD_DO}")
    raise InputError(
        f"{OPTION}: {asked!r} has no part in brackets, which would be the group's name; {_WOULD_DO}"
    )
