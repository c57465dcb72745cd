"""Published accuracies to compare with, each with its source and how it was obtained.

The numbers are in `anchors.json`. Nothing in it is from memory. Where a method's hyper-parameters
or its epoch were chosen on images that a clean test keeps apart, the record is `leaky`, and states
why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from handful.errors import InputError

PROTOCOLS = ("few-shot all-to-all", "base-to-new", "cross-data-set", "domain generalisation")
SEMANTICS = ("inductive", "batch", "stream")


@dataclass(frozen=True)
class Anchor:
    """One published row.

    Args:
        method: as its authors call it.
        encoder: `RN50`, `ViT-B/16`, ... (all of OpenAI's CLIP).
        data_set: its name, or `average of 11`.
        protocol: one of `PROTOCOLS`.
        accuracy: percent, by shots a class ("0" for none); for base-to-new by `base`, `new` and
            `harmonic mean`.
        text: which texts the classes had.
        hyper_parameters: how they were chosen.
        source: repository@commit:path, or what else it was read in.
        leaky: whether what it was chosen on makes the number better than a clean one.
        leak: why; "" where it is not.
        computed: the mean of the source's own numbers, made by us.
        figure: read from a curve or a bar by eye.
        semantics: whether an answer depends on its own image alone (see `Adapter`).
        note: what else a reader must know.

    Raises:
        InputError: a field that is empty or none of the known values; leaky without a reason.
    """

    method: str
    encoder: str
    data_set: str
    protocol: str
    accuracy: Mapping[str, float]
    text: str
    hyper_parameters: str
    source: str
    leaky: bool = False
    leak: str = ""
    computed: bool = False
    figure: bool = False
    semantics: str = "inductive"
    note: str = ""

    def __post_init__(self) -> None:
        required = (
            self.method, self.encoder, self.data_set, self.text, self.hyper_parameters, self.source
        )  # fmt: skip
        where = f"the anchor {self.method!r} on {self.data_set!r}"
        if not all(isinstance(value, str) and value.strip() for value in required):
            raise InputError(f"{where}: a field is empty; every number needs its source")
        if self.protocol not in PROTOCOLS or self.semantics not in SEMANTICS:
            raise InputError(
                f"{where}: expected one of {PROTOCOLS} and of {SEMANTICS}, "
                f"got {self.protocol!r} and {self.semantics!r}"
            )
        if self.leaky != bool(self.leak):
            raise InputError(f"{where}: leaky and the reason for it belong together")
        values = dict(self.accuracy)
        keys = ("base", "new", "harmonic mean") if self.protocol == "base-to-new" else None
        if not values or not all(k in keys if keys else k.isdecimal() for k in values):
            raise InputError(f"{where}: accuracy is given for {sorted(values)}")
        if not all(isinstance(v, float) and 0 <= v <= 100 for v in values.values()):
            raise InputError(f"{where}: expected percent, got {values}")
        object.__setattr__(self, "accuracy", MappingProxyType(values))


def anchors(
    protocol: str | None = None, encoder: str | None = None, data_set: str | None = None
) -> tuple[Anchor, ...]:
    """The published rows of a protocol, an encoder and a data set; all where none is named.

    Raises:
        InputError: a protocol that there is not.

    >>> best = anchors("few-shot all-to-all", "ViT-B/32", "average of 11")
    >>> [a.accuracy["16"] for a in best if a.method == "GDA"]
    [78.06]
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise InputError(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    wanted = {"protocol": protocol, "encoder": encoder, "data_set": data_set}
    return tuple(
        anchor
        for anchor in _all()
        if all(v is None or getattr(anchor, k) == v for k, v in wanted.items())
    )


@cache
def _all() -> tuple[Anchor, ...]:
    return parse(files("handful.protocols").joinpath("anchors.json").read_text(encoding="utf-8"))


def parse(content: str) -> tuple[Anchor, ...]:
    """Anchors of a JSON text, checked.

    Raises:
        InputError: not JSON, fields that are missing or unknown, or what `Anchor` refuses.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(content)["anchors"]
        return tuple(Anchor(**row) for row in rows)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"anchors.json: expected a list of anchors ({error})") from error
