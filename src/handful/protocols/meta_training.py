"""Learning to learn: episodes drawn from many tasks, and what a Meta-Adapter keeps of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from handful import data, encoders
from handful.adapters import meta
from handful.contracts import Array, Encoder
from handful.data import FeatureSet
from handful.encoders import prompts
from handful.errors import InputError, StorageError
from handful.features import Progress, extract_features
from handful.features.store import FeatureStore

SHOTS = (1, 2, 3, 4, 6, 8, 12, 16)
QUERIES = 8  # images a class that an episode asks about
EPISODES = 8  # averaged in each step


@dataclass(frozen=True, eq=False)
class TaskPool:
    """Features of one task that episodes are drawn from.

    Args:
        name: of the task.
        features: `[N, D]` unit rows.
        targets: `[N]` columns.
        text: `[C, D]` unit rows.
        scale: the encoder's.
        encoder: its fingerprint, where known.
    """

    name: str
    features: Array
    targets: NDArray[np.int64]
    text: Array
    scale: float
    encoder: str = ""
    places: list[NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        found = [np.flatnonzero(self.targets == c) for c in range(len(self.text))]
        object.__setattr__(self, "places", found)


@dataclass(frozen=True, eq=False)
class Episode:
    """A small task: support set, queries, the text of its classes."""

    support: torch.Tensor
    labels: torch.Tensor
    queries: torch.Tensor
    wanted: torch.Tensor
    text: torch.Tensor
    scale: float


def pools(
    sources: Sequence[str | Path],
    encoder: str | Encoder = "tiny",
    templates: Sequence[str] = prompts.DEFAULT,
    *,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> list[TaskPool]:
    """A task of each source; where splits are stated, of `train` alone.

    Args:
        sources: feature files (`.safetensors`, `.npz`), or labelled images as for `handful.fit`.
        encoder: for images.
        templates: prompts of the classes of images.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all) of a source.

    Raises:
        InputError: whatever is wrong with a source; names it.
    """
    tower: Encoder | None = None if isinstance(encoder, str) else encoder
    found = []
    for source in map(Path, sources):
        if source.suffix.lower() in (".safetensors", ".npz"):
            found.append(_of_features(data.feature_file(source)))
            continue
        tower = tower or encoders.load(encoder)
        dataset = data.split_or_all(data.load(source), "train")
        dataset, _ = data.separate_reserved(dataset, None)
        text = prompts.embed(tower, data.class_words(dataset, None), templates)
        seen = extract_features(tower, dataset.images, store, progress=progress)
        column = {name: i for i, name in enumerate(text.classes)}
        targets = np.array([column[dataset.labels[i]] for i in seen.kept])
        name, who = source.resolve().name, tower.fingerprint
        rows = seen.features.values
        found.append(TaskPool(name, rows, targets, text.weights, text.scale, who))
    return found


def _of_features(found: FeatureSet) -> TaskPool:
    rows = np.array([split in ("", "train") for split in found.splits] or [True] * len(found))
    text = found.text
    values, labels = found.values[rows], found.labels[rows]
    return TaskPool(found.name, values, labels, text.weights, text.scale, found.encoder)


def free_place(name: str, *, overwrite: bool = False) -> Path:
    """Where weights of this name go.

    Raises:
        InputError: a name that cannot be one, is taken, or is that of the shipped ones.
    """
    place = meta.weights_path(name)
    if name == meta.SHIPPED:
        raise InputError(f"{name!r} are the weights that come with Handful; choose another name")
    if place.exists() and not overwrite:
        raise InputError(f"{place}: exists; choose another --name, or add --overwrite")
    return place


def keep(refiner: meta.MetaNetwork, place: Path, facts: Mapping[str, Any]) -> None:
    """Write the weights and what is known of their making.

    Raises:
        StorageError: the disk refused.
    """
    try:
        meta.save(refiner, place, dict(facts))
    except OSError as error:
        raise StorageError(f"{place}: cannot be written ({error.strerror})") from error


def train(
    tasks: Sequence[TaskPool],
    *,
    steps: int = 2000,
    learning_rate: float = 3e-3,
    hidden: int = 16,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> meta.MetaNetwork:
    """Minimise the cross-entropy of queries over episodes of random ways and shots.

    Args:
        tasks: never those that it will be judged by.
        steps: updates, of `EPISODES` episodes each.
        learning_rate: at its highest; half a cosine to zero, after a warm-up.
        hidden: width of the networks.
        seed: of everything that is drawn.
        progress: called with (steps done, steps in all, mean loss).

    Raises:
        InputError: no task with two classes of two images each.
    """
    usable = [t for t in tasks if sum(len(p) > 1 for p in t.places) > 1]
    if not usable:
        raise InputError("no task has two classes of two images each; add labelled images")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs as well
        refiner = meta.MetaNetwork(hidden)
    optimiser = torch.optim.AdamW(refiner.parameters(), lr=learning_rate, weight_decay=1e-3)
    mean, warm = 0.0, max(1, steps // 20)
    for step in range(steps):
        rise = min(1.0, (step + 1) / warm)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rise * (1 + math.cos(math.pi * step / steps)) / 2
        losses = [loss(refiner, e) for e in _draw(usable, rng, EPISODES)]
        mean_loss = torch.stack(losses).mean()
        if not torch.isfinite(mean_loss):
            raise InputError(f"meta-training diverged at step {step + 1}; lower learning_rate")
        optimiser.zero_grad()
        mean_loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_(refiner.parameters(), 1.0)
        optimiser.step()
        mean = mean_loss.item() if step == 0 else 0.98 * mean + 0.02 * mean_loss.item()
        if progress is not None:
            progress(step + 1, steps, mean)
    return refiner.eval().requires_grad_(False)


def loss(refiner: meta.MetaNetwork, e: Episode) -> torch.Tensor:
    """Mean cross-entropy of an episode's queries."""
    weights, bias = refiner(e.support, e.labels, e.text, e.scale)
    return cross_entropy(e.queries @ weights.T + bias, e.wanted)


def _draw(tasks: Sequence[TaskPool], rng: np.random.Generator, count: int) -> Iterator[Episode]:
    for _ in range(count):
        yield draw(tasks[int(rng.integers(len(tasks)))], rng)


def draw(task: TaskPool, rng: np.random.Generator) -> Episode:
    """An episode of random ways and shots; one in four has uneven shots."""
    able = [c for c, p in enumerate(task.places) if len(p) > 1]
    ways = int(rng.integers(2, len(able) + 1))
    classes = rng.permutation(able)[:ways]
    shots = int(rng.choice(SHOTS))
    uneven = rng.random() < 0.25
    support, labels, queries, wanted = [], [], [], []
    for column, c in enumerate(classes):
        mine = rng.permutation(task.places[c])
        most = max(1, min(shots, len(mine) - 1))
        few = int(rng.integers(1, most + 1)) if uneven else most
        asked = mine[few : few + QUERIES]
        support += mine[:few].tolist()
        queries += asked.tolist()
        labels += [column] * few
        wanted += [column] * len(asked)
    rows = torch.from_numpy(task.features)
    return Episode(
        rows[support],
        torch.tensor(labels),
        rows[queries],
        torch.tensor(wanted),
        torch.from_numpy(task.text[classes]),
        task.scale,
    )
