"""`Evaluated`: how good a skill is on images it has not seen, as `evaluation.json` states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handful.features import Failure
from handful.report import to_frame
from handful.skills.answers import Answers
from handful.skills.operating_points import OperatingPoint
from handful.tasks import Task

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = 1  # of `evaluation.json`; grows when a key changes its meaning


@dataclass(frozen=True)
class Evaluated:
    """How good a skill is on images that are not among its support images.

    Args:
        task: what was asked.
        result: the numbers of the task, `handful.metrics.Evaluation` or `MultiLabelEvaluation`.
        failures: images that could not be read; they count in no number.
        leaks: test images that are byte for byte support images; left out of every number.
        group_leaks: further test images of groups that the skill was taught with; likewise.
        leaked_groups: names of these groups.
        ignored: files passed over while looking for images: how many of each kind.
        unknown: how often images of no class are taken for known and the other way round, where
            there were any (`selection.novelty_scorer.detection_errors`), or `cannot`;
            else None.
        confidence: calibration error and its bins, with the skill's factor and without, Brier
            score and NLL, and what sets of answers cover at each of
            `handful.packs.confidence.ERRORS`, or why it cannot; None for a task without one class
            an image.
        in_pool: test images that taught the skill without their labels; left out of every number.
        transductive: where the test images themselves were the pool, how many (`pool`), how far
            they were trusted (`trust`) and a `note` that says so; else None.
        answers: what was answered of each test image that counts, with the truth; None for a task
            that asks neither for one class an image nor for several.
        repeated: test images that are byte for byte another one; each picture counts once.
        contradictory: test images of one picture with different labels; they count in no number.
        areas: areas under the ROC and precision-recall curves (`handful.metrics.areas`); None
            without `answers`.
        operating_points: thresholds that were chosen on the support set, and what they give here.
        subgroups: column to value to the numbers of its images.
        facts: `date`, version of `handful`, `skill` (name, digest, method), `data` (name, digest,
            images, groups) and `options`.
        notes: what a reader of the numbers should know, a sentence each.
    """

    task: Task
    result: Any
    failures: tuple[Failure, ...]
    leaks: tuple[str, ...]
    ignored: Mapping[str, int]
    unknown: Mapping[str, Any] | None = None
    confidence: Mapping[str, Any] | None = None
    in_pool: tuple[str, ...] = ()
    transductive: Mapping[str, Any] | None = None
    answers: Answers | None = None
    repeated: tuple[str, ...] = ()
    contradictory: tuple[str, ...] = ()
    areas: Mapping[str, Any] | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    subgroups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    group_leaks: tuple[str, ...] = ()
    leaked_groups: tuple[str, ...] = ()

    def to_frame(self) -> DataFrame:
        """A row a class: `class,precision,recall,f1,images`, images being those of the class.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        keys = {"precision": "precision", "recall": "recall", "f1": "f1", "images": "support"}
        rows = [
            [name, *(numbers[key] for key in keys.values())]
            for name, numbers in self.result.per_class.items()
        ]
        return to_frame(["class", *keys], rows)

    def as_dict(self) -> dict[str, Any]:
        """`evaluation.json`: numbers, what was left out of them, where they come from.

        The keys are told in `docs/evaluation.md`.
        """
        found: dict[str, Any] = {
            "schema": SCHEMA,
            **self.facts,
            **self.result.as_dict(),
            "areas": dict(self.areas) if self.areas else None,
            "confidence": dict(self.confidence) if self.confidence else None,
            "unknown": dict(self.unknown) if self.unknown else None,
            "transductive": dict(self.transductive) if self.transductive else None,
            "operating_points": [point.as_dict() for point in self.operating_points],
            "subgroups": {name: dict(values) for name, values in self.subgroups.items()},
            "notes": list(self.notes),
            "leaks": list(self.leaks),
            "group_leaks": list(self.group_leaks),
            "leaked_groups": list(self.leaked_groups),
            "in_pool": list(self.in_pool),
            "repeated": list(self.repeated),
            "contradictory": list(self.contradictory),
            "failed": len(self.failures),
            "failures": [{"file": f.name, "error": f.reason} for f in self.failures],
            "ignored": dict(self.ignored),
        }
        # what was not asked for, or cannot be, is left out
        return {key: value for key, value in found.items() if value not in (None, {}) or _kept(key)}


def _kept(key: str) -> bool:
    return key in ("ignored", "interval", "macro_f1_interval")
