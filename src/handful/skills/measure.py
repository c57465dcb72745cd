"""From answers to the numbers of an evaluation; what several ways of evaluating share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import metrics
from handful._version import __version__
from handful.contracts import Array
from handful.data.dataset import SPLITS
from handful.errors import InputError
from handful.packs import Pack, confidence
from handful.skills import operating_points
from handful.skills.answer_table import named_digest
from handful.skills.answers import Answers
from handful.skills.evaluated import Evaluated
from handful.skills.operating_points import OperatingPoint
from handful.skills.subgroups import by_column

Sets = Mapping[float, NDArray[np.bool_] | str]


def calibration_numbers(
    targets: NDArray[np.int64],
    probabilities: Array,
    uncalibrated: Array,
    sets: Sets,
    units: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """How far probabilities can be believed: see `Evaluated.confidence`.

    Args:
        targets: `[M]` columns.
        probabilities: `[M, C]`, of the skill.
        uncalibrated: `[M, C]`, with the factor 1.
        sets: error rate to `[M, C]`, which classes an image may be of, or why there are none.
        units: `[M]`, equal for images that belong together, for the intervals of the bins.
    """
    found: dict[str, Any] = {"bins": {}}
    # both, to show what the learned factor is worth
    for key, given in (("ece", probabilities), ("ece_uncalibrated", uncalibrated)):
        found[key] = metrics.calibration_error(given, targets)
        found["bins"][key] = [
            {"from": b.low, "to": b.high, "count": b.count} | (_of_bin(b) if b.count else {})
            for b in metrics.reliability(given, targets, units=units)
        ]
    found["brier"] = metrics.brier_score(probabilities, targets)
    found["nll"] = metrics.negative_log_likelihood(probabilities, targets)
    rows = np.arange(len(targets))
    found["sets"] = {
        f"{error:g}": {"cannot": among}
        if isinstance(among, str)
        # promised is 1 - error on average, for images like the support images
        else {
            "coverage": float(among[rows, targets].mean()),
            "size": float(among.sum(axis=1).mean()),
        }
        for error, among in sets.items()
    }
    return found


def _of_bin(one: metrics.Bin) -> dict[str, Any]:
    interval = list(one.interval) if one.interval else None
    return {"confidence": one.confidence, "accuracy": one.accuracy, "interval": interval}


def sets_of(
    manifest: Mapping[str, Any], tensors: Mapping[str, Any], logits: Array, where: str
) -> dict[float, NDArray[np.bool_] | str]:
    """Error rate to the sets of answers, or why the skill cannot give them.

    Args:
        manifest: with what the skill states of itself.
        tensors: likewise.
        logits: `[M, C]`.
        where: what errors call the skill.
    """
    found: dict[float, NDArray[np.bool_] | str] = {}
    for error in confidence.ERRORS:
        try:
            found[error] = confidence.sets(manifest, dict(tensors), logits, error, where)
        except InputError as refused:
            found[error] = str(refused)
    return found


def with_details(
    done: Evaluated,
    units: NDArray[np.int64],
    points: Sequence[OperatingPoint] = (),
    by: Sequence[str] = (),
) -> Evaluated:
    """The same with what follows from its answers: areas, operating points, subgroups.

    Args:
        done: an evaluation.
        units: `[M]`, equal for images that belong together.
        points: thresholds that were chosen on the support set.
        by: columns.
    """
    answers = done.answers
    if answers is None:
        return done
    return replace(
        done,
        areas=metrics.areas(answers.probabilities, answers.shown, answers.classes, units),
        operating_points=tuple(operating_points.measure(p, answers, units) for p in points),
        subgroups={column: by_column(answers, column, units) for column in by},
    )


def facts_of(
    pack: Pack | None, source: Any, answers: Answers | None, units: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """When, by what and on what: see `Evaluated.facts`.

    Args:
        pack: the skill; None where each fold has its own.
        source: the data, as they were given.
        answers: the test images that count.
        units: groups among them.
        options: those that change numbers.
    """
    skill = dict.fromkeys(("name", "digest", "method", "encoder"), "")
    if pack is not None:
        encoder = str(pack.manifest["encoder"]["name"])
        values = (*named_digest(pack), pack.method, encoder)
        skill = dict(zip(skill, values, strict=True))
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    facts: dict[str, Any] = {"name": _data_name(source)}
    if answers is not None:
        facts |= {"digest": data_digest(answers), "images": len(answers), "groups": units}
    return {
        "date": f"{now.isoformat()}Z",
        "handful": __version__,
        "skill": skill,
        "data": facts,
        "options": dict(options),
    }


def _data_name(source: Any) -> str:
    """A folder or table by its name; a split with the folder it lies in. "" for data in memory."""
    if not isinstance(source, str | Path):
        return ""
    parts = Path(source).absolute().parts
    return "/".join(parts[-2:] if parts[-1].casefold() in SPLITS else parts[-1:])


def data_digest(answers: Answers) -> str:
    """SHA-256 of the sorted lines `image digest, tab, labels joined by |, line feed`."""
    lines = sorted(
        f"{id_}\t{labels}\n" for id_, labels in zip(answers.ids, answers.labels, strict=True)
    )
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
