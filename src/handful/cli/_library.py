"""`handful predict LIBRARY`: each image by the skill that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console

if TYPE_CHECKING:
    from handful.library import LibraryPrediction
    from handful.skills.prediction import Prediction


def predict(
    folder: Path,
    images: Sequence[Any],
    *,
    top_k: int | None,
    encoder: str | None,
    precision: str,
    device: str,
    task: str | None,
    unknown: float | None,
) -> list[LibraryPrediction]:
    """Answers of a library; skills that cannot be used are named and left out."""
    from handful.library import Library

    library = Library(folder, encoder, precision=precision, device=device)
    try:
        with _console.progress("looking") as progress:
            return library.predict(images, task, unknown, top_k=top_k or 1, progress=progress)
    finally:
        for name, reason in library.broken.items():  # some turn out not to fit on the way
            _console.echo_err(f"left out {name}: {reason}")


def show(answers: Sequence[Prediction], rate: float | None = None) -> None:
    """Image, task, class and score; of an image of no known task what its text alone suggests.

    Of one at the edge of being unknown that is said, the same on both sides of the rate.
    """
    rows = []
    for answer in answers:
        task = "unknown" if answer.unknown else str(answer.facts["task"])
        if rate is not None and answer.is_near(rate):
            task = "perhaps unknown"
        for i, score in enumerate(answer.scores):
            head = ["", ""] if i else [answer.name, task]
            rows.append([*head, score["label"], f"{score['score']:.3f}"])
    _console.echo_table(["image", "task", "class", "score"], rows, right=[3])
