"""ImageNet and its variants as CoOp's DATASETS.md lays them out: folders by WordNet number.

`classnames.txt` beside them names the numbers, one `n01440764 tench` a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from handful.contracts import at_home
from handful.data._files import lines_of, read_text
from handful.data._walk import entries
from handful.data.dataset import Dataset
from handful.data.folder import find_images
from handful.errors import InputError

NAMES = "classnames.txt"
_PARTS = {"train": "train", "val": "test"}  # the field tests on the 50,000 validation images


def is_imagenet(path: str | Path) -> bool:
    """Does this folder hold a `classnames.txt`?"""
    return (at_home(path) / NAMES).is_file()


def imagenet(path: str | Path) -> tuple[Dataset, Mapping[str, str]]:
    """Labelled images and what each label means, in the order of the file.

    `images/train` and `images/val` (or the two without `images/`) become `train` and `test`; a
    variant has one folder a class, named by the number (Sketch, A, R) or by the class's position
    in `classnames.txt` (V2), and all of it is `test`. Variants may lack classes.

    Raises:
        InputError: no such file or folders; a line that is not a label and its meaning.
    """
    top = at_home(path)
    words = _words(top / NAMES)
    position = {str(i): label for i, label in enumerate(words)}
    homes = [h for h in (top / "images", top, *_folders(top)) if h.is_dir()]
    home = next((h for h in homes if all((h / part).is_dir() for part in _PARTS)), None)
    if home is not None:
        parts = [(home / part, split) for part, split in _PARTS.items()]
    else:
        found = next((h for h in homes if _classes(h, words, position)), None)
        parts = [] if found is None else [(found, "test")]
    rows = [
        (image, label, split)
        for part, split in parts
        for folder, label in _classes(part, words, position)
        for image in find_images(folder)
    ]
    if not rows:
        raise InputError(
            f"{path}: has a {NAMES} but no folders named by its labels; expected images/train and "
            "images/val, or the folders of a variant, as CoOp's DATASETS.md lays them out"
        )
    images, labels, splits = zip(*rows, strict=True)
    return Dataset(tuple(images), labels, splits, classes=tuple(words)), words


def _words(path: Path) -> dict[str, str]:
    result: dict[str, str] = {}
    for number, line in enumerate(lines_of(read_text(path)), 1):
        label, _, meaning = line.strip().partition(" ")
        if not line.strip():
            continue
        if not meaning.strip() or label in result:
            wrong = "repeats" if label in result else "has no class name"
            raise InputError(f"{path}: line {number}: {label!r} {wrong}; expected LABEL NAME")
        result[label] = meaning.strip()
    return result


def _folders(path: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in entries(path) if entry.is_dir())


def _classes(
    folder: Path, words: Mapping[str, str], position: Mapping[str, str]
) -> list[tuple[Path, str]]:
    """Class folders and their labels, in the order of the classes."""
    rank = {label: i for i, label in enumerate(words)}
    inside = _folders(folder)
    named = [(e, e.name) for e in inside if e.name in words]
    if not named:
        named = [(e, position[e.name]) for e in inside if e.name in position]
    return sorted(named, key=lambda pair: rank[pair[1]])
