"""Methods times episodes: each fitted once, tested, and written into the journal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from handful import metrics
from handful.adapters import create_adapter
from handful.errors import HandfulError, InputError
from handful.features import Progress
from handful.protocols.correctness import Correctness, pack
from handful.protocols.episodes import Episode
from handful.protocols.journal import Journal, trial_key
from handful.protocols.methods import semantics, title
from handful.protocols.task import Indices
from handful.selection.groups import find_units


@dataclass(frozen=True)
class Configuration:
    """One row of a table: a method with its arguments, on its episodes.

    Args:
        label: what the table calls it.
        method: the adapter's name.
        episodes: what it is fitted and tested on.
        params: arguments other than the defaults.
    """

    label: str
    method: str
    episodes: Sequence[Episode]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """One method fitted on one episode, on one of its query sets.

    Args:
        label: of the configuration.
        method: the adapter's name.
        task: the data set that it was fitted on.
        query_set: name of the query set.
        shots: images a class.
        seed: of the draw.
        accuracy: percent.
        seconds: to fit.
        images: of the query set.
        answers: which images are right; None where an older journal does not say.
    """

    label: str
    method: str
    task: str
    query_set: str
    shots: int
    seed: int
    accuracy: float
    seconds: float
    images: int
    answers: Correctness | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, without the answers; the query set is called `exam` there."""
        names = [f.name for f in fields(self) if f.name != "answers"]
        return {"exam" if name == "query_set" else name: getattr(self, name) for name in names}


def run(
    configurations: Sequence[Configuration], journal: Journal, progress: Progress | None = None
) -> list[Score]:
    """Every configuration on each of its episodes; what is in the journal is not fitted again.

    Raises:
        HandfulError: a method refuses; names the method and the data set.
    """
    for one in configurations:
        create_adapter(one.method, 0, one.params)  # a wrong name or argument: before the work
    trials = [(one, episode) for one in configurations for episode in one.episodes]
    digests: dict[int, str] = {}  # episodes are shared by configurations, and large ones take long
    scores: dict[int, list[Score]] = {}
    # the most shots first: what does not fit into memory fails at once, not after an hour
    for i in sorted(range(len(trials)), key=lambda i: -trials[i][1].shots):
        one, episode = trials[i]
        if id(episode) not in digests:
            digests[id(episode)] = episode.digest
        key = trial_key(digests[id(episode)], one.method, episode.seed, one.params)
        measured = journal.get(key)
        if measured is None or measured["accuracy"].keys() != {q.name for q in episode.query_sets}:
            measured = _trial(one, episode)
            journal.add(key, measured)
        scores[i] = scores_of(one, episode, measured)
        if progress:
            progress(len(scores), len(trials))
    return [score for i in range(len(trials)) for score in scores[i]]


def fit_and_test(configuration: Configuration, episode: Episode) -> dict[str, Any]:
    """What is measured of one fit.

    `accuracy`: query set to percent; `right`: query set to which images, as text; `seconds` to fit.
    """
    adapter = create_adapter(configuration.method, episode.seed, configuration.params)
    began = time.perf_counter()
    support = episode.task.features(episode.support, support=True)
    stated = episode.task.groups
    groups = {"groups": find_units([stated[int(i)] for i in episode.support])} if stated else {}
    adapter.fit(support, episode.labels, episode.text, **groups)
    seconds = time.perf_counter() - began
    accuracy, right = {}, {}
    for queries in episode.query_sets:
        order = np.arange(len(queries.images))
        if semantics(configuration.method) != "inductive":  # data are sorted by class: no stream is
            order = shuffled(len(order), episode.seed)
        targets = queries.targets[order]
        logits = adapter.logits(queries.task.features(queries.images[order]))
        among = logits if queries.columns is None else logits[:, queries.columns]
        accuracy[queries.name] = 100 * metrics.accuracy(among, targets)
        hits = np.empty(len(order), dtype=bool)
        hits[order] = among.argmax(axis=1) == targets
        right[queries.name] = pack(hits)
    return {"accuracy": accuracy, "right": right, "seconds": seconds}


def shuffled(count: int, seed: int) -> Indices:
    """A random order of test images, for methods that learn from the stream of queries."""
    return np.random.default_rng(seed).permutation(count)


def configurations_of(methods: Sequence[str], episodes: Sequence[Episode]) -> list[Configuration]:
    """Methods on their defaults, zero-shot first: without its row no other can be judged."""
    names = list(dict.fromkeys(["zero_shot", *methods]))
    return [Configuration(title(name), name, episodes) for name in names]


def _trial(configuration: Configuration, episode: Episode) -> dict[str, Any]:
    """What the journal keeps of a trial."""
    shots = f"{episode.shots} shot{'s' * (episode.shots > 1)}"
    try:
        measured = fit_and_test(configuration, episode)
    except HandfulError as error:
        raise InputError(
            f"{configuration.label} on {episode.task.name}, {shots}, seed {episode.seed}: {error}"
        ) from error
    return {
        "task": episode.task.name,
        "method": configuration.method,
        "params": {name: str(value) for name, value in configuration.params.items()},
        "shots": episode.shots,
        "seed": episode.seed,
        **measured,
    }


def scores_of(
    configuration: Configuration, episode: Episode, measured: Mapping[str, Any]
) -> list[Score]:
    """One score a query set, of what `fit_and_test` or the journal gave."""
    return [
        Score(
            label=configuration.label,
            method=configuration.method,
            task=episode.task.name,
            query_set=queries.name,
            shots=episode.shots,
            seed=episode.seed,
            accuracy=measured["accuracy"][queries.name],
            seconds=measured["seconds"],
            images=len(queries.images),
            answers=Correctness.of(measured.get("right"), queries),
        )
        for queries in episode.query_sets
    ]
