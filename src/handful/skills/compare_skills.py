"""Two skills on the same photos: which of them is right more often, and whether that is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handful import metrics
from handful.data.group_by import AUTO
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.metrics import PairedDifference
from handful.selection.groups import find_units
from handful.skills.answers import Answers
from handful.skills.evaluate import evaluate
from handful.skills.evaluated import SCHEMA, Evaluated
from handful.skills.loaded import AnySkill
from handful.skills.measure import data_digest


@dataclass(frozen=True, eq=False)
class SkillComparison:
    """Two skills on M photos that neither was taught with.

    Args:
        difference: of the second less the first, with its interval and whether it may be chance.
        accuracies: of both, share of photos that are right (all of their labels).
        intervals: of both; None where all photos are of one group.
        answers: of both, a row a photo, in the same order.
        only_one: photos that one of the skills was taught with, or others of their groups; left
            out for both.
        evaluated: both evaluations, each on all photos that the skill has not seen.
    """

    difference: PairedDifference
    accuracies: tuple[float, float]
    intervals: tuple[tuple[float, float] | None, tuple[float, float] | None]
    answers: tuple[Answers, Answers]
    only_one: tuple[str, ...]
    evaluated: tuple[Evaluated, Evaluated]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Photos that could not be read."""
        return self.evaluated[0].failures

    @property
    def ignored(self) -> Mapping[str, int]:
        """Files passed over while looking for images: how many of each kind."""
        return self.evaluated[0].ignored

    @property
    def group_by(self) -> str:
        """How groups were stated; of two skills that were taught with other ones, both."""
        ways = dict.fromkeys(one.facts["options"]["group_by"] for one in self.evaluated)
        return " and ".join(way for way in ways if way != AUTO or len(ways) == 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know, of both evaluations, a sentence each."""
        return tuple(dict.fromkeys(note for one in self.evaluated for note in one.notes))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, as `comparison.json`; see `docs/evaluation.md`."""
        first, second = self.evaluated
        skills = [
            {**one.facts["skill"], "accuracy": accuracy, "interval": interval and [*interval]}
            for one, accuracy, interval in zip(
                self.evaluated, self.accuracies, self.intervals, strict=True
            )
        ]
        return {
            "schema": SCHEMA,
            **{key: first.facts[key] for key in ("date", "handful")},
            "data": {
                "name": first.facts["data"]["name"],
                "digest": data_digest(self.answers[0]),
                "images": len(self.answers[0]),
                "groups": self.difference.units,
            },
            "options": {"group_by": self.group_by},
            "skills": skills,
            **self.difference.as_dict(),
            "only_one": list(self.only_one),
            "leaks": [list(first.leaks), list(second.leaks)],
            "group_leaks": [list(first.group_leaks), list(second.group_leaks)],
            "notes": list(self.notes),
            "failures": [{"file": f.name, "error": f.reason} for f in self.failures],
            "ignored": dict(self.ignored),
        }


def compare_skills(
    first: AnySkill,
    second: AnySkill,
    source: Any,
    *,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
    group_by: str = "auto",
    progress: Progress | None = None,
) -> SkillComparison:
    """Compare two skills on labelled photos; what either was taught with counts for neither.

    Args:
        first: a skill's folder, a `Predictor`, or what `handful.fit` returns.
        second: likewise; its encoder may be another one.
        source: as for `handful.evaluate`; every label must be a class of both.
        precision: of encoders that are loaded by name; see `Predictor`.
        device: likewise.
        store: where features are kept.
        group_by: which photos are not independent; as for `handful.evaluate`.
        progress: called with (images done, images in all), anew for each skill.

    Raises:
        InputError: as `handful.evaluate`; no photo is left that neither has seen; skills of
            several labels beside skills of one; such skills with other classes.
    """
    options: dict[str, Any] = {"precision": precision, "device": device, "store": store}
    options |= {"group_by": group_by, "progress": progress}
    done = (evaluate(first, source, **options), evaluate(second, source, **options))
    found = [_answers(one) for one in done]
    if found[0].exclusive != found[1].exclusive:
        raise InputError("one skill answers with one label an image, the other with several")
    if not found[0].exclusive and {*found[0].classes} != {*found[1].classes}:
        raise InputError("two skills of several labels are compared where their classes are equal")
    places = [{id_: i for i, id_ in enumerate(one.ids)} for one in found]
    shared = [id_ for id_ in found[0].ids if id_ in places[1]]
    if not shared:
        raise InputError("no photo is left that neither skill was taught with; give others")
    a, b = (
        one.subset([place[id_] for id_ in shared]) for one, place in zip(found, places, strict=True)
    )
    units = find_units(a.groups, b.groups, a.ids)  # both hold
    a = replace(a, groups=_shown_groups(done, a, b))
    seen = {
        one.names[i]
        for one in found
        for i, id_ in enumerate(one.ids)
        if not all(id_ in place for place in places)
    }
    rights = (a.right, b.right)
    return SkillComparison(
        metrics.paired_difference(*rights, units),
        (float(np.mean(a.right)), float(np.mean(b.right))),
        (metrics.share_interval(a.right, units), metrics.share_interval(b.right, units)),
        (a, b),
        tuple(sorted(seen)),
        done,
    )


def _answers(done: Evaluated) -> Answers:
    if done.answers is None:
        raise InputError(f"skills of the task {done.task.title} cannot be compared")
    return done.answers


def _shown_groups(done: Sequence[Evaluated], a: Answers, b: Answers) -> tuple[str, ...]:
    """Of the groups by which each skill knows the photos those that a table shows: stated ones."""
    first, second = (one.facts["options"]["group_by"] != AUTO for one in done)
    return b.groups if not any(a.groups) or (second and not first) else a.groups


def names_of(skills: Sequence[Path]) -> tuple[str, ...]:
    """What two skills are called in a table: their folders' names, or paths where these repeat."""
    names = tuple(path.absolute().name for path in skills)
    return names if len({*names}) == len(names) else tuple(map(str, skills))
