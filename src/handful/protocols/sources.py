"""From paths to what a protocol works on: images to encode, or features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from handful import data
from handful.data.feature_files import SUFFIXES, feature_file
from handful.data.feature_set import FeatureSet
from handful.data.imagenet import imagenet, is_imagenet
from handful.data.tip_cache import is_tip_cache, shot_counts, tip_cache
from handful.encoders import prompts
from handful.errors import InputError
from handful.protocols.encoding import (
    Encoding,
    ImageSource,
    SupportDraws,
    class_text,
    encode,
    image_counts,
)
from handful.protocols.task import UNKNOWN, Task, digest, text_digest

# The sets of templates that CoOp hand-wrote for its data sets, by the name of the split file.
COOP = {
    "EuroSAT": "satellite",
    "DescribableTextures": "texture",
    "OxfordPets": "pets",
    "OxfordFlowers": "flowers",
    "Food101": "food",
    "UCF101": "action",
}


def open_source(
    path: Path, words: Mapping[str, str] | None, encoding: Encoding
) -> ImageSource | Task:
    """What a path holds, found out by looking: features, a Tip-Adapter cache, labelled images.

    Raises:
        InputError: none of these, or what is wrong with it.
        MismatchError: features of another encoder than the one asked for.
    """
    if is_tip_cache(path):
        return _task_of(_cache(path, words, encoding), encoding)
    files = path.iterdir() if path.is_dir() else [path]
    if any(f.suffix.lower() in SUFFIXES for f in files):
        if words is not None or encoding.templates is not None:
            raise InputError(
                f"{path}: holds its own class names and text features; leave out "
                f"{'--classes' if words is not None else '--template'}"
            )
        return _task_of(feature_file(path), encoding)
    return _open_images(path, words)


def check_names(names: Sequence[str]) -> None:
    """Refuse two sources of one name.

    Raises:
        InputError: naming it.
    """
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(
            f"two sources are called {twice[0]!r}, and a table could not tell them apart; "
            "rename a folder or file"
        )


def _task_of(found: FeatureSet, encoding: Encoding) -> Task:
    """Features that were computed elsewhere, as a task.

    Raises:
        MismatchError: they state another encoder than the one asked for.
    """
    if encoding.name and found.encoder not in ("", encoding.name):
        found.check_encoder(encoding.encoder.fingerprint)
    known = [found.values, found.labels, text_digest(found.text), *found.splits, *found.ids]
    task = Task.of_features(
        found.name,
        found.values,
        found.labels,
        found.text,
        splits=np.array(found.splits),
        ids=found.ids,
        digest=digest([*known, *found.groups]),
        encoder=found.encoder or UNKNOWN,
        groups=found.groups if any(found.groups) else None,
    )
    facts = {
        **image_counts(task),
        "encoder": task.encoder,
        "fingerprint": found.encoder,
        "templates": f"{found.text.embeddings.shape[1]} prompts a class, as in the file",
        "repeats": len(found) - len(set(found.ids)),
        "notes": "; ".join(found.notes),
    }
    return replace(task, facts=facts)


def _cache(path: Path, words: Mapping[str, str] | None, encoding: Encoding) -> FeatureSet:
    """The largest cache of a folder; its text is the folder's own, or made from class names."""
    shots = max(shot_counts(path))
    # text features that the relatives of Tip-Adapter's code keep beside the cache
    if any(path.glob("*weights*.pt")):
        found = tip_cache(path, shots=shots, classes=None if words is None else list(words))
    elif words is None:
        raise InputError(
            f"{path}: Tip-Adapter's code keeps no text; put the text features beside the keys as "
            "clip_weights.pt, or give the class names in their order (--classes FILE) and the "
            "encoder that made the cache (--encoder)"
        )
    else:
        text = class_text(
            encoding.encoder, words, prompts.expand_templates(encoding.templates or prompts.DEFAULT)
        )
        found = tip_cache(path, shots=shots, text=text)
    note = f"support sets are drawn from keys_{shots}shots.pt"
    return replace(found, notes=(*found.notes, note))


def load(source: ImageSource | Task, encoding: Encoding, needed: SupportDraws) -> Task:
    """The task of a source; features are ready as they are."""
    return source if isinstance(source, Task) else encode(source, encoding, needed)


def _open_images(path: Path, words: Mapping[str, str] | None) -> ImageSource:
    """Labelled images from wherever they are; nothing is encoded."""
    templates: Sequence[str] = prompts.DEFAULT
    # first: as a plain folder per class its names would be WordNet numbers
    if path.is_dir() and is_imagenet(path):
        dataset, own = imagenet(path)
        return ImageSource(path.resolve().name, dataset, words or own)
    dataset = data.load(path)
    found = [path] if path.is_file() else sorted(path.glob("split_zhou_*.json"))
    name = path.resolve().stem if path.is_file() else path.resolve().name
    if found and found[0].stem.startswith("split_zhou_"):
        name = found[0].stem.removeprefix("split_zhou_")
        templates = prompts.expand_templates([COOP[name]]) if name in COOP else templates
    return ImageSource(name, dataset, data.class_words(dataset, words), templates)


def check_shots(task: Task | ImageSource, shots: Iterable[int], *, allow_fewer: bool) -> None:
    """Refuse shot counts that a class cannot give, before anything is encoded or fitted.

    Raises:
        InputError: naming the data set, the split, the classes and their counts.
    """
    counts = support_counts(task)
    most = max(shots)
    split = "train images" if task.has_splits else "images"
    none = [name for name, n in counts.items() if not n]
    few = {name: n for name, n in counts.items() if n < most}
    if none:
        raise InputError(
            f"{task.name}: {_classes(len(none))} no {split} ({', '.join(none[:5])}); "
            "add images of them or take them off the class names"
        )
    if few and not allow_fewer:
        shown = ", ".join(f"{name} ({n})" for name, n in list(few.items())[:5])
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        raise InputError(
            f"{task.name}: {_classes(len(few))} fewer than {most} {split}: {shown}{more}; "
            "ask for fewer shots, or add --allow-fewer to take all there are, as CoOp's code does"
        )


def _classes(count: int) -> str:
    return f"{count} classes have" if count > 1 else "1 class has"


def most_shots(task: Task | ImageSource) -> int:
    """The most shots every class allows, one image left to test on where no split is stated."""
    return min(support_counts(task).values()) - (not task.has_splits)


def support_counts(task: Task | ImageSource) -> dict[str, int]:
    """Images a class that a support set may be drawn from."""
    counts = np.bincount(task.labels[task.pool], minlength=len(task.classes))
    return dict(zip(task.classes, counts.tolist(), strict=True))
