"""A JSON list, an object an image, as Hugging Face's image-classification pipeline answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from handful.skills.outputs._base import Output
from handful.skills.prediction import Prediction


class Json(Output):
    """`{file_name, predictions: [{label, score}]}`, or `{file_name, error}`.

    Of a library also `task`, its `share`, and `zero_shot` where the text alone answered. Where it
    was asked for, also `unknown` (true or false) and `familiar`, the share of unknown images that
    look as familiar; and `among`, the classes that the image may be of.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def write(self, predictions: Sequence[Prediction], *, ascii_only: bool = False) -> str:
        """The list; half a surrogate pair, which is no text, is written as its escape."""
        text = json.dumps([_row(p) for p in predictions], indent=1, ensure_ascii=ascii_only)
        return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


def _row(p: Prediction) -> dict[str, Any]:
    if p.error:
        return {"file_name": p.name, "error": p.error}
    row: dict[str, Any] = {"file_name": p.name, "predictions": p.scores, **p.facts}
    if p.unknown is not None:
        row |= {"unknown": p.unknown, "familiar": p.familiar}
    if p.among is not None:
        row["among"] = list(p.among)
    return row
