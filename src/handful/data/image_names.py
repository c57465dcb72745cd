"""Names of images without the folders of one machine: as short as tells them apart."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence

_LEAST = 2  # parts of a path: the folder, most often the class, and the file
# Elsewhere than on Windows a backslash separates parts where no slash does, as in names that were
# made there; never that of an escape such as \xe9, a byte of a name that is no text.
_BACKSLASH = re.compile(r"\\(?!x[89a-f][0-9a-f])")
_EITHER = re.compile(r"[/\\]")


def unique_names(names: Sequence[str], taken: Collection[str] = ()) -> tuple[str, ...]:
    """N paths by the last two of their parts, or by as many more as tell different ones apart.

    Args:
        names: N paths or other names of images; equal ones stay equal.
        taken: names that stand for other images already; none of N is the end of one, if it can.

    >>> unique_names(["/home/me/cat/DCIM/1.jpg", "/home/me/dog/DCIM/1.jpg", "/home/me/dog/2.jpg"])
    ('cat/DCIM/1.jpg', 'dog/DCIM/1.jpg', 'dog/2.jpg')
    """
    parts = {name: name_parts(name) for name in names}
    size = dict.fromkeys(parts, _LEAST)
    others = map(name_parts, taken)
    ends = {"/".join(other[i:]) for other in others for i in range(len(other))}
    grows = True
    while grows:
        alike: dict[str, list[str]] = defaultdict(list)
        for name, inside in parts.items():
            alike["/".join(inside[-size[name] :])].append(name)
        unclear = (each for short, each in alike.items() if len(each) > 1 or short in ends)
        longer = [name for each in unclear for name in each if size[name] < len(parts[name])]
        for name in longer:
            size[name] += 1
        grows = bool(longer)
    return tuple("/".join(parts[name][-size[name] :]) for name in names)


def name_parts(name: str) -> tuple[str, ...]:
    """The parts of a path, of whichever system.

    >>> name_parts("cat/1.jpg")
    ('cat', '1.jpg')
    """
    if os.name == "nt":
        return tuple(_EITHER.split(name))
    return tuple(name.split("/") if "/" in name else _BACKSLASH.split(name))


def ends_like(name: str, other: str) -> bool:
    """Whether one of two names is the end of the other, in whole parts.

    >>> ends_like("cat/1.jpg", "1.jpg"), ends_like("photos/cat/1.jpg", "cat/1.jpg")
    (True, True)
    """
    one, two = name_parts(name), name_parts(other)
    count = min(len(one), len(two))
    return one[-count:] == two[-count:]
