"""Whether the folders in a folder are splits (`train/`, `test_set/`) or classes.

Told by two signs. `train`, `val` and `test` and their common forms are splits where they hold
folders. Of other names (`seg_train`, `train2017`, `holdout`) that is believed only where the
folders hold the same folders below, as splits of one data set do: `test tube` may be a class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from handful.data import _passed_over
from handful.data._parts import INSIDE_A_CLASS, looks_like_a_part
from handful.data._walk import EXTENSIONS, Search, entries, is_folder, written_by_handful
from handful.data.dataset import SPLITS
from handful.data.reading import remark
from handful.errors import InputError

_ORDER = ("train", "val", "test")
# Parts of names, as people and published data sets write them, beside those of SPLITS.
_WORDS = SPLITS | {
    **dict.fromkeys(("trainset", "trainval", "trn", "learn", "learning"), "train"),
    **dict.fromkeys(("valset", "dev", "devset", "eval", "evaluation"), "val"),
    **dict.fromkeys(("testset", "tst", "holdout", "heldout", "hold out", "held out"), "test"),
}
_MOSTLY = 0.5  # of a split's folders, the least share that another split holds as well
_FEW = 3  # so few folders may be splits or places, whatever they are called


def split_folders(top: Path, *, classes: bool = False) -> list[tuple[Path, str]]:
    """Folders of splits with the split of each, in their order; none where they are classes.

    Args:
        top: the folder that holds them.
        classes: of folders that hold the same folders, and are no splits by their names: it is
            known that they are classes.

    Raises:
        InputError: splits without classes in them, splits beside other folders, or folders that
            look like splits by what they hold and not by their names.
    """
    names = class_like(top)
    if names and all(n.casefold() in SPLITS and not class_like(top / n) for n in names):
        raise InputError(_no_classes(top, names))
    below = {name: frozenset(map(str.casefold, class_like(top / name))) for name in names}
    exact = {n: SPLITS[n.casefold()] for n in names if n.casefold() in SPLITS and below[n]}
    known = exact | _told_by_names(exact, below)
    others = [n for n in names if n not in known]
    empty = [n for n in others if len(known) and _is_empty_split(top / n)]
    others = [n for n in others if n not in empty]
    if known and not others:
        for name in empty:
            remark("this split holds no photos and is passed over", str(top / name))
        return [(top / n, known[n]) for n in sorted(known, key=lambda n: _ORDER.index(known[n]))]
    if len(known) > 1 or "train" in exact.values():
        raise InputError(
            f"{top}: holds the splits {', '.join(known)} and other folders "
            f"({', '.join(others[:5])}); keep only one kind, or name one of the folders"
        )
    if not classes:
        _judge_alike(top, below)
    return []


def hold_the_same(top: Path) -> list[str]:
    """Names of the folders in a folder that all hold the same folders; none where they do not."""
    names = class_like(top)
    if any(n.casefold() in SPLITS for n in names):
        return []
    below = {name: frozenset(map(str.casefold, class_like(top / name))) for name in names}
    return names if _shared(top, below) else []


def class_like(path: Path) -> list[str]:
    """Names of the folders in a folder that may be classes or splits, sorted."""
    inside = [e.name for e in entries(path) if not _passed_over.passed_over(e) and is_folder(e)]
    return sorted(name for name in inside if not written_by_handful(path / name))


def split_of(name: str) -> str:
    """The split that a folder's name speaks of; "" for none, or for several.

    >>> split_of("seg_train"), split_of("TestSet"), split_of("train2017"), split_of("River")
    ('train', 'test', 'train', '')
    """
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    pairs = [" ".join(pair) for pair in pairwise(words)]
    found = {_WORDS[word] for word in (*words, *pairs) if word in _WORDS}
    return found.pop() if len(found) == 1 else ""


def _told_by_names(exact: Mapping[str, str], below: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Further splits: their names say so, and they hold mostly what another split holds."""
    named = {n: split_of(n) for n in below if n not in exact and split_of(n) and below[n]}
    every = [*exact, *named]
    return {
        name: split
        for name, split in named.items()
        if any(_alike(below[name], below[other]) for other in every if other != name)
    }


def _alike(*folders: frozenset[str]) -> bool:
    one, other = ({n for n in names if not INSIDE_A_CLASS.fullmatch(n)} for names in folders)
    shared = len(one & other)
    return shared > 0 and shared >= _MOSTLY * min(len(one), len(other))


def _shared(top: Path, below: Mapping[str, frozenset[str]]) -> list[str]:
    """Two or more folders that all of the folders hold, and nothing else; [] for none."""
    names = [*below]
    shared = class_like(top / names[0]) if len(set(below.values())) == 1 else []
    if len(names) < 2 or len(shared) < 2 or all(map(INSIDE_A_CLASS.fullmatch, shared)):
        return []
    return [] if any(_has_images(top / name) for name in names) else shared


def _judge_alike(top: Path, below: Mapping[str, frozenset[str]]) -> None:
    """Remark that folders which hold the same folders are taken for classes, or refuse them.

    They are species more often than places, with a folder for each site, burst or year in them.
    Refused are few of them whose folders may be classes as well, and those that are called like
    parts of a data set.
    """
    shared = _shared(top, below)
    if not shared:
        return
    names = [*below]
    upper, lower = _listed(names), _listed(shared)
    parts = all(map(looks_like_a_part, names))
    if not parts and (len(names) > _FEW or all(map(looks_like_a_part, shared))):
        remark(
            f"{upper} hold the same folders ({lower}): taken for places or bursts of each class, "
            f"which --group-by parent keeps together; if {lower} are the classes, list every "
            "photo with its label in a table",
            str(top),
        )
        return
    raise InputError(
        f"{top}: {upper} all hold the same folders ({lower}), so either may be the classes; if "
        f"{upper} are, say so by --group-by parent (the folders in them are groups) or by a "
        f"--classes file that names them; if {lower} are, list every photo with its label in a "
        "table, call the folders above train, val and test, or name one of them alone "
        f"({top / names[0]})"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def _is_empty_split(path: Path) -> bool:
    """Whether a folder is called as a split is and has no photos anywhere in it."""
    return path.name.casefold() in SPLITS and not Search().images(path)


def _has_images(path: Path) -> bool:
    return any(_passed_over.kind(e.name) in EXTENSIONS for e in entries(path) if not is_folder(e))


def _no_classes(top: Path, names: Sequence[str]) -> str:
    tables = [
        top / name / entry.name
        for name in names
        for entry in sorted(entries(top / name), key=lambda e: e.name)
        if entry.name.casefold().endswith((".csv", ".tsv", ".jsonl", ".parquet"))
    ]
    labels = f"; if {tables[0]} holds the labels, name it" if tables else ""
    return (
        f"{top}: the images of {', '.join(names)} lie in no folder of a class, and "
        "splits are no classes; put each image into a folder of its class: "
        f"{names[0]}/<class>/, or list file and label in a table{labels}"
    )
