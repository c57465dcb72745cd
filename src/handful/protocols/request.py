"""What a person asks a protocol for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import encoders
from handful.contracts import Encoder
from handful.errors import InputError


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Args:
        protocol: one of `handful.protocols.bench.PLANS`.
        methods: adapters' names; all inductive ones when not given.
        shots: shot counts; those of 1, 2, 4, 8, 16 that all data sets allow when not given.
        seeds: how many draws.
        encoder: name, folder or a loaded encoder, for images and for class names without text;
            `tiny` when not given. Feature files that state another one are refused.
        templates: prompts or names of sets; what suits each data set when not given.
        words: label to words in a prompt.
        vary: for the ablation, what is varied: an argument of the method, `views`, `templates`.
        values: its values; a list of our own when not given.
        allow_fewer: take all images of a class that has fewer than the shots.
        anchors: encoder whose published numbers to show, also where they are on other data; when
            not given, those of the encoder used, on the same data.
    """

    protocol: str = "few-shot"
    methods: Sequence[str] | None = None
    shots: Sequence[int] | None = None
    seeds: int = 3
    encoder: str | Path | Encoder | None = None
    templates: Sequence[str] | None = None
    words: Mapping[str, str] | None = None
    vary: str | None = None
    values: Sequence[Any] | None = None
    allow_fewer: bool = False
    anchors: str | None = None


def distinct(names: Sequence[str]) -> None:
    """Refuse two sources of one name.

    Raises:
        InputError: telling it.
    """
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(
            f"two sources are called {twice[0]!r}, and a table could not tell them apart; "
            "rename a folder or file"
        )


def once(encoder: str | Path | Encoder) -> Callable[[], Encoder]:
    """The encoder, loaded when somebody first needs it."""
    found: list[Encoder] = []

    def get() -> Encoder:
        if not found:
            found.append(encoders.load(encoder))
        return found[0]

    return get


def named(encoder: str | Path | Encoder | None) -> str:
    """What the encoder is called; "" where none was asked for."""
    if encoder is None:
        return ""
    return str(encoder) if isinstance(encoder, str | Path) else encoder.name
