"""Verification of a skill in steps: files, digests, golden answers, encoder.

    files -> format -> digests -> tensors -> golden vectors -> encoder

The checks of `Pack.load` and `Pack.check_encoder`, reported step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handful.contracts import Encoder, at_home
from handful.errors import (
    InputError,
    MismatchError,
    MissingExtraError,
    MissingModelError,
    PackError,
)
from handful.packs import Pack, exchange, format  # noqa: A004 the format of packs
from handful.packs.golden import TOLERANCE
from handful.skills.encoder import load_encoder

_STEPS = ("files", "format", "digests", "tensors", "golden vectors", "encoder")


@dataclass(frozen=True)
class Check:
    """The result of one step.

    Args:
        name: `files`, `format`, `digests`, `tensors`, `golden vectors` or `encoder`.
        state: how it went.
        detail: what was found, or the cause and the cure.
    """

    name: str
    state: Literal["OK", "failed", "not checked"]
    detail: str


@dataclass(frozen=True)
class VerificationReport:
    """The results of all steps.

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
    def complete(self) -> bool:
        """Whether every step was taken and is right."""
        return all(check.state == "OK" for check in self.checks)


def verify(
    skill: str | Path,
    *,
    encoder: str | Path | Encoder | None = None,
    precision: str = "auto",
    device: str = "auto",
    check_encoder: bool = True,
    revision: str | None = None,
    token: str | bool | None = None,
) -> VerificationReport:
    """Verify a skill step by step.

    Args:
        skill: a folder, a `.skill` file or a hub name.
        encoder: to use instead of the one that the skill names.
        precision: of an encoder that is loaded by name; see `handful.Predictor`.
        device: likewise.
        check_encoder: load the encoder and compare its features of the golden image; takes as long
            as the first answer.
        revision: of the hub.
        token: of the hub, as its client takes it.

    Raises:
        PackError: there is nothing of that name.
        MissingModelError: not to be had from the hub; an encoder that was named and is not there.
    """
    names = _STEPS if check_encoder else _STEPS[:-1]
    checks = {name: Check(name, "not checked", "a step before it failed") for name in names}
    pack = None
    steps = _read(skill, revision, token)
    for name in _STEPS[:-1]:
        try:
            detail, pack = next(steps)
        except PackError as error:
            if name == "files" and not at_home(skill).exists():  # nothing there to verify
                raise
            checks[name] = Check(name, "failed", str(error))
            break
        checks[name] = Check(name, "OK", detail)
    if pack is not None and check_encoder:
        named = str(encoder) if isinstance(encoder, Path) else encoder
        checks["encoder"] = _check_encoder(pack, named, precision=precision, device=device)
    return VerificationReport(str(skill), tuple(checks.values()), pack)


def _read(
    skill: str | Path, revision: str | None, token: str | bool | None
) -> Iterator[tuple[str, Pack | None]]:
    """What was found in each step but the last, and at the end of them the pack."""
    files = exchange.open_skill(skill, revision=revision, token=token)
    members = files.names()
    yield f"{files.where}" + (f": a sound zip of {len(members)} members" if members else ""), None
    manifest, raw = format.manifest_of(files)
    made = f"{manifest['format']}, made by Handful {manifest['handful']} on {manifest['created']}"
    # untrusted: control characters of the manifest must not reach the terminal
    yield "".join(letter for letter in made if letter.isprintable()), None
    contents = format.contents_of(files, manifest)
    size = sum(map(len, contents.values())) + len(raw)
    yield f"{len(contents) + 1} files, {size} bytes, as they were", None
    tensors = format.tensors_of(manifest, contents, files)
    yield f"{len(tensors)}, of the stated types and shapes, all numbers finite", None
    pack = Pack(manifest, tensors, str(files.where))
    answers = len(tensors["golden.logits"])
    yield f"{pack.method} gives the {answers} answers that it gave", pack


def _check_encoder(
    pack: Pack, encoder: str | Encoder | None, *, precision: str, device: str
) -> Check:
    try:
        found = load_encoder(pack, encoder, precision=precision, device=device)
        moved = pack.check_encoder(found)
    except MismatchError as error:
        return Check("encoder", "failed", str(error))
    except (MissingModelError, MissingExtraError, InputError) as error:
        if encoder is not None:  # an encoder that was named has to be checked
            raise
        return Check("encoder", "not checked", str(error))
    return Check(
        "encoder",
        "OK",
        f"{found.name} is the one it was taught on; the golden image moves a probability by "
        f"{moved:.2g} in {found.precision}, at most {TOLERANCE:g} may be",
    )
