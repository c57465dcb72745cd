"""The one encoder of a library, and what its skills change of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from handful import encoders
from handful.contracts import Encoder
from handful.errors import (
    InputError,
    MismatchError,
    MissingExtraError,
    PackError,
    UnknownNameError,
)
from handful.library.ensemble import Skills
from handful.library.folder import Shelf
from handful.skills.encoder import join


class LeftOutError(PackError):
    """A skill turned out not to fit when it was first needed."""


class Backbone:
    """Loaded when it is first needed, and checked against the skills.

    Args:
        shelf: the folder.
        given: the encoder or its name; the one that the library names when not given.
        leave: told the name of a skill that cannot be used, and why; leaves it out.
    """

    def __init__(
        self, shelf: Shelf, given: Encoder | str | None, leave: Callable[[str, str], None]
    ) -> None:
        self._shelf, self._given, self._leave = shelf, given, leave
        self._encoder: Encoder | None = None
        self._tuned: dict[str, Encoder] = {}

    def encoder(self, skills: Skills) -> Encoder:
        """The untouched encoder.

        Raises:
            MismatchError: another one than the library's.
            MissingModelError: it is neither on this disk nor reachable.
        """
        if self._encoder is None:
            self._encoder = self._find(skills)
        return self._encoder

    def tuned(self, name: str, base: Encoder) -> Encoder:
        """The encoder with what a skill changes of it.

        Raises:
            LeftOutError: the change does not fit; the skill is left out from now on.
        """
        if name not in self._tuned:
            try:
                self._tuned[name] = join(self._shelf.load(name), base)
            except (InputError, MismatchError, MissingExtraError, UnknownNameError) as error:
                self._leave(name, str(error))
                raise LeftOutError(f"the skill {name!r} cannot be used: {error}") from error
        return self._tuned[name]

    def forget(self, name: str) -> None:
        """A skill is not there any more."""
        self._tuned.pop(name, None)

    def _find(self, skills: Skills) -> Encoder:
        """By a skill, where there is one: its golden picture shows whether pictures are seen so."""
        tuned = {skill.name for skill in skills.skills if skill.tuned}
        if tuned:
            self._given = self._loaded(precision="float32")
        judges = sorted(skills.names, key=lambda name: name in tuned)
        for judge in judges:
            try:
                found: Any = join(self._shelf.load(judge), self._given)
            except MismatchError as error:
                self._given = self._loaded()
                if judge == judges[-1] or not self._fits(self._given):
                    raise
                self._leave(judge, str(error))  # perhaps the only one made with other pictures
                continue
            return cast(Encoder, found.base if judge in tuned else found)
        given = self._loaded()
        if not self._fits(given):
            stated = self._shelf.encoder
            raise MismatchError(
                f"{self._shelf.path}: is a library for the encoder {stated['name']!r} "
                f"({stated['fingerprint']}), got {given.fingerprint}"
            )
        return given

    def _loaded(self, **how: str) -> Encoder:
        if self._given is None or isinstance(self._given, str):
            return encoders.load(self._given or str(self._shelf.encoder["name"]), **how)
        return self._given

    def _fits(self, encoder: Encoder) -> bool:
        return bool(encoder.fingerprint == self._shelf.encoder["fingerprint"])
