"""Photos without labels: a pool that helps `auto`, and which photos to label next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from handful import data, encoders, plugins
from handful.adapters import fit_with_pool
from handful.contracts import Array, ClassText, unit
from handful.encoders import prompts
from handful.features import extract_features
from handful.selection import variance_reduction_order
from samples import playground_draws, tiny
from tables import head, interval, row, table

# The settings of both were chosen on one half of each set; these are the others, a bit an image:
# photos in the order of split (train, test), class and file, features in the order of the file.
_REPORTED = {
    "clothing": "62b2680ecf0e127a6b439344af9267a998c9c7833c5be362d784892ff832cf64fe9b0d0cd612a9bc"
    "576940",
    "eurosat": "deccdd34b5a424e143cce91902fb84d25195c7ad234adc45491ff301343fd918e3e64a3d3fd0894f"
    "a66d8c3aca2fe164bb753d12d84e743e644755e0",
    "whu_rs19": "9dc4aa8ba72aa5078901dba09593e2ffee2f53fa30e7cb60f93591a4a485938f3a610695d9a89410"
    "fe35a41af5eb27400cf24cd5a2d7ce04ac7542e3a344bd69398f04e0ca37aac25f24d407cb70b73fbed48072527"
    "a0a75c0eb8d8e2febbf31baa1a8c6b3a3c53af028c893d8e1c6b0ea721b368be093ab27e7d2ac1e68",
}
_SEEDS = 150  # of the playground; those below were used to choose


@dataclass(frozen=True, eq=False)
class _Set:
    """`[N, D]` features, `[N]` columns, and the words."""

    values: Array
    labels: NDArray[np.int64]
    text: ClassText

    def draw(self, shots: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of a support set, and the others in two halves of every class, one after another."""
        rng = np.random.default_rng(seed)
        support, rest = [], []
        for c in range(len(self.text.classes)):
            rows = rng.permutation(np.flatnonzero(self.labels == c))
            support.append(rows[:shots])
            rest.append(rows[shots:])
        halves = [np.concatenate([r[h::2] for r in rest]) for h in (0, 1)]
        return np.concatenate(support), np.stack([_cut(halves[0], halves[1]), halves[1]])


def _cut(more: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """As many rows as the other half has."""
    return np.random.default_rng(0).permutation(more)[: len(other)]


@cache
def _photos(folder: Path) -> _Set:
    """Photos through `photo`, by prompts of their class names."""
    encoder = encoders.load("photo")
    found = [data.split_or_all(data.load(folder / part), part) for part in ("train", "test")]
    images = [i for f in found for i in f.images]
    labels = [n for f in found for n in f.labels]
    classes = sorted(set(labels))
    text = prompts.embed(encoder, {n: n for n in classes}, prompts.DEFAULT)
    rows = extract_features(encoder, images).features.values
    return _Set(rows, np.array([classes.index(n) for n in labels]), text)


def _sets(features: str | None, photos: Sequence[str]) -> Iterator[tuple[str, _Set]]:
    """The half of each real set that no setting was chosen on."""
    for folder in map(Path, photos):
        yield folder.name, _half(_photos(folder), folder.name)
    if features:
        found = data.load_features(Path(features))
        whole = _Set(unit(found.values), found.labels, found.text)
        yield Path(features).name, _half(whole, Path(features).name)


def _half(whole: _Set, name: str) -> _Set:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(_REPORTED.get(name, "")), dtype=np.uint8))
    keep = np.arange(len(whole.labels))  # another set was looked at by nobody
    if len(bits) - 8 < len(keep) <= len(bits):
        keep = np.flatnonzero(bits[: len(keep)])
    return _Set(whole.values[keep], whole.labels[keep], whole.text)


def _right(adapter: object, Q: Array, targets: NDArray[np.int64]) -> float:
    return 100 * float((adapter.logits(Q).argmax(axis=1) == targets).mean())


# ---- a pool

_AUTO, _CLIP = "`auto`, no pool", "TransCLIP (batch)"
_SAME, _OTHER = "the test photos (transductive)", "other photos"
_UNEVEN, _FOREIGN = "other photos, shares 10 to 1", "other photos and as many of no class"
_FEW = 2  # shots up to which odd pools are measured
_KINDS = (_AUTO, _CLIP, _SAME, _OTHER, _UNEVEN, _FOREIGN)


