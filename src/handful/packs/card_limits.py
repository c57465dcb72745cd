"""What a skill cannot do, as its card states it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from handful import plugins, tasks
from handful.errors import UnknownNameError

_TOGETHER = {
    "batch": "It answers all images of one call together: an answer depends on the other images "
    "that are handed in with it. Its numbers are not comparable with those of skills that see one "
    "image at a time.",
    "stream": "It learns from the images of one call in their order: an answer depends on those "
    "before it. Its numbers are not comparable with those of skills that see one image at a time.",
}


def limits(manifest: Mapping[str, Any]) -> str:
    """The section of a card about it."""
    task = task_of(manifest)
    lines = (task.limits() if task else None) or [
        f"Unless asked to say `unknown`, it answers with one of its {len(manifest['classes'])} "
        "classes, also for a photo that shows none of them.",
        f"Its scores add up to one and rank the answers; {_calibration(manifest)}.",
    ]
    lines += [
        "It knows the classes as the images it was taught with show them: other cameras, "
        "places or styles can be worse than any number above.",
        "What the encoder does not see, no head can tell; the encoder's own biases remain.",
    ]
    with suppress(UnknownNameError):  # a card can be written where the method is not installed
        kind = getattr(plugins.get("adapters", manifest["method"]), "semantics", "inductive")
        if kind in _TOGETHER:
            lines.insert(0, _TOGETHER[kind])
    return "\n".join(["## Limits\n", *(f"- {line}" for line in lines), ""])


def _calibration(manifest: Mapping[str, Any]) -> str:
    entry = manifest.get("confidence")
    if isinstance(entry, Mapping) and "factor" in entry:
        return "they are calibrated on the support images alone, for photos like those"
    return "they are not calibrated frequencies"


def task_of(manifest: Mapping[str, Any]) -> tasks.Task | None:
    """None where the task is a plug-in that is not installed here."""
    try:
        return tasks.get(tasks.of_manifest(manifest))
    except UnknownNameError:
        return None
