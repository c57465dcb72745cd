"""Several labels in one cell: lists of JSON or Python, and commas that nobody said are separators.

pandas writes a column of lists as `['a', 'b']`, other programs as `["a", "b"]`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from handful.data._image_table import cell_text

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
# numpy's way, which Python would read as one text
_NO_COMMA = re.compile(r"(?<![,\[({\s])(?P<quote>['\"])\s+(?P=quote)")


def label_list(cell: Any) -> list[str] | None:
    """The names in a cell that is a list, or whose text is one; None where it is neither.

    >>> label_list("['a', 'b']"), label_list('["a"]'), label_list("a, b")
    (['a', 'b'], ['a'], None)
    """
    if isinstance(cell, list | tuple | set | frozenset):
        return [cell_text(part) for part in cell]
    text = cell.strip() if isinstance(cell, str) else ""
    if not text or _BRACKETS.get(text[0]) != text[-1] or _NO_COMMA.search(text):
        return None
    try:
        parts = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(parts, list | tuple | set):
        return None
    named = all(isinstance(part, str | int) for part in parts)
    return [cell_text(part) for part in parts] if named else None


def looks_like_list(cell: Any) -> bool:
    """Whether a text stands in square brackets, whatever is in them."""
    return isinstance(cell, str) and cell.strip()[:1] == "[" and cell.strip()[-1:] == "]"


def comma_joined(labels: Iterable[str]) -> list[str]:
    """Labels that seem to be several labels with commas between them, sorted.

    That is where a part of one is a label of its own, or a part of another one too.

    >>> comma_joined(["Forest", "Forest, Road", "dog, small"])
    ['Forest, Road']
    """
    there = set(labels)
    parts = {label: {part.strip() for part in label.split(",")} for label in there}
    used = Counter(part for each in parts.values() for part in each)
    return sorted(
        label for label in there if "," in label and any(used[part] > 1 for part in parts[label])
    )