@table("pool", title="A pool of photos without labels", seconds=1800, seeds=1, tasks=2, shots=(1,))
def pool(
    features: str | None = None,
    photos: tuple[str, ...] = (),
    seeds: int = 5,
    tasks: int = 14,
    shots: tuple[int, ...] = (1, 2, 4, 8),
) -> Iterator[str]:
    """`auto` with the help of a pool, against `auto` and TransCLIP on the same draws.

    The photos that are left of a draw are halved: one half is the pool of "other photos", the other
    is tested on.
    """
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    sets = dict(_sets(features, photos))
    for name, one in sets.items():
        foreign = next((o for n, o in sets.items() if n != name and _alike(o, one)), None)
        for k in shots:
            for seed in range(seeds):
                drawn, (others, tested) = one.draw(k, seed)
                kinds = {_SAME: one.values[tested], _OTHER: one.values[others]}
                if k <= _FEW:
                    kinds[_UNEVEN] = one.values[_uneven(one.labels[others], others, seed)]
                if k <= _FEW and foreign is not None:
                    none = foreign.values[: len(others)]
                    kinds[_FOREIGN] = np.concatenate([one.values[others], none])
                support = one.values[drawn], one.labels[drawn], one.text
                _measure(found, name, k, support, kinds, one.values[tested], one.labels[tested])
    play = range(_SEEDS, _SEEDS + max(1, seeds // 2))
    for _, _, k, task in playground_draws(tiny(), shots, play, tasks):
        kinds = {_SAME: task.Q}
        _measure(found, "playground", k, (task.X, task.y, task.text), kinds, task.Q, task.targets)
    yield from _pool_rows(found, shots)


def _alike(one: _Set, other: _Set) -> bool:
    return one.values.shape[1] == other.values.shape[1]


def _uneven(labels: NDArray[np.int64], rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Some of the rows: all of one class, a tenth of another, the others in between."""
    rng = np.random.default_rng(seed)
    share = np.linspace(1, 0.1, labels.max() + 1)[rng.permutation(labels.max() + 1)]
    return rows[rng.random(len(rows)) < share[labels]]


def _measure(
    found: dict[tuple[str, str, int], list[float]],
    name: str,
    shots: int,
    support: tuple[Array, NDArray[np.int64], ClassText],
    kinds: Mapping[str, Array],
    Q: Array,
    targets: NDArray[np.int64],
) -> None:
    """Accuracies of one draw."""
    for kind, method in ((_AUTO, "auto"), (_CLIP, "transclip")):
        adapter = plugins.get("adapters", method)().fit(*support)
        found[name, kind, shots].append(_right(adapter, Q, targets))
    for kind, rows in kinds.items():
        adapter = plugins.get("adapters", "auto")()
        fit_with_pool(adapter, *support, rows, left_out=False)
        found[name, kind, shots].append(_right(adapter, Q, targets))


def _pool_rows(
    found: Mapping[tuple[str, str, int], list[float]], shots: Sequence[int]
) -> Iterator[str]:
    names = list(dict.fromkeys(name for name, _, _ in found))
    yield head("set", "pool", *(f"{k} shot{'s' * (k > 1)}" for k in shots), left=2)
    for name in names:
        for kind in _KINDS:
            cells = []
            for k in shots:
                mine, alone = found.get((name, kind, k)), found[name, _AUTO, k]
                if mine is None:
                    cells.append("")
                    continue
                gap = "" if kind == _AUTO else "+.1f"
                values = alone if kind == _AUTO else np.subtract(mine, alone)
                cells.append(interval(values, gap or ".1f"))
            if any(cells):
                yield row(name, kind, *cells)
    means = [
        np.mean([np.mean(np.subtract(found[n, _SAME, k], found[n, _AUTO, k])) for n in names])
        for k in shots
    ]
    yield row("mean of the sets", _SAME, *(f"{value:+.1f}" for value in means))
    yield (
        "\nAccuracy of `auto` in percent; below it the paired difference to it in points, mean "
        "over the draws with its 95 % interval. Rows of the test photos are transductive: these "
        "photos themselves were used, without their labels; no other row may be compared with them."
    )


# ---- which photo to label next

_STRATEGIES = ("at random", "the most doubtful", "`handful next`")


@table(
    "next", title="Which photo to label next", seconds=1800, seeds=1, budgets=(10, 20), method="gda"
)
def next_labels(
    features: str | None = None,
    photos: tuple[str, ...] = (),
    seeds: int = 5,
    budgets: tuple[int, ...] = (10, 20, 40),
    method: str = "auto",
) -> Iterator[str]:
    """One labelled photo a class, then more labels: chosen by `handful next`, at random, by doubt.

    A third of the photos is tested on, and no label of the others is asked for but the chosen ones.
    """
    longest = (*budgets, 2 * max(budgets))  # random labels, to see how many it takes
    yield head("set", "chosen", *(f"{n} labels" for n in budgets), left=2)
    saved = []
    for name, one in _sets(features, photos):
        curves: dict[str, list[list[float]]] = {s: [] for s in _STRATEGIES}
        start = []
        for seed in range(seeds):
            support, tested, others = _thirds(one, seed)
            first = _fitted(method, one, support)
            start.append(_right(first, one.values[tested], one.labels[tested]))
            for strategy in _STRATEGIES:
                order = _ordered(strategy, first, one, support, others, max(longest), seed)
                counts = longest if strategy == _STRATEGIES[0] else budgets
                curve = []
                for n in counts:
                    adapter = _fitted(method, one, np.concatenate([support, order[:n]]))
                    curve.append(_right(adapter, one.values[tested], one.labels[tested]))
                curves[strategy].append(curve)
        yield row(name, "none", *(interval(start) if i == 0 else "" for i in range(len(budgets))))
        chance = np.array(curves[_STRATEGIES[0]])
        yield row(name, _STRATEGIES[0], *(interval(chance[:, i]) for i in range(len(budgets))))
        for strategy in _STRATEGIES[1:]:
            gaps = np.array(curves[strategy]) - chance[:, : len(budgets)]
            yield row(name, strategy, *(interval(gap, "+.1f") for gap in gaps.T))
        reached = np.array(curves[_STRATEGIES[2]]).mean(0)
        path = np.maximum.accumulate([np.mean(start), *chance.mean(0)])
        needed = [_labels_for(value, (0, *longest), path) for value in reached]
        saved.append(row(name, "random labels for the same", *needed))
    yield from saved
    yield (
        f"\nAccuracy of `{method}` in percent after one labelled photo a class (`none`: no further "
        "label) and so many more; of the other choices the paired difference to random ones in "
        "points, mean over the draws with its 95 % interval. The last rows: how many random labels "
        "reach the mean accuracy of `handful next`, by linear interpolation."
    )


def _labels_for(value: float, counts: Sequence[int], path: NDArray[np.float64]) -> str:
    if value > path[-1]:
        return f"over {counts[-1]}"
    return f"{np.interp(value, path, counts):.0f}"


def _thirds(one: _Set, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Rows of one labelled photo a class, of the test third, and of the photos to choose from."""
    rng = np.random.default_rng(seed)
    support, tested, others = [], [], []
    for c in range(len(one.text.classes)):
        rows = rng.permutation(np.flatnonzero(one.labels == c))
        third = len(rows) // 3
        tested.append(rows[:third])
        support.append(rows[third : third + 1])
        others.append(rows[third + 1 :])
    return np.concatenate(support), np.concatenate(tested), rng.permutation(np.concatenate(others))


def _fitted(method: str, one: _Set, rows: NDArray[np.int64]) -> object:
    return plugins.get("adapters", method)().fit(one.values[rows], one.labels[rows], one.text)


def _ordered(
    strategy: str,
    adapter: object,
    one: _Set,
    support: NDArray[np.int64],
    others: NDArray[np.int64],
    count: int,
    seed: int,
) -> NDArray[np.int64]:
    """Rows of the photos in the order in which they are labelled."""
    if strategy == _STRATEGIES[0]:
        return np.random.default_rng(seed).permutation(others)
    top = -np.sort(-adapter.predict_proba(one.values[others]), axis=1)
    doubt = 1 - (top[:, 0] - top[:, 1])
    if strategy == _STRATEGIES[1]:
        return others[np.argsort(-doubt, kind="stable")]
    known, rows = torch.from_numpy(one.values[support]), torch.from_numpy(one.values[others])
    return others[variance_reduction_order(known, rows, torch.from_numpy(doubt).sqrt(), count)]
