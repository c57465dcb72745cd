"""Names of folders that speak of a part of a data set, a place or a time, and not of a class."""

from __future__ import annotations

import re

# Folders that every class may hold alike: a camera's own (100MEDIA), a date, a numbered series.
INSIDE_A_CLASS = re.compile(
    r"\d{3}[a-z0-9_]{5}|\d{4}[-_. ]?\d\d[-_. ]?\d\d.*|dcim"
    r"|(burst|group|patient|subject|session|visit|site|location|place|camera|cam|roll|sequence|"
    r"seq|video|clip|batch)s?[-_ ]*[a-z0-9]{0,4}",
    re.IGNORECASE,
)
# Parts, places and times: part1, set-a, north, night, winter, 2021, and codes such as BR03 or b00.
_PART = re.compile(
    r"\d+|[a-z]|[a-z]{1,3}[-_ ]?\d{1,4}[a-z]?"
    r"|(north|south|east|west)*(ern)?|[ns][ew]|upper|lower|left|right|front|back|inside|outside"
    r"|day(time)?|night(time)?|dawn|dusk|morning|noon|evening|dry|wet"
    r"|spring|summer|autumn|winter|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
    r"|(part|set|fold|split|subset|series|round|run|version|ver|rater|annotator|reader|user|"
    r"area|plot|region|zone|station|transect|deployment|trap|field|year|month|week|day|night|"
    r"hospital|scanner)s?[-_ ]*([a-z]|\d{1,4})?",
    re.IGNORECASE,
)


def looks_like_a_part(name: str) -> bool:
    """Whether a name is that of a part, a place or a time rather than of a class.

    >>> looks_like_a_part("BR03"), looks_like_a_part("set-a"), looks_like_a_part("Forest")
    (True, True, False)
    """
    return bool(INSIDE_A_CLASS.fullmatch(name) or _PART.fullmatch(name))
