"""The results of a protocol: scores, and the conditions under which they were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from handful.features import Failure
from handful.protocols import tables
from handful.protocols.published import Published, beside
from handful.protocols.runner import Configuration, Score
from handful.protocols.task import Task
from handful.protocols.uncertainty import in_words

DESCRIPTIONS = {
    "few-shot": "all classes are taught and asked",
    "base-to-new": "the first half of the classes (by column, the middle one included) is taught; "
    "each half is asked among its own classes. For the base half a method is given the names and "
    "images of the base classes; for the new half the names of all classes and the images of the "
    "base ones",
    "cross": "the first data set is taught, the others are asked among their own classes; a "
    "method is given the names of both and images of the first",
    "domain": "the first data set is taught, the others show the same classes in other ways; one "
    "with some of the classes only is asked among those",
    "ablation": "few-shot, all classes are taught and asked; one thing is varied",
}


@dataclass(frozen=True, eq=False)
class BenchResult:
    """Scores of a protocol, and the conditions under which they were measured.

    Args:
        protocol: its name.
        scores: every number.
        facts: how they came about.
        tasks: name to the facts of each data set.
        failures: images that could not be read; they count in no number.
        anchors: the field's name of the encoder whose published numbers stand beside ours.
        elsewhere: show them also where they are on other data.
        ignored: files passed over while looking for images.
    """

    protocol: str
    scores: tuple[Score, ...]
    facts: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    failures: tuple[Failure, ...] = ()
    anchors: str = ""
    elsewhere: bool = False
    ignored: Mapping[str, int] = field(default_factory=dict)

    def grids(self) -> list[tables.Grid]:
        """The tables, the one over all data sets first."""
        return tables.grids(self.protocol, self.scores)

    @property
    def interval(self) -> str:
        """What the intervals cover: a sentence."""
        return in_words(self.scores)

    def published(self, grid: tables.Grid) -> tuple[Published, ...]:
        """The published rows that belong to one of the tables."""
        return beside(self.protocol, grid, self.anchors, elsewhere=self.elsewhere)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: facts, tables and every score."""
        return {
            "protocol": self.protocol,
            "facts": {**self.facts, "interval": self.interval},
            "tasks": {name: dict(facts) for name, facts in self.tasks.items()},
            "tables": [
                {
                    **asdict(grid),
                    "published": [_published_dict(row) for row in self.published(grid)],
                }
                for grid in self.grids()
            ],
            "scores": [s.as_dict() for s in self.scores],
            "failed": len(self.failures),
        }


def facts(
    protocol: str, seeds: int, configurations: Sequence[Configuration], tasks: Sequence[Task]
) -> dict[str, Any]:
    """The conditions under which the numbers were measured."""
    return {
        "protocol": DESCRIPTIONS[protocol],
        "seeds": seeds,
        "hyper-parameters": "each method's defaults, or its own choice from the support set; no "
        "validation set, and no test image takes part in any choice",
        "arguments": {
            c.label: ", ".join(f"{k}={v}" for k, v in c.params.items())
            for c in configurations
            if c.params
        },
        "encoders": sorted({task.encoder for task in tasks}),
        **_draws(configurations),
    }


def _draws(configurations: Sequence[Configuration]) -> dict[str, list[str]]:
    """What the data sets could not give: different draws, or as many images as asked for."""
    equal, fewer = {}, {}
    for episode in configurations[0].episodes:
        task, k = episode.task, episode.shots
        counts = np.bincount(task.labels[task.pool], minlength=len(task.text.classes))
        taught = counts[np.unique(episode.labels)]
        # a draw of all images is the same for every seed, so an interval of 0 means nothing
        if task.has_splits and taught.max() <= k:
            equal[task.name, k] = f"{task.name} at {k} shots: every seed has the same support set"
        if (taught < k).any():
            few = int((taught < k).sum())
            classes = f"{few} classes have" if few > 1 else "1 class has"
            fewer[task.name, k] = f"{task.name} at {k} shots: {classes} fewer images"
    return {"equal draws": list(equal.values()), "fewer": list(fewer.values())}


def _published_dict(row: Published) -> dict[str, Any]:
    record = {field.name: getattr(row.anchor, field.name) for field in fields(row.anchor)}
    return {**record, "accuracy": dict(row.anchor.accuracy), "where": row.where}
