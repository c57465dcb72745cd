"""`handful predict LIBRARY`: each image by the skill that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console

if TYPE_CHECKING:
    from rich.table import Table

    from handful.library import LibraryPrediction
    from handful.skills.predict import Prediction


def predict(
    folder: Path,
    images: Sequence[Any],
    *,
    top_k: int | None,
    encoder: str | None,
    task: str | None,
    unknown: float | None,
) -> list[LibraryPrediction]:
    """Answers of a library; skills that cannot be used are named and left out."""
    from handful.library import Library

    library = Library(folder, encoder)
    try:
        with _console.progress("looking") as progress:
            return library.predict(images, task, unknown, top_k=top_k or 1, progress=progress)
    finally:
        for name, reason in library.broken.items():  # some are found out on the way
            _console.complain(f"left out {name}: {reason}")


def table(answers: Sequence[Prediction]) -> Table:
    """Image, task, class and score; of an image of no known task what its text alone suggests."""
    rows = [
        [a.name if i == 0 else "", _told(a) if i == 0 else "", s["label"], f"{s['score']:.3f}"]
        for a in answers
        for i, s in enumerate(a.scores)
    ]
    return _console.table(["image", "task", "class", "score"], rows, right=[3])


def facts(answer: Prediction) -> dict[str, Any]:
    """What a library tells beside an answer, for a machine; nothing of a single skill's."""
    if not hasattr(answer, "task"):
        return {}
    found = {"task": answer.task, "share": getattr(answer, "share", None)}
    return found | ({"zero_shot": True} if getattr(answer, "zero_shot", False) else {})


def _told(answer: Prediction) -> str:
    return "unknown" if answer.unknown else str(facts(answer)["task"])
