"""The frozen encoder of a library, checked against its skills, and as a skill tunes it."""

from __future__ import annotations

from collections.abc import Sequence
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
from handful.library.folder import LibraryFolder
from handful.library.skill import Skill
from handful.packs import Pack
from handful.skills.encoder import load_encoder


class UnusableSkillError(PackError):
    """A skill turned out not to fit when it was first needed."""


def find_encoder(
    folder: LibraryFolder,
    given: Encoder | str | None,
    skills: Sequence[Skill],
    *,
    precision: str = "auto",
    device: str = "auto",
) -> tuple[Encoder, dict[str, str]]:
    """The frozen encoder, and skills that do not fit it, each with why.

    A skill's golden image shows whether this machine prepares images as the one that made the skill
    did, which no fingerprint does; so skills are tried until one fits, the untuned ones first.

    Args:
        folder: of the library.
        given: the encoder or its name; the one that the library names when not given.
        skills: those that can be used.
        precision: of an encoder that is loaded by name; see `handful.Predictor`.
        device: likewise.

    Raises:
        MismatchError: another encoder than the library's; no skill fits.
        MissingModelError: it is neither on this disk nor reachable.
    """
    stated = folder.encoder

    def load(precision: str = precision) -> Encoder:
        if given is None or isinstance(given, str):
            name = str(stated["name"]) if given is None else given
            return encoders.load(name, precision=precision, device=device)
        return given

    tuned = [skill.name for skill in skills if skill.tuned]
    names = [skill.name for skill in skills if not skill.tuned] + tuned
    misfits: dict[str, str] = {}
    # a tuned skill's golden image is exact in this precision only
    given = load("float32") if tuned and precision == "auto" else given
    for name in names:
        try:
            pack = folder.load(name)
            found: Any = load_encoder(pack, given, precision=precision, device=device)
        except MismatchError as error:
            given = load()
            if name == names[-1] or given.fingerprint != stated["fingerprint"]:
                raise
            # the encoder is the right one, so this skill alone was made with other pictures
            misfits[name] = str(error)
        else:
            return cast(Encoder, found.base if name in tuned else found), misfits
    found = load()
    if found.fingerprint != stated["fingerprint"]:
        raise MismatchError(
            f"{folder.path}: is a library for the encoder {stated['name']!r} "
            f"({stated['fingerprint']}), got {found.fingerprint}"
        )
    return found, misfits


def tune(encoder: Encoder, name: str, pack: Pack) -> Encoder:
    """The encoder as a skill tunes it.

    Raises:
        UnusableSkillError: its tuning does not fit the encoder.
    """
    try:
        return load_encoder(pack, encoder)
    except (InputError, MismatchError, MissingExtraError, UnknownNameError) as error:
        raise UnusableSkillError(f"the skill {name!r} cannot be used: {error}") from error
