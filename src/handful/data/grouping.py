"""How groups of images are stated: a column, a folder, a pattern on names, or the time between.

A group is what belongs together: a burst, a patient, a place. `with_groups` gives every image of a
data set the name of its group, over all splits, so that a group torn apart by splits is refused.
Near copies, which `auto` joins where nothing is stated, need features:
`handful.skills.near_copies`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from handful.contracts import ImageRef
from handful.data._files import file_in_errors
from handful.data.dataset import LabelledImages
from handful.data.exif import read_exif
from handful.data.group_by import AUTO, OPTION, GroupBy, Kind, parse_group_by
from handful.errors import InputError

COLUMN = "group"  # of a table, which the data set keeps as its groups
DatasetT = TypeVar("DatasetT", bound=LabelledImages)


@dataclass(frozen=True)
class Grouped(Generic[DatasetT]):
    """A data set with the groups that were asked for.

    Args:
        dataset: the same images; `groups` are the new ones.
        how: as it was asked for, such as `60s`.
        alone: names of images of which nothing could be told, such as those without a time; each
            is alone.
        why: what these images lack, after their number: "photos have no time ...".
    """

    dataset: DatasetT
    how: str
    alone: tuple[str, ...] = ()
    why: str = ""

    @property
    def note(self) -> str:
        """What to tell of images that are alone for lack of a fact; "" where there are none."""
        if not self.alone:
            return ""
        count = len(self.alone)
        return f"{count} of {len(self.dataset)} photos {self.why}, such as {self.alone[0]}"


def with_groups(dataset: DatasetT, group_by: str = AUTO) -> DatasetT:
    """The data set with the groups that were asked for; see `group_images`.

    >>> from handful.data import Dataset
    >>> two = Dataset((ImageRef.of("a_1.jpg"), ImageRef.of("a_2.jpg")), ("cat", "cat"))
    >>> with_groups(two, "(.+)_").groups
    ('a', 'a')
    """
    return group_images(dataset, group_by).dataset


def group_images(
    dataset: DatasetT, group_by: str = AUTO, where: object = None
) -> Grouped[DatasetT]:
    """Give every image the name of its group; "" is an image of none.

    Args:
        dataset: labelled images, of all splits.
        group_by: `auto`, which keeps the groups that the data state; `none`; `parent`, the folder
            that holds the photo (`parent2`, the one above it); a duration such as `60s`: photos of
            one camera (else of one folder), each at most that long after the one before; a regular
            expression with one part in brackets, on the file's name; a column of the table.
        where: the source, which errors name where it is a path.

    Raises:
        InputError: what cannot be meant, with what would do; a group in more than one split.
    """
    with file_in_errors(where) if isinstance(where, str | Path) else nullcontext():
        return _group_images(dataset, group_by)


def _group_images(dataset: DatasetT, group_by: str) -> Grouped[DatasetT]:
    how = parse_group_by(group_by, _columns(dataset))
    if how.kind == "auto":
        alone = [
            i.name for i, group in zip(dataset.images, dataset.groups, strict=True) if not group
        ]
        if len(alone) == len(dataset):  # none is stated
            return Grouped(dataset, group_by)
        return Grouped(dataset, group_by, tuple(alone), "have no group stated and are each alone")
    groups, why = _WAYS[how.kind](dataset, how)
    lacking = [image.name for image, group in zip(dataset.images, groups, strict=True) if not group]
    found = replace(dataset, groups=tuple(groups))
    return Grouped(found, group_by, tuple(lacking) if why else (), why)


def _columns(dataset: LabelledImages) -> list[str]:
    stated = [COLUMN] if any(dataset.groups) and COLUMN not in dataset.columns else []
    return [*dataset.columns, *stated]


def _none(dataset: LabelledImages, _: GroupBy) -> tuple[list[str], str]:
    return [""] * len(dataset), ""


def _by_column(dataset: LabelledImages, how: GroupBy) -> tuple[list[str], str]:
    cells = dataset.columns.get(how.column, dataset.groups)
    return [*cells], f"have an empty cell in the column {how.column!r} and are each alone"


def _by_name(dataset: LabelledImages, how: GroupBy) -> tuple[list[str], str]:
    if how.pattern is None:  # excluded by the parser; for the type checker
        raise InputError(f"{OPTION}: expected a pattern")
    matches = [how.pattern.search(_file_name(image)) for image in dataset.images]
    groups = [(match[1] or "") if match else "" for match in matches]
    if not any(groups):
        raise InputError(
            f"{OPTION}: no file's name holds {how.pattern.pattern!r}, such as "
            f"{_file_name(dataset.images[0])!r}; correct the expression"
        )
    return groups, "have a name in which the expression finds nothing and are each alone"


def _by_parent(dataset: LabelledImages, how: GroupBy) -> tuple[list[str], str]:
    groups = _folders(dataset.images, how.levels)
    if not any(groups):
        raise InputError(f"{OPTION}: the images are in no folder; state groups in another way")
    homes = {*zip(groups, dataset.labels, dataset.splits, strict=True)}
    kinds = {*zip(dataset.labels, dataset.splits, strict=True)}
    # of a multi-label data set, whose labels are tuples, one folder of everything is refused alone
    if len(homes) == len(kinds) == len(set(groups)) or len(set(groups)) == 1:
        raise InputError(
            f"{OPTION}: every class would be one group, for its photos lie in one folder; "
            "make a folder of each group in it (class/burst/photo.jpg), or state groups by a "
            "duration such as 60s, by a pattern on names or by a column"
        )
    return groups, "are in no folder and are each alone"


def _by_time(dataset: LabelledImages, how: GroupBy) -> tuple[list[str], str]:
    facts = [read_exif(image) for image in dataset.images]
    folders = _folders(dataset.images)
    cameras = [f.camera or folder for f, folder in zip(facts, folders, strict=True)]
    times = [f.time for f in facts]
    if not any(times):
        raise InputError(
            f"{OPTION}: no photo says when it was taken (EXIF), as after a messenger or an editor "
            "has written it anew; state groups by names, folders or a column instead"
        )
    several = len({c for c, time in zip(cameras, times, strict=True) if time}) > 1
    groups = [""] * len(times)
    for i, first in chains(cameras, times, how.seconds).items():
        groups[i] = f"{cameras[first]} {times[first]}".strip() if several else f"{times[first]}"
    return groups, "do not say when they were taken (EXIF) and are each alone"


def chains(
    cameras: Sequence[str], times: Sequence[datetime | None], seconds: float
) -> dict[int, int]:
    """Position of each image that has a time, to that of the first of its burst.

    A burst is of one camera, each photo at most `seconds` after the one before it.
    """
    timed = [(cameras[i], time, i) for i, time in enumerate(times) if time is not None]
    found: dict[int, int] = {}
    before: tuple[str, datetime, int] | None = None
    for camera, time, i in sorted(timed):
        follows = before and before[0] == camera and (time - before[1]).total_seconds() <= seconds
        found[i] = found[before[2]] if before and follows else i
        before = (camera, time, i)
    return found


def _file_name(image: ImageRef) -> str:
    return PurePath(image.name.replace("\\", "/")).name


def _folders(images: Iterable[ImageRef], levels: int = 1) -> list[str]:
    """The folder of each image, without what all have in common; "" for an image of none.

    The common part would say where the photos lie on this machine, and a skill keeps the names.
    """
    places: list[tuple[str, ...]] = []
    for image in images:
        path = image.path
        parts = PurePath(os.path.abspath(path)).parts[:-levels] if path else ()  # noqa: PTH100
        places.append(parts)
    common = _shared_start([part for part in places if part])
    return ["/".join(part[common:]) for part in places]


def _shared_start(places: Sequence[tuple[str, ...]]) -> int:
    """How many folders all paths begin with; also the shortest keeps its own name."""
    if not places:
        return 0
    first, last = min(places), max(places)
    differ = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return min(next(differ, len(first)), min(map(len, places)) - 1)


_WAYS: dict[Kind, Callable[[LabelledImages, GroupBy], tuple[list[str], str]]] = {
    "none": _none,
    "column": _by_column,
    "name": _by_name,
    "parent": _by_parent,
    "time": _by_time,
}
