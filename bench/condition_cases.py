"""The cases of `bench/conditions.py`: support sets and what is asked, drawn from a seed.

Every function yields cases of one seed; playground scenes have seeds that nothing else uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handful import data
from handful.contracts import Array, ClassText
from handful.data import FeatureSet, feature_file, playground
from handful.encoders import prompts
from handful.features import extract_features
from handful.protocols.demo import draw as draw_task
from handful.protocols.task import SHOTS, draw_support
from samples import encoded, part, tiny

HARD, KNOWN = "Names never learned (playground)", "Names that `tiny` learned (playground)"
PHOTOS = "Real photos through `tiny`"
WHOLE, THIRD = "WHU-RS19", "WHU-RS19, a third of the classes"
BROKEN, ABSENT = "WHU-RS19, damaged support sets", "WHU-RS19, three classes without shots"
PARTS = (", the three", ", the others")
KINDS = ("13 shapes", "40 compositions", "60 colours and textures", "100 compositions")
_HARD_SEED = 200  # the demo's start at 0, those of bench/defaults.py at 1000
_SCENE = 8_000_000  # the training pool starts at 10 000 000, evaluate_tiny.py at 5 and 6 million
_ASKED = 12  # test images a class of a known-class task
_TEMPLATE = ("a photo of a {}.",)

Rows = NDArray[np.int64]
Composition = tuple[str, str, str]


@dataclass(frozen=True, eq=False)
class Case:
    """One support set, and what is asked after it.

    Args:
        table: title of the table it belongs to.
        task: one of several that a table averages.
        column: of the table.
        seed: of the draw and of the methods.
        values: `[N, D]` support features.
        labels: `[N]` positions in `text.classes`.
        text: class names and text features.
        exams: what is added to the column's name, to `[M, D]` features and `[M]` labels.
    """

    table: str
    task: str
    column: str
    seed: int
    values: Array
    labels: Rows
    text: ClassText
    exams: Mapping[str, tuple[Array, Rows]]


def shown(shots: int) -> str:
    return f"{shots} shot{'s' * (shots > 1)}"


def growing(
    table: str, task: str, seed: int, found: FeatureSet, pool: NDArray[np.bool_] | None = None
) -> Iterator[Case]:
    """1, 2, 4, 8 and 16 shots; tested on what is outside the pool, or all that the draw left."""
    names = [found.text.classes[c] for c in found.labels]
    for k in SHOTS:
        test = None if pool is None else ~pool
        drawn, rest = draw_support(names, k, seed, pool=pool, test=test, ids=found.ids)
        exams = {"": (found.values[rest], found.labels[rest])}
        support = found.values[drawn], found.labels[drawn]
        yield Case(table, task, shown(k), seed, *support, found.text, exams)


def hard(name: str, seed: int) -> Iterator[Case]:
    """A task whose class names, style or differences `tiny` never learned."""
    drawn = draw_task(tiny(), name, max(SHOTS), _HARD_SEED + seed)
    found = FeatureSet(name, drawn.values, drawn.labels, drawn.text)
    yield from growing(HARD, name, seed, found, drawn.pool)


def known(kind: str, seed: int) -> Iterator[Case]:
    """Compositions of the training pool, drawn by lot, under their full names."""
    chosen = compositions(kind, np.random.default_rng([_SCENE, seed, KINDS.index(kind)]))
    each = max(SHOTS) + _ASKED
    labels = np.repeat(np.arange(len(chosen)), each)
    first = _SCENE + 100_000 * seed + 20_000 * KINDS.index(kind)
    pictures = []
    for i, c in enumerate(labels):
        fixed = [dict(zip(("texture", "colour", "shape"), chosen[c], strict=True))]
        scene = playground.scene(first + i, objects=1, compositions="train", fixed=fixed)
        pictures.append(playground.render(scene))
    values = encoded(tiny(), pictures)
    text = prompts.embed(tiny(), tuple(" ".join(c) for c in chosen), _TEMPLATE)
    pool = np.tile(np.arange(each) < max(SHOTS), len(chosen))
    yield from growing(KNOWN, kind, seed, FeatureSet(kind, values, labels, text), pool)


def compositions(kind: str, rng: np.random.Generator) -> Sequence[Composition]:
    """Seen compositions of one of `KINDS`."""
    if kind == "13 shapes":
        sets = [
            [x for x in playground.SEEN if x[:2] == (t, c)]
            for t in playground.TEXTURES
            for c in playground.COLOURS
        ]
        sets = [s for s in sets if len(s) == 13]
        return sets[int(rng.integers(len(sets)))]
    if kind == "60 colours and textures":
        shape = playground.SHAPES[int(rng.integers(len(playground.SHAPES)))]
        some = [x for x in playground.SEEN if x[2] == shape]
        return [some[int(i)] for i in np.sort(rng.permutation(len(some))[:60])]
    count = int(kind.split()[0])
    return [playground.SEEN[int(i)] for i in rng.permutation(len(playground.SEEN))[:count]]


@cache
def _photos(folder: Path) -> tuple[FeatureSet, NDArray[np.bool_]]:
    dataset = data.load(folder)
    text = prompts.embed(tiny(), data.class_words(dataset, None), _TEMPLATE)
    found = extract_features(tiny(), dataset.images)
    kept = dataset.subset(found.kept)
    column = {name: i for i, name in enumerate(text.classes)}
    labels = np.array([column[label] for label in kept.labels])
    features = found.features
    set_ = FeatureSet(folder.name, features.values, labels, text, kept.splits, features.ids)
    return set_, np.array(kept.splits) == "train"


def photos(folder: str, seed: int) -> Iterator[Case]:
    """A folder with `train/<class>/` and `test/<class>/`."""
    found, pool = _photos(Path(folder))
    yield from growing(PHOTOS, found.name, seed, found, pool)


@cache
def _features(folder: str) -> FeatureSet:
    return feature_file(folder)


def whole(folder: str, seed: int) -> Iterator[Case]:
    """Balanced, no wrong labels: the draws of `handful bench`."""
    yield from growing(WHOLE, "all classes", seed, _features(folder))


def third(folder: str, seed: int) -> Iterator[Case]:
    """A third of the classes, drawn by lot."""
    found, rng = _features(folder), np.random.default_rng([19, seed])
    classes = len(found.text.classes)
    chosen = np.sort(rng.permutation(classes)[: classes // 3])
    yield from growing(THIRD, "a third", seed, part(found, "a third", chosen))


def damaged(folder: str, seed: int) -> Iterator[Case]:
    """Wrong labels, unequal counts, half the classes with one image."""
    found, rng = _features(folder), np.random.default_rng([20, seed])
    classes = len(found.text.classes)
    for k in (2, 8):
        drawn, rest = _draw(found, k, seed)
        labels = found.labels[drawn]
        wrong = rng.permutation(len(labels))[: round(0.2 * len(labels))]
        labels[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
        yield _case(BROKEN, f"{shown(k)}, 20 % wrong labels", seed, found, drawn, labels, rest)
    half = np.where(np.arange(classes) < classes // 2, 1, 8)
    for name, counts in (
        ("1 to 8 images", rng.integers(1, 9, classes)),
        ("1, 2 or 16 images", rng.choice([1, 2, 16], classes)),
        ("half the classes 1 image, the others 8", rng.permutation(half)),
    ):
        drawn, rest = _draw(found, int(counts.max()), seed)
        kept = _first(found.labels[drawn], counts, rng)
        labels = found.labels[drawn][kept]
        yield _case(BROKEN, name, seed, found, drawn[kept], labels, rest)


def absent(folder: str, seed: int) -> Iterator[Case]:
    """Three classes have a name and no image; asked apart and together, always among all."""
    found, rng = _features(folder), np.random.default_rng([21, seed])
    gone = rng.permutation(len(found.text.classes))[:3]
    without = np.isin(found.labels, gone)
    for k in (2, 16):
        drawn, rest = _draw(found, k, seed)
        drawn = drawn[~without[drawn]]
        asked = dict(zip(PARTS, (without, ~without), strict=True)) | {", all": without | ~without}
        exams = {n: (found.values[rest & w], found.labels[rest & w]) for n, w in asked.items()}
        support = found.values[drawn], found.labels[drawn]
        yield Case(ABSENT, "all classes", shown(k), seed, *support, found.text, exams)


def _draw(found: FeatureSet, shots: int, seed: int) -> tuple[Rows, NDArray[np.bool_]]:
    return draw_support([found.text.classes[c] for c in found.labels], shots, seed, ids=found.ids)


def _case(
    table: str,
    column: str,
    seed: int,
    found: FeatureSet,
    drawn: Rows,
    labels: Rows,
    rest: NDArray[np.bool_],
) -> Case:
    exams = {"": (found.values[rest], found.labels[rest])}
    return Case(table, "all classes", column, seed, found.values[drawn], labels, found.text, exams)


def _first(labels: Rows, counts: Rows, rng: np.random.Generator) -> Rows:
    """Positions of `counts[c]` images of every class."""
    order = rng.permutation(len(labels))
    parts = [order[labels[order] == c][:n] for c, n in enumerate(counts)]
    return np.sort(np.concatenate(parts))
