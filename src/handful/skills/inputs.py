"""What a caller hands in, made ready for the road: images, encoder, classes and their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from handful import data, encoders, plugins
from handful.contracts import ClassText, Encoder, class_names
from handful.data import Dataset
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure
from handful.packs.support import RESERVED


def load_images(source: str | Path | Dataset) -> Dataset:
    """Labelled images from wherever they are."""
    return data.load(source) if isinstance(source, str | Path) else source


def load_encoder(encoder: str | Path | Encoder, precision: str = "auto") -> Encoder:
    """An encoder by name or folder, or the one handed in."""
    if isinstance(encoder, str | Path):
        return encoders.load(str(encoder), precision=precision)
    return encoder


def adapter_of(method: str, seed: int, params: Mapping[str, Any] | None = None) -> Any:
    """An adapter that is not fitted yet; the seed goes to those that have one.

    Raises:
        InputError: a parameter that the method does not have.
    """
    return built(plugins.get("adapters", method), method, {"seed": seed}, params)


def built(
    kind: Any, name: str, usual: Mapping[str, Any], params: Mapping[str, Any] | None = None
) -> Any:
    """An estimator with `params`, and of what is `usual` that which it takes.

    Raises:
        InputError: a parameter that it does not have; says which it has.
    """
    accepted = kind().get_params()
    given = dict(params or {})
    unknown = sorted(given.keys() - accepted.keys())
    if unknown:
        raise InputError(
            f"{name} has no parameter {', '.join(unknown)}; it has: {', '.join(accepted) or 'none'}"
        )
    return kind(**{k: v for k, v in usual.items() if k in accepted} | given)


def part(dataset: Dataset, split: str) -> Dataset:
    """The images of a split where splits are stated, else all of them."""
    return dataset.split(split) if any(dataset.splits) else dataset


def set_apart(
    dataset: Dataset, words: Mapping[str, str] | None, known: Sequence[str] = ()
) -> tuple[Dataset, Dataset]:
    """Images of the classes, and those whose label says that they show none (`RESERVED`).

    A label that is named among the class names is a class, whatever it is called.

    Args:
        dataset: labelled images.
        words: class names that were stated, if any.
        known: further labels that are classes.
    """
    stated = {*(words or ()), *known}
    none = {c for c in dataset.classes if c.strip().casefold() in RESERVED and c not in stated}
    if not none:
        return dataset, dataset.subset([])
    if none >= set(dataset.classes):
        raise InputError(
            f"all images are labelled {', '.join(sorted(none))}, which says that they show none "
            "of the classes; add folders of what they are to be told from"
        )
    out = [label in none for label in dataset.labels]
    classes = replace(
        dataset.subset(np.flatnonzero(~np.array(out, dtype=bool))),
        classes=tuple(c for c in dataset.classes if c not in none),
    )
    return classes, dataset.subset(np.flatnonzero(out))


def names_of(dataset: Dataset, words: Mapping[str, str] | None) -> dict[str, str]:
    """Label to words, in the order of the columns."""
    labels = sorted(set(dataset.labels))
    if words is None:
        names = {label: label for label in dataset.classes}
    else:
        missing = [label for label in labels if label not in words]
        if missing:
            raise InputError(
                f"labels {missing[:5]} are not among the {len(words)} class names; "
                "add them to the class names or correct them"
            )
        names = dict(words)
    class_names(tuple(names))
    if len(names) < 2:
        raise InputError(
            f"a classifier needs at least two classes, got {len(names)}: {', '.join(names)}; "
            "add a folder with images of something else"
        )
    return names


def class_text(tower: Encoder, names: Mapping[str, str], templates: Sequence[str]) -> ClassText:
    """Text of classes whose label and whose words in a prompt may differ."""
    return prompts.embed(tower, names, templates)


def check_counts(
    names: Mapping[str, str], counts: Mapping[str, int], failures: Sequence[Failure]
) -> None:
    """Refuse classes without images, naming the images that were lost on the way."""
    empty = [name for name in names if not counts.get(name)]
    if empty:
        raise InputError(
            f"no usable image for {', '.join(empty[:5])}{lost(failures)}; "
            "add images of it or take it off the class names"
        )


def lost(failures: Sequence[Failure]) -> str:
    """The first images that failed and why, in brackets; nothing where none did."""
    if not failures:
        return ""
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f" ({'; '.join(f.reason for f in failures[:3])}{more})"


def short_name(path: str) -> str:
    """The last two parts of a path: enough to find the image, and nobody's home folder."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
