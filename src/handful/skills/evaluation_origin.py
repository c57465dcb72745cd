"""What `report.html` says beside the numbers: what was measured, what was left out, how.

The texts are of the evaluation alone; `evaluation_report` puts them on the page.
"""

from __future__ import annotations

from collections.abc import Iterable

from handful import metrics, report
from handful.skills.evaluated import Evaluated
from handful.skills.evaluation_sections import in_groups

LIMITS = (
    "All of this holds for photos like those that were tested: other cameras, places or patients "
    "have to be measured. A skill is no medical device.",
)


def warnings(done: Evaluated) -> Iterable[str]:
    """What a reader has to know before the numbers."""
    if done.transductive:
        yield f"{done.transductive['note']}."
    if (count := len(done.leaks) + len(done.group_leaks)) and keeps_leaks(done):
        yield (
            f"{count} of the photos taught the skill, or are of groups that it was taught with, "
            "and were counted all the same: the numbers are too good."
        )


def keeps_leaks(done: Evaluated) -> bool:
    """Whether photos of the support set were counted."""
    return bool(done.facts.get("options", {}).get("keep_leaks"))


def folds_of(done: Evaluated) -> int:
    """Of a cross-validation; 0 of any other evaluation."""
    return max(done.answers.folds, default=0) if done.answers is not None else 0


def left_out(done: Evaluated) -> Iterable[str]:
    """A line for each kind of photo that counts in no number, and for each that failed."""
    for names, what in (
        (
            done.leaks,
            "are also in the support set, byte for byte; they "
            f"{'count all the same' if keeps_leaks(done) else 'count in no number'}",
        ),
        (
            done.group_leaks,
            f"are of groups that the skill was taught with: "
            f"{report.plain(list(done.leaked_groups))}; they "
            f"{'count all the same' if keeps_leaks(done) else 'count in no number'}",
        ),
        (done.in_pool, "helped to teach the skill without their labels; they count in no number"),
        (done.repeated, "are byte for byte another test photo; each picture counts once"),
        (done.contradictory, "are one picture with different labels; they count in no number"),
    ):
        if names:
            yield f"{len(names)} photos {what}: {report.plain(list(names))}."
    for failure in done.failures:
        yield failure.reason
    if done.ignored:
        yield f"Passed over: {report.plain(done.ignored)}."
    yield from done.notes


def about(done: Evaluated) -> Iterable[tuple[str, str]]:
    """Name and value of what identifies the measurement."""
    facts = done.facts
    skill, data = facts.get("skill", {}), facts.get("data", {})
    rows = {
        "skill": skill.get("name", ""),
        "method": skill.get("method", ""),
        "skill digest": skill.get("digest", ""),
        "encoder": skill.get("encoder", ""),
        "data": data.get("name", ""),
        "data digest": data.get("digest", ""),
        "photos": f"{done.result.count}{in_groups(done.result.units, done.result.count)}",
        "options": "; ".join(
            f"{name}: {report.plain(value)}"
            for name, value in facts.get("options", {}).items()
            if value
        ),
        "date": facts.get("date", ""),
        "Handful": facts.get("handful", ""),
    }
    yield from ((name, str(value)) for name, value in rows.items() if value)


def intervals(done: Evaluated) -> str:
    """How the intervals were made."""
    if getattr(done.result, "interval_method", metrics.WILSON) == metrics.WILSON:
        return (
            "Intervals, at 95 %, are Wilson's (of F1 by way of the share TP / (TP + FP + FN)); "
            "those of areas are made by drawing photos anew. Every photo counts as independent."
        )
    return (
        "Intervals at 95 % are Wilson's, of as many photos as those of the groups are worth, since "
        "the photos of a group are not independent (effective sample size); those of areas and of "
        "the macro-F1 are made by drawing whole groups anew."
    )
