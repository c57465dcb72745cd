"""A skill, from whatever stands for one: a folder, a pack, or what `handful.fit` returns."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeAlias

from handful.contracts import Encoder
from handful.errors import InputError
from handful.features.store import FeatureStore
from handful.packs import Pack


class LoadedSkill(Protocol):
    """A skill with its encoder in memory: what `handful.fit` returns, or a `Predictor`."""

    @property
    def pack(self) -> Pack:
        """The skill."""
        ...

    @property
    def encoder(self) -> Encoder:
        """What it was taught on."""
        ...

    @property
    def store(self) -> FeatureStore | None:
        """Where features are kept."""
        ...


AnySkill: TypeAlias = str | Path | Pack | LoadedSkill


def unpack(
    skill: AnySkill,
    encoder: Encoder | str | Path | None = None,
    store: FeatureStore | None = None,
    *,
    precision: str = "auto",
    device: str = "auto",
) -> tuple[Pack, Encoder | str | Path | None, FeatureStore | None]:
    """The pack, with the encoder and the store of a skill that has them in memory.

    Args:
        skill: a skill, its folder, or one with its encoder.
        encoder: instead of the skill's own.
        store: instead of the skill's own.
        precision: where one is stated, the encoder in memory does not count, and None is returned:
            the encoder has to be loaded anew.
        device: likewise.

    Raises:
        InputError: no skill.
        PackError: it cannot be used as it is on disk.
    """
    if isinstance(skill, str | Path):
        return Pack.load(skill), encoder, store
    if isinstance(skill, Pack):
        return skill, encoder, store
    # the caller of an untyped program may have given anything
    if not isinstance(getattr(skill, "pack", None), Pack):
        raise InputError(
            "expected a skill: its folder, a .skill file, a Pack, or what handful.fit returns; "
            f"got {type(skill).__name__}"
        )
    if encoder is None and (precision, device) == ("auto", "auto"):
        encoder = skill.encoder
    return skill.pack, encoder, skill.store if store is None else store
