"""Is a skill whole, does it answer as it did, and is its encoder here the one it was taught on?

    files -> format -> digests -> tensors -> golden vectors -> encoder

What `Pack.load` and `Pack.check_encoder` refuse with one error, told step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from handful.contracts import Encoder
from handful.errors import (
    InputError,
    MismatchError,
    MissingExtraError,
    MissingModelError,
    PackError,
)
from handful.packs import Pack, exchange, format  # noqa: A004 the format of packs
from handful.packs.golden import TOLERANCE
from handful.packs.storage import FileSource
from handful.skills.predict import Predictor

State = Literal["OK", "failed", "not checked"]
T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: `files`, `format`, `digests`, `tensors`, `golden vectors` or `encoder`.
        state: how it went.
        told: what was found, or the cause and the cure.
    """

    name: str
    state: State
    told: str


@dataclass(frozen=True)
class Verified:
    """What became of a skill's verification.

    Args:
        where: the skill.
        checks: one a step, in their order.
        pack: the skill, where it could be loaded.
    """

    where: str
    checks: tuple[Check, ...]
    pack: Pack | None = None

    @property
    def failed(self) -> bool:
        """Whether anything is wrong with it."""
        return any(check.state == "failed" for check in self.checks)

    @property
    def whole(self) -> bool:
        """Whether everything was looked at and is right."""
        return all(check.state == "OK" for check in self.checks)


class _Stop(Exception):  # noqa: N818 no error of anybody's
    """A step failed; the ones after it have nothing to look at."""


def verify(
    skill: str | Path,
    *,
    encoder: str | Path | Encoder | None = None,
    look: bool = True,
    revision: str | None = None,
    token: str | bool | None = None,
) -> Verified:
    """Verify a skill step by step.

    Args:
        skill: a folder, a `.skill` file or a hub name.
        encoder: to use instead of the one that the skill names.
        look: load the encoder and show it the golden image; takes as long as the first answer.
        revision: of the hub.
        token: of the hub, as its client takes it.

    Raises:
        PackError: there is nothing of that name.
        MissingModelError: not to be had from the hub; an encoder that was named and is not there.
    """
    checks: list[Check] = []
    pack = None
    with suppress(_Stop):
        try:
            files = exchange.open_skill(skill, revision=revision, token=token)
        except PackError as error:
            if not Path(skill).exists():  # what is nowhere is no verdict
                raise
            checks.append(Check("files", "failed", str(error)))
            raise _Stop from error
        checks.append(Check("files", "OK", _told_files(files)))
        pack = _read(files, checks)
        if look:
            checks.append(_look(pack, str(encoder) if isinstance(encoder, Path) else encoder))
    done = {check.name for check in checks}
    steps = ("files", "format", "digests", "tensors", "golden vectors", *["encoder"] * look)
    checks += [Check(n, "not checked", "a step before it failed") for n in steps if n not in done]
    return Verified(str(skill), tuple(checks), pack)


def _read(files: FileSource, checks: list[Check]) -> Pack:
    def step(name: str, look: Callable[[], T], tell: Callable[[T], str]) -> T:
        try:
            found = look()
        except PackError as error:
            checks.append(Check(name, "failed", str(error)))
            raise _Stop from error
        checks.append(Check(name, "OK", tell(found)))
        return found

    manifest, raw = step("format", lambda: format.manifest_of(files), lambda m: _told_format(m[0]))
    contents = step(
        "digests",
        lambda: format.contents_of(files, manifest),
        lambda c: f"{len(c) + 1} files, {sum(map(len, c.values())) + len(raw)} bytes, as they were",
    )
    tensors = step(
        "tensors",
        lambda: format.tensors_of(manifest, contents, files),
        lambda t: f"{len(t)}, of the stated types and shapes, all numbers finite",
    )
    return step(
        "golden vectors",
        lambda: Pack(manifest, tensors, str(files.where)),
        lambda p: f"{p.method} gives the {len(p.tensors['golden.logits'])} answers that it gave",
    )


def _look(pack: Pack, encoder: str | Encoder | None) -> Check:
    try:
        seen = Predictor(pack, encoder).encoder
        moved = pack.check_encoder(seen)
    except MismatchError as error:
        return Check("encoder", "failed", str(error))
    except (MissingModelError, MissingExtraError, InputError) as error:
        if encoder is not None:
            raise
        return Check("encoder", "not checked", str(error))
    return Check(
        "encoder",
        "OK",
        f"{seen.name} is the one it was taught on; the golden image moves a probability by "
        f"{moved:.2g} in {seen.precision}, at most {TOLERANCE:g} may be",
    )


def _told_files(files: FileSource) -> str:
    names = files.names()
    if names is None:
        return f"{files.where}"
    return f"{files.where}: a sound zip of {len(names)} members"


def _told_format(manifest: dict[str, Any]) -> str:
    said = f"{manifest['format']}, made by Handful {manifest['handful']} on {manifest['created']}"
    return "".join(letter for letter in said if letter.isprintable())  # a stranger wrote it
