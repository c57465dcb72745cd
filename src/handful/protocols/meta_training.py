"""Training of Meta-Adapter weights on episodes drawn from many tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from handful import data, encoders
from handful.adapters import meta
from handful.contracts import Encoder, at_home
from handful.encoders import prompts
from handful.errors import InputError, StorageError
from handful.features import Progress
from handful.features.store import FeatureStore
from handful.protocols.encoding import encode_all
from handful.protocols.task import Task

SHOTS = (1, 2, 3, 4, 6, 8, 12, 16)
QUERIES = 8  # query images a class of an episode
EPISODES = 8  # averaged in each step


@dataclass(frozen=True, eq=False)
class TrainingEpisode:
    """A small task of W classes.

    Args:
        support: `[S, D]` features.
        labels: `[S]` columns.
        queries: `[M, D]` features.
        targets: `[M]` columns.
        text: `[W, D]` text features of the classes.
        scale: the encoder's.
    """

    support: torch.Tensor
    labels: torch.Tensor
    queries: torch.Tensor
    targets: torch.Tensor
    text: torch.Tensor
    scale: float


class EpisodeSampler:
    """Draws episodes from the training images of one task: all, or the train split.

    Attributes:
        rows: C arrays, the training images of each class.
        classes: those with an image to learn from and one to ask about.
    """

    def __init__(self, task: Task) -> None:
        pool = np.isin(task.splits, ("", "train"))
        self.rows = [np.flatnonzero(pool & (task.labels == c)) for c in range(len(task.classes))]
        self.classes = [c for c, rows in enumerate(self.rows) if len(rows) > 1]
        self._values = torch.from_numpy(task.values)
        self._text, self._scale = torch.from_numpy(task.text.weights), task.text.scale

    def draw(self, rng: np.random.Generator) -> TrainingEpisode:
        """An episode of random ways and shots; one in four has uneven shots."""
        ways = int(rng.integers(2, len(self.classes) + 1))
        classes = rng.permutation(self.classes)[:ways]
        shots = int(rng.choice(SHOTS))
        uneven = rng.random() < 0.25
        support, labels, queries, targets = [], [], [], []
        for column, c in enumerate(classes):
            images = rng.permutation(self.rows[c])
            # one image at least is left to be a query
            most = max(1, min(shots, len(images) - 1))
            count = int(rng.integers(1, most + 1)) if uneven else most
            rest = images[count : count + QUERIES]
            support += images[:count].tolist()
            queries += rest.tolist()
            labels += [column] * count
            targets += [column] * len(rest)
        return TrainingEpisode(
            self._values[support],
            torch.tensor(labels),
            self._values[queries],
            torch.tensor(targets),
            self._text[classes],
            self._scale,
        )


def load_tasks(
    sources: Sequence[Any],
    encoder: str | Encoder = encoders.DEFAULT,
    templates: Sequence[str] = prompts.DEFAULT,
    *,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> list[Task]:
    """A task of each source; where splits are stated, episodes are drawn from `train` alone.

    Args:
        sources: feature files (`.safetensors`, `.npz`), or labelled images as for `handful.fit`.
        encoder: for images.
        templates: prompts of the classes of images.
        precision: of an encoder that is loaded by name; see `handful.encoders.load`.
        device: likewise.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all) of a source.

    Raises:
        InputError: whatever is wrong with a source; names it.
    """
    tasks = []
    for number, source in enumerate(sources):
        path = at_home(source) if isinstance(source, str | Path) else None
        if path and path.suffix.lower() in (".safetensors", ".npz"):
            found = data.feature_file(path)
            splits = np.array(found.splits)
            task = Task.of_features(
                found.name,
                found.values,
                found.labels,
                found.text,
                splits=splits,
                encoder=found.encoder,
            )
        else:
            # at the first images, and only once
            encoder = model = encoders.load(encoder, precision=precision, device=device)
            dataset = data.split_or_all(data.load(source), "train")
            dataset, reserved = data.separate_reserved(dataset, None)
            with data.reserved_in_errors(reserved):
                words = data.class_words(dataset, None)
            name = path.resolve().name if path else f"source {number}"
            facts = {"name": name, "encoder": model.fingerprint}
            task = encode_all(dataset, words, model, templates, store, progress, **facts)
        tasks.append(task)
    return tasks


def weights_path(name: str, *, overwrite: bool = False) -> Path:
    """Where weights of this name go.

    Raises:
        InputError: a name that cannot be one, is taken, or is that of the shipped ones.
    """
    path = meta.weights_path(name)
    if name == meta.SHIPPED:
        raise InputError(f"{name!r} are the weights that come with Handful; choose another name")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists; choose another --name, or add --overwrite")
    return path


def save_weights(network: meta.MetaNetwork, path: Path, facts: Mapping[str, Any]) -> None:
    """Write the weights and how they were made.

    Raises:
        StorageError: the disk refused.
    """
    try:
        meta.save(network, path, dict(facts))
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from error


def train(
    tasks: Sequence[Task],
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
    samplers = [s for s in map(EpisodeSampler, tasks) if len(s.classes) > 1]
    if not samplers:
        raise InputError("no task has two classes of two images each; add labelled images")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs as well
        network = meta.MetaNetwork(hidden)
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=1e-3)
    mean, warm_up = 0.0, max(1, steps // 20)
    for step in range(steps):
        # linear warm-up times half a cosine
        rise = min(1.0, (step + 1) / warm_up)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * rise * (1 + math.cos(math.pi * step / steps)) / 2
        drawn = (samplers[int(rng.integers(len(samplers)))].draw(rng) for _ in range(EPISODES))
        batch = torch.stack([loss(network, episode) for episode in drawn]).mean()
        if not torch.isfinite(batch):
            raise InputError(f"meta-training diverged at step {step + 1}; lower learning_rate")
        optimiser.zero_grad()
        batch.backward()  # type: ignore[no-untyped-call]  # torch's own
        # an episode of one shot has steep gradients now and then
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        mean = batch.item() if step == 0 else 0.98 * mean + 0.02 * batch.item()
        if progress is not None:
            progress(step + 1, steps, mean)
    return network.eval().requires_grad_(False)


def loss(network: meta.MetaNetwork, episode: TrainingEpisode) -> torch.Tensor:
    """Mean cross-entropy of an episode's queries."""
    weights, bias = network(episode.support, episode.labels, episode.text, episode.scale)
    return cross_entropy(episode.queries @ weights.T + bias, episode.targets)
