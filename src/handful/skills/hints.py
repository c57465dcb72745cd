"""Hints of `handful fit`: groups that the data seem to state, classes that mean none of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from handful.data import LabelledImages

# names of columns that tables of patients, camera traps and videos have for what belongs together
_GROUP_COLUMNS = re.compile(
    "(burst|sequence|seq|patient|subject|location|deployment|individual|animal|event|video|session"
    "|study|case|slide|plot)([ _]?id)?"
)
_NONE_OF_THEM = frozenset({"unknown", "empty", "blank", "nothing", "misc"})
_LAST_PART = re.compile(r"(.+)([_-])[A-Za-z]{0,6}\d+")  # `Forest_03_f1`
_SHARED = 0.5  # of the photos, that share the beginning of their names with another


def group_hint(images: LabelledImages) -> str:
    """How groups could be stated, where a column or the names of files look like it; "" for none.

    Args:
        images: labelled images of which no groups are stated.
    """
    for name, cells in images.columns.items():
        if _GROUP_COLUMNS.fullmatch(name.strip().casefold()) and _repeats(cells):
            return f"The column {name!r} may say what belongs together: --group-by {name}."
    stems = [PurePath(image.name.replace("\\", "/")).stem for image in images.images]
    matches = [_LAST_PART.fullmatch(stem) for stem in stems]
    for sign in "_-":
        parts = [m[1] if m and m[2] == sign else "" for m in matches]
        sizes = Counter(part for part in parts if part)
        alike = sum(n for n in sizes.values() if n > 1)
        # one beginning a class says no more than the class
        if len(sizes) > len(images.classes) and alike >= _SHARED * len(parts):
            first = next(i for i, part in enumerate(parts) if sizes[part] > 1)
            return (
                f"Names such as {PurePath(images.images[first].name).name} may say what belongs "
                f"together: --group-by '(.+){sign}' would make {len(sizes)} groups."
            )
    return ""


def none_of_them_hint(classes: Iterable[str]) -> str:
    """That a class called `unknown` or `empty` is taught like any other; "" where none is."""
    for name in classes:
        if name.strip().casefold() in _NONE_OF_THEM:
            return (
                f"{name!r} is taught as a class like the others; to use its photos for the answer "
                "unknown, call the folder (or the label) background."
            )
    return ""


def _repeats(cells: Sequence[str]) -> bool:
    """Whether cells name several groups, and any group more than once."""
    sizes = Counter(cell for cell in cells if cell.strip())
    return 1 < len(sizes) < sum(sizes.values())
