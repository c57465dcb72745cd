"""The one encoder of a library, and what its skills tune of it."""

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
from handful.library.ensemble import SkillEnsemble
from handful.library.folder import LibraryFolder
from handful.skills.encoder import join


class UnusableSkillError(PackError):
    """A skill turned out not to fit when it was first needed."""


class Backbone:
    """The frozen encoder, loaded when it is first needed and checked against the skills.

    Args:
        folder: of the library.
        encoder: or its name; the one that the library names when not given.
        exclude: called with the name of a skill that cannot be used, and why.
    """

    def __init__(
        self,
        folder: LibraryFolder,
        encoder: Encoder | str | None,
        exclude: Callable[[str, str], None],
    ) -> None:
        self._folder, self._given, self._exclude = folder, encoder, exclude
        self._encoder: Encoder | None = None
        self._tuned: dict[str, Encoder] = {}

    def encoder(self, ensemble: SkillEnsemble) -> Encoder:
        """The frozen encoder.

        Raises:
            MismatchError: another one than the library's.
            MissingModelError: it is neither on this disk nor reachable.
        """
        if self._encoder is None:
            self._encoder = self._find(ensemble)
        return self._encoder

    def tuned(self, name: str, frozen: Encoder) -> Encoder:
        """The encoder as a skill tunes it.

        Raises:
            UnusableSkillError: its tuning does not fit; the skill is excluded from now on.
        """
        if name not in self._tuned:
            try:
                self._tuned[name] = join(self._folder.load(name), frozen)
            except (InputError, MismatchError, MissingExtraError, UnknownNameError) as error:
                self._exclude(name, str(error))
                raise UnusableSkillError(f"the skill {name!r} cannot be used: {error}") from error
        return self._tuned[name]

    def forget(self, name: str) -> None:
        """Drop the tuned encoder of a skill that was removed."""
        self._tuned.pop(name, None)

    def _find(self, ensemble: SkillEnsemble) -> Encoder:
        """Load the encoder and check it, by the golden image of a skill where there is one."""
        tuned = {skill.name for skill in ensemble.skills if skill.tuned}
        if tuned:  # a tuned skill's golden image is exact in this precision only
            self._given = self._load(precision="float32")
        judges = sorted(ensemble.names, key=lambda name: name in tuned)
        for judge in judges:
            try:
                found: Any = join(self._folder.load(judge), self._given)
            except MismatchError as error:
                self._given = self._load()
                if judge == judges[-1] or not self._fits(self._given):
                    raise
                # the encoder's weights are right, so this one skill was made with other pictures
                self._exclude(judge, str(error))
                continue
            return cast(Encoder, found.base if judge in tuned else found)
        given = self._load()
        if not self._fits(given):
            stated = self._folder.encoder
            raise MismatchError(
                f"{self._folder.path}: is a library for the encoder {stated['name']!r} "
                f"({stated['fingerprint']}), got {given.fingerprint}"
            )
        return given

    def _load(self, **options: str) -> Encoder:
        if self._given is None or isinstance(self._given, str):
            return encoders.load(self._given or str(self._folder.encoder["name"]), **options)
        return self._given

    def _fits(self, encoder: Encoder) -> bool:
        return bool(encoder.fingerprint == self._folder.encoder["fingerprint"])
