"""The schema of a table of answers: its columns, and the row of a photo.

There is one row a photo, also of one that could not be read. A row has two forms with one set of
names: an object, as JSON writes it, with answers in a list `predictions`; and flat cells, as a
table has them, with the answers in `label`, `score`, `label_2`, `score_2` and so on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful._version import __version__
from handful.skills.prediction import Prediction

if TYPE_CHECKING:  # it loads torch, which a refusal before the work does not wait for
    from handful.packs import Pack

Row = Mapping[str, Any]
SEPARATOR = "|"  # between class names in one cell, as tables of several labels have it
SHORT = 12  # hexadecimal digits of a skill's digest in a row; chance collisions are out of reach

_TYPES: Mapping[str, type[float | bool]] = {  # the other columns are texts
    **dict.fromkeys(("score", "familiar", "share", "latitude", "longitude"), float),
    **dict.fromkeys(("unknown", "zero_shot"), bool),
}


@dataclass(frozen=True)
class Schema:
    """Columns of the answers to one request.

    Args:
        skills: name of each skill that may answer to the digest of its pack, "" for none.
        library: several skills, of which each photo finds its own.
        several: the photos have several labels, or none: `labels` and `scores` hold them all.
        top_k: answers a photo; all when not given.
        shown: answers that have columns of their own; `top_k` when not given, else the best alone.
        unknown: the false-accept rate that was asked for: `unknown` and `familiar` are there.
        error: the error rate that was asked for: `may_be` is there.
        precision: of the encoder.
        exif: further columns of what the camera wrote.
        carried: further columns, of the table that listed the photos.
    """

    skills: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    library: bool = False
    several: bool = False
    top_k: int | None = None
    shown: int | None = None
    unknown: float | None = None
    error: float | None = None
    precision: str = ""
    exif: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Of the flat form, in order."""
        return (
            "file",
            *(("labels", "scores") if self.several else ("label", "score")),
            *(("unknown", "familiar") if self.unknown is not None else ()),
            *(("may_be",) if self.error is not None else ()),
            *(f"{name}_{i}" for i in self._next_best for name in ("label", "score")),
            *self.exif,
            *self.carried,
            "skill",
            *(("share", "zero_shot") if self.library else ()),
            *("digest", "handful", "options", "error"),
        )

    @cached_property
    def options(self) -> str:
        """What was asked for, as `--resume` compares it: `top_k=1 unknown=0.05`."""
        stated = {
            "top_k": self.top_k,
            "unknown": self.unknown,
            "error": self.error,
            "precision": self.precision or None,
            "library": self.library_digest if self.library else None,
        }
        return " ".join(f"{k}={_plain(v)}" for k, v in stated.items() if v is not None)

    @property
    def library_digest(self) -> str:
        """Of all skills of a library together: another one routes photos differently."""
        names = "".join(f"{name} {digest}\n" for name, digest in sorted(self.skills.items()))
        return hashlib.sha256(names.encode()).hexdigest()[:SHORT]

    def row(self, prediction: Prediction, more: Row | None = None) -> dict[str, Any]:
        """The object form of an answer.

        Args:
            prediction: the answer to one photo.
            more: its values of `exif` and `carried`, by name.
        """
        facts = prediction.facts
        row: dict[str, Any] = {"file": prediction.name, "predictions": prediction.scores}
        if self.unknown is not None:
            row |= {"unknown": prediction.unknown, "familiar": prediction.familiar}
        if self.error is not None:
            row["may_be"] = None if prediction.may_be is None else list(prediction.may_be)
        row |= {name: (more or {}).get(name) for name in (*self.exif, *self.carried)}
        only = next(iter(self.skills), "") if not self.library else ""
        name = facts.get("skill", only) or ""
        row["skill"] = name
        if self.library:
            row |= {"share": facts.get("share"), "zero_shot": facts.get("zero_shot", False)}
        row |= {"digest": self.skills.get(name, "")[:SHORT], "handful": __version__}
        reason = prediction.error and prediction.error.removeprefix(f"{prediction.name}: ")
        return row | {"options": self.options, "error": reason}

    def cells(self, row: Row) -> list[Any]:
        """The flat form of a row, in the order of `columns`; None where there is nothing."""
        flat = dict(row)
        answers: Sequence[Mapping[str, Any]] = flat.pop("predictions")
        if self.several:
            flat["labels"] = SEPARATOR.join(a["label"] for a in answers)
            flat["scores"] = SEPARATOR.join(f"{a['score']:.6f}" for a in answers)
        else:
            for i, answer in enumerate(answers, 1):
                end = f"_{i}" if i > 1 else ""
                flat |= {f"label{end}": answer["label"], f"score{end}": answer["score"]}
        may_be = flat.get("may_be")
        flat["may_be"] = None if may_be is None else SEPARATOR.join(may_be)
        return [flat.get(name) for name in self.columns]

    def type_of(self, column: str) -> type[str | float | bool]:
        """Of a column's cells, where they are not None: `str`, `float` or `bool`."""
        name = column.rpartition("_")[0] if column[-1].isdigit() else column
        if column in self.carried or name not in _TYPES:
            return str
        return _TYPES[name]

    @property
    def _next_best(self) -> range:
        return range(2, 1 if self.several else (self.shown or self.top_k or 1) + 1)


def named_digest(pack: Pack) -> tuple[str, str]:
    """What a skill is called and the digest of its pack; "" both where it lies on no disk."""
    digest = str(pack.manifest.get("digest") or "")
    if not digest:
        return "", ""
    path = Path(pack.where).absolute()
    return (path.stem if path.suffix == ".skill" else path.name), digest


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
